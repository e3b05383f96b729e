import { type CompiledColumn, HOUR_MINUTES } from "./compile-columns.ts";
import { type FeatureSet, hasValues } from "./feature-set.ts";
import { DAY_HOURS, type Day, HOUR_COUNT, HOUR_MEAN, HOUR_SIGNAL, type HourStore } from "./hour-store.ts";
import { ACTIVE, EVENTS, IMPUTED, REFUSED } from "./pane-layout.ts";
import type { PaneSums } from "./pane-sums.ts";
import { MINUTE_MS } from "./time.ts";
import { figureOf, type WindowFigures } from "./window-figures.ts";

/** What the columns of a row are computed from: one entity at one window end. */
export interface RowState {
  readonly set: FeatureSet;
  readonly figures: WindowFigures;
  readonly sums: PaneSums;
  readonly hours: HourStore | null;
  /** The entity's own figures in each window. */
  readonly own: readonly Float64Array[];
  end: number;
  slot: number;
  /** Of the window's end. */
  calendar: readonly number[];
  /** Minutes back to the newest pane with an event. */
  newest: number;
  means: Float32Array;
  day: Day;
  quality: number;
}

/** The value of a column, given the row's columns before it. Derived ones are taken from float32-rounded figures. */
export type Column = (row: Float32Array, at: number) => number;

const COUNT = figureOf("count");
const MEAN = figureOf("mean");
const STD = figureOf("std");
const MIN = figureOf("min");
const MAX = figureOf("max");
const GOOD = figureOf("good");

export function columnOf(column: CompiledColumn, state: RowState): Column {
  const { figures } = state;
  const { values } = figures;
  switch (column.kind) {
    case "calendar":
      return calendarColumn(column, state);
    case "statistic": {
      // All others are read from the figures at once.
      const [count, std] = [COUNT, STD].map((f) => figures.at(column.window, column.signal, f)) as [number, number];
      return () => (values[count] === 1 ? column.ofOne! : values[std]!);
    }
    case "lag":
      return () => meanOf(state, column.signal, column.minutes);
    case "changeRate":
      return () => {
        let now = 0;
        let before = 0;
        for (const s of column.signals) {
          now += meanOf(state, s, 0);
          before += meanOf(state, s, column.minutes);
        }
        return (now - before) / Math.max(Math.abs(before), column.smallestUnit);
      };
    case "ratio":
      return (row, at) => row[at + column.first]! / Math.max(row[at + column.second]!, 1);
    case "difference":
      return (row, at) => row[at + column.first]! - row[at + column.second]!;
    case "day":
      return dayColumn(column, state);
    case "sameHour":
      return sameHourColumn(column, state);
    case "entity":
      return entityColumn(column, state);
    case "check": {
      const fails = checkOf(column, state);
      const at = figures.at(column.window, column.signal, MEAN);
      return () => (Number.isNaN(values[at]!) ? Number.NaN : fails() ? 1 : 0);
    }
    case "quality":
      return column.of === "row" ? () => state.quality : () => state.day.quality;
  }
}

const meanOf = (state: RowState, signal: number, back: number): number =>
  state.means[state.sums.meansAt(state.slot, state.end - 1 - back) + signal]!;

function calendarColumn({ field, before }: CompiledColumn & { kind: "calendar" }, state: RowState): Column {
  if (before === 0) return () => state.calendar[field]!;
  let end = Number.NaN;
  let value = Number.NaN;
  return () => {
    if (state.end !== end) {
      end = state.end;
      value = state.set.calendar((end - before) * MINUTE_MS)[field]!;
    }
    return value;
  };
}

function smallestUnitOf(set: FeatureSet, index: number): number {
  const signal = set.signals[index]!;
  return hasValues(signal) ? signal.smallestUnit : 1;
}

function dayColumn({ figure, signal, window }: CompiledColumn & { kind: "day" }, state: RowState): Column {
  const at = state.figures.at(window, signal, MEAN);
  const place = state.set.daySignals.indexOf(signal);
  if (figure === "mean") return () => state.day.mean[place]!;
  if (figure === "std") return () => state.day.std[place]!;
  const floor = smallestUnitOf(state.set, signal);
  return () => {
    const { mean, std } = state.day;
    const now = Math.fround(state.figures.values[at]!);
    return (now - Math.fround(mean[place]!)) / Math.max(Math.fround(std[place]!), floor);
  };
}

function sameHourColumn({ figure, signal, window }: CompiledColumn & { kind: "sameHour" }, state: RowState): Column {
  const at = state.figures.at(window, signal, MEAN);
  const place = state.set.daySignals.indexOf(signal) * HOUR_SIGNAL;
  const floor = smallestUnitOf(state.set, signal);
  const before = (): number => {
    const held = state.hours?.at(Math.floor((state.end - 1) / HOUR_MINUTES) - DAY_HOURS, state.slot);
    if (!held || held[0][held[1] + place + HOUR_COUNT] === 0) return Number.NaN;
    return Math.fround(held[0][held[1] + place + HOUR_MEAN]!);
  };
  if (figure === "mean") return before;
  return () => {
    const then = before();
    return (Math.fround(state.figures.values[at]!) - then) / Math.max(Math.abs(then), floor);
  };
}

function entityColumn({ figure, window }: CompiledColumn & { kind: "entity" }, state: RowState): Column {
  const own = state.own[window]!;
  switch (figure) {
    case "silent_minutes":
      return () => state.newest;
    case "events":
      return () => own[EVENTS]!;
    case "active_minutes":
      return () => own[ACTIVE]!;
    case "refused":
      return () => own[REFUSED]!;
    case "imputed":
      return () => own[IMPUTED]!;
  }
}

/** Whether a fault is recognised in the signal's window; false where it cannot be told. */
export function checkOf({ check, signal, window }: CompiledColumn & { kind: "check" }, state: RowState): () => boolean {
  const { values } = state.figures;
  const [mean, min, max, good] = [MEAN, MIN, MAX, GOOD].map((f) => state.figures.at(window, signal, f)) as [
    number,
    number,
    number,
    number,
  ];
  const minutes = state.set.windows[window]!;
  switch (check) {
    case "frozen":
      return () => values[good]! >= minutes / 2 && values[min] === values[max];
    case "unit_slip": {
      const place = state.set.daySignals.indexOf(signal);
      return () => {
        const usual = state.day.mean[place]!;
        const spread = Math.max(state.day.std[place]!, 1);
        return usual >= 2 && values[max]! <= 1 && Math.abs(100 * values[mean]! - usual) <= 3 * spread;
      };
    }
    case "counter_reset":
      return () => {
        let later = Number.POSITIVE_INFINITY;
        for (let back = 0; back < minutes; back++) {
          const now = meanOf(state, signal, back);
          if (now > later) return true;
          if (!Number.isNaN(now)) later = now;
        }
        return false;
      };
  }
}
