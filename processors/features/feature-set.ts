import { createHash } from "node:crypto";
import { WeirError } from "../../streams/index.ts";
import { canonicalMetricName, type Level, levels } from "../parse/index.ts";
import { templateSignalNames } from "../templates/index.ts";
import { type Calendar, calendarIn } from "./calendar.ts";
import { type CompiledColumn, checkMinutes, compileColumns, HOUR_MINUTES, hourlyOf } from "./compile-columns.ts";
import {
  type CountSignal,
  type FeatureSetDefinition,
  hasValues,
  type SignalDefinition,
  type ValueSignal,
} from "./definition.ts";

export type { CompiledColumn } from "./compile-columns.ts";
export * from "./definition.ts";

export interface FeatureSet {
  readonly name: string;
  /** 16 hex digits over everything that gives a value its meaning. */
  readonly hash: string;
  readonly definition: FeatureSetDefinition;
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
  /** Whether rows look at the trailing day, in whole hours. */
  readonly hourly: boolean;
  /** Signals whose hours are kept. */
  readonly daySignals: readonly number[];
  readonly metricSignals: ReadonlyMap<string, number>;
  /** Per level, the signals that may count a line of it, and take a value from it. */
  readonly lineSignals: Readonly<Record<Level, readonly number[]>>;
  readonly templateSignals: readonly number[];
  /** Whether panes have to keep the first and last value. */
  readonly ordered: boolean;
  readonly calendar: Calendar;
}

/** Checks a definition whole and resolves its names. Throws `FEATURE_SET_INVALID` (fatal) with every fault found. */
export function compileFeatureSet(definition: FeatureSetDefinition): FeatureSet {
  const faults: string[] = [];
  checkMinutes(definition.hopMinutes, "hopMinutes", faults);
  checkMinutes(definition.windowMinutes, "windowMinutes", faults);
  repeated(definition.signals.map((s) => s.name)).forEach((n) => void faults.push(`signal ${n} is declared twice`));
  repeated(definition.columns.map((c) => c.name)).forEach((n) => void faults.push(`column ${n} is declared twice`));

  const metricSignals = new Map<string, number>();
  const lineSignals = Object.fromEntries(levels.map((l) => [l, [] as number[]])) as Record<Level, number[]>;
  const templateSignals: number[] = [];
  for (const [i, signal] of definition.signals.entries()) {
    if (hasValues(signal)) checkValueSignal(signal, faults);
    if ("metric" in signal) {
      const name = canonicalMetricName(signal.metric);
      if (metricSignals.has(name)) faults.push(`metric ${name} feeds two signals`);
      metricSignals.set(name, i);
    } else if ("template" in signal) {
      templateSignals.push(i);
      if (!templateSignalNames.includes(signal.template))
        faults.push(`signal ${signal.name} names the unknown figure of templates ${signal.template}`);
    } else {
      for (const level of ("levels" in signal && signal.levels) || levels) {
        if (lineSignals[level]) lineSignals[level].push(i);
        else faults.push(`signal ${signal.name} counts the unknown level ${level}`);
      }
    }
  }

  const { plan, windows, deepestLag } = compileColumns(definition, faults);
  const { hourly, daySignals } = hourlyOf(definition, plan);
  if (hourly && HOUR_MINUTES % definition.hopMinutes !== 0) {
    faults.push(`hopMinutes is ${definition.hopMinutes}; columns over the day need a divisor of 60`);
  }
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
      "Mend the definition; docs/features.md shows every kind of signal and column.",
    );
  }
  return {
    name: definition.name,
    hash: createHash("sha256").update(canonicalJson(definition)).digest("hex").slice(0, 16),
    definition,
    columns: definition.columns.map((c) => c.name),
    hopMinutes: definition.hopMinutes,
    windowMinutes: definition.windowMinutes,
    signals: definition.signals,
    plan,
    windows,
    lookbackMinutes: Math.max(windows.at(-1)!, deepestLag + 1),
    hourly,
    daySignals,
    metricSignals,
    lineSignals,
    templateSignals,
    ordered: plan.some((c) => c.kind === "statistic" && (c.statistic === "first" || c.statistic === "last")),
    calendar,
  };
}

function checkValueSignal(signal: ValueSignal, faults: string[]): void {
  const { name, range, rules = [] } = signal;
  if (!(signal.smallestUnit > 0)) faults.push(`signal ${name} needs a smallestUnit above 0`);
  if (!Number.isFinite(signal.centre)) faults.push(`signal ${name} needs a centre`);
  if (range && !(range[0] <= range[1])) faults.push(`range of ${name} is upside down`);
  for (const { outside, outcome } of rules) {
    if (!(outside[0] <= outside[1])) faults.push(`a rule of ${name} is upside down`);
    if (!["flagged", "missing", "refused"].includes(outcome)) faults.push(`a rule of ${name} ends in ${outcome}`);
  }
}

/** Whether a log line counts for the signal, given the number in its field. */
export const countsLine = (signal: CountSignal, source: string, field: unknown): boolean =>
  (signal.of === undefined || signal.of === source) &&
  (signal.field === undefined || (typeof field === "number" && field >= (signal.atLeast ?? Number.NEGATIVE_INFINITY)));

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
