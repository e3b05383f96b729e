import { WeirError } from "../errors.ts";
import { type TaskId, taskIdText } from "../names.ts";
import type { Admin, FetchResult, PartitionReader } from "../ports.ts";
import type { AnyProcessor, StateStore } from "../processor.ts";
import { noCounters, type TaskStatus } from "../runnable.ts";
import type { StageBinding, TaskOptions, TaskStep } from "./binding.ts";
import { CommitCycle } from "./commit.ts";
import { Intake } from "./intake.ts";
import { Lifecycle } from "./lifecycle.ts";
import { Overlay } from "./overlay.ts";
import { lastClaim, type Ownership, takeOver } from "./take-over.ts";
import { systemTime, type TaskTime } from "./time.ts";

const FETCH_BYTES = 1_048_576;
const MAX_FAILURES_A_MINUTE = 12;
const MAX_BACKOFF_MS = 2_000;

/**
 * One stage on one partition: takes over, processes, commits. What goes wrong on the way in costs the overlay and a
 * pause; what goes wrong with the broker's transactions costs a new take-over.
 */
export class Task {
  readonly id: TaskId;
  readonly #binding: StageBinding;
  readonly #options: TaskOptions;
  readonly #admin: Admin;
  readonly #observe: TaskOptions["onStep"] | undefined;
  readonly #time: TaskTime;
  readonly #intake: Intake;
  readonly #lifecycle = new Lifecycle();
  #position = 0;
  #endOffset = Number.POSITIVE_INFINITY;
  #overlay: Overlay | undefined;
  #stores: readonly StateStore[] = [];
  readonly #stop = new AbortController();
  readonly #failures: number[] = [];
  /** The one fetch in flight: a reader takes no second. */
  #pending: Promise<FetchResult> | undefined;
  /** Aborts since the last commit. */
  #aborts = 0;
  #started!: () => void;
  /** Resolves with the first take-over. */
  readonly started: Promise<void>;

  constructor(binding: StageBinding, partition: number, options: TaskOptions, admin: Admin) {
    this.id = { stage: binding.stage, partition };
    this.#binding = binding;
    this.#options = { ...options, onStep: (_, step) => this.#step(step) };
    this.#observe = options.onStep;
    this.#admin = admin;
    this.#time = options.time ?? systemTime;
    this.#intake = new Intake(binding, this.id, options);
    this.started = new Promise((resolve) => {
      this.#started = resolve;
    });
  }

  status(): TaskStatus {
    return {
      stage: this.id.stage,
      partition: String(this.id.partition),
      state: this.#lifecycle.state,
      lag: this.#endOffset - this.#position,
      position: this.#position,
      watermarkMs: this.#overlay?.progress?.watermarkMs ?? 0,
      counters: this.#overlay?.progress?.counters ?? noCounters(),
      stateBytes: this.#stores.reduce((sum, store) => sum + store.size.bytes, 0),
    };
  }

  /** Runs until stopped or fenced; throws when the task cannot keep its promise. */
  async run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      let ownership: Ownership | undefined;
      try {
        ownership = await takeOver(this.#binding, this.id, this.#options, this.#admin, this.#time);
        await this.#own(ownership);
      } catch (error) {
        await this.#afterFailure(error, ownership);
      } finally {
        await ownership?.producer.close();
      }
    }
    this.#lifecycle.enter("stopped");
  }

  stop(): void {
    this.#stop.abort();
  }

  #step(step: TaskStep): void {
    this.#lifecycle.at(step);
    this.#observe?.(this.id, step);
  }

  async #afterFailure(error: unknown, ownership: Ownership | undefined): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const failure = asWeirError(error, this.id);
    if (failure.disposition === "fatal") {
      this.#lifecycle.enter("failed");
      throw failure;
    }
    this.#lifecycle.enter("waiting");
    if (failure.disposition === "fenced" && ownership) {
      const owner = await lastClaim(this.#options.broker, this.#admin, this.id).catch(() => undefined);
      if (owner && owner.incarnation !== ownership.claim.incarnation) {
        this.#stop.abort(); // another process took the task over: it goes on there
        return;
      }
    }
    const now = this.#time.nowMs();
    this.#failures.push(now);
    const recent = this.#failures.filter((at) => at > now - 60_000).length;
    if (recent > MAX_FAILURES_A_MINUTE) {
      this.#lifecycle.enter("failed");
      throw new WeirError(
        "TASK_KEEPS_FAILING",
        "fatal",
        `${taskIdText(this.id)} failed ${recent} times within a minute, last: ${failure.message}`,
        failure.nextStep,
        { cause: failure },
      );
    }
    await this.#backOff(recent);
  }

  async #backOff(attempt: number): Promise<void> {
    const limitMs = Math.min(MAX_BACKOFF_MS, 50 * 2 ** attempt);
    await this.#time.sleep(this.#time.random() * limitMs, this.#stop.signal);
  }

  async #own(ownership: Ownership): Promise<void> {
    const processor = this.#binding.create(this.id.partition);
    this.#stores = processor.stores;
    for (const store of processor.stores) {
      for (const [key, value] of ownership.restored.stores.get(store.name) ?? []) store.restore(key, value);
    }
    const { progress } = ownership.restored;
    const overlay = new Overlay(this.#binding, this.id, this.#options.codecs, processor, progress);
    this.#overlay = overlay;
    const cycle = new CommitCycle(this.#binding, this.id, ownership, this.#options, processor, overlay, this.#time);
    const reader = this.#options.broker.reader();
    // A waiting fetch ends with its connection, so that a stop does not wait for the broker.
    this.#stop.signal.addEventListener("abort", () => void reader.close(), { once: true });
    this.#started();
    try {
      while (!this.#stop.signal.aborted) {
        this.#position = overlay.progress?.nextOffset ?? ownership.nextOffset;
        try {
          await this.#pass(reader, processor, overlay, cycle);
        } catch (error) {
          await this.#abort(error, overlay);
        }
      }
    } finally {
      await reader.close();
    }
    // What was processed since the last commit is dropped: the next owner reads it again.
  }

  /** Nothing was sent: back to the last progress. Throws on if that does not mend it. */
  async #abort(error: unknown, overlay: Overlay): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const mends = error instanceof WeirError && error.disposition === "retry";
    if (!mends || this.#lifecycle.phase !== "running" || !overlay.canGoBack) throw error;
    this.#lifecycle.enter("rewinding");
    overlay.drop();
    await this.#pending?.catch(() => undefined);
    await this.#backOff(++this.#aborts);
    this.#lifecycle.enter("running");
  }

  /** Reads on from the position until stopped. */
  async #pass(reader: PartitionReader, processor: AnyProcessor, overlay: Overlay, cycle: CommitCycle): Promise<void> {
    const fetch = (offset: number): Promise<FetchResult> => {
      const result = reader.fetch(this.#binding.input, this.id.partition, offset, { maxBytes: FETCH_BYTES });
      result.catch(() => undefined); // awaited below; a failure of the turn in between must not be unhandled
      this.#pending = result;
      return result;
    };
    const commit = async (nextOffset: number) => {
      await cycle.commit(nextOffset);
      this.#aborts = 0;
    };
    const portion = Intake.portion(processor);
    let pending = fetch(this.#position);
    while (!this.#stop.signal.aborted) {
      const batch = await pending;
      pending = fetch(batch.nextOffset);
      for (let i = 0; i < batch.records.length; ) {
        if (overlay.isEmpty) this.#step("C1");
        const some = batch.records.slice(i, i + portion);
        await this.#intake.take(some, processor, overlay, this.#stop.signal);
        i += some.length;
        const next = i < batch.records.length ? batch.records[i]!.offset : batch.nextOffset;
        if (this.#stop.signal.aborted) break;
        const caughtUp = next >= batch.endOffset;
        const due = cycle.due(caughtUp);
        if (due) await commit(next);
        if (due || caughtUp) this.#position = next;
      }
      if (batch.records.length === 0) {
        if (cycle.due(true)) await commit(batch.nextOffset);
        this.#position = batch.nextOffset;
      }
      this.#endOffset = batch.endOffset;
    }
  }
}

/** An error that nobody foresaw is a fault of ours: it would come again, so it is not tried again. */
function asWeirError(error: unknown, id: TaskId): WeirError {
  if (error instanceof WeirError) return error;
  return new WeirError(
    "INTERNAL",
    "fatal",
    `${taskIdText(id)}: ${(error as Error)?.stack ?? error}`,
    "Report this with the lines above.",
  );
}
