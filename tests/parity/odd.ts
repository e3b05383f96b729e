/**
 * Telemetry that does what the simulated fleet never does: frozen and flagged values, shares for percent, gaps, several
 * values a document, traces, cold starts, time-outs, slow statements. Drawn from a seed, over 28 hours.
 */

import { noInjection, type StreamRecord, type TelemetryRound } from "../../local/fleet/types.ts";
import type { LogEvent } from "../../local/fleet/wire.ts";
import { dataRecord, metricDirective, metricDocument } from "../../local/fleet/wire.ts";
import { randomOf } from "../templates/lines.ts";

const MINUTE_MS = 60_000;
export const ODD_MINUTES = 28 * 60;
const ROUND_MINUTES = 10;
const names = ["CPUUtilization", "MemoryUtilization", "NetworkIn", "NetworkOut", "DiskReadOps", "DiskWriteOps"];
const directive = metricDirective(
  "CWAgent",
  names.map((Name) => ({ Name })),
);
const id = "6f1d8a0e-1111-2222-3333-444455556666";

const trace = [
  "ERROR order 17 failed",
  "java.lang.IllegalStateException: no session",
  "\tat shop.Cart.of(Cart.java:31)",
  "Caused by: java.io.IOException: broken pipe",
  "\t... 12 more",
  "INFO retried",
];
const functionLines = [
  `START RequestId: ${id} Version: 7`,
  `REPORT RequestId: ${id}\tDuration: 31.5 ms\tMemory Size: 128 MB\tMax Memory Used: 70 MB\tInit Duration: 201.5 ms\t`,
  `REPORT RequestId: ${id}\tDuration: 9.25 ms\tMemory Size: 128 MB\tMax Memory Used: 71 MB\t`,
  `2024-01-02T03:04:05.123Z ${id} Task timed out after 3.00 seconds`,
  `2024-01-02T03:04:05.123Z\t${id}\tERROR\tno bucket named images`,
];
const databaseLines = [
  "2024-01-02 03:04:05 UTC:10.0.0.4(5432):app@shop:[811]:LOG:  duration: 1523.250 ms  statement: SELECT 1",
  "2024-01-02 03:04:05 UTC:10.0.0.4(5432):app@shop:[811]:LOG:  duration: 12.5 ms  statement: SELECT 2",
  "2024-01-02 03:04:05 UTC:10.0.0.4(5432):app@shop:[811]:ERROR:  deadlock detected",
  "2024-01-02 03:04:05 UTC:10.0.0.4(5432):app@shop:[811]:DETAIL:  Process 1 waits.",
  "2024-01-02 03:04:05 UTC:10.0.0.4(5432):app@shop:[811]:FATAL:  too many connections",
];

export function* oddRounds(startMs: number, seed = 1): Generator<TelemetryRound> {
  const random = randomOf(seed);
  const below = (n: number) => Math.floor(random() * n);
  let nextId = 0;
  const event = (timestamp: number, message: string): LogEvent => ({ id: `${++nextId}`, timestamp, message });

  /** Values of one minute of an instance: by the hour another trouble. */
  const values = (instance: number, minute: number): Record<string, number> => {
    const hour = Math.floor(minute / 60);
    const all = Object.fromEntries(names.map((name, i) => [name, i < 2 ? 40 + 20 * random() : 1e6 * random()]));
    const trouble = (hour + instance) % 7;
    if (trouble === 1) for (const name of names) all[name] = 42;
    if (trouble === 2) for (const name of names.slice(0, 2)) all[name]! /= 100;
    if (trouble === 3 && below(5) === 0) all.CPUUtilization = below(2) === 0 ? 150 : 20_000;
    if (trouble === 4 && below(3) === 0) delete all.MemoryUtilization;
    if (trouble === 5 && below(4) === 0) all.NetworkIn = below(2) === 0 ? -1 : 1e39;
    return all;
  };

  for (let begin = 0; begin < ODD_MINUTES; begin += ROUND_MINUTES) {
    const records: StreamRecord[] = [];
    const put = (logGroup: string, logStream: string, events: LogEvent[]) => {
      if (events.length > 0) records.push(dataRecord({ logGroup, logStream }, events));
    };
    for (let instance = 0; instance < 3; instance++) {
      const entity = `i-0000000${instance}`;
      const metrics: LogEvent[] = [];
      const lines: LogEvent[] = [];
      for (let minute = begin; minute < begin + ROUND_MINUTES; minute++) {
        const at = startMs + minute * MINUTE_MS;
        // Half an hour of silence, and minutes left out.
        if (minute % 500 < 30 * instance || below(20) === 0) continue;
        for (let n = 1 + below(2); n > 0; n--) {
          const atMs = at + below(MINUTE_MS);
          metrics.push(event(atMs, metricDocument(directive, atMs, entity, values(instance, minute))));
        }
        if (below(4) === 0) trace.forEach((text, i) => void lines.push(event(at + i, text)));
        if (below(3) === 0)
          lines.push(event(at + below(MINUTE_MS), `{"level":${10 * (1 + below(6))},"msg":"user ${below(9)} left"}`));
      }
      put("/aws/cwagent/metrics", entity, metrics);
      put("/application/logs", entity, lines);
    }
    for (const [group, stream, texts] of [
      ["/aws/lambda/resize", "a", functionLines],
      ["/aws/rds/instance/shop/postgresql", "shop.0", databaseLines],
      ["/aws/apigateway/shop", "i-00000001", ["ERROR upstream gone", "GET /orders 200", "WARN slow"]],
    ] as const) {
      const events: LogEvent[] = [];
      for (let minute = begin; minute < begin + ROUND_MINUTES; minute++)
        for (let n = below(4); n > 0; n--)
          events.push(event(startMs + minute * MINUTE_MS + below(MINUTE_MS), texts[below(texts.length)]!));
      put(group, stream, events);
    }
    // One in two rounds brings something that comes too late.
    if (begin > 60 && below(2) === 0)
      put("/application/logs", "i-00000002", [event(startMs + (begin - 30) * MINUTE_MS, "ERROR late")]);
    yield { clockMs: startMs + (begin + ROUND_MINUTES) * MINUTE_MS, records, injected: noInjection };
  }
}
