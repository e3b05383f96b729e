import type { TaskId } from "../names.ts";
import type { FetchResult, PartitionReader } from "../ports.ts";
import type { StageBinding, TaskOptions } from "./binding.ts";
import { CommitCycle } from "./commit.ts";
import { Intake } from "./intake.ts";
import { Overlay } from "./overlay.ts";
import type { Ownership } from "./take-over.ts";
import type { TaskTime } from "./time.ts";

/** Bytes of one fetch; one more is fetched ahead while it is processed, and no further: the broker keeps the rest. */
const FETCH_BYTES = 1_048_576;

/**
 * The work of a task that owns its partition: fetch, process, commit.
 *
 * Backpressure is the fetch that is not sent: at most two batches are here, whatever lies in the topic.
 */
export class Work {
  readonly overlay: Overlay;
  /** Next input offset to read; everything before it is committed. */
  position: number;
  endOffset = Number.POSITIVE_INFINITY;
  readonly #id: TaskId;
  readonly #options: TaskOptions;
  readonly #binding: StageBinding;
  readonly #ownership: Ownership;
  readonly #intake: Intake;
  readonly #time: TaskTime;
  readonly #stop: AbortSignal;
  readonly #cycle: CommitCycle;
  readonly #reader: PartitionReader;
  /** The one fetch in flight: a reader takes no second. */
  #pending: Promise<FetchResult> | undefined;
  /** Behind the last record in the overlay. */
  #next: number;
  #caughtUp = false;

  constructor(
    binding: StageBinding,
    id: TaskId,
    options: TaskOptions,
    time: TaskTime,
    ownership: Ownership,
    intake: Intake,
    stop: AbortSignal,
  ) {
    this.#id = id;
    this.#options = options;
    this.#binding = binding;
    this.#ownership = ownership;
    this.#intake = intake;
    this.#time = time;
    this.#stop = stop;
    const { processor, progress } = ownership;
    this.overlay = new Overlay(binding, id, options.codecs, processor, progress);
    this.#cycle = new CommitCycle(binding, id, ownership, options, this.overlay, time);
    this.position = ownership.nextOffset;
    this.#next = this.position;
    this.#reader = options.broker.reader();
    // A waiting fetch ends with its connection, so that a stop does not wait for the broker.
    stop.addEventListener("abort", this.#leave, { once: true });
  }

  get transactions(): number {
    return this.#cycle.transactions;
  }

  get stateBytes(): number {
    return this.#ownership.processor.stores.reduce((sum, store) => sum + store.size.bytes, 0);
  }

  get figures(): Readonly<Record<string, number>> | undefined {
    return this.#ownership.processor.figures?.();
  }

  /** Reads on from the position until stopped; what is not committed then is dropped. */
  async run(): Promise<void> {
    let pending = this.#fetch(this.position);
    while (!this.#stop.aborted) {
      const batch = await this.#commitsUntil(pending);
      if (this.#stop.aborted) return;
      pending = this.#fetch(batch.nextOffset);
      this.endOffset = batch.endOffset;
      await this.#take(batch);
    }
  }

  /** Back to the last progress. */
  async rewind(): Promise<void> {
    this.overlay.drop();
    this.position = this.overlay.progress?.nextOffset ?? this.#ownership.nextOffset;
    this.#next = this.position;
    await this.#pending?.catch(() => undefined);
  }

  readonly #leave = () => void this.#reader.close();

  async close(): Promise<void> {
    this.#stop.removeEventListener("abort", this.#leave);
    await this.#reader.close();
  }

  #fetch(offset: number): Promise<FetchResult> {
    const result = this.#reader.fetch(this.#binding.input, this.#id.partition, offset, { maxBytes: FETCH_BYTES });
    result.catch(() => undefined); // awaited later; a failure of the turn in between must not be unhandled
    this.#pending = result;
    return result;
  }

  /** Waits for the batch; what becomes due meanwhile is committed. */
  async #commitsUntil(pending: Promise<FetchResult>): Promise<FetchResult> {
    for (;;) {
      const waitMs = await this.#commitIfDue();
      if (waitMs === Number.POSITIVE_INFINITY) return await pending;
      const waiting = new AbortController();
      const awake = this.#time.sleep(waitMs, AbortSignal.any([waiting.signal, this.#stop]));
      const first = await Promise.race([pending, awake]).finally(() => waiting.abort());
      if (first || this.#stop.aborted) return await pending;
    }
  }

  async #take(batch: FetchResult): Promise<void> {
    const { records } = batch;
    const { processor } = this.#ownership;
    const portion = Intake.portion(processor);
    for (let i = 0; i < records.length; ) {
      if (this.overlay.isEmpty) this.#options.onStep?.(this.#id, "C1");
      const some = records.slice(i, i + portion);
      await this.#intake.take(some, processor, this.overlay, this.#stop);
      if (this.#stop.aborted) return;
      i += some.length;
      this.#next = records[i]?.offset ?? batch.nextOffset;
      this.#caughtUp = this.#next >= batch.endOffset;
      await this.#commitIfDue();
    }
    this.#next = batch.nextOffset;
    this.#caughtUp = this.#next >= batch.endOffset;
    if (this.overlay.isEmpty) this.position = this.#next;
  }

  /** Milliseconds until the next look; Infinity when nothing waits to be committed. */
  async #commitIfDue(): Promise<number> {
    const dueInMs = this.#cycle.dueInMs(this.#caughtUp);
    if (dueInMs > 0) return dueInMs;
    await this.#cycle.commit(this.#next);
    this.position = this.#next;
    return Number.POSITIVE_INFINITY;
  }
}
