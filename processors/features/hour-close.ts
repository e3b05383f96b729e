import { OWN_EVENTS, OWN_REFUSED } from "./chunk-sums.ts";
import { HOUR_MINUTES } from "./compile-columns.ts";
import {
  HOUR_COUNT,
  HOUR_EVENTS,
  HOUR_EXPECTED,
  HOUR_GOOD,
  HOUR_MEAN,
  HOUR_REFUSED,
  HOUR_SIGNAL,
  HOUR_SQUARES,
  type HourStore,
} from "./hour-store.ts";
import { squaresAboutMean } from "./pane-cells.ts";
import type { RowState } from "./row-columns.ts";
import { figureOf } from "./window-figures.ts";

const GOOD = figureOf("good");

export interface ClosedHour {
  /** The window of an hour, and the two places whose sum it is. */
  readonly window: number;
  readonly places: readonly [older: number, newer: number];
  readonly metricsOf: (slot: number) => readonly number[];
}

/** Makes hourly panes of the described chunk's slots that spoke in the hour that ends here. */
export function closeHour(state: RowState, hours: HourStore, slots: readonly number[], hour: ClosedHour): void {
  const { set, figures, own, end } = state;
  const mine = own[hour.window]!;
  for (const slot of slots) {
    const i = slot & (state.slots - 1);
    if (mine[OWN_EVENTS * state.slots + i] === 0) continue;
    const [values, at] = hours.open(end / HOUR_MINUTES - 1, slot);
    for (const [place, signal] of set.daySignals.entries()) {
      const into = at + place * HOUR_SIGNAL;
      if (state.fields[signal]!.counted) closeLines(state, signal, i, values, into);
      else closeValues(state, signal, i, hour.places, values, into);
    }
    values[at + hours.figures + HOUR_EVENTS] = mine[OWN_EVENTS * state.slots + i]!;
    values[at + hours.figures + HOUR_REFUSED] = mine[OWN_REFUSED * state.slots + i]!;
    for (const signal of hour.metricsOf(slot)) {
      values[at + hours.figures + HOUR_EXPECTED]! += HOUR_MINUTES;
      values[at + hours.figures + HOUR_GOOD]! += figures.values[figures.at(hour.window, signal, GOOD) + i]!;
    }
  }
}

function closeValues(
  state: RowState,
  signal: number,
  slot: number,
  [older, newer]: readonly [number, number],
  values: Float64Array,
  into: number,
): void {
  const v = state.sums?.signals[signal];
  const f = state.fields[signal]!;
  if (!v) return;
  const [a, b] = [older * f.size + slot, newer * f.size + slot];
  const n = v[a]! + v[b]!;
  if (n === 0) return;
  const [sum, sumLow] = pairOf(v, b + f.sum, a + f.sum, state.slots);
  const [squares, squaresLow] = pairOf(v, b + f.squares, a + f.squares, state.slots);
  values[into + HOUR_COUNT] = n;
  values[into + HOUR_MEAN] = f.centre + (sum + sumLow) / n;
  values[into + HOUR_SQUARES] = squaresAboutMean(n, sum, sumLow, squares, squaresLow);
}

/** The sum of two sums, each with what was rounded off. */
function pairOf(v: Float64Array, a: number, b: number, slots: number): readonly [high: number, low: number] {
  const high = v[a]! + v[b]!;
  const part = high - v[a]!;
  return [high, v[a + slots]! + (v[a]! - (high - part) + (v[b]! - part) + v[b + slots]!)];
}

/** Of lines, each minute in which the entity spoke is one value: how many there were. */
function closeLines(state: RowState, signal: number, slot: number, values: Float64Array, into: number): void {
  const means = state.sums?.means[signal];
  const minutes = state.fields[signal]!.meanMinutes;
  for (let back = HOUR_MINUTES - 1; means && back >= 0; back--) {
    const count = means[((state.end - 1 - back) % minutes) * state.slots + slot]!;
    if (Number.isNaN(count)) continue;
    // Welford: mean and squares about it, value by value.
    const n = ++values[into + HOUR_COUNT]!;
    const delta = count - values[into + HOUR_MEAN]!;
    values[into + HOUR_MEAN]! += delta / n;
    values[into + HOUR_SQUARES]! += delta * (count - values[into + HOUR_MEAN]!);
  }
}
