import { COUNT, FIRST, FLAGGED, LAST, MAX, MIN, SQUARES, SQUARES_LOW, SUM, SUM_LOW } from "./pane-layout.ts";
import type { SignalFields } from "./signal-sums.ts";

/** Half of a float64's digits: a product of two halves is exact. */
const SPLITTER = 134_217_729;

/**
 * Adds a minute that has one value to the slot whose count is at `at`. Its minute lies `x` from the origin; `older`:
 * before all that is there. Returns the minute's mean in float32.
 */
export function addSingle(
  f: SignalFields,
  v: Float64Array,
  at: number,
  slots: number,
  value: number,
  flagged: boolean,
  x: number,
  older: boolean,
): number {
  const d = value - f.centre;
  const mean = Math.fround(f.centre + d);
  if (f.ordered >= 0) addOrdered(v, at, at + f.ordered, slots, value, value, older);
  v[at]! += 1;
  if (f.sum >= 0) addPair(v, at + f.sum, slots, d, 0);
  if (f.squares >= 0) {
    const square = d * d;
    const scaled = SPLITTER * d;
    const high = scaled - (scaled - d);
    const low = d - high;
    addPair(v, at + f.squares, slots, square, high * high - square + 2 * high * low + low * low);
  }
  if (f.min >= 0 && value < v[at + f.min]!) v[at + f.min] = value;
  if (f.max >= 0 && value > v[at + f.max]!) v[at + f.max] = value;
  if (flagged) {
    if (f.flagged >= 0) v[at + f.flagged]! += 1;
  } else if (f.good >= 0) v[at + f.good]! += 1;
  if (f.slope >= 0) addPoint(v, at + f.slope, slots, x, mean);
  return mean;
}

/** The same of a minute with several values, whose cell lies at `c` of `cell` as in memory; first to last at `first`. */
export function addSeveral(
  f: SignalFields,
  v: Float64Array,
  at: number,
  slots: number,
  cell: Float64Array,
  c: number,
  first: number,
  x: number,
  older: boolean,
): number {
  const count = cell[c + COUNT]!;
  const flagged = cell[c + FLAGGED]!;
  const mean = Math.fround(f.centre + (cell[c + SUM]! + cell[c + SUM_LOW]!) / count);
  if (f.ordered >= 0) addOrdered(v, at, at + f.ordered, slots, cell[first]!, cell[first + LAST - FIRST]!, older);
  v[at]! += count;
  if (f.sum >= 0) addPair(v, at + f.sum, slots, cell[c + SUM]!, cell[c + SUM_LOW]!);
  if (f.squares >= 0) addPair(v, at + f.squares, slots, cell[c + SQUARES]!, cell[c + SQUARES_LOW]!);
  if (f.min >= 0 && cell[c + MIN]! < v[at + f.min]!) v[at + f.min] = cell[c + MIN]!;
  if (f.max >= 0 && cell[c + MAX]! > v[at + f.max]!) v[at + f.max] = cell[c + MAX]!;
  if (f.flagged >= 0) v[at + f.flagged]! += flagged;
  if (f.good >= 0 && flagged === 0) v[at + f.good]! += 1;
  if (f.slope >= 0) addPoint(v, at + f.slope, slots, x, mean);
  return mean;
}

function addPair(v: Float64Array, at: number, slots: number, sum: number, low: number): void {
  const held = v[at]!;
  const newSum = held + sum;
  const part = newSum - held;
  v[at + slots]! += held - (newSum - part) + (sum - part) + low;
  v[at] = newSum;
}

function addPoint(v: Float64Array, at: number, slots: number, x: number, y: number): void {
  v[at]! += 1;
  v[at + slots]! += x;
  v[at + 2 * slots]! += x * x;
  v[at + 3 * slots]! += y;
  v[at + 4 * slots]! += x * y;
}

function addOrdered(
  v: Float64Array,
  count: number,
  at: number,
  slots: number,
  first: number,
  last: number,
  older: boolean,
): void {
  const empty = v[count] === 0;
  if (empty || older) v[at] = first;
  if (empty || !older) v[at + slots] = last;
}
