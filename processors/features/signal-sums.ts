import type { CompiledColumn } from "./compile-columns.ts";
import { HOUR_MINUTES } from "./compile-columns.ts";
import { type FeatureSet, hasValues } from "./feature-set.ts";

/** What rows need to know of a signal. */
const needs = ["sum", "squares", "min", "max", "flagged", "good", "ordered", "slope"] as const;
export type Need = (typeof needs)[number];

/**
 * Which sums of a signal are kept, and where in a place of them: the slots of a chunk side by side, field after field,
 * so that a field is added up for all of them in one run. The count comes first; -1: not kept.
 */
export interface SignalFields {
  readonly counted: boolean;
  readonly centre: number;
  /** With what was rounded off behind it, as in a cell; so are the squares. */
  readonly sum: number;
  readonly squares: number;
  readonly min: number;
  readonly max: number;
  readonly flagged: number;
  readonly good: number;
  /** First and last value. */
  readonly ordered: number;
  /** n · Σx · Σx² · Σy · Σxy over the minutes with values: y is a minute's float32 mean, x its distance from an origin. */
  readonly slope: number;
  readonly size: number;
  /** How many minutes back its one-minute means are looked at, the newest included. */
  readonly meanMinutes: number;
}

const lengthOf: Readonly<Record<Need, number>> = {
  sum: 2,
  squares: 2,
  min: 1,
  max: 1,
  flagged: 1,
  good: 1,
  ordered: 2,
  slope: 5,
};

const ofStatistic = {
  count: [],
  sum: ["sum"],
  mean: ["sum"],
  std: ["sum", "squares"],
  min: ["min"],
  max: ["max"],
  first: ["ordered"],
  last: ["ordered"],
  slope: ["slope"],
  rate: ["sum"],
  flagged: ["flagged"],
  coverage: ["good"],
} as const;

const ofCheck = {
  frozen: ["good", "min", "max", "sum"],
  unit_slip: ["max", "sum"],
  counter_reset: ["sum"],
} as const;

/** What the columns need of each signal, by window; undefined where no row looks at it there. */
export function needsOf(set: FeatureSet): readonly (readonly (ReadonlySet<Need> | undefined)[])[] {
  const found = set.windows.map(() => set.signals.map((): Set<Need> | undefined => undefined));
  const add = (window: number, signal: number, of: readonly Need[]) => {
    found[window]![signal] = new Set([...(found[window]![signal] ?? []), ...of]);
  };
  for (const column of set.plan) {
    if (column.kind === "statistic") add(column.window, column.signal, ofStatistic[column.statistic]);
    else if (column.kind === "check") add(column.window, column.signal, ofCheck[column.check]);
    else if (column.kind === "day" || column.kind === "sameHour") add(column.window, column.signal, ["sum"]);
  }
  const hour = set.windows.indexOf(HOUR_MINUTES);
  for (const signal of set.metricSignals.values()) {
    add(set.windows.indexOf(set.windowMinutes), signal, ["good"]);
    if (set.hourly) add(hour, signal, ["good"]);
  }
  for (const signal of set.daySignals) add(hour, signal, ["sum", "squares"]);
  return found;
}

/** `slots`: how many lie side by side. */
export function fieldsOf(set: FeatureSet, slots: number): SignalFields[] {
  const byWindow = needsOf(set);
  return set.signals.map((signal, index) => {
    const counted = !hasValues(signal);
    const mine = new Set(byWindow.flatMap((signals) => [...(signals[index] ?? [])]));
    let size = slots;
    const at = {} as Record<Need, number>;
    for (const need of needs) {
      at[need] = counted || !mine.has(need) ? -1 : size;
      if (at[need] >= 0) size += lengthOf[need] * slots;
    }
    const centre = counted ? 0 : signal.centre;
    return {
      counted,
      centre,
      ...at,
      size,
      meanMinutes: Math.max(0, ...set.plan.map((c) => minutesBack(set, c, index))),
    };
  });
}

function minutesBack(set: FeatureSet, column: CompiledColumn, signal: number): number {
  if (column.kind === "lag") return column.signal === signal ? column.minutes + 1 : 0;
  if (column.kind === "changeRate") return column.signals.includes(signal) ? column.minutes + 1 : 0;
  if (column.kind === "check" && column.check === "counter_reset" && column.signal === signal)
    return set.windows[column.window]!;
  // The hour of a signal that counts lines is made of its minutes.
  return set.daySignals.includes(signal) && !hasValues(set.signals[signal]!) ? HOUR_MINUTES : 0;
}

/** Makes the place at `at` that of no minute. */
export function clearPlace(f: SignalFields, v: Float64Array, at: number, slots: number): void {
  v.fill(0, at, at + f.size);
  if (f.min >= 0) v.fill(Number.POSITIVE_INFINITY, at + f.min, at + f.min + slots);
  if (f.max >= 0) v.fill(Number.NEGATIVE_INFINITY, at + f.max, at + f.max + slots);
}

/** Adds the place at `from` to the one at `into`; it lies before all of that, or behind it. `shift`: of its origin. */
export function mergePlace(
  f: SignalFields,
  v: Float64Array,
  into: number,
  from: number,
  slots: number,
  shift: number,
  older: boolean,
): void {
  if (f.ordered >= 0) mergeOrdered(f, v, into, from, slots, older);
  addUp(v, into, from, slots);
  if (f.sum >= 0) addPairs(v, into + f.sum, from + f.sum, slots);
  if (f.squares >= 0) addPairs(v, into + f.squares, from + f.squares, slots);
  if (f.min >= 0) takeLeast(v, into + f.min, from + f.min, slots);
  if (f.max >= 0) takeGreatest(v, into + f.max, from + f.max, slots);
  if (f.flagged >= 0) addUp(v, into + f.flagged, from + f.flagged, slots);
  if (f.good >= 0) addUp(v, into + f.good, from + f.good, slots);
  if (f.slope >= 0) addPoints(v, into + f.slope, from + f.slope, slots, shift);
}

export function addUp(v: Float64Array, into: number, from: number, length: number): void {
  for (let i = 0; i < length; i++) v[into + i]! += v[from + i]!;
}

function addPairs(v: Float64Array, into: number, from: number, slots: number): void {
  for (let i = 0; i < slots; i++) {
    const held = v[into + i]!;
    const sum = v[from + i]!;
    const newSum = held + sum;
    const part = newSum - held;
    v[into + slots + i]! += held - (newSum - part) + (sum - part) + v[from + slots + i]!;
    v[into + i] = newSum;
  }
}

function takeLeast(v: Float64Array, into: number, from: number, slots: number): void {
  for (let i = 0; i < slots; i++) if (v[from + i]! < v[into + i]!) v[into + i] = v[from + i]!;
}

function takeGreatest(v: Float64Array, into: number, from: number, slots: number): void {
  for (let i = 0; i < slots; i++) if (v[from + i]! > v[into + i]!) v[into + i] = v[from + i]!;
}

function addPoints(v: Float64Array, into: number, from: number, slots: number, shift: number): void {
  for (let i = 0; i < slots; i++) {
    const n = v[from + i]!;
    const x = v[from + slots + i]!;
    const y = v[from + 3 * slots + i]!;
    v[into + i]! += n;
    v[into + slots + i]! += x + shift * n;
    v[into + 2 * slots + i]! += v[from + 2 * slots + i]! + 2 * shift * x + shift * shift * n;
    v[into + 3 * slots + i]! += y;
    v[into + 4 * slots + i]! += v[from + 4 * slots + i]! + shift * y;
  }
}

function mergeOrdered(
  f: SignalFields,
  v: Float64Array,
  into: number,
  from: number,
  slots: number,
  older: boolean,
): void {
  const last = f.ordered + slots;
  for (let i = 0; i < slots; i++) {
    if (v[from + i] === 0) continue;
    const empty = v[into + i] === 0;
    if (empty || older) v[into + f.ordered + i] = v[from + f.ordered + i]!;
    if (empty || !older) v[into + last + i] = v[from + last + i]!;
  }
}
