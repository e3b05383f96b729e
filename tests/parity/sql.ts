/**
 * Feature rows by SQL, written after the definitions in words: straight from the samples, without panes, sketches or any
 * code of the features stage. DuckDB computes in double precision; where a column is defined on values rounded to
 * float32 (pane means, ratios), they are cast to FLOAT.
 */
import type { DuckDBConnection } from "@duckdb/node-api";
import type { ColumnDefinition, FeatureSetDefinition, SignalDefinition } from "../../processors/index.ts";
import { keyOf, type Rows } from "./rows.ts";

export interface SqlSpan {
  /** Window ends, first included, last not. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly graceMs: number;
}

/** An entity without an event for so many minutes has no row. */
const SILENT_MINUTES = 15;
const FLOAT32_MAX = 3.4028234663852886e38;
const text = (s: string): string => `'${s.replaceAll("'", "''")}'`;
const name = (s: string): string => `"${s.replaceAll('"', '""')}"`;
const minutesOf = (ms: number): number => Math.floor(ms / 60_000);

/**
 * Tables `accepted` (one row per counted event), `rows` (entity, window end in minutes), `samples` (metrics by signal),
 * `means` (float32 mean per entity, signal and minute).
 */
async function prepare(db: DuckDBConnection, set: FeatureSetDefinition, span: SqlSpan): Promise<void> {
  const metrics = set.signals.flatMap((s, i) => ("metric" in s ? [`(${text(s.metric)}, ${i})`] : []));
  const from = Math.ceil(minutesOf(span.fromMs) / set.hopMinutes) * set.hopMinutes;
  await db.run(
    `CREATE OR REPLACE TABLE accepted AS
       SELECT * EXCLUDE (copy) FROM (
         SELECT *, ts // 60000 AS minute, row_number() OVER (PARTITION BY entity, stream, id ORDER BY no) AS copy
         FROM events WHERE ts >= clock_ms - ${span.graceMs}
       ) WHERE copy = 1;
     CREATE OR REPLACE TABLE rows AS
       SELECT entity, e AS stop FROM (SELECT DISTINCT entity, minute FROM accepted),
         LATERAL (SELECT unnest(generate_series(minute + 1, minute + ${SILENT_MINUTES})) AS e)
       WHERE e % ${set.hopMinutes} = 0 AND e >= ${from} AND e * 60000 < ${span.toMs}
       GROUP BY ALL;
     CREATE OR REPLACE TABLE samples AS
       SELECT a.entity, a.minute, a.ts, a.id, s.signal, v.value
       FROM accepted a JOIN vals v USING (no) JOIN (VALUES ${metrics.join(", ") || "(NULL, NULL)"}) s(name, signal) ON v.name = s.name
       WHERE abs(v.value) <= ${FLOAT32_MAX};
     CREATE OR REPLACE TABLE means AS
       SELECT entity, signal, minute, avg(value)::FLOAT AS mean FROM samples GROUP BY ALL;`,
  );
}

/** The window ends, multiples of the hop, that a minute lies before by no more than the window. */
const endsOf = (table: string, minutes: number, hop: number): string =>
  `(SELECT t.*, unnest(generate_series(((t.minute + ${hop}) // ${hop}) * ${hop}, t.minute + ${minutes}, ${hop})) AS stop FROM ${table} t)`;

/** Statistics per row and signal over one window: `w<minutes>`, `slope<minutes>`; `e<minutes>`: events and lines by level. */
const windowTables = (minutes: number, hop: number): string =>
  `CREATE OR REPLACE TABLE w${minutes} AS
     SELECT r.entity, r.stop, s.signal, count(*) AS n, sum(s.value) AS sum, avg(s.value) AS mean,
            stddev_samp(s.value - c.centre) AS std, min(s.value) AS min, max(s.value) AS max,
            arg_min(s.value, (s.ts, s.id)) AS first, arg_max(s.value, (s.ts, s.id)) AS last
     FROM rows r JOIN ${endsOf("samples", minutes, hop)} s ON s.entity = r.entity AND s.stop = r.stop
       JOIN (SELECT entity, signal, avg(value) AS centre FROM samples GROUP BY ALL) c
         ON c.entity = s.entity AND c.signal = s.signal
     GROUP BY ALL;
   CREATE OR REPLACE TABLE slope${minutes} AS
     SELECT r.entity, r.stop, m.signal, regr_slope(m.mean::DOUBLE, (m.minute - r.stop)::DOUBLE) AS slope
     FROM rows r JOIN ${endsOf("means", minutes, hop)} m ON m.entity = r.entity AND m.stop = r.stop
     GROUP BY ALL HAVING count(*) > 1;
   CREATE OR REPLACE TABLE e${minutes} AS
     SELECT r.entity, r.stop, count(*) AS events,
            ${["debug", "info", "warn", "error", "critical"]
              .map((level) => `count(*) FILTER (a.level = '${level}' AND NOT a.continues) AS ${level}`)
              .join(", ")}
     FROM rows r JOIN ${endsOf("accepted", minutes, hop)} a ON a.entity = r.entity AND a.stop = r.stop
     GROUP BY ALL;`;

const calendar: Readonly<Record<string, string>> = {
  hour_of_day: "(r.stop // 60) % 24",
  // 1970-01-01 was a Thursday; Monday is 0.
  day_of_week: "(r.stop // 1440 + 3) % 7",
  is_weekend: "((r.stop // 1440 + 3) % 7 >= 5)::INT",
  is_business_hours: "((r.stop // 1440 + 3) % 7 < 5 AND (r.stop // 60) % 24 BETWEEN 9 AND 16)::INT",
};

type StatisticColumn = Extract<ColumnDefinition, { statistic: unknown }>;

/** Columns as expressions over `r` and the tables they need joined, each once. */
class Columns {
  readonly windows = new Set<number>();
  readonly #set: FeatureSetDefinition;
  /** Per window, what is needed of `w` and `slope`: statistic and signal. */
  readonly #statistics = new Map<number, Set<string>>();
  readonly #lines = new Set<number>();
  readonly #backs = new Set<number>();

  constructor(set: FeatureSetDefinition) {
    this.#set = set;
  }

  of(column: ColumnDefinition): string {
    if ("calendar" in column) return calendar[column.calendar]!;
    if ("statistic" in column) return this.#statistic(column);
    if ("lagMinutes" in column) return this.#mean(this.#signal(column.signal), column.lagMinutes);
    if ("changeRateOf" in column) {
      const signals = column.changeRateOf.map((s) => this.#signal(s));
      const [now, before] = [0, 1].map((back) => signals.map((s) => `${this.#mean(s, back)}::DOUBLE`).join(" + "));
      const unit = Math.max(...column.changeRateOf.map((s) => smallestUnit(this.#definition(s))));
      return `((${now}) - (${before})) / greatest(abs(${before}), ${unit})`;
    }
    if (!("ratioOf" in column)) throw new Error(`${column.name}: there is no SQL for this kind of column.`);
    const [over, under] = column.ratioOf.map(
      (c) => `(${this.of(this.#set.columns.find((d) => d.name === c)!)})::FLOAT`,
    );
    // greatest() passes over NULL; a ratio with an unknown divisor is unknown.
    return `CASE WHEN ${under} IS NOT NULL THEN ${over}::DOUBLE / greatest(${under}, 1) END`;
  }

  /** Statements that turn signals into columns, and the joins. */
  tables(): { prepare: string[]; joins: string[] } {
    const prepare: string[] = [];
    const joins: string[] = [];
    for (const [minutes, needed] of this.#statistics) {
      const pivot = (table: string, of: string[]) =>
        `CREATE OR REPLACE TABLE ${table}p AS SELECT entity, stop${of
          .map((statistic) => {
            const [what, signal] = statistic.split("_");
            return `, max(${what}) FILTER (signal = ${signal}) AS ${statistic}`;
          })
          .join("")} FROM ${table} GROUP BY ALL`;
      const [slopes, others] = [true, false].map((slope) =>
        [...needed].filter((n) => n.startsWith("slope_") === slope),
      );
      prepare.push(pivot(`w${minutes}`, others!), pivot(`slope${minutes}`, slopes!));
      for (const table of [`w${minutes}p`, `slope${minutes}p`]) joins.push(`LEFT JOIN ${table} USING (entity, stop)`);
    }
    for (const minutes of this.#lines) joins.push(`LEFT JOIN e${minutes} USING (entity, stop)`);
    const signals = this.#set.signals.map((_, i) => `, max(mean) FILTER (signal = ${i}) AS m_${i}`).join("");
    prepare.push(`CREATE OR REPLACE TABLE meansp AS SELECT entity, minute${signals} FROM means GROUP BY ALL`);
    for (const back of this.#backs)
      joins.push(`LEFT JOIN meansp b${back} ON b${back}.entity = r.entity AND b${back}.minute = r.stop - ${back + 1}`);
    return { prepare, joins };
  }

  #statistic({ signal, statistic, windowMinutes }: StatisticColumn): string {
    const minutes = windowMinutes ?? this.#set.windowMinutes;
    this.windows.add(minutes);
    const definition = this.#definition(signal);
    if ("levels" in definition) {
      this.#lines.add(minutes);
      return definition.levels.map((level) => `e${minutes}.${level}`).join(" + ");
    }
    const name = `${statistic === "count" ? "n" : statistic}_${this.#signal(signal)}`;
    const needed = this.#statistics.get(minutes) ?? new Set();
    this.#statistics.set(minutes, needed.add(name));
    return `${statistic === "slope" ? "slope" : "w"}${minutes}p.${name}`;
  }

  /** Mean of one minute, so many minutes before the newest. */
  #mean(signal: number, back: number): string {
    this.#backs.add(back);
    return `b${back}.m_${signal}`;
  }

  #signal = (of: string): number => this.#set.signals.findIndex((s) => s.name === of);
  #definition = (of: string): SignalDefinition => this.#set.signals[this.#signal(of)]!;
}

const smallestUnit = (signal: SignalDefinition): number => ("metric" in signal ? signal.smallestUnit : 1);

/** All rows of the set over the tables of `loadSamples`, and per column the size of what it was computed from. */
export async function bySql(
  db: DuckDBConnection,
  set: FeatureSetDefinition,
  span: SqlSpan,
): Promise<{ rows: Rows; sizes: number[] }> {
  await prepare(db, set, span);
  const columns = new Columns(set);
  const expressions = set.columns.map((c) => `, (${columns.of(c)})::DOUBLE AS ${name(c.name)}`).join("");
  const { prepare: pivots, joins } = columns.tables();
  for (const minutes of columns.windows) await db.run(windowTables(minutes, set.hopMinutes));
  for (const pivot of pivots) await db.run(pivot);
  const rows: Rows = new Map();
  const result = await db.stream(`SELECT r.entity, r.stop::DOUBLE${expressions} FROM rows r ${joins.join(" ")}`);
  for await (const chunk of result.yieldRowsJs()) {
    for (const [entity, stop, ...values] of chunk as [string, number, ...(number | null)[]][]) {
      const row = Float64Array.from(values, (v) => (v !== null && Math.abs(v) <= FLOAT32_MAX ? v : Number.NaN));
      rows.set(keyOf(entity, stop * 60_000), row);
    }
  }
  return { rows, sizes: await sizesOf(db, set) };
}

/** The largest value that stands behind a column; 0 where it is a count, a time, or made of such. */
async function sizesOf(db: DuckDBConnection, set: FeatureSetDefinition): Promise<number[]> {
  const found = await db.runAndReadAll("SELECT signal, max(abs(value)) FROM samples GROUP BY 1");
  const sizes = new Map(found.getRows().map(([signal, size]) => [Number(signal), Number(size)]));
  return set.columns.map((column) =>
    "signal" in column ? (sizes.get(set.signals.findIndex((s) => s.name === column.signal)) ?? 0) : 0,
  );
}
