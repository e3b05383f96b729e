import { changelogTopicFor, type TaskId } from "../names.ts";
import type { AnyProcessor } from "../processor.ts";
import type { StageBinding, TaskOptions, TaskStep } from "./binding.ts";
import { PROGRESS, type ProgressRecord, stateKey, stateValue } from "./changelog.ts";
import type { Overlay } from "./overlay.ts";
import type { Ownership } from "./take-over.ts";
import type { TaskTime } from "./time.ts";

const MAX_TRANSACTION_BYTES = 4_000_000;
const OFFSETS_EVERY_MS = 5_000;
/** What one request holds of a partition: the transaction opens with the first of them. */
const FIRST_SEND_RECORDS = 500;

/**
 * Steps C1 to C6 of design §5.
 *
 *   C1 what was processed since the last commit stands in the overlay, its output encoded
 *   C2 the transaction opens with the first send
 *   C3 the rest of outputs, dead letters, state and progress goes out
 *   C4 now and then the group's offset, for lag tools
 *   C5 commit, never after a failed send: the producer is dead then
 *   C6 the overlay is merged: the progress is the task's own
 */
export class CommitCycle {
  readonly #ownership: Ownership;
  readonly #binding: StageBinding;
  readonly #id: TaskId;
  readonly #options: TaskOptions;
  readonly #processor: AnyProcessor;
  readonly #overlay: Overlay;
  readonly #time: TaskTime;
  #lastCommitMs: number;
  #lastOffsetsMs: number;

  constructor(
    binding: StageBinding,
    id: TaskId,
    ownership: Ownership,
    options: TaskOptions,
    processor: AnyProcessor,
    overlay: Overlay,
    time: TaskTime,
  ) {
    this.#binding = binding;
    this.#id = id;
    this.#ownership = ownership;
    this.#options = options;
    this.#processor = processor;
    this.#overlay = overlay;
    this.#time = time;
    this.#lastCommitMs = time.nowMs();
    this.#lastOffsetsMs = time.nowMs();
  }

  due(caughtUp: boolean): boolean {
    this.#processor.poll?.(this.#overlay.output);
    if (this.#overlay.isEmpty) return false;
    if (caughtUp || this.#overlay.output.bytes > MAX_TRANSACTION_BYTES) return true;
    return this.#time.nowMs() - this.#lastCommitMs >= this.#options.commitIntervalMs;
  }

  /** Any throw leaves the overlay to be dropped. */
  async commit(nextOffset: number): Promise<void> {
    const { producer, restored } = this.#ownership;
    const overlay = this.#overlay;
    const undoDigest: [name: string, commit: number | undefined][] = [];
    try {
      const progress = this.#gather(nextOffset, undoDigest);
      const { records } = overlay.output;
      this.#step("C2");
      await producer.send(records.slice(0, FIRST_SEND_RECORDS));
      this.#step("C3");
      if (records.length > FIRST_SEND_RECORDS) await producer.send(records.slice(FIRST_SEND_RECORDS));
      await this.#sendOffsets(nextOffset);
      this.#step("C5");
      await producer.commit();
      this.#step("C6");
      overlay.merge(progress);
      this.#lastCommitMs = this.#time.nowMs();
    } catch (error) {
      for (const [name, commit] of undoDigest.reverse()) {
        if (commit === undefined) restored.digest.delete(name);
        else restored.digest.set(name, commit);
      }
      throw error;
    }
  }

  /** Puts what changed in the stores and the new progress behind the outputs. */
  #gather(nextOffset: number, undoDigest: [name: string, commit: number | undefined][]): ProgressRecord {
    const { restored, claim } = this.#ownership;
    const { digest } = restored;
    const { output, progress: last, watermarkMs } = this.#overlay;
    const topic = changelogTopicFor(this.#id.stage);
    const { partition } = this.#id;
    const commit = (last?.commit ?? 0) + 1;
    const timestampMs = this.#time.wallMs();
    for (const store of this.#processor.stores) {
      store.flush((key, value) => {
        const name = stateKey(store.name, key);
        undoDigest.push([name, digest.commitOf(name)]);
        if (value === null) digest.delete(name);
        else digest.set(name, commit);
        output.internal({ topic, partition, key: name, value: value && stateValue(commit, value), timestampMs });
      });
    }
    const progress: ProgressRecord = {
      commit,
      incarnation: claim.incarnation,
      fingerprint: claim.fingerprint,
      nextOffset,
      watermarkMs,
      counters: output.counters,
      digest: digest.text,
    };
    output.internal({ topic, partition, key: PROGRESS, value: Buffer.from(JSON.stringify(progress)), timestampMs });
    return progress;
  }

  async #sendOffsets(nextOffset: number): Promise<void> {
    const now = this.#time.nowMs();
    if (now - this.#lastOffsetsMs <= OFFSETS_EVERY_MS) return;
    this.#lastOffsetsMs = now;
    this.#step("C4");
    const group = `${this.#options.env}.${this.#id.stage}`;
    await this.#ownership.producer.sendOffsets(group, this.#binding.input, this.#id.partition, nextOffset);
  }

  #step(step: TaskStep): void {
    this.#options.onStep?.(this.#id, step);
  }
}
