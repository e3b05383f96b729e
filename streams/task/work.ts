import type { TaskId } from "../names.ts";
import type { FetchResult, PartitionReader } from "../ports.ts";
import { isRawProcessor } from "../processor.ts";
import type { StageBinding, TaskOptions } from "./binding.ts";
import { CommitCycle } from "./commit.ts";
import { Intake } from "./intake.ts";
import { Overlay } from "./overlay.ts";
import type { Ownership } from "./take-over.ts";
import type { TaskTime } from "./time.ts";

/** Bytes of one fetch; one more is fetched ahead while it is processed, and no further: the broker keeps the rest. */
const FETCH_BYTES = 1_048_576;
/** Small records by the ten thousand: fewer of them at a time live shorter, which is what their memory costs. */
const RAW_FETCH_BYTES = 262_144;
const MAX_WAIT_MS = 500;

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
  /** Since when the end of the input has stood still. */
  #quietSinceMs = Number.POSITIVE_INFINITY;
  /** When the fetch in flight was sent. */
  #askedMs = 0;

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
      const askedMs = this.#askedMs;
      const batch = await this.#commitsUntil(pending);
      if (this.#stop.aborted) return;
      pending = this.#fetch(batch.nextOffset);
      this.endOffset = batch.endOffset;
      await this.#take(batch, askedMs);
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
    this.#askedMs = this.#time.nowMs();
    const maxBytes = isRawProcessor(this.#ownership.processor) ? RAW_FETCH_BYTES : FETCH_BYTES;
    const options = { maxBytes, maxWaitMs: this.#patienceMs() };
    const result = this.#reader.fetch(this.#binding.input, this.#id.partition, offset, options);
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

  async #take(batch: FetchResult, askedMs: number): Promise<void> {
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
    this.#noticeQuiet(records.length > 0, askedMs);
    if (this.overlay.isEmpty) this.position = this.#next;
    // Behind the last commit of a busy time there may be no other for long that would see to its end.
    if (this.overlay.isEmpty && records.length === 0) await this.#ownership.producer.settle();
  }

  /** How long a fetch may wait for records: until silence is to be noticed at the latest. */
  #patienceMs(): number {
    const { processor } = this.#ownership;
    const afterMs = (isRawProcessor(processor) && processor.silence?.afterMs) || MAX_WAIT_MS;
    return Math.max(1, Math.min(afterMs, MAX_WAIT_MS));
  }

  /** An answer that found nothing tells of the time when it was asked for: this process may have stood still since. */
  #noticeQuiet(moved: boolean, askedMs: number): void {
    const { processor } = this.#ownership;
    if (!isRawProcessor(processor) || !processor.silence) return;
    if (!this.#caughtUp) this.#quietSinceMs = Number.POSITIVE_INFINITY;
    else if (moved || this.#quietSinceMs === Number.POSITIVE_INFINITY) this.#quietSinceMs = this.#time.nowMs();
    const quietMs = askedMs - this.#quietSinceMs;
    if (quietMs >= processor.silence.afterMs && processor.silence.decide()) this.overlay.decided();
  }

  /** Milliseconds until the next look; Infinity when nothing waits to be committed. */
  async #commitIfDue(): Promise<number> {
    const dueInMs = this.#cycle.dueInMs(this.#caughtUp);
    if (dueInMs > 0) return dueInMs;
    await this.#cycle.commit(this.#next);
    this.position = this.#next;
    // What a processor was waiting for may be that very commit.
    return this.#ownership.processor.poll ? this.#cycle.dueInMs(this.#caughtUp) : Number.POSITIVE_INFINITY;
  }
}
