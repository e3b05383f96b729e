import { WeirError } from "../../streams/index.ts";
import type { ListedShard } from "./shard-plan.ts";
import type { ShardPage, ShardSource } from "./shard-source.ts";
import { backoffMs, type Time } from "./time.ts";
import type { BridgeTuning } from "./tuning.ts";

export interface ShardReaderOptions {
  readonly kinesis: ShardSource;
  readonly stream: string;
  readonly shard: string;
  readonly tuning: BridgeTuning;
  readonly time: Time;
  readonly signal: AbortSignal;
  /** The shard or its stream is gone: time to list again. */
  readonly onNotFound: () => void;
}

/** A source that answers at once and has nothing to say must not keep the process from everything else. */
const QUIET_POLL_MS = 20;

/** Reads one shard page by page within the service's limits, and bears with its moods. One call at a time. */
export class ShardReader {
  readonly #options: ShardReaderOptions;
  #iterator: string | null = null;
  #notBeforeMs = 0;
  #pauseMs: number;

  constructor(options: ShardReaderOptions) {
    this.#options = options;
    this.#pauseMs = options.tuning.minPollMs;
  }

  /** To be called after a take over: the next page is read from the sequence given then. */
  rewind(): void {
    this.#iterator = null;
  }

  /**
   * The page behind `sequence`, which is the last one handed out (or the checkpoint's, after `rewind`). Null when the
   * signal has aborted. Throws only fatal errors.
   */
  next(sequence: string): Promise<ShardPage | null> {
    const { kinesis, stream, shard, signal } = this.#options;
    return this.#persist(async () => {
      try {
        this.#iterator ??= await kinesis.iterator(stream, shard, sequence, signal);
        await this.#pace();
        if (signal.aborted) return null;
        const page = await kinesis.records(this.#iterator, signal);
        this.#iterator = page.next;
        this.#setPace(page);
        return page;
      } catch (error) {
        const code = (error as WeirError).code;
        if (code === "KINESIS_AT_END") return { records: [], next: null, children: [], millisBehindLatest: 0 };
        if (code === "KINESIS_ITERATOR_EXPIRED") this.#iterator = null;
        throw error;
      }
    });
  }

  /** Children of the shard by ListShards, for services whose last page does not name them. */
  async children(): Promise<readonly ListedShard[] | null> {
    const { kinesis, stream, shard, signal } = this.#options;
    return await this.#persist(async () =>
      (await kinesis.listShards(stream, signal)).filter((s) => s.parents.includes(shard)),
    );
  }

  async #pace(): Promise<void> {
    const { time, signal } = this.#options;
    const wait = this.#notBeforeMs - time.now();
    if (wait > 0) await time.sleep(wait, signal);
    this.#notBeforeMs = time.now() + this.#options.tuning.minPollMs;
  }

  /** While behind, or with records coming, as fast as allowed; in silence ever slower. */
  #setPace(page: ShardPage): void {
    const { minPollMs, maxPollMs } = this.#options.tuning;
    const busy = page.records.length > 0 || page.millisBehindLatest > 0;
    this.#pauseMs = busy ? minPollMs : Math.min(maxPollMs, Math.max(this.#pauseMs * 2, QUIET_POLL_MS));
    this.#notBeforeMs += this.#pauseMs - minPollMs;
  }

  async #persist<T>(call: () => Promise<T | null>): Promise<T | null> {
    const { tuning, time, signal, onNotFound } = this.#options;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        return await call();
      } catch (error) {
        if (signal.aborted) return null;
        if (!(error instanceof WeirError) || error.disposition !== "retry") throw error;
        if (error.code === "KINESIS_NOT_FOUND") onNotFound();
        await time.sleep(backoffMs(attempt, tuning.retryBaseMs, tuning.retryCapMs, time.random()), signal);
      }
    }
    return null;
  }
}
