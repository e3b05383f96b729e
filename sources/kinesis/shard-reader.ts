import { WeirError } from "../../streams/index.ts";
import { type StreamId, sourceIdOf } from "./names.ts";
import type { ListedShard } from "./shard-plan.ts";
import type { ShardPage, ShardSource } from "./shard-source.ts";
import { backoffMs, type Time } from "./time.ts";
import type { BridgeTuning } from "./tuning.ts";

export interface ShardReaderOptions {
  readonly kinesis: ShardSource;
  readonly stream: StreamId;
  readonly shard: string;
  readonly tuning: BridgeTuning;
  readonly time: Time;
  readonly signal: AbortSignal;
  /** The shard or its stream is gone: time to list again. */
  readonly onNotFound: () => void;
  /** A call has failed for a while, or does so no longer. */
  readonly log: (line: string) => void;
}

export interface ReadPage extends ShardPage {
  /** When it was asked for: whatever had arrived by then lies in it or behind it. */
  readonly askedMs: number;
}

/** Where a reader starts, from the checkpoint. */
export interface ReadFrom {
  /** Empty: at the trim horizon. */
  readonly sequence: string;
  /** Everything that had arrived by then has been read. */
  readonly knownMs: number;
}

interface Position extends ReadFrom {
  sequence: string;
  knownMs: number;
  iterator: string | null;
  ahead: Promise<ReadPage | null> | undefined;
  isReady: boolean;
}

/** A source that answers at once and has nothing to say must not keep the process from everything else. */
const QUIET_POLL_MS = 20;
/** Of a lasting fault this often a line. */
const SAY_EVERY_MS = 60_000;

/** Reads one shard page by page, one page ahead, within the service's limits, and bears with its moods. */
export class ShardReader {
  readonly #options: ShardReaderOptions;
  #position: Position = { sequence: "", knownMs: 0, iterator: null, ahead: undefined, isReady: false };
  #notBeforeMs = 0;
  #pauseMs: number;
  #retentionMs = Number.POSITIVE_INFINITY;
  #answeredMs: number;

  constructor(options: ShardReaderOptions) {
    this.#options = options;
    this.#pauseMs = options.tuning.minPollMs;
    this.#answeredMs = options.time.now();
  }

  /** When the service last gave a page. */
  get answeredMs(): number {
    return this.#answeredMs;
  }

  /** How long the stream keeps a record; Infinity before the first page. */
  get retentionMs(): number {
    return this.#retentionMs;
  }

  /** The next page has come already. */
  get hasPage(): boolean {
    return this.#position.isReady;
  }

  /** After a take over: whatever was read ahead is dropped. */
  rewind(from: ReadFrom): void {
    this.#position = { ...from, iterator: null, ahead: undefined, isReady: false };
  }

  /** The next page; null when the signal has aborted. Throws fatal errors only. One call at a time. */
  async next(): Promise<ReadPage | null> {
    const position = this.#position;
    const page = await (position.ahead ?? this.#read(position));
    position.ahead = undefined;
    position.isReady = false;
    if (page && page.next !== null) {
      position.ahead = this.#read(position);
      const ready = () => {
        position.isReady = true;
      };
      position.ahead.then(ready, ready);
    }
    return page;
  }

  /** Children of the shard by ListShards, for services whose last page does not name them. */
  async children(): Promise<readonly ListedShard[] | null> {
    const { kinesis, stream, shard, signal } = this.#options;
    return await this.#persist(async () =>
      (await kinesis.listShards(stream.name, signal)).filter((s) => s.parents.includes(shard)),
    );
  }

  #read(position: Position): Promise<ReadPage | null> {
    const { kinesis, signal, time } = this.#options;
    return this.#persist(async () => {
      try {
        position.iterator ??= await this.#open(position);
        await this.#pace();
        if (signal.aborted) return null;
        const askedMs = time.now();
        const page = await kinesis.records(position.iterator, signal);
        this.#answeredMs = time.now();
        position.iterator = page.next;
        const last = page.records.at(-1);
        if (last) Object.assign(position, { sequence: last.sequence, knownMs: last.arrivalMs });
        if (page.millisBehindLatest === 0) position.knownMs = askedMs;
        this.#setPace(page);
        return { ...page, askedMs };
      } catch (error) {
        const code = (error as WeirError).code;
        if (code === "KINESIS_AT_END")
          return { records: [], next: null, children: [], millisBehindLatest: 0, askedMs: time.now() };
        if (code === "KINESIS_ITERATOR_EXPIRED") position.iterator = null;
        throw error;
      }
    });
  }

  /** An iterator behind what was read last, of the stream's right life, with nothing lost in between. */
  async #open(position: Position): Promise<string> {
    const { kinesis, stream, shard, signal } = this.#options;
    const iterator = await kinesis.iterator(stream.name, shard, position.sequence, signal);
    // Asked after the iterator was given: a later life of the stream cannot be read by it.
    const { createdMs, retentionMs } = await kinesis.describe(stream.name, signal);
    if (createdMs !== stream.createdMs)
      throw new WeirError(
        "KINESIS_NOT_FOUND",
        "retry",
        `${stream.name} was made anew: ${shard} of its earlier life is gone.`,
        "The shards of its new life are read.",
      );
    this.#retentionMs = retentionMs;
    await this.#refuseGap(position);
    return iterator;
  }

  /** Kinesis gives no sign when records behind a checkpoint have been dropped: it goes on at the oldest there is. */
  async #refuseGap({ sequence, knownMs }: Position): Promise<void> {
    const { kinesis, stream, shard, signal, time } = this.#options;
    const oldestMs = time.now() - this.#retentionMs;
    if (sequence === "" || knownMs >= oldestMs) return;
    if (await kinesis.holds(stream.name, shard, sequence, signal)) return;
    throw sourceGap(sourceIdOf(stream, shard), sequence, knownMs, `${iso(oldestMs)} (the stream's retention)`);
  }

  async #pace(): Promise<void> {
    const { time, signal, tuning } = this.#options;
    const nowMs = time.now();
    const atMs = Math.max(nowMs, this.#notBeforeMs);
    this.#notBeforeMs = atMs + tuning.minPollMs;
    if (atMs > nowMs) await time.sleep(atMs - nowMs, signal);
  }

  /** While behind, or with records coming, as fast as allowed; in silence ever slower. */
  #setPace(page: ShardPage): void {
    const { minPollMs, maxPollMs } = this.#options.tuning;
    const busy = page.records.length > 0 || page.millisBehindLatest > 0;
    this.#pauseMs = busy ? minPollMs : Math.min(maxPollMs, Math.max(this.#pauseMs * 2, QUIET_POLL_MS));
    this.#notBeforeMs += this.#pauseMs - minPollMs;
  }

  async #persist<T>(call: () => Promise<T | null>): Promise<T | null> {
    const { tuning, time, signal, onNotFound, log } = this.#options;
    const source = sourceIdOf(this.#options.stream, this.#options.shard);
    let saidMs = Number.NEGATIVE_INFINITY;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        const answer = await call();
        if (saidMs > 0) log(`${source}: Kinesis answers again.`);
        return answer;
      } catch (error) {
        if (signal.aborted) return null;
        if (!(error instanceof WeirError) || error.disposition !== "retry") throw error;
        if (error.code === "KINESIS_NOT_FOUND") onNotFound();
        // The first few are everyday life.
        if (attempt >= SILENT_ATTEMPTS && time.now() >= saidMs + SAY_EVERY_MS) {
          saidMs = time.now();
          log(`${source}: ${error}`);
        }
        await time.sleep(backoffMs(attempt, tuning.retryBaseMs, tuning.retryCapMs, time.random()), signal);
      }
    }
    return null;
  }
}

const SILENT_ATTEMPTS = 3;
const iso = (ms: number): string => (ms > 0 ? new Date(ms).toISOString() : "its beginning");

/** `toText` says where the gap ends. */
export const sourceGap = (source: string, sequence: string, knownMs: number, toText: string): WeirError =>
  new WeirError(
    "SOURCE_GAP",
    "fatal",
    `${source} was read up to ${sequence || "its beginning"}; what arrived between ${iso(knownMs)} and ${toText} may be gone from the stream unread.`,
    `To go on without it: weir bridge accept-gap ${source}`,
  );
