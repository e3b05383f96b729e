import { setTimeout as sleep } from "node:timers/promises";
import { WeirError } from "../errors.ts";
import { type TaskId, taskIdText } from "../names.ts";
import type { Admin, FetchResult, PartitionReader, RawRecord } from "../ports.ts";
import {
  type AnyProcessor,
  type InputRecord,
  isEffectProcessor,
  type Processor,
  type StateStore,
} from "../processor.ts";
import { noCounters, type TaskStatus } from "../runnable.ts";
import type { StageBinding, TaskOptions } from "./binding.ts";
import type { ProgressRecord } from "./changelog.ts";
import { CommitCycle } from "./commit.ts";
import { lastClaim, type Ownership, takeOver } from "./take-over.ts";

const FETCH_BYTES = 1_048_576;
/** Records an effect is planned over at once: enough to keep a model server busy, few enough to commit in time. */
const EFFECT_RECORDS = 64;
const MAX_FAILURES_A_MINUTE = 12;
const MAX_POISON_A_MINUTE = 10;

/**
 * One stage on one partition: takes over, processes, commits, and begins anew from its last commit after any failure.
 *
 * Lifecycle: starting ─► running ─► stopped, running ─► starting (a failure put it back), any ─► failed.
 */
export class Task {
  readonly id: TaskId;
  readonly #binding: StageBinding;
  readonly #options: TaskOptions;
  readonly #admin: Admin;
  #state: TaskStatus["state"] = "starting";
  #position = 0;
  #endOffset = Number.POSITIVE_INFINITY;
  #progress: ProgressRecord | undefined;
  #stores: readonly StateStore[] = [];
  readonly #stop = new AbortController();
  /** Offsets whose record made the processor throw: they are dead letters when they are met again. */
  readonly #poison = new Map<number, string>();
  readonly #failures: number[] = [];
  #started!: () => void;
  /** Resolves with the first take-over. */
  readonly started: Promise<void>;

  constructor(binding: StageBinding, partition: number, options: TaskOptions, admin: Admin) {
    this.id = { stage: binding.stage, partition };
    this.#binding = binding;
    this.#options = options;
    this.#admin = admin;
    this.started = new Promise((resolve) => {
      this.#started = resolve;
    });
  }

  status(): TaskStatus {
    return {
      stage: this.id.stage,
      partition: String(this.id.partition),
      state: this.#state,
      lag: this.#endOffset - this.#position,
      position: this.#position,
      watermarkMs: this.#progress?.watermarkMs ?? 0,
      counters: this.#progress?.counters ?? noCounters(),
      stateBytes: this.#stores.reduce((sum, store) => sum + store.size.bytes, 0),
    };
  }

  /** Runs until stopped or fenced; throws when the task cannot keep its promise. */
  async run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      let ownership: Ownership | undefined;
      try {
        ownership = await takeOver(
          this.#options.broker,
          this.#admin,
          this.#options.env,
          this.id,
          this.#binding.input,
          this.#binding.fingerprint,
        );
        await this.#own(ownership);
      } catch (error) {
        await this.#afterFailure(error, ownership);
      } finally {
        await ownership?.producer.close();
      }
    }
    this.#state = "stopped";
  }

  stop(): void {
    this.#stop.abort();
  }

  async #afterFailure(error: unknown, ownership: Ownership | undefined): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#state = "starting";
    const failure =
      error instanceof WeirError
        ? error
        : new WeirError(
            "INTERNAL",
            "fatal",
            `${taskIdText(this.id)}: ${(error as Error).stack}`,
            "Report this with the lines above.",
          );
    if (failure.disposition === "fatal") {
      this.#state = "failed";
      throw failure;
    }
    if (failure.disposition === "fenced" && ownership) {
      const owner = await lastClaim(this.#options.broker, this.#admin, this.id).catch(() => undefined);
      if (owner && owner.incarnation !== ownership.claim.incarnation) {
        this.#stop.abort(); // another process took the task over: it goes on there
        return;
      }
    }
    const now = performance.now();
    this.#failures.push(now);
    const recent = this.#failures.filter((at) => at > now - 60_000).length;
    if (recent > MAX_FAILURES_A_MINUTE) {
      this.#state = "failed";
      throw new WeirError(
        "TASK_KEEPS_FAILING",
        "fatal",
        `${taskIdText(this.id)} failed ${recent} times within a minute, last: ${failure.message}`,
        failure.nextStep,
        { cause: failure },
      );
    }
    await sleep(Math.random() * Math.min(2_000, 50 * 2 ** recent), undefined, { signal: this.#stop.signal }).catch(
      () => undefined,
    );
  }

  async #own(ownership: Ownership): Promise<void> {
    const processor = this.#binding.create(this.id.partition);
    this.#stores = processor.stores;
    for (const store of processor.stores) {
      for (const [key, value] of ownership.restored.stores.get(store.name) ?? []) store.restore(key, value);
    }
    this.#progress = ownership.restored.progress;
    this.#position = ownership.nextOffset;
    const reader = this.#options.broker.reader();
    // A waiting fetch ends with its connection, so that a stop does not wait for the broker.
    this.#stop.signal.addEventListener("abort", () => void reader.close(), { once: true });
    try {
      await this.#loop(reader, processor, ownership);
    } finally {
      await reader.close();
    }
  }

  async #loop(reader: PartitionReader, processor: AnyProcessor, ownership: Ownership): Promise<void> {
    const cycle = new CommitCycle(this.#binding, this.id, ownership, this.#options, processor);
    const fetch = (offset: number): Promise<FetchResult> => {
      const result = reader.fetch(this.#binding.input, this.id.partition, offset, { maxBytes: FETCH_BYTES });
      result.catch(() => undefined); // awaited below; a failure of the turn in between must not be unhandled
      return result;
    };
    let pending = fetch(this.#position);
    this.#state = "running";
    this.#started();
    while (!this.#stop.signal.aborted) {
      const batch = await pending;
      pending = fetch(batch.nextOffset);
      for (let i = 0; i < batch.records.length; ) {
        const some = isEffectProcessor(processor)
          ? batch.records.slice(i, i + EFFECT_RECORDS)
          : batch.records.slice(i, i + 500);
        await this.#process(processor, some, cycle);
        i += some.length;
        const next = i < batch.records.length ? batch.records[i]!.offset : batch.nextOffset;
        if (this.#stop.signal.aborted) break;
        const caughtUp = next >= batch.endOffset;
        const due = cycle.due(caughtUp);
        if (due) this.#progress = await cycle.commit(next);
        if (due || caughtUp) this.#position = next;
      }
      if (batch.records.length === 0) {
        if (cycle.due(true)) this.#progress = await cycle.commit(batch.nextOffset);
        this.#position = batch.nextOffset;
      }
      this.#endOffset = batch.endOffset;
    }
    // What was processed since the last commit is dropped: the next owner reads it again.
  }

  async #process(processor: AnyProcessor, raw: readonly RawRecord[], cycle: CommitCycle): Promise<void> {
    const records = await this.#decode(raw, cycle);
    if (isEffectProcessor(processor)) {
      if (records.length === 0) return;
      const reply = await processor.perform(processor.plan(records), this.#stop.signal);
      cycle.output.at(records.at(-1)!);
      processor.apply(records, reply, cycle.output);
      cycle.check(records, this.id);
      return;
    }
    for (const record of records) {
      cycle.output.at(record);
      try {
        (processor as Processor<unknown>).process(record, cycle.output);
      } catch (error) {
        this.#remember(record.offset, error);
      }
      cycle.check([record], this.id);
    }
  }

  /** The state may be half written: back to the last commit, and past this record as a dead letter. */
  #remember(offset: number, error: unknown): never {
    if (error instanceof WeirError && error.disposition === "fatal") throw error;
    this.#poison.set(offset, String((error as Error).message ?? error));
    const where = `${taskIdText(this.id)} at offset ${offset}`;
    if (this.#poison.size > MAX_POISON_A_MINUTE) {
      throw new WeirError(
        "PROCESSOR_KEEPS_THROWING",
        "fatal",
        `${where}: ${(error as Error).stack}`,
        "This is a fault of the processor: report it with the record.",
      );
    }
    throw new WeirError(
      "PROCESSOR_ERROR",
      "retry",
      `${where}: ${(error as Error).message}`,
      "The record goes to the dead letters.",
    );
  }

  async #decode(raw: readonly RawRecord[], cycle: CommitCycle): Promise<InputRecord<unknown>[]> {
    const records: InputRecord<unknown>[] = [];
    const { codecs } = this.#options;
    for (const { offset, timestampMs, key, value } of raw) {
      const refuse = (code: string, reason: string) => {
        cycle.output.at({ offset, timestampMs });
        cycle.expectOne();
        cycle.output.reject({
          code,
          reason,
          eventId: "",
          timestampMs,
          entity: key?.toString() ?? "",
          bytes: value ?? Buffer.alloc(0),
        });
      };
      const poison = this.#poison.get(offset);
      if (poison !== undefined) {
        refuse("processor_error", poison);
        continue;
      }
      try {
        const unknown = value === null ? null : codecs.unknownId(value);
        if (unknown !== null) await codecs.learn(unknown);
        const decoded = value === null ? null : codecs.decode(this.#binding.input, value);
        records.push({
          topic: this.#binding.input,
          partition: this.id.partition,
          offset,
          timestampMs,
          key: key?.toString() ?? null,
          value: decoded,
        });
      } catch (error) {
        if (isUnreachable(error))
          throw new WeirError(
            "REGISTRY_UNAVAILABLE",
            "retry",
            `${taskIdText(this.id)} at offset ${offset}: ${(error as Error).message}`,
            "Check that the schema registry runs.",
          );
        refuse("undecodable", (error as Error).message);
      }
    }
    return records;
  }
}

const isUnreachable = (error: unknown): boolean =>
  /ECONN|ETIMEDOUT|socket|timeout|fetch failed/i.test(String((error as Error).message));
