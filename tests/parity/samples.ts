/** What the events of a telemetry say, as tables for SQL. Which of them count is left to the SQL. */
import type { DuckDBConnection } from "@duckdb/node-api";
import { joinTrace, type OpenTrace, parseEvent } from "../../processors/index.ts";
import { logsRaw, type Telemetry } from "./telemetry.ts";

/**
 * `events(no, entity, stream, id, ts, clock_ms, level, continues)`, in the order of the topic; `level` is null for
 * metrics. `vals(no, name, value)`: the observations of metric events.
 */
export async function loadSamples(db: DuckDBConnection, { rounds }: Telemetry): Promise<void> {
  await db.run(
    `CREATE TABLE events(no BIGINT, entity VARCHAR, stream VARCHAR, id VARCHAR, ts BIGINT, clock_ms BIGINT, level VARCHAR, continues BOOLEAN);
     CREATE TABLE vals(no BIGINT, name VARCHAR, value DOUBLE)`,
  );
  const events = await db.createAppender("events");
  const vals = await db.createAppender("vals");
  const open = new Map<string, OpenTrace | undefined>();
  let no = 0n;
  for (const { value: batch } of logsRaw(rounds())) {
    const stream = `${batch.account}\n${batch.logGroup}\n${batch.logStream}`;
    for (const { id, timestampMs, message } of batch.events) {
      const parsed = parseEvent(batch.logGroup, batch.logStream, message, timestampMs);
      let continues = false;
      if (parsed.kind === "log") {
        const joined = joinTrace(open.get(`${batch.source}\n${stream}`), message, parsed);
        open.set(`${batch.source}\n${stream}`, joined.open);
        continues = joined.continues;
      }
      events.appendBigInt(no);
      events.appendVarchar(batch.entity);
      events.appendVarchar(stream);
      events.appendVarchar(id);
      events.appendBigInt(BigInt(timestampMs));
      events.appendBigInt(BigInt(batch.clockMs));
      if (parsed.kind === "log") events.appendVarchar(parsed.level);
      else events.appendNull();
      events.appendBoolean(continues);
      events.endRow();
      if (parsed.kind === "metrics") {
        for (const { name, values } of parsed.samples) {
          for (const value of values) {
            vals.appendBigInt(no);
            vals.appendVarchar(name);
            vals.appendDouble(value);
            vals.endRow();
          }
        }
      }
      no++;
    }
  }
  events.closeSync();
  vals.closeSync();
}
