/**
 * Feature rows by SQL, written after docs/features.md: straight from the samples, without panes or any code of the
 * features stage. DuckDB computes in double precision; where a column is defined on figures rounded to float32, they are
 * cast to FLOAT.
 */
import type { DuckDBConnection } from "@duckdb/node-api";
import {
  type ColumnDefinition,
  type FeatureSetDefinition,
  hasValues,
  type SignalDefinition,
} from "../../processors/index.ts";
import { keyOf, type Rows } from "./rows.ts";
import { FLOAT32_MAX, prepareTables, type SqlSpan, windowTables } from "./sql-tables.ts";

const TURN = "2 * pi()";
const calendar: Readonly<Record<string, string>> = {
  hour_of_day: "(r.stop // 60) % 24",
  // 1970-01-01 was a Thursday; Monday is 0.
  day_of_week: "(r.stop // 1440 + 3) % 7",
  is_weekend: "((r.stop // 1440 + 3) % 7 >= 5)::INT",
  is_business_hours: "((r.stop // 1440 + 3) % 7 < 5 AND (r.stop // 60) % 24 BETWEEN 9 AND 16)::INT",
  day_sin: `sin(${TURN} * (r.stop % 1440) / 1440)`,
  day_cos: `cos(${TURN} * (r.stop % 1440) / 1440)`,
  week_sin: `sin(${TURN} * ((r.stop + 3 * 1440) % 10080) / 10080)`,
  week_cos: `cos(${TURN} * ((r.stop + 3 * 1440) % 10080) / 10080)`,
};

/** Columns as expressions over `r` and the tables they need joined, each once. */
class Columns {
  readonly windows = new Set<number>();
  readonly #set: FeatureSetDefinition;
  /** By joined table, the columns needed of it: `<figure>_<signal>`. */
  readonly #needed = new Map<string, Set<string>>();
  readonly #joins = new Map<string, string>();

  constructor(set: FeatureSetDefinition) {
    this.#set = set;
  }

  /** Undefined: this column is not computed here. */
  of(column: ColumnDefinition): string | undefined {
    const minutes = ("windowMinutes" in column && column.windowMinutes) || this.#set.windowMinutes;
    if ("calendar" in column) return calendar[column.calendar]!;
    if ("statistic" in column) return this.#statistic(this.#signal(column.signal), column.statistic, minutes);
    if ("lagMinutes" in column) return this.#mean(this.#signal(column.signal), column.lagMinutes);
    if ("changeRateOf" in column) {
      const signals = column.changeRateOf.map((s) => this.#signal(s));
      const [now, before] = [0, column.overMinutes ?? 1].map((back) =>
        signals.map((s) => `${this.#mean(s, back)}::DOUBLE`).join(" + "),
      );
      const unit = Math.max(...signals.map((s) => smallestUnit(this.#set.signals[s]!)));
      return `((${now}) - (${before})) / greatest(abs(${before}), ${unit})`;
    }
    if ("ratioOf" in column || "differenceOf" in column) {
      const pair = "ratioOf" in column ? column.ratioOf : column.differenceOf;
      const [a, b] = pair.map((c) => `(${this.of(this.#set.columns.find((d) => d.name === c)!)})::FLOAT`);
      if ("differenceOf" in column) return `${a}::DOUBLE - ${b}`;
      // greatest() passes over NULL; a ratio with an unknown divisor is unknown.
      return `CASE WHEN ${b} IS NOT NULL THEN ${a}::DOUBLE / greatest(${b}, 1) END`;
    }
    if ("day" in column) return this.#day(this.#signal(column.signal), column.day, minutes);
    if ("sameHour" in column) {
      const s = this.#signal(column.signal);
      const then = this.#of("hours", `mean_${s}`, "h.entity = r.entity AND h.hour = (r.stop - 1) // 60 - 24", "h");
      if (column.sameHour === "mean") return then;
      return `(${this.#window("mean", s, minutes)}::FLOAT::DOUBLE - ${then}) / greatest(abs(${then}), ${this.#unit(s)})`;
    }
    if ("entity" in column)
      return column.entity === "silent_minutes" ? "r.stop - 1 - r.newest" : this.#events(column.entity, minutes);
    if ("check" in column) return this.#check(this.#signal(column.signal), column.check, minutes);
    return column.quality === "row" ? this.#quality() : undefined;
  }

  /** Statements that turn signals into columns, and the joins. */
  tables(): { prepare: string[]; joins: string[] } {
    const prepare = [...this.#needed].map(([table, needed]) => {
      const key = table === "hours" ? "hour" : table === "days" ? "stop_hour" : table === "means" ? "minute" : "stop";
      const columns = [...needed].map((name) => {
        const [figure, signal] = name.split("_");
        return `, max(${figure}) FILTER (signal = ${signal}) AS ${name}`;
      });
      return `CREATE OR REPLACE TABLE ${table}p AS SELECT entity, ${key}${columns.join("")} FROM ${table} GROUP BY ALL`;
    });
    return { prepare, joins: [...this.#joins.values()] };
  }

  #statistic(signal: number, statistic: string, minutes: number): string {
    if (statistic === "slope") return this.#slope("slope", signal, minutes);
    if (statistic === "coverage") return `coalesce(${this.#slope("good", signal, minutes)}, 0) / ${minutes}`;
    if (statistic === "flagged") return `coalesce(${this.#window("flagged", signal, minutes)}, 0)`;
    if (statistic === "rate") return `${this.#window("sum", signal, minutes)} / ${minutes}`;
    return this.#window(statistic === "count" ? "n" : statistic, signal, minutes);
  }

  #day(signal: number, figure: string, minutes: number): string {
    const of = (what: string) =>
      this.#of("days", `${what}_${signal}`, "d.entity = r.entity AND d.stop_hour = r.stop // 60", "d");
    if (figure !== "deviation") return of(figure);
    const std = of("std");
    return `CASE WHEN ${std} IS NOT NULL
      THEN (${this.#window("mean", signal, minutes)}::FLOAT::DOUBLE - ${of("mean")}) / greatest(${std}, ${this.#unit(signal)}) END`;
  }

  #check(signal: number, check: string, minutes: number): string {
    const [n, min, max] = ["n", "min", "max"].map((f) => this.#window(f, signal, minutes));
    if (check === "frozen")
      return `CASE WHEN ${n} > 0 THEN (${this.#slope("good", signal, minutes)} * 2 >= ${minutes} AND ${min} = ${max})::INT END`;
    if (check === "unit_slip") {
      const [mean, std] = [this.#day(signal, "mean", minutes), this.#day(signal, "std", minutes)];
      const near = `abs(100 * ${this.#window("mean", signal, minutes)} - ${mean}) <= 3 * greatest(${std}, 1)`;
      return `CASE WHEN ${n} > 0 THEN coalesce(${max} <= 1 AND ${mean} >= 2 AND ${std} IS NOT NULL AND ${near}, false)::INT END`;
    }
    throw new Error(`SQL knows no check ${check}.`);
  }

  /** Good minutes over expected minutes of the metrics that the entity sends, times accepted over all events. */
  #quality(): string {
    const minutes = this.#set.windowMinutes;
    const checks = this.#set.columns.filter((c) => "check" in c);
    const metrics = this.#set.signals.flatMap((s, i) => ("metric" in s ? [i] : []));
    const known = metrics.map((s) => `(k.since_${s} < r.stop)::INT`);
    const firsts = metrics.map((s) => `, min(minute) FILTER (signal = ${s}) AS since_${s}`).join("");
    this.#joins.set("k", `LEFT JOIN (SELECT entity${firsts} FROM means GROUP BY ALL) k ON k.entity = r.entity`);
    const good = metrics.map((s) => {
      const failing = checks
        .filter((c) => this.#signal((c as { signal: string }).signal) === s)
        .map((c) => `coalesce(${this.of(c)}, 0) = 0`);
      return `CASE WHEN ${["true", ...failing].join(" AND ")} THEN coalesce(${this.#slope("good", s, minutes)}, 0) ELSE 0 END`;
    });
    const expected = `(${known.map((k) => `coalesce(${k}, 0)`).join(" + ")})`;
    const [events, refused] = [this.#events("events", minutes), this.#events("refused", minutes)];
    return `(CASE WHEN ${expected} = 0 THEN 1 ELSE (${good.join(" + ")}) / (${expected} * ${minutes}) END)
      * (CASE WHEN ${events} + ${refused} = 0 THEN 1 ELSE ${events} / (${events} + ${refused}) END)`;
  }

  #events(figure: string, minutes: number): string {
    this.windows.add(minutes);
    this.#joins.set(`e${minutes}`, `LEFT JOIN e${minutes} USING (entity, stop)`);
    return `e${minutes}.${figure}`;
  }

  #window(figure: string, signal: number, minutes: number): string {
    this.windows.add(minutes);
    return this.#of(`w${minutes}`, `${figure}_${signal}`);
  }

  #slope(figure: string, signal: number, minutes: number): string {
    this.windows.add(minutes);
    return this.#of(`slope${minutes}`, `${figure}_${signal}`);
  }

  /** Mean of one minute, so many minutes before the newest. */
  #mean(signal: number, back: number): string {
    const alias = `b${back}`;
    const on = `${alias}.entity = r.entity AND ${alias}.minute = r.stop - ${back + 1}`;
    return this.#of("means", `mean_${signal}`, on, alias);
  }

  #of(table: string, column: string, on?: string, alias = `${table}p`): string {
    const needed = this.#needed.get(table) ?? new Set();
    this.#needed.set(table, needed.add(column));
    this.#joins.set(alias, on ? `LEFT JOIN ${table}p ${alias} ON ${on}` : `LEFT JOIN ${table}p USING (entity, stop)`);
    return `${alias}.${column}`;
  }

  #signal = (of: string): number => this.#set.signals.findIndex((s) => s.name === of);
  #unit = (signal: number): number => smallestUnit(this.#set.signals[signal]!);
}

const smallestUnit = (signal: SignalDefinition): number => (hasValues(signal) ? signal.smallestUnit : 1);

export interface BySql {
  readonly rows: Rows;
  /** Per column the size of what it was computed from. */
  readonly sizes: number[];
  /** Names of columns that are not computed here; they are NaN in `rows`. */
  readonly leftOut: ReadonlySet<string>;
}

/** All rows of the set over the tables of `loadSamples`. */
export async function bySql(db: DuckDBConnection, set: FeatureSetDefinition, span: SqlSpan): Promise<BySql> {
  await prepareTables(db, set, span);
  const columns = new Columns(set);
  const expressions = set.columns.map((c) => columns.of(c));
  const leftOut = new Set(set.columns.flatMap((c, i) => (expressions[i] === undefined ? [c.name] : [])));
  const { prepare, joins } = columns.tables();
  for (const minutes of columns.windows) await db.run(windowTables(minutes, set.hopMinutes));
  for (const pivot of prepare) await db.run(pivot);
  const selected = expressions.map((e) => `, (${e ?? "NULL"})::DOUBLE`).join("");
  const rows: Rows = new Map();
  const result = await db.stream(`SELECT r.entity, r.stop::DOUBLE${selected} FROM rows r ${joins.join(" ")}`);
  for await (const chunk of result.yieldRowsJs()) {
    for (const [entity, stop, ...values] of chunk as [string, number, ...(number | null)[]][]) {
      const row = Float64Array.from(values, (v) => (v !== null && Math.abs(v) <= FLOAT32_MAX ? v : Number.NaN));
      rows.set(keyOf(entity, stop * 60_000), row);
    }
  }
  return { rows, sizes: await sizesOf(db, set), leftOut };
}

/** The largest value that stands behind a column; 0 where it is a count, a time, or made of such. */
async function sizesOf(db: DuckDBConnection, set: FeatureSetDefinition): Promise<number[]> {
  const found = await db.runAndReadAll("SELECT signal, max(abs(value)) FROM samples GROUP BY 1");
  const sizes = new Map(found.getRows().map(([signal, size]) => [Number(signal), Number(size)]));
  return set.columns.map((column) =>
    "signal" in column ? (sizes.get(set.signals.findIndex((s) => s.name === column.signal)) ?? 0) : 0,
  );
}
