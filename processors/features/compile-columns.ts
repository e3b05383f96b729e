import { calendarFields } from "./calendar.ts";
import {
  type ColumnDefinition,
  checks,
  dayFigures,
  entityFigures,
  type FeatureSetDefinition,
  hasValues,
  qualities,
  type Statistic,
  sameHourFigures,
  statistics,
} from "./definition.ts";

/** `window` is an index into the set's windows, `signal` into its signals. */
export type CompiledColumn =
  | { readonly kind: "calendar"; readonly field: number; readonly before: number }
  | {
      readonly kind: "statistic";
      readonly statistic: Statistic;
      readonly signal: number;
      readonly window: number;
      readonly ofOne?: number;
    }
  | { readonly kind: "lag"; readonly signal: number; readonly minutes: number }
  | {
      readonly kind: "changeRate";
      readonly signals: readonly number[];
      readonly minutes: number;
      readonly smallestUnit: number;
    }
  | { readonly kind: "ratio" | "difference"; readonly first: number; readonly second: number }
  | {
      readonly kind: "day";
      readonly figure: (typeof dayFigures)[number];
      readonly signal: number;
      readonly window: number;
    }
  | {
      readonly kind: "sameHour";
      readonly figure: (typeof sameHourFigures)[number];
      readonly signal: number;
      readonly window: number;
    }
  | { readonly kind: "entity"; readonly figure: (typeof entityFigures)[number]; readonly window: number }
  | {
      readonly kind: "check";
      readonly check: (typeof checks)[number];
      readonly signal: number;
      readonly window: number;
    }
  | { readonly kind: "quality"; readonly of: (typeof qualities)[number] };

export const MAX_WINDOW_MINUTES = 1440;
export const HOUR_MINUTES = 60;

export interface CompiledColumns {
  readonly plan: readonly CompiledColumn[];
  readonly windows: readonly number[];
  /** Panes that lags and change rates look back, the newest not counted. */
  readonly deepestLag: number;
}

/** Resolves the names in the columns; what is wrong with them is added to `faults`. */
export function compileColumns(definition: FeatureSetDefinition, faults: string[]): CompiledColumns {
  const { columns, signals } = definition;
  const names = columns.map((c) => c.name);
  const hourly = columns.some((c) => needsHours(c));
  const windows = [
    ...new Set([
      definition.windowMinutes,
      ...columns.flatMap((c) => ("windowMinutes" in c && c.windowMinutes ? [c.windowMinutes] : [])),
      ...(hourly ? [HOUR_MINUTES] : []),
    ]),
  ].sort((a, b) => a - b);
  const windowOf = (column: { name: string; windowMinutes?: number }): number => {
    const minutes = column.windowMinutes ?? definition.windowMinutes;
    checkMinutes(minutes, `windowMinutes of ${column.name}`, faults);
    return windows.indexOf(minutes);
  };
  const signalOf = (name: string, column: string, counts = false): number => {
    const index = signals.findIndex((s) => s.name === name);
    if (index < 0) faults.push(`column ${column} names the unknown signal ${name}`);
    else if (!counts && !hasValues(signals[index]!)) {
      faults.push(`column ${column}: log lines are only counted, use statistic "sum" or "rate"`);
    }
    return index;
  };
  const oneOf = (value: string, values: readonly string[], what: string, column: string) => {
    if (!values.includes(value)) faults.push(`column ${column} names the unknown ${what} ${value}`);
  };
  const pair = ([a, b]: readonly [string, string], column: string, at: number) => {
    const [first, second] = [a, b].map((name) => {
      const index = names.indexOf(name);
      if (index < 0 || index >= at) faults.push(`column ${column} needs ${name} further up`);
      return index;
    }) as [number, number];
    return { first, second };
  };
  const smallestUnitOf = (index: number): number => {
    const signal = signals[index];
    return signal && hasValues(signal) ? signal.smallestUnit : 1;
  };

  let deepestLag = 0;
  const plan = columns.map((column, at): CompiledColumn => {
    const { name } = column;
    if ("calendar" in column) {
      oneOf(column.calendar, calendarFields, "calendar field", name);
      const before = column.beforeMinutes ?? 0;
      if (before !== 0) checkMinutes(before, `beforeMinutes of ${name}`, faults);
      return { kind: "calendar", field: calendarFields.indexOf(column.calendar), before };
    }
    if ("statistic" in column) {
      oneOf(column.statistic, statistics, "statistic", name);
      const signal = signalOf(column.signal, name, column.statistic === "sum" || column.statistic === "rate");
      const { statistic, ofOne } = column;
      if (ofOne !== undefined && statistic !== "std") faults.push(`column ${name}: ofOne is for statistic "std" only`);
      return { kind: "statistic", statistic, signal, window: windowOf(column), ...(ofOne !== undefined && { ofOne }) };
    }
    if ("lagMinutes" in column) {
      checkMinutes(column.lagMinutes, `lagMinutes of ${name}`, faults);
      deepestLag = Math.max(deepestLag, column.lagMinutes);
      return { kind: "lag", signal: signalOf(column.signal, name, true), minutes: column.lagMinutes };
    }
    if ("changeRateOf" in column) {
      const minutes = column.overMinutes ?? 1;
      checkMinutes(minutes, `overMinutes of ${name}`, faults);
      deepestLag = Math.max(deepestLag, minutes);
      const of = column.changeRateOf.map((signal) => signalOf(signal, name, true));
      return { kind: "changeRate", signals: of, minutes, smallestUnit: Math.max(...of.map(smallestUnitOf)) };
    }
    if ("ratioOf" in column) return { kind: "ratio", ...pair(column.ratioOf, name, at) };
    if ("differenceOf" in column) return { kind: "difference", ...pair(column.differenceOf, name, at) };
    if ("day" in column) {
      oneOf(column.day, dayFigures, "figure of the day", name);
      const signal = signalOf(column.signal, name, true);
      return { kind: "day", figure: column.day, signal, window: windowOf(column) };
    }
    if ("sameHour" in column) {
      oneOf(column.sameHour, sameHourFigures, "figure of the hour", name);
      const signal = signalOf(column.signal, name, true);
      return { kind: "sameHour", figure: column.sameHour, signal, window: windowOf(column) };
    }
    if ("entity" in column) {
      oneOf(column.entity, entityFigures, "figure of the entity", name);
      return { kind: "entity", figure: column.entity, window: windowOf(column) };
    }
    if ("check" in column) {
      oneOf(column.check, checks, "check", name);
      return { kind: "check", check: column.check, signal: signalOf(column.signal, name), window: windowOf(column) };
    }
    oneOf(column.quality, qualities, "quality", name);
    return { kind: "quality", of: column.quality };
  });
  return { plan, windows, deepestLag };
}

/** Whether the column looks at the trailing day. */
const needsHours = (c: ColumnDefinition): boolean =>
  "day" in c || "sameHour" in c || ("check" in c && c.check === "unit_slip") || ("quality" in c && c.quality === "day");

export function checkMinutes(value: number, what: string, faults: string[]): void {
  if (!Number.isInteger(value) || value < 1 || value > MAX_WINDOW_MINUTES) {
    faults.push(`${what} is ${value}, not a whole number from 1 to ${MAX_WINDOW_MINUTES}`);
  }
}

/** Signals whose hours are kept, and whether any are; quality of the day needs none. */
export function hourlyOf(definition: FeatureSetDefinition, plan: readonly CompiledColumn[]) {
  const hourly = definition.columns.some(needsHours);
  const signals = plan.flatMap((c) =>
    c.kind === "day" || c.kind === "sameHour" || (c.kind === "check" && c.check === "unit_slip") ? [c.signal] : [],
  );
  return { hourly, daySignals: [...new Set(signals)].sort((a, b) => a - b) };
}
