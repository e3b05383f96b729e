import { type StateStore, type StoreName, storeName, WeirError } from "../../streams/index.ts";
import { wordsIn } from "./pane-codec.ts";
import { UndoLog } from "./undo-log.ts";

/** An hour of one entity: for each kept signal values, mean and sum of squares about it; then its figures as a whole. */
export const HOUR_COUNT = 0;
export const HOUR_MEAN = 1;
export const HOUR_SQUARES = 2;
export const HOUR_SIGNAL = 3;
/** Behind the signals: good values a minute and signal, those expected, events, refused events. */
export const HOUR_GOOD = 0;
export const HOUR_EXPECTED = 1;
export const HOUR_EVENTS = 2;
export const HOUR_REFUSED = 3;
const HOUR_FIELDS = 4;

export const DAY_HOURS = 24;
/** The trailing day, and the hour before it that a row half way through an hour compares with. */
export const KEPT_HOURS = DAY_HOURS + 1;

const HEAD = 3;

/** What the hours of a trailing day come to, of the slots of one chunk that have been asked for. */
export interface Days {
  /** At [kept signal][slot]; NaN where it had no value. */
  readonly mean: Float64Array;
  readonly std: Float64Array;
  /** By slot. Good values over those expected, times accepted events over all; NaN without an event. */
  readonly quality: Float64Array;
  readonly known: Uint8Array;
}

/**
 * Hourly panes: whole hours of event time, epoch-aligned, made of minute panes when they are over and never changed.
 * Changelog keys: `hour/<hour>/<chunk>` (float64: hour, slots, fields of a slot, then the slots).
 */
export class HourStore implements StateStore {
  readonly name: StoreName;
  readonly #signals: number;
  readonly #stride: number;
  readonly #slotsPerChunk: number;
  readonly #sinceOf: (slot: number) => number;
  #hours = new Map<number, (Float64Array | undefined)[]>();
  #logged = new Set<number>();
  #dirty = new Set<number>();
  #deleted: string[] = [];
  #undo = new UndoLog();
  #days: (Days | undefined)[] = [];
  #daysEnd = Number.NaN;

  constructor(name: string, signals: number, slotsPerChunk: number, sinceOf: (slot: number) => number) {
    this.name = storeName(name);
    this.#signals = signals;
    this.#stride = signals * HOUR_SIGNAL + HOUR_FIELDS;
    this.#slotsPerChunk = slotsPerChunk;
    this.#sinceOf = sinceOf;
  }

  /** Offset of the figures of the whole hour. */
  get figures(): number {
    return this.#signals * HOUR_SIGNAL;
  }

  /** Room for the slot's hour, all zero, at the returned place of the returned array. */
  open(hour: number, slot: number): readonly [values: Float64Array, at: number] {
    let chunks = this.#hours.get(hour);
    if (!chunks) {
      chunks = [];
      this.#hours.set(hour, chunks);
      this.#dirty.add(hour);
      this.#undo.add(() => {
        this.#hours.delete(hour);
        this.#dirty.delete(hour);
      });
    }
    const index = Math.floor(slot / this.#slotsPerChunk);
    chunks[index] ??= new Float64Array(this.#slotsPerChunk * this.#stride);
    return [chunks[index], (slot & (this.#slotsPerChunk - 1)) * this.#stride];
  }

  /** The place of a slot's hour in the array that comes with it; undefined if it had no event then. */
  at(hour: number, slot: number): readonly [values: Float64Array, at: number] | undefined {
    const values = this.#hours.get(hour)?.[Math.floor(slot / this.#slotsPerChunk)];
    const at = (slot & (this.#slotsPerChunk - 1)) * this.#stride;
    if (!values || values[at + this.figures + HOUR_EVENTS] === 0 || (hour + 1) * 60 <= this.#sinceOf(slot)) return;
    return [values, at];
  }

  /** A chunk's hour, with the place of each slot in it; -1 if it had no event then. Undefined: none had. */
  chunkAt(hour: number, index: number): { values: Float64Array; placeOf: (slotInChunk: number) => number } | undefined {
    const values = this.#hours.get(hour)?.[index];
    const first = index * this.#slotsPerChunk;
    return values && { values, placeOf: (slot) => this.at(hour, first + slot)?.[1] ?? -1 };
  }

  /** The 24 whole hours before `endHour`, of these slots of a chunk. */
  dayBefore(endHour: number, index: number, slotsInChunk: ArrayLike<number>): Days {
    if (this.#daysEnd !== endHour) for (const days of this.#days) days?.known.fill(0);
    this.#daysEnd = endHour;
    const days = this.#days[index] ?? this.#newDays();
    this.#days[index] = days;
    for (let i = 0; i < slotsInChunk.length; i++) {
      const slot = slotsInChunk[i]!;
      if (days.known[slot] === 0) this.#addUp(endHour, index, slot, days);
    }
    return days;
  }

  #newDays(): Days {
    const [slots, values] = [this.#slotsPerChunk, this.#slotsPerChunk * this.#signals];
    return {
      mean: new Float64Array(values),
      std: new Float64Array(values),
      quality: new Float64Array(slots),
      known: new Uint8Array(slots),
    };
  }

  /** Oldest hour first. */
  #addUp(endHour: number, index: number, slot: number, days: Days): void {
    const count = new Float64Array(this.#signals);
    const mean = new Float64Array(this.#signals);
    const squares = new Float64Array(this.#signals);
    const figures = [0, 0, 0, 0];
    for (let hour = endHour - DAY_HOURS; hour < endHour; hour++) {
      const held = this.at(hour, index * this.#slotsPerChunk + slot);
      if (!held) continue;
      const [v, at] = held;
      for (let s = 0; s < this.#signals; s++) {
        const c = at + s * HOUR_SIGNAL;
        const n = v[c + HOUR_COUNT]!;
        if (n === 0) continue;
        // Chan, Golub, LeVeque: joining two groups' means and sums of squares.
        const all = count[s]! + n;
        const delta = v[c + HOUR_MEAN]! - mean[s]!;
        squares[s]! += v[c + HOUR_SQUARES]! + (delta * delta * count[s]! * n) / all;
        mean[s]! += (delta * n) / all;
        count[s] = all;
      }
      for (let i = 0; i < HOUR_FIELDS; i++) figures[i]! += v[at + this.figures + i]!;
    }
    for (let s = 0; s < this.#signals; s++) {
      const n = count[s]!;
      days.mean[s * this.#slotsPerChunk + slot] = n === 0 ? Number.NaN : mean[s]!;
      days.std[s * this.#slotsPerChunk + slot] = n < 2 ? Number.NaN : Math.sqrt(squares[s]! / (n - 1));
    }
    const [good, expected, events, refused] = figures as [number, number, number, number];
    const complete = expected === 0 ? 1 : good / expected;
    days.quality[slot] = events === 0 ? Number.NaN : (complete * events) / (events + refused);
    days.known[slot] = 1;
  }

  /** Forgets the hours below. */
  evictBelow(hour: number): void {
    for (const [h, chunks] of this.#hours) {
      if (h >= hour) continue;
      const [deleted, dirty, logged] = [this.#deleted.length, this.#dirty.delete(h), this.#logged.delete(h)];
      if (logged) for (const index of chunks.keys()) if (chunks[index]) this.#deleted.push(`hour/${h}/${index}`);
      this.#hours.delete(h);
      this.#undo.add(() => {
        this.#hours.set(h, chunks);
        this.#deleted.length = deleted;
        if (dirty) this.#dirty.add(h);
        if (logged) this.#logged.add(h);
      });
    }
  }

  /** Calls back with the newest hour that each slot has an event in. */
  forEachNewest(slots: Iterable<number>, call: (slot: number, hour: number) => void): void {
    const hours = [...this.#hours.keys()].sort((a, b) => b - a);
    for (const slot of slots) {
      const newest = hours.find((hour) => this.at(hour, slot));
      if (newest !== undefined) call(slot, newest);
    }
  }

  restore(key: string, value: Buffer | null): void {
    const [, hour, index] = key.split("/").map(Number) as [number, number, number];
    const chunks = this.#hours.get(hour) ?? [];
    if (value === null) {
      chunks[index] = undefined;
      if (chunks.every((c) => !c)) this.#hours.delete(hour);
      return;
    }
    const { f } = value.length % 8 === 0 && value.length >= HEAD * 8 ? wordsIn(value) : { f: new Float64Array(HEAD) };
    if (f[0] !== hour || f[2] !== this.#stride || f.length !== HEAD + f[1]! * this.#stride) {
      throw new WeirError(
        "STATE_UNREADABLE",
        "fatal",
        `Changelog key ${key} of store ${this.name} does not fit the feature set in use.`,
        "Run the version and feature set that wrote this state, or reset the stage and replay its input.",
      );
    }
    chunks[index] = new Float64Array(this.#slotsPerChunk * this.#stride);
    chunks[index].set(f.subarray(HEAD));
    this.#hours.set(hour, chunks);
    this.#logged.add(hour);
  }

  flush(write: (key: string, value: Buffer | null) => void): void {
    for (const key of this.#deleted) write(key, null);
    this.#deleted = [];
    for (const hour of this.#dirty) {
      for (const [index, values] of this.#hours.get(hour)!.entries()) {
        if (values) write(`hour/${hour}/${index}`, this.#encode(hour, values));
      }
      this.#logged.add(hour);
      this.#undo.add(() => this.#logged.delete(hour));
    }
    this.#dirty.clear();
  }

  savepoint(): void {
    this.#undo.savepoint();
  }

  rollback(): void {
    this.#undo.rollback();
    this.#daysEnd = Number.NaN;
  }

  merge(): void {
    this.#undo.merge();
  }

  drop(): void {
    this.#undo.drop();
    this.#deleted = [];
    this.#dirty.clear();
    this.#daysEnd = Number.NaN;
  }

  get size() {
    let keys = 0;
    for (const chunks of this.#hours.values()) for (const chunk of chunks) if (chunk) keys++;
    return { keys, bytes: keys * this.#slotsPerChunk * this.#stride * 8 };
  }

  #encode(hour: number, values: Float64Array): Buffer {
    const events = this.figures + HOUR_EVENTS;
    let slots = this.#slotsPerChunk;
    while (slots > 0 && values[(slots - 1) * this.#stride + events] === 0) slots--;
    const out = new Float64Array(HEAD + slots * this.#stride);
    out.set([hour, slots, this.#stride]);
    out.set(values.subarray(0, slots * this.#stride), HEAD);
    return Buffer.from(out.buffer);
  }
}
