import { type ChunkSums, OWN_ACTIVE, OWN_EVENTS } from "./chunk-sums.ts";
import type { CompiledColumn } from "./compile-columns.ts";
import type { Statistic } from "./definition.ts";
import type { FeatureSet } from "./feature-set.ts";
import { squaresAboutMean } from "./pane-cells.ts";
import { type Need, needsOf, type SignalFields } from "./signal-sums.ts";

/** What a window says of one signal, in this order; those that no column needs are left out. */
export const figureNames = [
  ...(["count", "sum", "mean", "std", "min", "max", "first", "last", "slope", "flagged", "good"] as const),
] as const;
export const FIGURES = figureNames.length;
export const figureOf = (name: (typeof figureNames)[number]): number => figureNames.indexOf(name);
const F_COUNT = 0;
const F_SUM = 1;
const F_MEAN = 2;
const F_STD = 3;
const F_MIN = 4;
const F_MAX = 5;
const F_FIRST = 6;
const F_LAST = 7;
const F_SLOPE = 8;
const F_FLAGGED = 9;
const F_GOOD = 10;

const fromFigure: Readonly<Record<Statistic, number>> = {
  count: F_COUNT,
  sum: F_SUM,
  mean: F_MEAN,
  std: F_STD,
  min: F_MIN,
  max: F_MAX,
  first: F_FIRST,
  last: F_LAST,
  slope: F_SLOPE,
  flagged: F_FLAGGED,
  rate: F_SUM,
  coverage: F_GOOD,
};

interface Wanted extends Readonly<Record<Need, boolean>> {
  readonly signal: number;
}

/** The figures of all windows and signals of one chunk's slots, at [window][signal][figure][slot]. */
export class WindowFigures {
  readonly values: Float64Array;
  /** Of each window: sums and sums of squares about the mean in one go are made of these. */
  readonly #fields: readonly SignalFields[];
  readonly #signals: number;
  readonly #slots: number;
  readonly #wanted: readonly (readonly Wanted[])[];
  /** By window and signal: the figures say that there is no value at all. */
  readonly #empty: Uint8Array;
  readonly #spoke: Uint8Array;

  constructor(set: FeatureSet, fields: readonly SignalFields[], slots: number) {
    this.#fields = fields;
    this.#signals = set.signals.length;
    this.#slots = slots;
    this.values = new Float64Array(set.windows.length * this.#signals * FIGURES * slots).fill(Number.NaN);
    this.#empty = new Uint8Array(set.windows.length * this.#signals);
    this.#spoke = new Uint8Array(slots);
    this.#wanted = needsOf(set).map((signals) =>
      signals.flatMap((needs, signal) => {
        if (!needs) return [];
        const has = (need: Need) => needs.has(need);
        const [sum, squares, ordered, slope] = [has("sum"), has("squares"), has("ordered"), has("slope")];
        const [min, max, flagged, good] = [has("min"), has("max"), has("flagged"), has("good")];
        return [{ signal, sum, squares, min, max, flagged, good, ordered, slope }];
      }),
    );
  }

  /** Where the figure of the chunk's first slot stands. */
  at(window: number, signal: number, figure: number): number {
    return ((window * this.#signals + signal) * FIGURES + figure) * this.#slots;
  }

  /** Describes a window that is the sum of two places, the older one first. */
  describe(window: number, sums: ChunkSums, older: number, newer: number): void {
    const slots = this.#slots;
    const [a, b] = [sums.ownAt(older), sums.ownAt(newer)];
    const active = OWN_ACTIVE * slots;
    for (let i = 0; i < slots; i++) {
      const events = OWN_EVENTS * slots + i;
      this.#spoke[i] = sums.own[a + events]! + sums.own[b + events]! > 0 ? 1 : 0;
    }
    for (const wanted of this.#wanted[window]!) {
      const f = this.#fields[wanted.signal]!;
      const v = sums.signals[wanted.signal];
      const at = this.at(window, wanted.signal, 0);
      if (f.counted) {
        const [from, other] = v ? [older * f.size, newer * f.size] : [-1, -1];
        this.#describeLines(at, v, from, other, sums.own, a + active, b + active);
      } else if (!v) this.#describeNone(window * this.#signals + wanted.signal, at);
      else {
        this.#empty[window * this.#signals + wanted.signal] = 0;
        this.#describeValues(wanted, f, at, v, older * f.size, newer * f.size);
      }
    }
  }

  /** Where a statistic's figure stands and what it is multiplied with. */
  placeOf(column: CompiledColumn & { kind: "statistic" }, minutes: number): { at: number; factor: number } {
    const perMinute = column.statistic === "rate" || column.statistic === "coverage";
    return {
      at: this.at(column.window, column.signal, fromFigure[column.statistic]),
      factor: perMinute ? 1 / minutes : 1,
    };
  }

  /** No such line is a zero where the entity spoke at all; no sample of a metric is a gap. */
  #describeLines(
    at: number,
    v: Float64Array | undefined,
    from: number,
    other: number,
    own: Float64Array,
    active: number,
    otherActive: number,
  ): void {
    const { values } = this;
    const slots = this.#slots;
    for (let i = 0; i < slots; i++) {
      const n = this.#spoke[i] === 0 ? Number.NaN : v ? v[from + i]! + v[other + i]! : 0;
      values[at + F_COUNT * slots + i] = n;
      values[at + F_SUM * slots + i] = n;
      values[at + F_MEAN * slots + i] = n / (own[active + i]! + own[otherActive + i]!);
    }
  }

  #describeNone(place: number, at: number): void {
    if (this.#empty[place] === 1) return;
    this.#empty[place] = 1;
    const slots = this.#slots;
    this.values.fill(Number.NaN, at, at + F_FLAGGED * slots);
    this.values.fill(0, at + F_FLAGGED * slots, at + FIGURES * slots);
  }

  #describeValues(wanted: Wanted, f: SignalFields, at: number, v: Float64Array, a: number, b: number): void {
    const { values } = this;
    const slots = this.#slots;
    for (let i = 0; i < slots; i++) {
      const n = v[a + i]! + v[b + i]!;
      values[at + F_COUNT * slots + i] = n === 0 ? Number.NaN : n;
    }
    if (wanted.sum) this.#describeSums(f, at, v, a, b, wanted.squares);
    if (wanted.min) least(values, at + F_MIN * slots, v, a + f.min, b + f.min, slots);
    if (wanted.max) greatest(values, at + F_MAX * slots, v, a + f.max, b + f.max, slots);
    if (wanted.flagged) addTwo(values, at + F_FLAGGED * slots, v, a + f.flagged, b + f.flagged, slots);
    if (wanted.good) addTwo(values, at + F_GOOD * slots, v, a + f.good, b + f.good, slots);
    if (wanted.slope) slopes(values, at + F_SLOPE * slots, v, a + f.slope, b + f.slope, slots);
    if (wanted.ordered) this.#describeOrdered(f, at, v, a, b);
  }

  #describeSums(f: SignalFields, at: number, v: Float64Array, a: number, b: number, squares: boolean): void {
    const { values } = this;
    const slots = this.#slots;
    const { centre } = f;
    for (let i = 0; i < slots; i++) {
      const n = v[a + i]! + v[b + i]!;
      const held = v[b + f.sum + i]!;
      const sum = v[a + f.sum + i]!;
      const high = held + sum;
      const part = high - held;
      const low = v[b + f.sum + slots + i]! + (held - (high - part) + (sum - part) + v[a + f.sum + slots + i]!);
      const all = high + low;
      // 0 / 0 and NaN where there is no value.
      values[at + F_SUM * slots + i] = n === 0 ? Number.NaN : all + centre * n;
      values[at + F_MEAN * slots + i] = centre + all / n;
      if (!squares) continue;
      const heldSquares = v[b + f.squares + i]!;
      const more = v[a + f.squares + i]!;
      const q = heldSquares + more;
      const qPart = q - heldSquares;
      const qLow =
        v[b + f.squares + slots + i]! + (heldSquares - (q - qPart) + (more - qPart) + v[a + f.squares + slots + i]!);
      values[at + F_STD * slots + i] =
        n < 2 ? Number.NaN : Math.sqrt(squaresAboutMean(n, high, low, q, qLow) / (n - 1));
    }
  }

  #describeOrdered(f: SignalFields, at: number, v: Float64Array, a: number, b: number): void {
    const { values } = this;
    const slots = this.#slots;
    for (let i = 0; i < slots; i++) {
      const [first, last] = [v[a + i]! > 0 ? a : b, v[b + i]! > 0 ? b : a];
      const none = v[a + i]! + v[b + i]! === 0;
      values[at + F_FIRST * slots + i] = none ? Number.NaN : v[first + f.ordered + i]!;
      values[at + F_LAST * slots + i] = none ? Number.NaN : v[last + f.ordered + slots + i]!;
    }
  }
}

/** Without a value infinite, which a row shows as missing. */
function least(values: Float64Array, at: number, v: Float64Array, a: number, b: number, slots: number): void {
  for (let i = 0; i < slots; i++) values[at + i] = v[a + i]! < v[b + i]! ? v[a + i]! : v[b + i]!;
}

function greatest(values: Float64Array, at: number, v: Float64Array, a: number, b: number, slots: number): void {
  for (let i = 0; i < slots; i++) values[at + i] = v[a + i]! > v[b + i]! ? v[a + i]! : v[b + i]!;
}

function addTwo(values: Float64Array, at: number, v: Float64Array, a: number, b: number, slots: number): void {
  for (let i = 0; i < slots; i++) values[at + i] = v[a + i]! + v[b + i]!;
}

/** Least squares through the minutes' means, per minute; NaN below two of them. */
function slopes(values: Float64Array, at: number, v: Float64Array, a: number, b: number, slots: number): void {
  for (let i = 0; i < slots; i++) {
    const n = v[a + i]! + v[b + i]!;
    const x = v[a + slots + i]! + v[b + slots + i]!;
    const xx = v[a + 2 * slots + i]! + v[b + 2 * slots + i]!;
    const y = v[a + 3 * slots + i]! + v[b + 3 * slots + i]!;
    const xy = v[a + 4 * slots + i]! + v[b + 4 * slots + i]!;
    values[at + i] = n < 2 ? Number.NaN : (n * xy - x * y) / (n * xx - x * x);
  }
}
