import { WeirError } from "../errors.ts";
import { type TaskId, taskIdText } from "../names.ts";
import type { RawRecord } from "../ports.ts";
import type { AnyProcessor, InputRecord } from "../processor.ts";
import { noCounters } from "../runnable.ts";
import type { StageBinding, TaskOptions } from "./binding.ts";
import type { ProgressRecord } from "./changelog.ts";
import { TaskOutput } from "./task-output.ts";

/**
 * What a task has processed since its last commit and can still take back (C1): changes of the stores, output, counters.
 *
 * `savepoint` before each record and `rollback` if it throws; `merge` when the commit stands; `drop` after anything
 * else went wrong.
 */
export class Overlay {
  output: TaskOutput;
  progress: ProgressRecord | undefined;
  watermarkMs: number;
  readonly #binding: StageBinding;
  readonly #id: TaskId;
  readonly #codecs: TaskOptions["codecs"];
  readonly #processor: AnyProcessor;
  #expected = 0;
  #decided = false;

  constructor(
    binding: StageBinding,
    id: TaskId,
    codecs: TaskOptions["codecs"],
    processor: AnyProcessor,
    progress: ProgressRecord | undefined,
  ) {
    this.#binding = binding;
    this.#id = id;
    this.#codecs = codecs;
    this.#processor = processor;
    this.progress = progress;
    this.watermarkMs = progress?.watermarkMs ?? 0;
    this.output = this.#fresh();
  }

  get isEmpty(): boolean {
    const { records, counters } = this.output;
    return !this.#decided && records.length === 0 && counters.in === this.#committed.in;
  }

  savepoint(): void {
    for (const store of this.#processor.stores) store.savepoint();
    this.output.savepoint();
  }

  rollback(): void {
    for (const store of this.#processor.stores) store.rollback();
    this.output.rollback();
    this.#processor.reset?.();
  }

  merge(progress: ProgressRecord): void {
    for (const store of this.#processor.stores) store.merge();
    this.progress = progress;
    this.#begin();
  }

  drop(): void {
    for (const store of this.#processor.stores) store.drop();
    this.#processor.reset?.();
    this.#begin();
  }

  /** Every event a record brought in must have been counted once; anything else is a fault of the processor. */
  accept(records: readonly InputRecord<unknown>[]): void {
    for (const { value } of records) {
      this.#expected += value === null ? 1 : (this.#binding.eventsOf?.(value as never) ?? 1);
      const watermarkMs = value === null ? 0 : (this.#binding.watermarkOf?.(value as never) ?? 0);
      if (watermarkMs > this.watermarkMs) this.watermarkMs = watermarkMs;
    }
    this.#addUp(records.at(-1)?.offset);
  }

  /** The same for records that count as one event each. */
  acceptRaw(records: readonly RawRecord[], watermarkMs: number): void {
    this.#expected += records.length;
    if (watermarkMs > this.watermarkMs) this.watermarkMs = watermarkMs;
    this.#addUp(records.at(-1)?.offset);
  }

  #addUp(offset: number | undefined): void {
    const counted = this.output.counters.in - this.#committed.in;
    if (counted !== this.#expected) {
      throw new WeirError(
        "COUNTERS_DO_NOT_ADD_UP",
        "fatal",
        `${taskIdText(this.#id)} before offset ${offset}: ${this.#expected} events came in, ${counted} were accounted for.`,
        "This is a fault of the processor: report it.",
      );
    }
  }

  /** A record that counts as one dead event, whatever it brought. */
  acceptOne(): void {
    this.#expected++;
  }

  /** A store holds a decision about time: it is to be committed though no record came. */
  decided(): void {
    this.#decided = true;
  }

  get #committed() {
    return this.progress?.counters ?? noCounters();
  }

  #begin(): void {
    this.#expected = 0;
    this.#decided = false;
    this.watermarkMs = this.progress?.watermarkMs ?? 0;
    this.output = this.#fresh();
  }

  #fresh(): TaskOutput {
    const { stage, partition } = this.#id;
    return new TaskOutput(stage, this.#binding.input, partition, this.#codecs, this.#committed);
  }
}
