import { WeirError } from "../errors.ts";
import { type TaskId, taskIdText } from "../names.ts";
import type { RawRecord } from "../ports.ts";
import {
  type AnyProcessor,
  type EffectProcessor,
  type InputRecord,
  isEffectProcessor,
  isRawProcessor,
  type Processor,
  type RawProcessor,
} from "../processor.ts";
import type { StageBinding, TaskOptions } from "./binding.ts";
import { ErrorBudget } from "./error-budget.ts";
import type { Overlay } from "./overlay.ts";

/** Records an effect is planned over at once: enough to keep a model server busy, few enough to commit in time. */
const EFFECT_RECORDS = 64;
const PLAIN_RECORDS = 500;
/** Some milliseconds of work. */
const RAW_RECORDS = 2_000;
const NOT_FOUND = 404;

/**
 * Brings records into the overlay (C1), each behind its savepoint. What cannot be decoded or makes the processor throw
 * becomes a dead letter and leaves no trace in the state.
 */
export class Intake {
  readonly #binding: StageBinding;
  readonly #id: TaskId;
  readonly #options: TaskOptions;
  readonly #budget = new ErrorBudget();

  constructor(binding: StageBinding, id: TaskId, options: TaskOptions) {
    this.#binding = binding;
    this.#id = id;
    this.#options = options;
  }

  /** How many records of a batch go in before a commit may come between them. */
  static portion(processor: AnyProcessor): number {
    if (isRawProcessor(processor)) return RAW_RECORDS;
    return isEffectProcessor(processor) ? EFFECT_RECORDS : PLAIN_RECORDS;
  }

  /** Throws only what costs more than a record: `retry` if something outside is missing, `fatal` for faults of ours. */
  async take(raw: readonly RawRecord[], processor: AnyProcessor, overlay: Overlay, signal: AbortSignal): Promise<void> {
    if (isEffectProcessor(processor)) return await this.#takeWithEffect(raw, processor, overlay, signal);
    if (isRawProcessor(processor)) {
      this.#takeRaw(raw, processor, overlay);
      return;
    }
    for (const each of raw) {
      const record = await this.#decode(each, overlay);
      if (!record) continue;
      overlay.savepoint();
      overlay.output.at(record);
      try {
        (processor as Processor<unknown>).process(record, overlay.output);
      } catch (error) {
        this.#costsRecord(error, each, overlay);
        continue;
      }
      overlay.accept([record]);
      this.#budget.record(record.offset);
    }
  }

  async #takeWithEffect(
    raw: readonly RawRecord[],
    processor: EffectProcessor<unknown, unknown, unknown>,
    overlay: Overlay,
    signal: AbortSignal,
  ): Promise<void> {
    const records: InputRecord<unknown>[] = [];
    for (const each of raw) {
      const record = await this.#decode(each, overlay);
      if (record) records.push(record);
    }
    if (records.length === 0) return;
    overlay.savepoint();
    try {
      const request = pure(() => processor.plan(records));
      const reply = await processor.perform(request, signal);
      overlay.output.at(records.at(-1)!);
      pure(() => processor.apply(records, reply, overlay.output));
    } catch (error) {
      if (!(error instanceof Thrown)) throw error;
      if (raw.length === 1) return this.#costsRecord(error.cause, raw[0]!, overlay);
      overlay.rollback();
      const those = new Set(records.map((r) => r.offset));
      for (const each of raw)
        if (those.has(each.offset)) await this.#takeWithEffect([each], processor, overlay, signal);
      return;
    }
    overlay.accept(records);
    for (const { offset } of records) this.#budget.record(offset);
  }

  #takeRaw(raw: readonly RawRecord[], processor: RawProcessor, overlay: Overlay): void {
    overlay.savepoint();
    try {
      processor.takeRaw(raw, overlay.output);
    } catch (error) {
      if (raw.length === 1) this.#costsRecord(error, raw[0]!, overlay);
      else {
        overlay.rollback();
        for (const each of raw) this.#takeRaw([each], processor, overlay);
      }
      return;
    }
    overlay.acceptRaw(raw, processor.watermarkMs);
    for (const { offset } of raw) this.#budget.record(offset);
  }

  #costsRecord(error: unknown, record: RawRecord, overlay: Overlay): void {
    if (error instanceof WeirError && error.disposition === "fatal") throw error;
    const where = `${taskIdText(this.#id)} at offset ${record.offset}`;
    const message = String((error as Error)?.message ?? error);
    if (!this.#budget.spend(record.offset)) {
      throw new WeirError(
        "PROCESSOR_KEEPS_THROWING",
        "fatal",
        `${where}: ${(error as Error)?.stack ?? message}`,
        "This is a fault of the processor: report it with the record.",
      );
    }
    overlay.rollback();
    refuse("processor_error", message, record, overlay);
  }

  async #decode(raw: RawRecord, overlay: Overlay): Promise<InputRecord<unknown> | undefined> {
    const { codecs } = this.#options;
    const { offset, timestampMs, key, value } = raw;
    let decoded: unknown = null;
    try {
      const unknown = value === null ? null : codecs.unknownId(value);
      if (unknown !== null) await this.#learn(unknown, offset);
      if (value !== null) decoded = codecs.decode(this.#binding.input, value);
    } catch (error) {
      if (error instanceof WeirError) throw error;
      return refuse("undecodable", (error as Error).message, raw, overlay);
    }
    const { partition } = this.#id;
    return { topic: this.#binding.input, partition, offset, timestampMs, key: key?.toString() ?? null, value: decoded };
  }

  /** A schema that the registry does not have is the record's fault; no answer is the registry's. */
  async #learn(id: number, offset: number): Promise<void> {
    try {
      await this.#options.codecs.learn(id);
    } catch (error) {
      if ((error as { status?: number }).status === NOT_FOUND) throw error;
      throw new WeirError(
        "REGISTRY_UNAVAILABLE",
        "retry",
        `${taskIdText(this.#id)} at offset ${offset}, schema ${id}: ${(error as Error).message}`,
        "Check that the schema registry runs.",
        { cause: error },
      );
    }
  }
}

function refuse(code: string, reason: string, raw: RawRecord, overlay: Overlay): undefined {
  const { offset, timestampMs, key, value } = raw;
  overlay.output.at({ offset, timestampMs });
  overlay.acceptOne();
  const entity = key?.toString() ?? "";
  overlay.output.reject({ code, reason, eventId: "", timestampMs, entity, bytes: value ?? Buffer.alloc(0) });
}

/** Marks what a pure part threw: it will throw again, whereas the outside may answer the next time. */
class Thrown extends Error {}

function pure<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw new Thrown("", { cause: error });
  }
}
