import { WeirError } from "../../streams/index.ts";
import { MINUTE_RING } from "./delta-keys.ts";
import { encodeChunk, NO_STAMPS, newChunk, type PaneChunk, placeOf, type ReadChunk } from "./pane-chunk.ts";
import { overwriteSlot, type Words } from "./pane-codec.ts";
import type { PaneLayout } from "./pane-layout.ts";
import type { UndoLog } from "./undo-log.ts";

/** Chunks of memory kept for the next minutes. */
const MAX_POOLED = 256;

export type MinuteChunks = readonly (PaneChunk | undefined)[];

/** The chunks of panes by minute, in memory: part of the pane store. Every change can be taken back. */
export class PaneMinutes {
  readonly #layout: PaneLayout;
  readonly #limit: number;
  readonly #undo: UndoLog;
  #minutes = new Map<number, (PaneChunk | undefined)[]>();
  #open = new Set<number>();
  #oldest = Number.POSITIVE_INFINITY;
  #chunks = 0;
  #openChunks = 0;
  #closedBytes = 0;
  /** The minute written to last: most writes go to it again. */
  #lastMinute = Number.NaN;
  #lastChunks: (PaneChunk | undefined)[] = [];
  /** Memory of closed chunks, to be used again: right away, or once their closing cannot be taken back. */
  #pool: Float64Array[] = [];
  #retired: Float64Array[] = [];

  /** `limit`: minutes held at once. */
  constructor(layout: PaneLayout, limit: number, undo: UndoLog) {
    this.#layout = layout;
    this.#limit = limit;
    this.#undo = undo;
  }

  get(minute: number): MinuteChunks | undefined {
    return this.#minutes.get(minute);
  }

  holds(chunk: PaneChunk): boolean {
    return this.#minutes.get(chunk.minute)?.[chunk.index] === chunk;
  }

  entries(): Iterable<[number, MinuteChunks]> {
    return this.#minutes;
  }

  /** Ascending. */
  openBelow(minute: number): number[] {
    return [...this.#open].filter((m) => m < minute).sort((a, b) => a - b);
  }

  /** The lowest minute at or after `from` that is held. */
  next(from: number): number | undefined {
    let next: number | undefined;
    for (const minute of this.#minutes.keys())
      if (minute >= from && (next === undefined || minute < next)) next = minute;
    return next;
  }

  get count(): number {
    return this.#chunks;
  }

  get bytes(): number {
    return this.#openChunks * this.#layout.slotsPerChunk * this.#layout.slot * 8 + this.#closedBytes;
  }

  /** The open chunk, made where there is none. Throws `PANES_FULL` (fatal) at the limit of minutes. */
  open(minute: number, index: number): PaneChunk {
    if (minute !== this.#lastMinute) {
      this.#lastChunks = this.#minuteToWrite(minute);
      this.#lastMinute = minute;
    }
    const chunks = this.#lastChunks;
    const held = chunks[index];
    if (held?.open) return held;
    const chunk = newChunk(minute, index);
    this.#fill(chunk, null);
    chunks[index] = chunk;
    this.#chunks++;
    this.#undo.add(() => {
      chunks[index] = undefined;
      this.#chunks--;
      this.#openChunks--;
    });
    return chunk;
  }

  /** Turns the open chunks of a minute into sparse ones; each is told with its new form. */
  close(minute: number, closed: (chunk: PaneChunk, words: Words) => void): void {
    for (const chunk of this.#minutes.get(minute) ?? []) {
      if (!chunk?.open) continue;
      const values = chunk.open;
      const words = encodeChunk(this.#layout, minute, values, false);
      chunk.closed = words;
      chunk.open = null;
      chunk.stamps = NO_STAMPS;
      this.#openChunks--;
      this.#closedBytes += words.f.byteLength;
      this.#retired.push(values);
      this.#undo.add(() => {
        chunk.closed = null;
        chunk.open = values;
        chunk.stamps = new Float64Array(this.#layout.slotsPerChunk);
        this.#openChunks++;
        this.#closedBytes -= words.f.byteLength;
        this.#retired.pop();
      });
      closed(chunk, words);
    }
    this.#open.delete(minute);
    this.#undo.add(() => this.#open.add(minute));
  }

  /** Forgets the minutes below and returns their chunks. */
  evictBelow(minute: number): PaneChunk[] {
    if (this.#oldest >= minute) return [];
    this.#lastMinute = Number.NaN;
    const evicted: PaneChunk[] = [];
    const before = [this.#oldest, this.#chunks, this.#closedBytes] as const;
    const gone: [number, (PaneChunk | undefined)[]][] = [];
    this.#oldest = Number.POSITIVE_INFINITY;
    for (const [m, chunks] of this.#minutes) {
      if (m >= minute) {
        if (m < this.#oldest) this.#oldest = m;
        continue;
      }
      this.#minutes.delete(m);
      gone.push([m, chunks]);
      for (const chunk of chunks) {
        if (!chunk) continue;
        evicted.push(chunk);
        this.#chunks--;
        this.#closedBytes -= chunk.closed?.f.byteLength ?? 0;
      }
    }
    this.#undo.add(() => {
      for (const [m, chunks] of gone) this.#minutes.set(m, chunks);
      this.#lastMinute = Number.NaN;
      [this.#oldest, this.#chunks, this.#closedBytes] = before;
    });
    return evicted;
  }

  /** For a restore: what the changelog holds of a chunk, or that it holds nothing any more. */
  restore(minute: number, index: number, read: ReadChunk | null): void {
    this.#lastMinute = Number.NaN;
    const chunks = this.#minutes.get(minute) ?? [];
    const held = chunks[index];
    if (held) {
      this.#chunks--;
      if (held.open) this.#openChunks--;
      this.#closedBytes -= held.closed?.f.byteLength ?? 0;
      chunks[index] = undefined;
    }
    if (read) {
      const chunk = newChunk(minute, index);
      chunk.logged = true;
      if (read.open) {
        this.#fill(chunk, read.words);
        this.#open.add(minute);
      } else {
        chunk.closed = read.words;
        this.#closedBytes += read.words.f.byteLength;
      }
      chunks[index] = chunk;
      this.#chunks++;
    }
    if (chunks.some((c) => c)) this.#minutes.set(minute, chunks);
    else this.#minutes.delete(minute);
    if (read && minute < this.#oldest) this.#oldest = minute;
  }

  /** What was closed stays closed: its memory is free. */
  merge(): void {
    for (const values of this.#retired) if (this.#pool.length < MAX_POOLED) this.#pool.push(values.fill(0));
    this.#retired = [];
  }

  #minuteToWrite(minute: number): (PaneChunk | undefined)[] {
    const held = this.#minutes.get(minute);
    if (held) return held;
    if (this.#minutes.size >= this.#limit) throw panesFull(this.#limit, minute, this.#oldest);
    for (const open of this.#open) if ((open - minute) % MINUTE_RING === 0) throw panesFull(MINUTE_RING, minute, open);
    const chunks: (PaneChunk | undefined)[] = [];
    const before = this.#oldest;
    this.#minutes.set(minute, chunks);
    this.#open.add(minute);
    if (minute < this.#oldest) this.#oldest = minute;
    this.#undo.add(() => {
      this.#minutes.delete(minute);
      this.#open.delete(minute);
      this.#lastMinute = Number.NaN;
      this.#oldest = before;
    });
    return chunks;
  }

  #fill(chunk: PaneChunk, words: Words | null): void {
    const { slotsPerChunk, slot } = this.#layout;
    const values = this.#pool.pop() ?? new Float64Array(slotsPerChunk * slot);
    for (let i = 0; words && i < slotsPerChunk; i++) {
      const at = placeOf(words, i);
      if (at > 0) overwriteSlot(this.#layout, words, at, values, i * slot);
    }
    chunk.open = values;
    chunk.stamps = new Float64Array(slotsPerChunk);
    this.#openChunks++;
  }
}

const panesFull = (limit: number, minute: number, oldest: number) =>
  new WeirError(
    "PANES_FULL",
    "fatal",
    `An event of minute ${minute} needs a new minute of panes, but ${limit} are held, from minute ${oldest} on.`,
    "One source lags far behind the others or has stalled: let it catch up, or leave it out by an operator's command.",
  );
