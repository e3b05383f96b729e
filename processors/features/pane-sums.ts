import { placeOf } from "./pane-chunk.ts";
import { mergeDense, mergeSlot } from "./pane-codec.ts";
import type { PaneLayout } from "./pane-layout.ts";
import type { PaneStore } from "./pane-store.ts";

/** Minutes whose panes are kept added up, aligned to the epoch; the longer ones only for windows that need them. */
const BLOCKS = [5, 60] as const;
const LONG_WINDOW_MINUTES = 120;
const BLOCK_MINUTES = BLOCKS[0];
/** A stretch of fewer whole blocks is added up each time. */
const KEPT_BLOCKS = 3;

/** Sums and means for the slots of one chunk, at [slot][place in the ring][field]. */
interface ChunkSums {
  /** For each kind of block. */
  readonly blocks: readonly Float64Array[];
  readonly means: Float32Array;
  /** For each stretch of a row the whole blocks within it, added up, and from which block to which. */
  readonly middles: (undefined | { readonly values: Float64Array; readonly blocks: Float64Array })[];
}

/**
 * What rows are made of, added up beforehand: blocks of 5 minutes (and 60), and each minute's float32 means. Derived
 * from the closed panes alone, in the order of their minutes, so it is no state: it is made anew when the store has gone
 * back. A window is a few blocks and at most four minutes at its far end, whatever its length.
 */
export class PaneSums {
  readonly #panes: PaneStore;
  readonly #layout: PaneLayout;
  readonly #lookback: number;
  /** Minutes of each kind of block, longest first, how many of them the ring has room for, and which it holds. */
  readonly #kinds: readonly { readonly minutes: number; readonly ring: number; readonly held: Float64Array }[];
  #chunks: (ChunkSums | undefined)[] = [];
  #generation = -1;
  /** Minutes below are added up. */
  #upTo = Number.NEGATIVE_INFINITY;

  constructor(panes: PaneStore, longestWindow: number, lookbackMinutes: number) {
    this.#panes = panes;
    this.#layout = panes.layout;
    this.#lookback = lookbackMinutes;
    this.#kinds = BLOCKS.filter((minutes) => minutes === 5 || longestWindow >= LONG_WINDOW_MINUTES)
      .map((minutes) => ({ minutes, ring: Math.ceil(longestWindow / minutes) + 1 }))
      .map((kind) => ({ ...kind, held: new Float64Array(kind.ring).fill(Number.NaN) }))
      .reverse();
  }

  /** Adds up the panes before `endMinute`, all of them closed. */
  advanceTo(endMinute: number): void {
    const first = endMinute - this.#lookback;
    if (this.#generation !== this.#panes.generation || this.#upTo > endMinute) {
      this.#generation = this.#panes.generation;
      this.#chunks = [];
      for (const { held } of this.#kinds) held.fill(Number.NaN);
      this.#upTo = Number.NEGATIVE_INFINITY;
    }
    // A block that began before the first minute is never used: windows end at it.
    for (let minute = Math.max(first, this.#upTo); minute < endMinute; minute++) this.#addMinute(minute);
    this.#upTo = endMinute;
  }

  /** The float32 means of all signals in the minute, at the returned place of `meansOf(slot)`. */
  meansAt(slot: number, minute: number): number {
    const i = slot & (this.#layout.slotsPerChunk - 1);
    return (
      (i * this.#lookback + (((minute % this.#lookback) + this.#lookback) % this.#lookback)) * this.#layout.signals
    );
  }

  /** Where the slot's ring of means begins. */
  ringAt(slot: number): number {
    return (slot & (this.#layout.slotsPerChunk - 1)) * this.ringLength;
  }

  get ringLength(): number {
    return this.#lookback * this.#layout.signals;
  }

  /** NaN where there is no value. Undefined: the slot has had no pane in reach. */
  meansOf(slot: number): Float32Array | undefined {
    return this.#chunks[Math.floor(slot / this.#layout.slotsPerChunk)]?.means;
  }

  /**
   * Adds the slot's panes of [fromMinute, toMinute) to `g`, newest first; all that `g` holds lies behind them.
   * `endMinute` is where the panes added up end; `stretch` numbers the stretches that a row is gathered from.
   */
  gather(
    slot: number,
    fromMinute: number,
    toMinute: number,
    endMinute: number,
    stretch: number,
    g: Float64Array,
  ): void {
    const { slotsPerChunk, slot: stride } = this.#layout;
    const sums = this.#chunks[Math.floor(slot / slotsPerChunk)];
    if (!sums) return;
    const from = Math.max(fromMinute, this.#panes.sinceOf(slot));
    const first = Math.ceil(from / BLOCK_MINUTES);
    const end = Math.floor(toMinute / BLOCK_MINUTES);
    if (end - first < KEPT_BLOCKS) {
      this.#walk(slot, from, toMinute, endMinute, g);
      return;
    }
    // Its whole blocks change once in five minutes: they are kept added up.
    sums.middles[stretch] ??= {
      values: new Float64Array(slotsPerChunk * stride),
      blocks: new Float64Array(slotsPerChunk * 2).fill(Number.NaN),
    };
    const middle = sums.middles[stretch];
    const i = slot & (slotsPerChunk - 1);
    if (middle.blocks[i * 2] !== first || middle.blocks[i * 2 + 1] !== end) {
      const own = middle.values.subarray(i * stride, (i + 1) * stride).fill(0);
      this.#walk(slot, first * BLOCK_MINUTES, end * BLOCK_MINUTES, endMinute, own);
      middle.blocks[i * 2] = first;
      middle.blocks[i * 2 + 1] = end;
    }
    this.#walk(slot, end * BLOCK_MINUTES, toMinute, endMinute, g);
    mergeDense(this.#layout, middle.values, i * stride, g, 0, true);
    this.#walk(slot, from, first * BLOCK_MINUTES, endMinute, g);
  }

  /** By the longest blocks that fit, then by minutes. */
  #walk(slot: number, from: number, to: number, endMinute: number, g: Float64Array): void {
    const { slotsPerChunk, slot: stride } = this.#layout;
    const index = Math.floor(slot / slotsPerChunk);
    const i = slot & (slotsPerChunk - 1);
    const { blocks } = this.#chunks[index]!;
    let next = to - 1;
    walk: while (next >= from) {
      for (let k = 0; k < this.#kinds.length; k++) {
        const { minutes, ring } = this.#kinds[k]!;
        const block = Math.floor(next / minutes);
        const whole = next + 1 === endMinute || (next + 1) % minutes === 0;
        if (!whole || block * minutes < from) continue;
        mergeDense(this.#layout, blocks[k]!, (i * ring + placeIn(block, ring)) * stride, g, 0, true);
        next = block * minutes - 1;
        continue walk;
      }
      const closed = this.#panes.chunksOf(next)?.[index]?.closed;
      const at = closed ? placeOf(closed, i) : 0;
      if (at > 0) mergeSlot(this.#layout, closed!, at, g, 0, true, null, 0);
      next--;
    }
  }

  #addMinute(minute: number): void {
    const { signals, slotsPerChunk, slot: stride } = this.#layout;
    this.#beginBlocks(minute);
    const chunks = this.#panes.chunksOf(minute);
    const count = Math.max(chunks?.length ?? 0, this.#chunks.length);
    for (let index = 0; index < count; index++) {
      const closed = chunks?.[index]?.closed;
      let sums = this.#chunks[index];
      if (!sums) {
        if (!closed) continue;
        sums = this.#newSums();
        this.#chunks[index] = sums;
      }
      for (let i = 0; i < slotsPerChunk; i++) {
        const meansAt = this.meansAt(i, minute);
        sums.means.fill(Number.NaN, meansAt, meansAt + signals);
        const at = closed ? placeOf(closed, i) : 0;
        if (at === 0 || minute < this.#panes.sinceOf(index * slotsPerChunk + i)) continue;
        for (const [k, { minutes, ring }] of this.#kinds.entries()) {
          const base = (i * ring + placeIn(Math.floor(minute / minutes), ring)) * stride;
          mergeSlot(this.#layout, closed!, at, sums.blocks[k]!, base, false, k === 0 ? sums.means : null, meansAt);
        }
      }
    }
  }

  /** Clears what the ring holds of older blocks in the places of those that the minute lies in. */
  #beginBlocks(minute: number): void {
    const { slotsPerChunk, slot: stride } = this.#layout;
    for (const [k, { minutes, ring, held }] of this.#kinds.entries()) {
      const block = Math.floor(minute / minutes);
      const place = placeIn(block, ring);
      if (held[place] === block) continue;
      held[place] = block;
      for (const sums of this.#chunks) {
        for (let i = 0; sums && i < slotsPerChunk; i++) {
          const at = (i * ring + place) * stride;
          sums.blocks[k]!.fill(0, at, at + stride);
        }
      }
    }
  }

  #newSums(): ChunkSums {
    const { signals, slotsPerChunk, slot: stride } = this.#layout;
    return {
      blocks: this.#kinds.map(({ ring }) => new Float64Array(slotsPerChunk * ring * stride)),
      means: new Float32Array(slotsPerChunk * this.#lookback * signals).fill(Number.NaN),
      middles: [],
    };
  }
}

const placeIn = (block: number, ring: number): number => ((block % ring) + ring) % ring;
