import { addSeveral, addSingle } from "./minute-sums.ts";
import { placeOf } from "./pane-chunk.ts";
import { EVEN_BITS, SINGLE, WHOLE, WHOLE_FIELDS, type Words } from "./pane-codec.ts";
import { EVENTS, FIRST, FIRST_OFFSET, LAST_OFFSET, LAST_TIE, type PaneLayout } from "./pane-layout.ts";
import { addUp, clearPlace, mergePlace, type SignalFields } from "./signal-sums.ts";

/** An entity's own sums in a place: events, refused ones, values taken as missing, minutes with events. */
export const OWN_EVENTS = 0;
export const OWN_REFUSED = 1;
export const OWN_IMPUTED = 2;
export const OWN_ACTIVE = 3;
const OWN_FIELDS = 4;

/** Of a closed slot, behind its header: events, first and last offset, refused and imputed. */
const OWN_WORDS = 4;
const ORDERED_FIELDS = LAST_TIE + 1 - FIRST;

/** Where a minute's sums go. */
export interface Into {
  readonly place: number;
  /** The minute that x is counted from in slopes. */
  readonly origin: number;
  /** The minute lies before all that the place holds. */
  readonly older: boolean;
  /** Whether its means and offsets are to be kept: once for each minute. */
  readonly first: boolean;
}

/**
 * Sums over stretches of minutes for the slots of one chunk, in numbered places. Signals that none of the slots has had
 * take no memory.
 */
export class ChunkSums {
  /** By signal; undefined while no slot has had a value of it. */
  readonly signals: (Float64Array | undefined)[] = [];
  /** A ring of minutes for each signal whose means are looked at, slots side by side; NaN where there is none. */
  readonly means: (Float32Array | undefined)[] = [];
  readonly own: Float64Array;
  /** By slot: the newest minute with an event, and the offsets that brought its events. */
  readonly newest: Float64Array;
  readonly firstOffset: Float64Array;
  readonly lastOffset: Float64Array;
  readonly #layout: PaneLayout;
  readonly #fields: readonly SignalFields[];
  readonly #places: number;
  /** By slot: what its holder's panes begin with. */
  readonly #since: Float64Array;

  constructor(layout: PaneLayout, fields: readonly SignalFields[], places: number) {
    const slots = layout.slotsPerChunk;
    this.#layout = layout;
    this.#fields = fields;
    this.#places = places;
    this.own = new Float64Array(places * OWN_FIELDS * slots);
    this.newest = new Float64Array(slots).fill(Number.NEGATIVE_INFINITY);
    this.firstOffset = new Float64Array(slots);
    this.lastOffset = new Float64Array(slots);
    this.#since = new Float64Array(slots).fill(Number.POSITIVE_INFINITY);
    for (const [s, { counted, meanMinutes }] of fields.entries())
      if (counted && meanMinutes > 0) this.means[s] = new Float32Array(meanMinutes * slots).fill(Number.NaN);
  }

  /** Where the entity's own sums of a place begin. */
  ownAt(place: number): number {
    return place * OWN_FIELDS * this.#layout.slotsPerChunk;
  }

  /** Forgets what a slot's former holder has left, where it has another one. */
  holderSince(slot: number, minute: number): void {
    const before = this.#since[slot]!;
    if (before === minute) return;
    this.#since[slot] = minute;
    if (before === Number.POSITIVE_INFINITY && this.newest[slot] === Number.NEGATIVE_INFINITY) return;
    this.#clearSlot(slot);
  }

  clear(place: number): void {
    const slots = this.#layout.slotsPerChunk;
    for (let s = 0; s < this.#fields.length; s++) {
      const v = this.signals[s];
      if (v) clearPlace(this.#fields[s]!, v, place * this.#fields[s]!.size, slots);
    }
    this.own.fill(0, this.ownAt(place), this.ownAt(place + 1));
  }

  copy(into: number, from: number): void {
    for (let s = 0; s < this.#fields.length; s++) {
      const { size } = this.#fields[s]!;
      this.signals[s]?.copyWithin(into * size, from * size, (from + 1) * size);
    }
    this.own.copyWithin(this.ownAt(into), this.ownAt(from), this.ownAt(from + 1));
  }

  /** Adds one place to another. `shift`: how far its origin lies behind the other's; `older`: so do its minutes. */
  merge(into: number, from: number, shift: number, older: boolean): void {
    const slots = this.#layout.slotsPerChunk;
    for (let s = 0; s < this.#fields.length; s++) {
      const v = this.signals[s];
      const f = this.#fields[s]!;
      if (v) mergePlace(f, v, into * f.size, from * f.size, slots, shift, older);
    }
    addUp(this.own, this.ownAt(into), this.ownAt(from), OWN_FIELDS * slots);
  }

  /** Before a minute is added: it has no means yet. */
  beginMinute(minute: number): void {
    const slots = this.#layout.slotsPerChunk;
    for (let s = 0; s < this.means.length; s++) {
      const ring = this.means[s];
      if (!ring) continue;
      const at = (minute % this.#fields[s]!.meanMinutes) * slots;
      ring.fill(Number.NaN, at, at + slots);
    }
  }

  /** Adds the closed panes of one minute. */
  addMinute(minute: number, words: Words, into: Into): void {
    const { slotsPerChunk } = this.#layout;
    for (let slot = 0; slot < slotsPerChunk; slot++) {
      const at = placeOf(words, slot);
      if (at > 0 && minute >= this.#since[slot]!) this.#addSlot(minute, words, at, slot, into);
    }
  }

  #addSlot(minute: number, { f, u }: Words, at: number, slot: number, into: Into): void {
    const { signals, headerWords, ordered, slotsPerChunk } = this.#layout;
    const { place, older, first } = into;
    let next = at + headerWords;
    this.#addOwn(minute, f, u, next, slot, into);
    next += OWN_WORDS;
    const x = minute - into.origin;
    let word = 0;
    let codes = u[at * 2]!;
    let left = (codes | (codes >>> 1)) & EVEN_BITS;
    for (;;) {
      while (left === 0) {
        if (++word * 16 >= signals) return;
        codes = u[at * 2 + word]!;
        left = (codes | (codes >>> 1)) & EVEN_BITS;
      }
      // The lowest signal that has a cell; most have none.
      const bit = 31 - Math.clz32(left & -left);
      left &= left - 1;
      const s = word * 16 + (bit >> 1);
      const code = (codes >>> bit) & 3;
      const fields = this.#fields[s]!;
      const v = this.signals[s] ?? this.#begin(s);
      const to = place * fields.size + slot;
      let mean: number;
      if (fields.counted) {
        mean = f[next++]!;
        v[to]! += mean;
      } else if (code === WHOLE) {
        mean = addSeveral(fields, v, to, slotsPerChunk, f, next, next + WHOLE_FIELDS, x, older);
        next += WHOLE_FIELDS + (ordered ? ORDERED_FIELDS : 0);
      } else {
        mean = addSingle(fields, v, to, slotsPerChunk, f[next]!, code !== SINGLE, x, older);
        next += ordered ? 3 : 1;
      }
      if (first && fields.meanMinutes > 0) this.means[s]![(minute % fields.meanMinutes) * slotsPerChunk + slot] = mean;
    }
  }

  #addOwn(minute: number, f: Float64Array, u: Uint32Array, next: number, slot: number, into: Into): void {
    const slots = this.#layout.slotsPerChunk;
    const at = this.ownAt(into.place) + slot;
    const events = f[next + EVENTS]!;
    this.own[at + OWN_EVENTS * slots]! += events;
    this.own[at + OWN_REFUSED * slots]! += u[(next + 3) * 2]!;
    this.own[at + OWN_IMPUTED * slots]! += u[(next + 3) * 2 + 1]!;
    if (events === 0) return;
    this.own[at + OWN_ACTIVE * slots]! += 1;
    if (!into.first) return;
    this.newest[slot] = minute;
    this.firstOffset[slot] = f[next + FIRST_OFFSET]!;
    this.lastOffset[slot] = f[next + LAST_OFFSET]!;
    // No such line is a zero where the entity spoke.
    for (let s = 0; s < this.#fields.length; s++) {
      const { counted, meanMinutes } = this.#fields[s]!;
      if (counted && meanMinutes > 0) this.means[s]![(minute % meanMinutes) * slots + slot] = 0;
    }
  }

  #begin(signal: number): Float64Array {
    const slots = this.#layout.slotsPerChunk;
    const fields = this.#fields[signal]!;
    const v = new Float64Array(this.#places * fields.size);
    if (fields.min >= 0 || fields.max >= 0)
      for (let place = 0; place < this.#places; place++) clearPlace(fields, v, place * fields.size, slots);
    this.signals[signal] = v;
    if (fields.meanMinutes > 0 && !fields.counted)
      this.means[signal] = new Float32Array(fields.meanMinutes * slots).fill(Number.NaN);
    return v;
  }

  #clearSlot(slot: number): void {
    const slots = this.#layout.slotsPerChunk;
    this.newest[slot] = Number.NEGATIVE_INFINITY;
    for (let i = slot; i < this.own.length; i += slots) this.own[i] = 0;
    for (const ring of this.means) for (let i = slot; ring && i < ring.length; i += slots) ring[i] = Number.NaN;
    for (const [s, v] of this.signals.entries()) {
      const f = this.#fields[s]!;
      for (let at = slot; v && at < v.length; at += f.size) {
        for (let i = at; i < at + f.size; i += slots) v[i] = 0;
        if (f.min >= 0) v[at + f.min] = Number.POSITIVE_INFINITY;
        if (f.max >= 0) v[at + f.max] = Number.NEGATIVE_INFINITY;
      }
    }
  }
}
