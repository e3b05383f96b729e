import type { DuckDBConnection } from "@duckdb/node-api";
import { topics } from "../../pipeline.ts";
import type { LogBatch, LogEvent, SourceSign } from "../../schemas/index.ts";
import { WeirError } from "../../streams/index.ts";
import { type BackfillJob, HOUR_MS, type Lane, type LaneRecord } from "./lane.ts";

/** The raw files of one hour of event time as a list of paths; null: there are none. */
export type RawFiles = (hourMs: number) => Promise<readonly string[]>;

/** Further ahead of its source's clock the stage believes no event. */
const MAX_AHEAD_HOURS = 2;

/**
 * Raw Parquet as the input of the features stage.
 *
 * Files hold no ticks, but each row the clock that its source had. An hour of clocks is read at a time, in the order of
 * the topic, which is each source's own order; then a clock of our own ends the hour. A source that fell silent
 * therefore holds nothing up. One thing the files do not tell: an event that a source brought after it had been idle,
 * of a minute that had closed meanwhile, was late in the stage and counts here.
 */
export function lakeLane(db: DuckDBConnection, files: RawFiles, job: BackfillJob): Lane {
  const passedOver = { late: 0, dead: 0 };
  // Entities come from all partitions: rows depend on nothing else.
  return {
    name: "lake",
    partition: 0,
    partitions: 1,
    passedOver,
    records: (next) => read(db, files, job, next, passedOver),
  };
}

const CLOCK = "backfill";
const sign = (kind: SourceSign, source: string, clockMs: number): LogBatch => ({
  kind,
  source,
  clockMs,
  arrivalMs: clockMs,
  sequence: "",
  account: "",
  logGroup: "",
  logStream: "",
  entity: "",
  events: [],
});

async function* read(
  db: DuckDBConnection,
  files: RawFiles,
  { toMs, warmUpFromMs, graceMs }: BackfillJob,
  next: number | undefined,
  passedOver: { late: number; dead: number },
): AsyncGenerator<LaneRecord> {
  let offset = 0;
  const graceHours = Math.ceil(graceMs / HOUR_MS);
  const step = (value: LogBatch, nextMs: number): LaneRecord => ({
    record: {
      topic: topics.logsRaw,
      partition: 0,
      offset: offset++,
      timestampMs: value.clockMs,
      key: value.entity,
      value,
    },
    next: nextMs,
  });
  const firstMs = hourOf(warmUpFromMs) - MAX_AHEAD_HOURS * HOUR_MS;
  let found = 0;
  for (let hourMs = next ?? firstMs; hourMs < toMs + graceMs; hourMs += HOUR_MS) {
    const paths: string[] = [];
    for (let h = -graceHours; h <= MAX_AHEAD_HOURS; h++) paths.push(...(await files(hourMs + h * HOUR_MS)));
    found += paths.length;
    const isLast = hourMs + HOUR_MS >= toMs + graceMs;
    if (isLast && found === 0 && next === undefined) throw noInput(firstMs, toMs);
    yield step(sign("tick", CLOCK, hourMs), hourMs);
    const sources = new Set<string>();
    for await (const batch of batchesOf(db, paths, hourMs)) {
      sources.add(batch.source);
      yield step(batch, hourMs);
    }
    const left = await leftOut(db, await files(hourMs), hourMs, graceHours);
    passedOver.late += left.late;
    passedOver.dead += left.dead;
    for (const source of sources) yield step(sign("close", source, 0), hourMs);
    yield step(sign("tick", CLOCK, hourMs + HOUR_MS), hourMs + HOUR_MS);
  }
}

const noInput = (fromMs: number, toMs: number): WeirError =>
  new WeirError(
    "BACKFILL_NO_INPUT",
    "fatal",
    `There are no raw files from ${new Date(fromMs).toISOString()} to ${new Date(toMs).toISOString()}.`,
    "Check --from, --to and --source; `weir run lake` writes the raw files.",
  );

const hourOf = (ms: number): number => Math.floor(ms / HOUR_MS) * HOUR_MS;
const listOf = (paths: readonly string[]): string => `[${paths.map((p) => `'${p.replaceAll("'", "''")}'`).join(", ")}]`;
/** Before its first word on time a source has clock 0: the event's own time stands in. */
const clockHour = `(CASE WHEN clock_ms > 0 THEN clock_ms ELSE timestamp_ms END) // ${HOUR_MS}`;

/** Rows of one hour of clocks, put together to the records they came in. */
async function* batchesOf(db: DuckDBConnection, paths: readonly string[], hourMs: number): AsyncGenerator<LogBatch> {
  if (paths.length === 0) return;
  const result = await db.stream(
    `SELECT kafka_partition, kafka_offset, event_index, event_id, timestamp_ms::DOUBLE, message, entity, account,
            log_group, log_stream, arrival_ms::DOUBLE, source, clock_ms::DOUBLE
     FROM read_parquet(${listOf(paths)}, hive_partitioning = false) WHERE ${clockHour} = ${hourMs / HOUR_MS}
     ORDER BY 1, 2, 3`,
  );
  let batch: (LogBatch & { events: LogEvent[] }) | undefined;
  let [partition, offset, index] = [-1, -1n, -1];
  for await (const rows of result.yieldRowsJs()) {
    for (const row of rows as [number, bigint, number, string, number, string, ...unknown[]][]) {
      const [p, o, i, id, timestampMs, message, entity, account, logGroup, logStream, arrivalMs, source, clockMs] = row;
      if (p !== partition || o !== offset) {
        if (batch) yield batch;
        // Each partition hears its sources by itself.
        const clock = {
          source: `${p}/${source as string}`,
          clockMs: clockMs as number,
          arrivalMs: arrivalMs as number,
        };
        const of = { account: account as string, logGroup: logGroup as string, logStream: logStream as string };
        batch = { kind: "events", ...clock, ...of, sequence: "", entity: entity as string, events: [] };
      } else if (i === index) continue; // a compacted file beside its inputs
      [partition, offset, index] = [p, o, i];
      batch!.events.push({ id, timestampMs, message });
    }
  }
  if (batch) yield batch;
}

/** Rows of an hour that no hour of clocks looks for: late by more than the grace, or too far ahead. */
async function leftOut(
  db: DuckDBConnection,
  paths: readonly string[],
  hourMs: number,
  graceHours: number,
): Promise<{ late: number; dead: number }> {
  if (paths.length === 0) return { late: 0, dead: 0 };
  const hour = hourMs / HOUR_MS;
  const counted = await db.runAndReadAll(
    `SELECT count(*) FILTER (${clockHour} > ${hour + graceHours}), count(*) FILTER (${clockHour} < ${hour - MAX_AHEAD_HOURS})
     FROM read_parquet(${listOf(paths)}, hive_partitioning = false)`,
  );
  const [late, dead] = counted.getRows()[0]!.map(Number);
  return { late: late!, dead: dead! };
}
