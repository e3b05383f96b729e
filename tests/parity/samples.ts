/** What the events of a telemetry say, as tables for SQL. Which of them count is left to the SQL. */
import type { DuckDBConnection } from "@duckdb/node-api";
import { joinTrace, maskedText, type OpenTrace, parseEvent } from "../../processors/index.ts";
import { logsRaw, type Telemetry } from "./telemetry.ts";

/**
 * `events(no, entity, stream, id, ts, clock_ms, level, source, continues, text)`, in the order of the topic; the last
 * four are of log lines. `vals(no, name, value, is_metric)`: the observations of metric events, and the numbers that log
 * lines carry in their fields.
 */
export async function loadSamples(db: DuckDBConnection, { rounds, featureSet }: Telemetry): Promise<void> {
  await db.run(
    `CREATE TABLE events(no BIGINT, entity VARCHAR, stream VARCHAR, id VARCHAR, ts BIGINT, clock_ms BIGINT,
                         level VARCHAR, source VARCHAR, continues BOOLEAN, text VARCHAR);
     CREATE TABLE vals(no BIGINT, name VARCHAR, value DOUBLE, is_metric BOOLEAN)`,
  );
  const events = await db.createAppender("events");
  const vals = await db.createAppender("vals");
  const open = new Map<string, OpenTrace | undefined>();
  const mines = featureSet.signals.some((s) => "template" in s);
  let no = 0n;
  const put = (name: string, value: number, isMetric: boolean) => {
    vals.appendBigInt(no);
    vals.appendVarchar(name);
    vals.appendDouble(value);
    vals.appendBoolean(isMetric);
    vals.endRow();
  };
  for (const { value: batch } of logsRaw(rounds())) {
    const stream = `${batch.account}\n${batch.logGroup}\n${batch.logStream}`;
    for (const { id, timestampMs, message } of batch.events) {
      const parsed = parseEvent(batch.logGroup, batch.logStream, message, timestampMs);
      events.appendBigInt(no);
      for (const text of [batch.entity, stream, id]) events.appendVarchar(text);
      events.appendBigInt(BigInt(timestampMs));
      events.appendBigInt(BigInt(batch.clockMs));
      if (parsed.kind === "log") {
        const joined = joinTrace(open.get(`${batch.source}\n${stream}`), message, parsed);
        open.set(`${batch.source}\n${stream}`, joined.open);
        events.appendVarchar(parsed.level);
        events.appendVarchar(parsed.source);
        events.appendBoolean(joined.continues);
        events.appendVarchar(mines ? maskedText(parsed.message) : "");
        for (const [name, value] of Object.entries(parsed.metadata ?? {}))
          if (typeof value === "number") put(name, value, false);
      } else {
        for (let i = 0; i < 4; i++) events.appendNull();
        for (const { name, values } of parsed.samples) for (const value of values) put(name, value, true);
      }
      events.endRow();
      no++;
    }
  }
  events.closeSync();
  vals.closeSync();
}
