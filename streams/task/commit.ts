import { WeirError } from "../errors.ts";
import { changelogTopicFor, type TaskId, taskIdText } from "../names.ts";
import type { AnyProcessor, InputRecord } from "../processor.ts";
import { noCounters } from "../runnable.ts";
import type { StageBinding, TaskOptions } from "./binding.ts";
import { PROGRESS, type ProgressRecord, stateKey, stateValue } from "./changelog.ts";
import type { Ownership } from "./take-over.ts";
import { TaskOutput } from "./task-output.ts";

const MAX_TRANSACTION_BYTES = 4_000_000;
const OFFSETS_EVERY_MS = 5_000;

/**
 * Steps C1 to C6 of design §5.
 *
 *   C1 what was processed since the last commit stands in `output`, encoded
 *   C2 the transaction opens with the first send
 *   C3 state, outputs, dead letters and progress go out
 *   C4 now and then the group's offset, for lag tools
 *   C5 commit, never after a failed send: the producer is dead then
 *   C6 the progress becomes the task's own
 */
export class CommitCycle {
  output: TaskOutput;
  #ownership: Ownership;
  #binding: StageBinding;
  #id: TaskId;
  #options: TaskOptions;
  #processor: AnyProcessor;
  #progress: ProgressRecord | undefined;
  #lastCommit = performance.now();
  #lastOffsets = performance.now();
  #watermarkMs: number;
  #expected = 0;

  constructor(binding: StageBinding, id: TaskId, ownership: Ownership, options: TaskOptions, processor: AnyProcessor) {
    this.#binding = binding;
    this.#id = id;
    this.#ownership = ownership;
    this.#options = options;
    this.#processor = processor;
    this.#progress = ownership.restored.progress;
    this.#watermarkMs = this.#progress?.watermarkMs ?? 0;
    this.output = this.#fresh();
  }

  /** Every event a record brought in must have been counted once; anything else is a fault of the processor. */
  check(records: readonly InputRecord<unknown>[], id: TaskId): void {
    for (const { value } of records) {
      this.#expected += value === null ? 1 : (this.#binding.eventsOf?.(value as never) ?? 1);
      if (value !== null)
        this.#watermarkMs = Math.max(this.#watermarkMs, this.#binding.watermarkOf?.(value as never) ?? 0);
    }
    const counted = this.output.counters.in - (this.#progress?.counters.in ?? 0);
    if (counted !== this.#expected) {
      throw new WeirError(
        "COUNTERS_DO_NOT_ADD_UP",
        "fatal",
        `${taskIdText(id)} before offset ${records.at(-1)?.offset}: ${this.#expected} events came in, ${counted} were accounted for.`,
        "This is a fault of the processor: report it.",
      );
    }
  }

  /** A record that never reached the processor, already counted as dead. */
  expectOne(): void {
    this.#expected++;
  }

  due(caughtUp: boolean): boolean {
    this.#processor.poll?.(this.output);
    if (this.output.records.length === 0 && this.output.counters.in === (this.#progress?.counters.in ?? 0))
      return false;
    if (caughtUp || this.output.bytes > MAX_TRANSACTION_BYTES) return true;
    return performance.now() - this.#lastCommit >= this.#options.commitIntervalMs;
  }

  async commit(nextOffset: number): Promise<ProgressRecord> {
    const { producer, restored, claim } = this.#ownership;
    const topic = changelogTopicFor(this.#id.stage);
    const partition = this.#id.partition;
    const commit = (this.#progress?.commit ?? 0) + 1;
    const timestampMs = Date.now();
    for (const store of this.#processor.stores) {
      store.flush((key, value) => {
        const name = stateKey(store.name, key);
        if (value === null) restored.digest.delete(name);
        else restored.digest.set(name, commit);
        this.output.internal({ topic, partition, key: name, value: value && stateValue(commit, value), timestampMs });
      });
    }
    const progress: ProgressRecord = {
      commit,
      incarnation: claim.incarnation,
      fingerprint: claim.fingerprint,
      nextOffset,
      watermarkMs: this.#watermarkMs,
      counters: this.output.counters,
      digest: restored.digest.text,
    };
    this.output.internal({
      topic,
      partition,
      key: PROGRESS,
      value: Buffer.from(JSON.stringify(progress)),
      timestampMs,
    });
    await producer.send(this.output.records);
    if (performance.now() - this.#lastOffsets > OFFSETS_EVERY_MS) {
      this.#lastOffsets = performance.now();
      await producer.sendOffsets(`${this.#options.env}.${this.#id.stage}`, this.#binding.input, partition, nextOffset);
    }
    await producer.commit();
    this.#progress = progress;
    this.#expected = 0;
    this.#lastCommit = performance.now();
    this.output = this.#fresh();
    return progress;
  }

  #fresh(): TaskOutput {
    return new TaskOutput(
      this.#id.stage,
      this.#binding.input,
      this.#id.partition,
      this.#options.codecs,
      this.#progress?.counters ?? noCounters(),
    );
  }
}
