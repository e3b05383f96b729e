/** The tables that feature columns are computed from by SQL, straight from the events. */
import type { DuckDBConnection } from "@duckdb/node-api";
import {
  type CountSignal,
  type FeatureSetDefinition,
  hasValues,
  mineMinute,
  TemplateMiner,
  type ValueSignal,
} from "../../processors/index.ts";

export interface SqlSpan {
  /** Window ends, first included, last not. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly graceMs: number;
}

/** An entity without an event for so many minutes has no row. */
const SILENT_MINUTES = 15;
export const FLOAT32_MAX = 3.4028234663852886e38;
const text = (s: string): string => `'${s.replaceAll("'", "''")}'`;
const minutesOf = (ms: number): number => Math.floor(ms / 60_000);

/** `accepted`: one row per counted event. `refused`: the late ones. `rows(entity, stop, newest)`: in minutes. */
async function prepareRows(db: DuckDBConnection, set: FeatureSetDefinition, span: SqlSpan): Promise<void> {
  const from = Math.ceil(minutesOf(span.fromMs) / set.hopMinutes) * set.hopMinutes;
  await db.run(
    `CREATE OR REPLACE TABLE accepted AS
       SELECT * EXCLUDE (copy) FROM (
         SELECT *, ts // 60000 AS minute, row_number() OVER (PARTITION BY entity, stream, id ORDER BY no) AS copy
         FROM events WHERE ts >= clock_ms - ${span.graceMs}
       ) WHERE copy = 1;
     CREATE OR REPLACE TABLE refused AS
       SELECT entity, clock_ms // 60000 AS minute FROM events WHERE ts < clock_ms - ${span.graceMs};
     CREATE OR REPLACE TABLE rows AS
       SELECT entity, e AS stop, max(minute) AS newest FROM (SELECT DISTINCT entity, minute FROM accepted),
         LATERAL (SELECT unnest(generate_series(minute + 1, minute + ${SILENT_MINUTES})) AS e)
       WHERE e % ${set.hopMinutes} = 0 AND e >= ${from} AND e * 60000 < ${span.toMs}
       GROUP BY ALL;`,
  );
}

/** How a value is judged: kept, kept and flagged, or taken as missing. */
function verdict(signal: ValueSignal): string {
  const rules = signal.rules ?? [];
  if (rules.some((rule) => rule.outcome === "refused")) throw new Error("SQL knows no rule that refuses events.");
  const outside = ([low, high]: readonly [number, number]) => `(value < ${low} OR value > ${high})`;
  const missing = rules.filter((r) => r.outcome === "missing").map((r) => outside(r.outside));
  const flagged = rules.filter((r) => r.outcome === "flagged").map((r) => outside(r.outside));
  if (signal.range) flagged.push(outside(signal.range));
  return `CASE WHEN ${[`NOT abs(value) <= ${FLOAT32_MAX}`, ...missing].join(" OR ")} THEN 'missing'
               WHEN ${flagged.join(" OR ") || "false"} THEN 'flagged' ELSE 'ok' END`;
}

const lineCondition = ({ levels, of, field, atLeast }: CountSignal): string =>
  [
    "level IS NOT NULL AND NOT continues",
    ...(levels ? [`level IN (${levels.map(text).join(", ")})`] : []),
    ...(of ? [`source = ${text(of)}`] : []),
    ...(field
      ? [
          `no IN (SELECT no FROM vals WHERE NOT is_metric AND name = ${text(field)} AND value >= ${atLeast ?? "-1e999::DOUBLE"})`,
        ]
      : []),
  ].join(" AND ");

/**
 * `samples(entity, minute, ts, id, signal, value, verdict)`: the values of a signal; of one that counts lines, their number
 * in each minute in which the entity spoke. What a rule took as missing stands in `imputed(entity, minute)`.
 */
async function prepareSamples(db: DuckDBConnection, set: FeatureSetDefinition): Promise<void> {
  const parts = set.signals.map((signal, i) => {
    if (!hasValues(signal))
      return `SELECT entity, minute, minute * 60000 AS ts, '' AS id, ${i} AS signal,
                     count(*) FILTER (${lineCondition(signal)})::DOUBLE AS value, 'ok' AS verdict
              FROM accepted GROUP BY entity, minute`;
    if ("template" in signal)
      return `SELECT entity, minute, minute * 60000 AS ts, '' AS id, ${i} AS signal, value, ${verdict(signal)} AS verdict FROM template_values
              WHERE name = ${text(signal.template)}`;
    const where =
      "metric" in signal
        ? `is_metric AND name = ${text(signal.metric)}`
        : `NOT is_metric AND name = ${text(signal.field)} AND NOT continues${signal.of ? ` AND source = ${text(signal.of)}` : ""}`;
    return `SELECT entity, minute, ts, id, ${i} AS signal, value, ${verdict(signal)} AS verdict FROM accepted JOIN vals USING (no) WHERE ${where}`;
  });
  if (set.signals.some((s) => "template" in s)) await mineTemplates(db);
  await db.run(
    `CREATE OR REPLACE TABLE judged AS ${parts.join(" UNION ALL ")};
     CREATE OR REPLACE TABLE imputed AS SELECT entity, minute FROM judged WHERE verdict = 'missing';
     CREATE OR REPLACE TABLE samples AS SELECT * FROM judged WHERE verdict <> 'missing';
     CREATE OR REPLACE TABLE means AS
       SELECT entity, signal, minute, avg(value)::FLOAT AS mean, bool_and(verdict = 'ok') AS good FROM samples GROUP BY ALL;
     CREATE OR REPLACE TABLE centres AS SELECT entity, signal, avg(value) AS centre FROM samples GROUP BY ALL;`,
  );
}

/** `template_values(entity, minute, name, value)`. The miner itself is the product's: SQL takes over from its figures. */
async function mineTemplates(db: DuckDBConnection): Promise<void> {
  await db.run("CREATE OR REPLACE TABLE template_values(entity VARCHAR, minute BIGINT, name VARCHAR, value DOUBLE)");
  const lines = await db.runAndReadAll(
    `SELECT entity, minute::INT AS m, list(text), list(n) FROM (
       SELECT entity, minute, text, count(*)::INT AS n FROM accepted WHERE level IS NOT NULL AND NOT continues GROUP BY ALL
     ) GROUP BY ALL ORDER BY entity, m`,
  );
  const into = await db.createAppender("template_values");
  let [of, miner] = ["", new TemplateMiner()];
  for (const [entity, minute, texts, counts] of lines.getRowsJS() as [string, number, string[], number[]][]) {
    if (entity !== of) [of, miner] = [entity, new TemplateMiner()];
    const { signals } = mineMinute(miner, new Map(texts.map((t, i) => [t, counts[i]!])), minute);
    for (const [name, value] of Object.entries(signals)) {
      if (Number.isNaN(value)) continue;
      into.appendVarchar(entity);
      into.appendBigInt(BigInt(minute));
      into.appendVarchar(name);
      into.appendDouble(value);
      into.endRow();
    }
  }
  into.closeSync();
}

/** `hours`: mean per entity, signal and hour. `days(stop_hour)`: over the 24 whole hours before it. */
async function prepareDays(db: DuckDBConnection, set: FeatureSetDefinition): Promise<void> {
  const names = set.columns.flatMap((c) => ("day" in c || "sameHour" in c || "check" in c ? [c.signal] : []));
  const signals = set.signals.flatMap((s, i) => (names.includes(s.name) ? [i] : []));
  const hourly = `(SELECT entity, signal, value, minute // 60 AS hour FROM samples WHERE signal IN (${signals.join(", ")}))`;
  await db.run(
    `CREATE OR REPLACE TABLE hours AS SELECT entity, signal, hour, avg(value)::FLOAT AS mean FROM ${hourly} GROUP BY ALL;
     CREATE OR REPLACE TABLE days AS
       SELECT entity, signal, stop_hour, avg(value)::FLOAT AS mean, stddev_samp(value)::FLOAT AS std
       FROM (SELECT *, unnest(generate_series(hour + 1, hour + 24)) AS stop_hour FROM ${hourly}) GROUP BY ALL;`,
  );
}

export async function prepareTables(db: DuckDBConnection, set: FeatureSetDefinition, span: SqlSpan): Promise<void> {
  await prepareRows(db, set, span);
  await prepareSamples(db, set);
  if (set.columns.some((c) => "day" in c || "sameHour" in c || "check" in c)) await prepareDays(db, set);
}

/** The window ends, multiples of the hop, that a minute lies before by no more than the window. */
const endsOf = (table: string, minutes: number, hop: number): string =>
  `(SELECT t.*, unnest(generate_series(((t.minute + ${hop}) // ${hop}) * ${hop}, t.minute + ${minutes}, ${hop})) AS stop FROM ${table} t)`;

/** `w<minutes>`, `slope<minutes>`: per row and signal; `e<minutes>`: per row. */
export const windowTables = (minutes: number, hop: number): string => {
  const count = (table: string) =>
    `(SELECT entity, stop, count(*) AS n, count(DISTINCT minute) AS minutes FROM ${endsOf(table, minutes, hop)} GROUP BY ALL)`;
  return `CREATE OR REPLACE TABLE w${minutes} AS
     SELECT entity, stop, signal, count(*) AS n, sum(value) AS sum, avg(value) AS mean, stddev_samp(value - centre) AS std,
            min(value) AS min, max(value) AS max, arg_min(value, (ts, id)) AS first, arg_max(value, (ts, id)) AS last,
            count(*) FILTER (verdict = 'flagged') AS flagged
     FROM rows JOIN ${endsOf("samples", minutes, hop)} USING (entity, stop) JOIN centres USING (entity, signal) GROUP BY ALL;
   CREATE OR REPLACE TABLE slope${minutes} AS
     SELECT entity, stop, signal, CASE WHEN count(*) > 1 THEN regr_slope(mean::DOUBLE, (minute - stop)::DOUBLE) END AS slope,
            count(*) FILTER (good) AS good
     FROM rows JOIN ${endsOf("means", minutes, hop)} USING (entity, stop) GROUP BY ALL;
   CREATE OR REPLACE TABLE e${minutes} AS
     SELECT entity, stop, coalesce(a.n, 0) AS events, coalesce(a.minutes, 0) AS active_minutes,
            coalesce(b.n, 0) AS refused, coalesce(c.n, 0) AS imputed
     FROM rows LEFT JOIN ${count("accepted")} a USING (entity, stop) LEFT JOIN ${count("refused")} b USING (entity, stop)
       LEFT JOIN ${count("imputed")} c USING (entity, stop);`;
};
