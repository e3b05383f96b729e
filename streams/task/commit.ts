import { changelogTopicFor, type TaskId } from "../names.ts";
import type { StageBinding, TaskOptions, TaskStep } from "./binding.ts";
import { PROGRESS, type ProgressRecord, progressValue, stateKey, stateValue } from "./changelog.ts";
import type { Overlay } from "./overlay.ts";
import type { Ownership } from "./take-over.ts";
import type { TaskTime } from "./time.ts";
import { processBudget, type TransactionBudget } from "./transaction-budget.ts";

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
  /** Committed so far. */
  transactions = 0;
  readonly #ownership: Ownership;
  readonly #binding: StageBinding;
  readonly #id: TaskId;
  readonly #options: TaskOptions;
  readonly #overlay: Overlay;
  readonly #time: TaskTime;
  readonly #budget: TransactionBudget;
  #lastCommitMs: number;
  #lastOffsetsMs: number;

  constructor(
    binding: StageBinding,
    id: TaskId,
    ownership: Ownership,
    options: TaskOptions,
    overlay: Overlay,
    time: TaskTime,
  ) {
    this.#binding = binding;
    this.#id = id;
    this.#ownership = ownership;
    this.#options = options;
    this.#overlay = overlay;
    this.#time = time;
    this.#budget = options.budget ?? processBudget;
    this.#lastCommitMs = time.nowMs();
    this.#lastOffsetsMs = time.nowMs();
  }

  /** Milliseconds until the overlay must be committed; Infinity while it is empty. */
  dueInMs(caughtUp: boolean): number {
    this.#ownership.processor.poll?.(this.#overlay.output);
    if (this.#overlay.isEmpty) return Number.POSITIVE_INFINITY;
    if (this.#overlay.output.bytes > MAX_TRANSACTION_BYTES) return 0;
    const now = this.#time.nowMs();
    const leftMs = this.#lastCommitMs + this.#options.commitIntervalMs - now;
    return leftMs <= 0 || (caughtUp && this.#budget.take(now)) ? 0 : leftMs;
  }

  /** A throw costs the ownership with all its state: what is committed then only a new take-over can tell. */
  async commit(nextOffset: number): Promise<void> {
    const { producer } = this.#ownership;
    const progress = this.#gather(nextOffset);
    const { records } = this.#overlay.output;
    this.#step("C2");
    await producer.send(records.slice(0, FIRST_SEND_RECORDS));
    this.#step("C3");
    if (records.length > FIRST_SEND_RECORDS) await producer.send(records.slice(FIRST_SEND_RECORDS));
    await this.#sendOffsets(nextOffset);
    this.#step("C5");
    await producer.commit();
    this.#step("C6");
    this.#overlay.merge(progress);
    this.#lastCommitMs = this.#time.nowMs();
    this.transactions++;
  }

  /** Puts what changed in the stores and the new progress behind the outputs. */
  #gather(nextOffset: number): ProgressRecord {
    const { claim, version, input, processor, digests } = this.#ownership;
    const { output, progress: last, watermarkMs } = this.#overlay;
    const topic = changelogTopicFor(this.#id.stage);
    const { partition } = this.#id;
    const commit = (last?.commit ?? 0) + 1;
    const timestampMs = this.#time.wallMs();
    for (const store of processor.stores) {
      store.flush((key, value) => {
        const name = stateKey(store.name, key);
        if (value) digests.set(store.name, name, commit);
        else digests.delete(store.name, name);
        output.internal({ topic, partition, key: name, value: value && stateValue(commit, value), timestampMs });
      });
    }
    const progress: ProgressRecord = {
      version,
      commit,
      claim,
      nextOffset,
      input,
      watermarkMs,
      counters: output.counters,
      digest: digests.text,
      stores: digests.byStore,
      standing: processor.standing?.(),
    };
    output.internal({ topic, partition, key: PROGRESS, value: progressValue(progress), timestampMs });
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
