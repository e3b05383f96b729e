import { ChunkSums } from "./chunk-sums.ts";
import type { FeatureSet } from "./feature-set.ts";
import type { PaneStore } from "./pane-store.ts";
import { fieldsOf, type SignalFields } from "./signal-sums.ts";

/** Minutes whose panes are kept added up, aligned to the epoch; the longer ones only for windows that need them. */
const BLOCK = 5;
const LONG_BLOCK = 60;
const LONG_WINDOW = 120;

/**
 * What rows are made of, added up beforehand, for all slots of a chunk at once. Derived from the closed panes alone, in an
 * order that hangs on their minutes only, so it is no state: it is made anew when the store has gone back.
 *
 * A window that ends r minutes into a block of 5 is the sum of two places: those r minutes, and its base, which is all
 * before them. The five bases of a block are laid when it begins, from the whole blocks that they hold and the minutes
 * at their far end. So a row costs one addition a window, whatever its length.
 */
export class PaneSums {
  readonly fields: readonly SignalFields[];
  readonly #panes: PaneStore;
  readonly #set: FeatureSet;
  readonly #reach: number;
  readonly #slots: number;
  readonly #ring: number;
  readonly #longRing: number;
  readonly #places: number;
  /** How far into a block rows may end, the farthest first. */
  readonly #rests: readonly number[];
  #chunks: (ChunkSums | undefined)[] = [];
  /** Which block each place of the rings holds. */
  readonly #held: Float64Array;
  readonly #heldLong: Float64Array;
  #baseBlock = Number.NaN;
  #generation = -1;
  /** Minutes below are added up. */
  #upTo = Number.NEGATIVE_INFINITY;

  /** `reach`: minutes that are looked back. */
  constructor(set: FeatureSet, panes: PaneStore, reach: number) {
    const longest = set.windows.at(-1)!;
    this.#panes = panes;
    this.#set = set;
    this.#reach = reach;
    this.#slots = panes.layout.slotsPerChunk;
    this.fields = fieldsOf(set, this.#slots);
    this.#ring = Math.ceil(longest / BLOCK) + 1;
    this.#longRing = longest >= LONG_WINDOW ? Math.ceil(longest / LONG_BLOCK) + 1 : 0;
    // One that stays empty stands for the newest minutes of windows that are all base.
    const empty = set.windows[0]! < BLOCK ? 1 : 0;
    this.#places = this.#ring + this.#longRing + set.windows.length * BLOCK + empty;
    this.#rests = set.hopMinutes % BLOCK === 0 ? [0] : [4, 3, 2, 1, 0];
    this.#held = new Float64Array(this.#ring).fill(Number.NaN);
    this.#heldLong = new Float64Array(this.#longRing).fill(Number.NaN);
  }

  /** Undefined: none of its slots has had a pane in reach. */
  chunk(index: number): ChunkSums | undefined {
    return this.#chunks[index];
  }

  /** The two places that the window's sums at `endMinute` are made of, which is where `advanceTo` stands. */
  placesOf(window: number, endMinute: number): readonly [base: number, newest: number] {
    const newest =
      this.#set.windows[window]! < BLOCK ? this.#places - 1 : this.#blockPlace(Math.floor(endMinute / BLOCK));
    return [this.#basePlace(window, mod(endMinute, BLOCK)), newest];
  }

  /** Adds up the panes before `endMinute`, all of them closed. */
  advanceTo(endMinute: number): void {
    const first = endMinute - this.#reach;
    if (this.#generation !== this.#panes.generation || this.#upTo > endMinute) this.#beginAnew();
    this.#noteHolders();
    for (let minute = Math.max(first, this.#upTo); minute < endMinute; minute++) this.#addMinute(minute);
    this.#upTo = endMinute;
    const block = Math.floor(endMinute / BLOCK);
    this.#beginBlock(block);
    if (this.#baseBlock !== block) {
      this.#baseBlock = block;
      for (const [w, minutes] of this.#set.windows.entries()) if (minutes >= BLOCK) this.#layBases(w, minutes, block);
    }
    for (const [w, minutes] of this.#set.windows.entries()) if (minutes < BLOCK) this.#layShort(w, minutes, endMinute);
  }

  #beginAnew(): void {
    this.#generation = this.#panes.generation;
    this.#chunks = [];
    this.#held.fill(Number.NaN);
    this.#heldLong.fill(Number.NaN);
    this.#baseBlock = Number.NaN;
    this.#upTo = Number.NEGATIVE_INFINITY;
  }

  #noteHolders(): void {
    for (const [index, chunk] of this.#chunks.entries()) if (chunk) this.#noteHoldersOf(chunk, index);
  }

  #noteHoldersOf(chunk: ChunkSums, index: number): void {
    for (let i = 0; i < this.#slots; i++) chunk.holderSince(i, this.#panes.sinceOf(index * this.#slots + i));
  }

  #addMinute(minute: number): void {
    const block = Math.floor(minute / BLOCK);
    this.#beginBlock(block);
    const into = { place: this.#blockPlace(block), origin: block * BLOCK, older: false, first: true };
    const chunks = this.#panes.chunksOf(minute);
    const count = Math.max(chunks?.length ?? 0, this.#chunks.length);
    for (let index = 0; index < count; index++) {
      const closed = chunks?.[index]?.closed;
      let sums = this.#chunks[index];
      if (!sums) {
        if (!closed) continue;
        sums = new ChunkSums(this.#panes.layout, this.fields, this.#places);
        this.#chunks[index] = sums;
        this.#noteHoldersOf(sums, index);
      }
      sums.beginMinute(minute);
      if (closed) sums.addMinute(minute, closed, into);
    }
    if (this.#longRing > 0 && mod(minute + 1, BLOCK) === 0) this.#addLong(block);
  }

  /** Clears what the ring holds of an older block in this one's place. */
  #beginBlock(block: number): void {
    const place = this.#blockPlace(block);
    if (this.#held[place] === block) return;
    this.#held[place] = block;
    for (const sums of this.#chunks) sums?.clear(place);
  }

  /** Adds a whole block to the long one that it lies in. One that began before the first minute is never used. */
  #addLong(block: number): void {
    const long = Math.floor((block * BLOCK) / LONG_BLOCK);
    const place = this.#longPlace(long);
    const isNew = this.#heldLong[mod(long, this.#longRing)] !== long;
    this.#heldLong[mod(long, this.#longRing)] = long;
    for (const sums of this.#chunks) {
      if (isNew) sums?.clear(place);
      sums?.merge(place, this.#blockPlace(block), block * BLOCK - long * LONG_BLOCK, false);
    }
  }

  #layBases(window: number, minutes: number, block: number): void {
    const end = block * BLOCK;
    let before = -1;
    for (const rest of this.#rests) {
      const place = this.#basePlace(window, rest);
      const from = end + rest - minutes;
      for (const [index, sums] of this.#chunks.entries()) {
        if (!sums) continue;
        if (before < 0) {
          sums.clear(place);
          this.#walk(sums, index, from, end, end, place);
        } else {
          sums.copy(place, this.#basePlace(window, before));
          this.#walk(sums, index, from, from + before - rest, end, place);
        }
      }
      before = rest;
    }
  }

  /** A window that is shorter than a block is all base. */
  #layShort(window: number, minutes: number, endMinute: number): void {
    const place = this.#basePlace(window, mod(endMinute, BLOCK));
    const origin = Math.floor(endMinute / BLOCK) * BLOCK;
    for (const [index, sums] of this.#chunks.entries()) {
      sums?.clear(place);
      if (sums) this.#walk(sums, index, endMinute - minutes, endMinute, origin, place);
    }
  }

  /** Adds [from, to) to a place that holds what lies behind it, newest first, by the longest blocks that fit. */
  #walk(sums: ChunkSums, index: number, from: number, to: number, origin: number, place: number): void {
    let next = to;
    while (next > from) {
      if (this.#longRing > 0 && mod(next, LONG_BLOCK) === 0 && next - LONG_BLOCK >= from) {
        next -= LONG_BLOCK;
        sums.merge(place, this.#longPlace(next / LONG_BLOCK), next - origin, true);
      } else if (mod(next, BLOCK) === 0 && next - BLOCK >= from) {
        next -= BLOCK;
        sums.merge(place, this.#blockPlace(next / BLOCK), next - origin, true);
      } else {
        next--;
        const closed = this.#panes.chunksOf(next)?.[index]?.closed;
        if (closed) sums.addMinute(next, closed, { place, origin, older: true, first: false });
      }
    }
  }

  #blockPlace(block: number): number {
    return mod(block, this.#ring);
  }

  #longPlace(block: number): number {
    return this.#ring + mod(block, this.#longRing);
  }

  #basePlace(window: number, rest: number): number {
    return this.#ring + this.#longRing + window * BLOCK + rest;
  }
}

const mod = (value: number, by: number): number => ((value % by) + by) % by;
