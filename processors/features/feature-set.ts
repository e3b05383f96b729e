import { createHash } from "node:crypto";
import { WeirError } from "../../streams/index.ts";
import { canonicalMetricName, type Level, levels } from "../parse/index.ts";
import { type Calendar, type CalendarField, calendarFields, calendarIn } from "./calendar.ts";

/** What is taken from the events: the values of a metric, or the number of log lines at some levels. */
export type SignalDefinition =
  | {
      readonly name: string;
      readonly metric: string;
      readonly unit: string;
      /** Inclusive. A value outside is kept and flagged; without a range every finite value is in range. */
      readonly range?: readonly [number, number];
      /** Squares are summed about it: a typical level. */
      readonly centre: number;
      /** Smallest change that means something; the floor of a change rate's divisor. */
      readonly smallestUnit: number;
    }
  | { readonly name: string; readonly levels: readonly Level[] };

export const statistics = ["count", "sum", "mean", "std", "min", "max", "first", "last", "slope"] as const;
export type Statistic = (typeof statistics)[number];

export type ColumnDefinition =
  | { readonly name: string; readonly calendar: CalendarField }
  | {
      readonly name: string;
      readonly signal: string;
      readonly statistic: Statistic;
      /** The set's own where absent. */
      readonly windowMinutes?: number;
    }
  /** Mean of the one-minute pane that many minutes before the newest. */
  | { readonly name: string; readonly signal: string; readonly lagMinutes: number }
  /** (now − lag 1) / max(|lag 1|, smallest unit), of the sum of the signals' one-minute means. */
  | { readonly name: string; readonly changeRateOf: readonly string[] }
  /** First column over the second, which counts as at least 1. Both stand further up. */
  | { readonly name: string; readonly ratioOf: readonly [string, string] };

/** A feature set as it stands in `schemas/feature-sets/<name>.json`. */
export interface FeatureSetDefinition {
  readonly name: string;
  /** Rows are emitted at window ends that are multiples of it. */
  readonly hopMinutes: number;
  readonly windowMinutes: number;
  /** IANA name, for the calendar columns. */
  readonly timezone: string;
  readonly signals: readonly SignalDefinition[];
  readonly columns: readonly ColumnDefinition[];
}

export type CompiledColumn =
  | { readonly kind: "calendar"; readonly field: number }
  | { readonly kind: "statistic"; readonly statistic: Statistic; readonly signal: number; readonly window: number }
  | { readonly kind: "lag"; readonly signal: number; readonly minutes: number }
  | { readonly kind: "changeRate"; readonly signals: readonly number[]; readonly smallestUnit: number }
  | { readonly kind: "ratio"; readonly numerator: number; readonly denominator: number };

export interface FeatureSet {
  readonly name: string;
  /** 16 hex digits over everything that gives a value its meaning. */
  readonly hash: string;
  readonly columns: readonly string[];
  readonly hopMinutes: number;
  /** The window of quality and of statistics that name none. */
  readonly windowMinutes: number;
  readonly signals: readonly SignalDefinition[];
  readonly plan: readonly CompiledColumn[];
  /** Ascending, distinct; a compiled statistic's `window` is an index into it. */
  readonly windows: readonly number[];
  /** Panes a row looks at, the newest included. */
  readonly lookbackMinutes: number;
  readonly metricSignals: ReadonlyMap<string, number>;
  /** Per level, the signals that count a line of it. */
  readonly levelSignals: Readonly<Record<Level, readonly number[]>>;
  /** Whether panes have to keep the first and last value. */
  readonly ordered: boolean;
  readonly calendar: Calendar;
}

const MAX_WINDOW_MINUTES = 1440;

/** Checks a definition whole and resolves its names. Throws `FEATURE_SET_INVALID` (fatal) with every fault found. */
export function compileFeatureSet(definition: FeatureSetDefinition): FeatureSet {
  const faults: string[] = [];
  const wholeMinutes = (value: number, what: string) => {
    if (!Number.isInteger(value) || value < 1 || value > MAX_WINDOW_MINUTES) {
      faults.push(`${what} is ${value}, not a whole number from 1 to ${MAX_WINDOW_MINUTES}`);
    }
  };
  wholeMinutes(definition.hopMinutes, "hopMinutes");
  wholeMinutes(definition.windowMinutes, "windowMinutes");
  repeated(definition.signals.map((s) => s.name)).forEach((n) => void faults.push(`signal ${n} is declared twice`));
  repeated(definition.columns.map((c) => c.name)).forEach((n) => void faults.push(`column ${n} is declared twice`));

  const metricSignals = new Map<string, number>();
  const levelSignals = Object.fromEntries(levels.map((l) => [l, [] as number[]])) as Record<Level, number[]>;
  for (const [i, signal] of definition.signals.entries()) {
    if ("metric" in signal) {
      const name = canonicalMetricName(signal.metric);
      if (metricSignals.has(name)) faults.push(`metric ${name} feeds two signals`);
      metricSignals.set(name, i);
      if (!(signal.smallestUnit > 0)) faults.push(`signal ${signal.name} needs a smallestUnit above 0`);
      if (!Number.isFinite(signal.centre)) faults.push(`signal ${signal.name} needs a centre`);
      if (signal.range && !(signal.range[0] <= signal.range[1])) faults.push(`range of ${signal.name} is upside down`);
    } else {
      for (const level of signal.levels) {
        if (levelSignals[level]) levelSignals[level].push(i);
        else faults.push(`signal ${signal.name} counts the unknown level ${level}`);
      }
    }
  }

  const signalIndex = (name: string, column: string, counts = false): number => {
    const index = definition.signals.findIndex((s) => s.name === name);
    if (index < 0) faults.push(`column ${column} names the unknown signal ${name}`);
    else if (!counts && "levels" in definition.signals[index]!) {
      faults.push(`column ${column}: log lines are only counted, use statistic "sum"`);
    }
    return index;
  };
  const windows = [
    ...new Set([
      definition.windowMinutes,
      ...definition.columns.flatMap((c) => ("statistic" in c && c.windowMinutes ? [c.windowMinutes] : [])),
    ]),
  ].sort((a, b) => a - b);
  const columns = definition.columns.map((c) => c.name);
  let deepestLag = 0;
  const plan = definition.columns.map((column, at): CompiledColumn => {
    if ("calendar" in column) {
      const field = calendarFields.indexOf(column.calendar);
      if (field < 0) faults.push(`column ${column.name} names the unknown calendar field ${column.calendar}`);
      return { kind: "calendar", field };
    }
    if ("statistic" in column) {
      const minutes = column.windowMinutes ?? definition.windowMinutes;
      wholeMinutes(minutes, `windowMinutes of ${column.name}`);
      if (!statistics.includes(column.statistic)) faults.push(`column ${column.name} names an unknown statistic`);
      const signal = signalIndex(column.signal, column.name, column.statistic === "sum");
      return { kind: "statistic", statistic: column.statistic, signal, window: windows.indexOf(minutes) };
    }
    if ("lagMinutes" in column) {
      wholeMinutes(column.lagMinutes, `lagMinutes of ${column.name}`);
      deepestLag = Math.max(deepestLag, column.lagMinutes);
      return { kind: "lag", signal: signalIndex(column.signal, column.name), minutes: column.lagMinutes };
    }
    if ("changeRateOf" in column) {
      deepestLag = Math.max(deepestLag, 1);
      const signals = column.changeRateOf.map((name) => signalIndex(name, column.name));
      const units = signals.map((i) => {
        const signal = definition.signals[i];
        return signal && "metric" in signal ? signal.smallestUnit : 1;
      });
      return { kind: "changeRate", signals, smallestUnit: Math.max(...units) };
    }
    const [numerator, denominator] = column.ratioOf.map((name) => {
      const index = columns.indexOf(name);
      if (index < 0 || index >= at) faults.push(`column ${column.name} needs ${name} further up`);
      return index;
    }) as [number, number];
    return { kind: "ratio", numerator, denominator };
  });

  let calendar: Calendar | undefined;
  try {
    calendar = calendarIn(definition.timezone);
  } catch {
    faults.push(`the time zone ${definition.timezone} is not known`);
  }
  if (faults.length > 0 || !calendar) {
    throw new WeirError(
      "FEATURE_SET_INVALID",
      "fatal",
      `Feature set ${definition.name}: ${faults.join("; ")}.`,
      "Mend the definition; schemas/feature-sets/core-37.json shows every kind of column.",
    );
  }
  return {
    name: definition.name,
    hash: createHash("sha256").update(canonicalJson(definition)).digest("hex").slice(0, 16),
    columns,
    hopMinutes: definition.hopMinutes,
    windowMinutes: definition.windowMinutes,
    signals: definition.signals,
    plan,
    windows,
    lookbackMinutes: Math.max(windows.at(-1)!, deepestLag + 1),
    metricSignals,
    levelSignals,
    ordered: plan.some((c) => c.kind === "statistic" && (c.statistic === "first" || c.statistic === "last")),
    calendar,
  };
}

function repeated(names: readonly string[]): string[] {
  const seen = new Set<string>();
  return names.filter((name) => seen.size === seen.add(name).size);
}

/** JSON with members in the order of their names, so that a definition's layout does not change its hash. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, v: unknown) =>
    v && typeof v === "object" && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)))
      : v,
  );
}
