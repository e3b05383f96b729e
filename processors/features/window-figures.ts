import { type CompiledColumn, MAX_WINDOW_MINUTES } from "./compile-columns.ts";
import type { Statistic } from "./definition.ts";
import type { FeatureSet } from "./feature-set.ts";
import { squaresAboutMean } from "./pane-cells.ts";
import {
  ACTIVE,
  COUNT,
  EVENTS,
  FIRST,
  FLAGGED,
  GOOD,
  LAST,
  MAX,
  MIN,
  type PaneLayout,
  SQUARES,
  SQUARES_LOW,
  SUM,
  SUM_LOW,
} from "./pane-layout.ts";

/** What a window says of one signal, in this order; those that no column names are left out. */
export const figureNames = ["count", "sum", "mean", "std", "min", "max", "first", "last", "flagged", "good"] as const;
export const FIGURES = figureNames.length;
const [F_COUNT, F_SUM, F_MEAN, F_STD, F_MIN, F_MAX, F_FIRST, F_LAST, F_FLAGGED, F_GOOD] = figureNames.map(
  (_, i) => i,
) as [number, number, number, number, number, number, number, number, number, number];
export const figureOf = (name: (typeof figureNames)[number]): number => figureNames.indexOf(name);

/** Statistics that are a figure, times a factor; a slope is none. */
const fromFigure: Readonly<Partial<Record<Statistic, number>>> = {
  count: F_COUNT,
  sum: F_SUM,
  mean: F_MEAN,
  std: F_STD,
  min: F_MIN,
  max: F_MAX,
  first: F_FIRST,
  last: F_LAST,
  flagged: F_FLAGGED,
  rate: F_SUM,
  coverage: F_GOOD,
};

/** The figures of all windows and signals of one entity, at [window][signal][figure]. */
export class WindowFigures {
  readonly values: Float64Array;
  readonly #layout: PaneLayout;
  readonly #signals: number;
  /** For each window the signals to be described, and which of them need their spread. */
  readonly #wanted: readonly { readonly signal: number; readonly std: boolean }[][];

  constructor(set: FeatureSet, layout: PaneLayout) {
    this.#layout = layout;
    this.#signals = set.signals.length;
    this.values = new Float64Array(set.windows.length * this.#signals * FIGURES).fill(Number.NaN);
    this.#wanted = set.windows.map((minutes, window) => {
      const whole = minutes === set.windowMinutes || (set.hourly && minutes === 60);
      return set.signals.flatMap((_, signal) => {
        const columns = set.plan.filter(
          (c) => "window" in c && "signal" in c && c.window === window && c.signal === signal,
        );
        const std = columns.some((c) => c.kind === "statistic" && c.statistic === "std");
        return whole || columns.length > 0 ? [{ signal, std }] : [];
      });
    });
  }

  at(window: number, signal: number, figure: number): number {
    return (window * this.#signals + signal) * FIGURES + figure;
  }

  /** Describes what has been gathered of a window in `g`. */
  describe(window: number, g: Float64Array): void {
    const { cellAt, counted, centres, slotFields, ordered } = this.#layout;
    const { values } = this;
    // No such line is a zero where the entity spoke at all; no sample of a metric is a gap.
    const spoke = g[slotFields + EVENTS]! > 0;
    for (const { signal, std } of this.#wanted[window]!) {
      const c = cellAt[signal]!;
      const at = this.at(window, signal, 0);
      const n = g[c + COUNT]!;
      if (counted[signal]) {
        values[at + F_COUNT] = spoke ? n : Number.NaN;
        values[at + F_SUM] = values[at + F_COUNT]!;
        values[at + F_MEAN] = spoke ? n / g[slotFields + ACTIVE]! : Number.NaN;
        continue;
      }
      if (n === 0) {
        if (Number.isNaN(values[at + F_COUNT]!) && values[at + F_GOOD] === 0) continue; // nor had the last one
        values.fill(Number.NaN, at, at + F_FLAGGED);
        values[at + F_FLAGGED] = 0;
        values[at + F_GOOD] = 0;
        continue;
      }
      const sum = g[c + SUM]! + g[c + SUM_LOW]!;
      values[at + F_COUNT] = n;
      values[at + F_SUM] = sum + centres[signal]! * n;
      values[at + F_MEAN] = centres[signal]! + sum / n;
      if (std) values[at + F_STD] = n < 2 ? Number.NaN : Math.sqrt(squaresIn(g, c) / (n - 1));
      values[at + F_MIN] = g[c + MIN]!;
      values[at + F_MAX] = g[c + MAX]!;
      values[at + F_FLAGGED] = g[c + FLAGGED]!;
      values[at + F_GOOD] = g[c + GOOD]!;
      if (ordered) {
        values[at + F_FIRST] = g[c + FIRST]!;
        values[at + F_LAST] = g[c + LAST]!;
      }
    }
  }

  /** Where a statistic's figure stands and what it is multiplied with; null for a slope. */
  placeOf(column: CompiledColumn & { kind: "statistic" }, minutes: number): { at: number; factor: number } | null {
    const figure = fromFigure[column.statistic];
    if (figure === undefined) return null;
    const perMinute = column.statistic === "rate" || column.statistic === "coverage";
    return { at: this.at(column.window, column.signal, figure), factor: perMinute ? 1 / minutes : 1 };
  }
}

/** Sum of squares about the mean of the cell at `c`. */
export const squaresIn = (g: Float64Array, c: number): number =>
  squaresAboutMean(g[c + COUNT]!, g[c + SUM]!, g[c + SUM_LOW]!, g[c + SQUARES]!, g[c + SQUARES_LOW]!);

/** Slopes of one signal over some windows, shortest first, each with the column it goes to. */
export interface Slopes {
  readonly signal: number;
  readonly windows: readonly { readonly minutes: number; readonly column: number }[];
}

const ys = new Float64Array(MAX_WINDOW_MINUTES);

/**
 * Least squares through the float32 means of the minutes up to the newest one, per minute; NaN below two of them. The
 * means lie at `newest`, and each minute before it `step` lower, around the ring that begins at `ring` and is `length`
 * long.
 */
export function writeSlopes(
  { windows }: Slopes,
  means: Float32Array,
  newest: number,
  step: number,
  ring: number,
  length: number,
  write: (column: number, value: number) => void,
): void {
  let n = 0;
  let sumX = 0;
  let sumY = 0;
  let from = newest;
  let read = 0;
  for (const { minutes, column } of windows) {
    for (; read < minutes; read++) {
      const y = means[from]!;
      ys[read] = y;
      from -= step;
      if (from < ring) from += length;
      if (Number.isNaN(y)) continue;
      n++;
      sumX -= read;
      sumY += y;
    }
    const meanX = sumX / n;
    const meanY = sumY / n;
    let xy = 0;
    let xx = 0;
    for (let i = 0; i < minutes; i++) {
      const y = ys[i]!;
      if (Number.isNaN(y)) continue;
      const x = -i - meanX;
      xy += x * (y - meanY);
      xx += x * x;
    }
    write(column, n < 2 ? Number.NaN : xy / xx);
  }
}
