import type { ColumnDefinition, FeatureSetDefinition, SignalDefinition, Statistic } from "./definition.ts";
import { hasValues } from "./definition.ts";

export interface ColumnDescription {
  readonly name: string;
  /** In words and signs, from the definition alone. */
  readonly formula: string;
  readonly unit: string;
  /** When the column is NaN; "never" if it always has a value. */
  readonly missing: string;
}

const NO_VALUE = (signal: string, minutes: number) => `no value of ${signal} in the ${minutes} minutes`;

/** What every column of a feature set means, in their order. The definition must compile. */
export function describeColumns(definition: FeatureSetDefinition): ColumnDescription[] {
  return definition.columns.map((column) => ({ name: column.name, ...describe(column, definition) }));
}

/** The same as a Markdown table. */
export const describeAsTable = (columns: readonly ColumnDescription[]): string =>
  [
    "| column | formula | unit | missing |",
    "| --- | --- | --- | --- |",
    ...columns.map(
      (c) => `| ${[c.name, c.formula, c.unit, c.missing].map((t) => t.replaceAll("|", "\\|")).join(" | ")} |`,
    ),
  ].join("\n");

type Meaning = Omit<ColumnDescription, "name">;

function describe(column: ColumnDefinition, set: FeatureSetDefinition): Meaning {
  const minutes = ("windowMinutes" in column && column.windowMinutes) || set.windowMinutes;
  const signalOf = (name: string) => set.signals.find((s) => s.name === name)!;
  if ("calendar" in column) return describeCalendar(column.calendar, set.timezone, column.beforeMinutes);
  if ("statistic" in column) {
    const meaning = describeStatistic(column.statistic, signalOf(column.signal), minutes);
    if (column.ofOne === undefined) return meaning;
    return {
      ...meaning,
      formula: `${meaning.formula}; ${column.ofOne} of a single value`,
      missing: NO_VALUE(column.signal, minutes),
    };
  }
  if ("lagMinutes" in column) {
    const { name } = signalOf(column.signal);
    const before = `the minute ${column.lagMinutes} before the newest`;
    return {
      formula: `mean of ${name} in ${before}`,
      unit: unitOf(signalOf(column.signal)),
      missing: `no value of ${name} in ${before}`,
    };
  }
  if ("changeRateOf" in column) {
    const sum = column.changeRateOf.join(" + ");
    const floor = Math.max(...column.changeRateOf.map((s) => smallestUnitOf(signalOf(s))));
    const back = column.overMinutes ?? 1;
    return {
      formula: `(now − then) / max(|then|, ${floor}), of the minute's mean of ${sum}; then = ${back} minutes before now`,
      unit: "ratio",
      missing: `no value of ${column.changeRateOf.join(" or ")} in the newest minute or in that ${back} before`,
    };
  }
  if ("ratioOf" in column) {
    const [over, under] = column.ratioOf;
    return { formula: `${over} / max(${under}, 1)`, unit: "ratio", missing: `${over} or ${under} is missing` };
  }
  if ("differenceOf" in column) {
    const [a, b] = column.differenceOf;
    return { formula: `${a} − ${b}`, unit: describe(columnOf(set, a), set).unit, missing: `${a} or ${b} is missing` };
  }
  if ("day" in column) return describeDay(column.day, signalOf(column.signal), minutes);
  if ("sameHour" in column) return describeSameHour(column.sameHour, signalOf(column.signal), minutes);
  if ("entity" in column) return describeEntity(column.entity, minutes);
  if ("check" in column) return describeCheck(column.check, signalOf(column.signal), minutes);
  return column.quality === "row"
    ? {
        formula: `good minutes / expected minutes, over the metrics the entity sends, × accepted events / all events; ${set.windowMinutes} minutes`,
        unit: "share",
        missing: "never",
      }
    : {
        formula: "the same over the 24 whole hours before the row's end",
        unit: "share",
        missing: "no event of the entity in these hours",
      };
}

const columnOf = (set: FeatureSetDefinition, name: string) => set.columns.find((c) => c.name === name)!;
const unitOf = (signal: SignalDefinition): string => (hasValues(signal) ? signal.unit : "lines");
const smallestUnitOf = (signal: SignalDefinition): number => (hasValues(signal) ? signal.smallestUnit : 1);

function describeCalendar(field: string, timezone: string, before: number | undefined): Meaning {
  const formulas: Readonly<Record<string, string>> = {
    hour_of_day: "hour of the row's end, 0 to 23",
    day_of_week: "weekday of the row's end, Monday 0 to Sunday 6",
    is_weekend: "1 on Saturday and Sunday, else 0",
    is_business_hours: "1 from 09:00 to 16:59, Monday to Friday, else 0",
    day_sin: "sin(2π × minute of the day / 1440)",
    day_cos: "cos(2π × minute of the day / 1440)",
    week_sin: "sin(2π × minute of the week / 10080), from Monday 00:00",
    week_cos: "cos(2π × minute of the week / 10080), from Monday 00:00",
  };
  const of = before === undefined ? "" : `, ${before} min before`;
  return { formula: `${formulas[field]}${of}, in ${timezone}`, unit: "calendar", missing: "never" };
}

function describeStatistic(statistic: Statistic, signal: SignalDefinition, minutes: number): Meaning {
  const { name } = signal;
  const unit = unitOf(signal);
  const over = `of ${name} over ${minutes} minutes`;
  const missing = NO_VALUE(name, minutes);
  if (!hasValues(signal)) {
    const formula = statistic === "rate" ? `number ${over} / ${minutes}` : `number ${over}`;
    const rateUnit = statistic === "rate" ? "lines per minute" : unit;
    return { formula, unit: rateUnit, missing: `no event of the entity in the ${minutes} minutes` };
  }
  switch (statistic) {
    case "count":
      return { formula: `number of values ${over}`, unit: "values", missing };
    case "std":
      return { formula: `standard deviation ${over}, n − 1`, unit, missing: `fewer than two values of ${name}` };
    case "slope":
      return {
        formula: `least-squares slope through the one-minute means ${over}`,
        unit: `${unit} per minute`,
        missing: `values of ${name} in fewer than two of the ${minutes} minutes`,
      };
    case "rate":
      return { formula: `sum ${over} / ${minutes}`, unit: `${unit} per minute`, missing };
    case "flagged":
      return { formula: `number of values ${over} out of range`, unit: "values", missing: "never" };
    case "coverage":
      return {
        formula: `minutes with values, none of them out of range, ${over} / ${minutes}`,
        unit: "share",
        missing: "never",
      };
    case "first":
    case "last":
      return { formula: `${statistic} value ${over}, by time, then by the event's id`, unit, missing };
    default:
      return { formula: `${statistic} ${over}`, unit, missing };
  }
}

/** What a value is to the columns over a day. */
const valuesOf = (signal: SignalDefinition): string =>
  hasValues(signal) ? `values of ${signal.name}` : `${signal.name} a minute, over minutes in which the entity spoke`;

function describeDay(figure: string, signal: SignalDefinition, minutes: number): Meaning {
  const day = "the 24 whole hours (UTC) before the row's end";
  const missing = `no value of ${signal.name} in ${day}`;
  const unit = unitOf(signal);
  if (figure === "mean") return { formula: `mean over ${day}, of ${valuesOf(signal)}`, unit, missing };
  if (figure === "std") {
    const few = `fewer than two values of ${signal.name} in ${day}`;
    return { formula: `standard deviation over ${day}, n − 1, of ${valuesOf(signal)}`, unit, missing: few };
  }
  return {
    formula: `(mean over ${minutes} minutes − mean over ${day}) / max(standard deviation of these, ${smallestUnitOf(signal)}), of ${valuesOf(signal)}`,
    unit: "standard deviations",
    missing: `${NO_VALUE(signal.name, minutes)}, or fewer than two in the day`,
  };
}

function describeSameHour(figure: string, signal: SignalDefinition, minutes: number): Meaning {
  const hour = "the whole hour (UTC) a day before that of the newest minute";
  const missing = `no value of ${signal.name} in ${hour}`;
  if (figure === "mean") return { formula: `mean over ${hour}, of ${valuesOf(signal)}`, unit: unitOf(signal), missing };
  return {
    formula: `(mean over ${minutes} minutes − then) / max(|then|, ${smallestUnitOf(signal)}), of ${valuesOf(signal)}; then = mean over ${hour}`,
    unit: "ratio",
    missing: `${NO_VALUE(signal.name, minutes)} or in that hour`,
  };
}

function describeEntity(figure: string, minutes: number): Meaning {
  const formulas: Readonly<Record<string, readonly [string, string]>> = {
    silent_minutes: [
      "minutes since the newest minute with an event of the entity; 0 if it spoke in the newest",
      "minutes",
    ],
    events: [`accepted events of the entity over ${minutes} minutes`, "events"],
    active_minutes: [`minutes with an event of the entity, of ${minutes}`, "minutes"],
    refused: [
      `events of the entity refused (late, too far ahead, by a rule) over ${minutes} minutes: late and early ones count in the minute of their source's clock`,
      "events",
    ],
    imputed: [`values taken as missing by a rule, or beyond float32, over ${minutes} minutes`, "values"],
  };
  const [formula, unit] = formulas[figure]!;
  return { formula, unit, missing: "never" };
}

function describeCheck(check: string, signal: SignalDefinition, minutes: number): Meaning {
  const { name } = signal;
  const formulas: Readonly<Record<string, string>> = {
    frozen: `1 if ${name} has good values in at least half of the ${minutes} minutes and they are all equal, else 0`,
    unit_slip: `1 if ${name} is at most 1 throughout ${minutes} minutes, its mean over the trailing day is at least 2, and 100 × its mean lies within 3 standard deviations of the day (at least 3) from that; else 0`,
    counter_reset: `1 if a one-minute mean of ${name} is lower than the one before it within ${minutes} minutes, else 0`,
  };
  return { formula: formulas[check]!, unit: "0 or 1", missing: NO_VALUE(name, minutes) };
}
