import { expect, test } from "vitest";
import { planFleet, type TruthIncident } from "../../local/fleet/index.ts";
import { decode, isData, minutes, options, roundsOf, startMs } from "./decode.ts";

const run = { seed: 11, endMs: startMs + minutes(1_440) };
const plan = planFleet(options(run));
const metricNames = ["CPUUtilization", "MemoryUtilization", "NetworkIn", "NetworkOut", "DiskReadOps", "DiskWriteOps"];

/** Per entity and minute: metrics and number of error lines. */
const series = new Map<string, Map<number, Record<string, number>>>();
const cell = (entity: string, timestamp: number) => {
  const rows = series.get(entity) ?? new Map<number, Record<string, number>>();
  series.set(entity, rows);
  const minute = Math.floor(timestamp / 60_000);
  const row = rows.get(minute) ?? { errors: 0, lines: 0 };
  rows.set(minute, row);
  return row;
};
for (const round of roundsOf(run))
  for (const e of round.records.map(decode).filter(isData)) {
    const instance = /i-0[0-9a-f]{16}/.exec(e.logStream)?.[0];
    for (const { message, timestamp } of e.logEvents) {
      if (e.logGroup === "/aws/cwagent/metrics") {
        const doc = JSON.parse(message);
        for (const name of metricNames) cell(doc.InstanceId, timestamp)[name] = doc[name];
      } else {
        const entity =
          instance ?? (e.logGroup === "/aws/rds/postgresql" ? `rds/${e.logStream}` : `lambda/${e.logStream}`);
        const row = cell(entity, timestamp);
        row.lines!++;
        if (/"level":"ERROR"|\[error\]|:ERROR: |\tERROR\t/.test(message)) row.errors!++;
      }
    }
  }

const ofKind = (kind: string) =>
  plan.truth.filter((t) => t.kind === kind && t.entity.startsWith("i-") && t.endMs < run.endMs);
const rowsOf = (entity: string, fromMs: number, toMs: number) => {
  const rows: Record<string, number>[] = [];
  for (let m = fromMs / 60_000; m < toMs / 60_000; m++) {
    const row = series.get(entity)?.get(m);
    if (row) rows.push(row);
  }
  return rows;
};
const mean = (rows: readonly Record<string, number>[], name: string) => {
  const values = rows.flatMap((r) => r[name] ?? []);
  return values.reduce((a, b) => a + b, 0) / values.length;
};
const half = (t: TruthIncident) => (t.startMs + t.endMs) / 2 - (((t.startMs + t.endMs) / 2) % 60_000);
/** The second half of the trouble against the half hour before it. */
const change = (t: TruthIncident, name: string) =>
  mean(rowsOf(t.entity, half(t), t.endMs), name) / mean(rowsOf(t.entity, t.startMs - minutes(30), t.startMs), name);
const everyOf = (kind: string, holds: (t: TruthIncident) => boolean) => {
  const all = ofKind(kind);
  expect(all.length).toBeGreaterThan(4);
  expect(all.filter((t) => !holds(t)).map((t) => `${t.entity} ${new Date(t.startMs).toISOString()}`)).toEqual([]);
};
const errorsAMinute = (t: TruthIncident) => mean(rowsOf(t.entity, half(t), t.endMs), "errors");

test("a saturated processor stands near its limit, and not still", () => {
  everyOf("cpu-saturation", (t) => {
    const cpu = rowsOf(t.entity, t.startMs + minutes(5), t.endMs).flatMap((r) => r.CPUUtilization ?? []);
    return cpu.reduce((a, b) => a + b) / cpu.length > 75 && new Set(cpu).size > cpu.length / 2;
  });
});

test("leaking memory climbs until it is nearly all gone", () => {
  everyOf("memory-leak", (t) => {
    const first = mean(rowsOf(t.entity, t.startMs, t.startMs + minutes(5)), "MemoryUtilization");
    const last = mean(rowsOf(t.entity, t.endMs - minutes(3), t.endMs), "MemoryUtilization");
    return last > 78 && last > first + 15;
  });
});

test("a filling disk is written to several times as much, and ends in errors", () => {
  everyOf("disk-filling", (t) => change(t, "DiskWriteOps") > 2.5 && errorsAMinute(t) > 0.5);
});

test("a bad deploy logs errors minute after minute", () => {
  everyOf("error-burst", (t) => errorsAMinute(t) > 2);
});

test("a lock storm stalls traffic of its service and raises errors there and in its database", () => {
  everyOf("lock-storm", (t) => change(t, "NetworkOut") < 0.75 && errorsAMinute(t) > 1);
  const databases = plan.truth.filter(
    (t) => t.kind === "lock-storm" && t.entity.startsWith("rds/") && t.endMs < run.endMs,
  );
  expect(databases.length).toBeGreaterThan(4);
  for (const t of databases) expect(errorsAMinute(t)).toBeGreaterThan(2);
});

test("a lost network leaves a trickle", () => {
  everyOf("network-loss", (t) => change(t, "NetworkIn") < 0.45 && errorsAMinute(t) > 1);
});

test("a silent host says nothing, before and after it does", () => {
  everyOf(
    "silent-host",
    (t) =>
      rowsOf(t.entity, t.startMs, t.endMs).length === 0 &&
      rowsOf(t.entity, t.startMs - minutes(30), t.startMs).length > 20 &&
      rowsOf(t.entity, t.endMs, t.endMs + minutes(10)).length > 5,
  );
});

test("well instances follow the day: more traffic in the afternoon than before dawn", () => {
  const at = (hour: number) => {
    const fromMs = Date.UTC(2026, 10, 23, hour) + (hour < 6 ? minutes(1_440) : 0);
    return plan.instances
      .map((i) => mean(rowsOf(i.entity, fromMs, fromMs + minutes(60)), "NetworkIn"))
      .filter(Number.isFinite);
  };
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  expect(sum(at(14)) / sum(at(3))).toBeGreaterThan(2);
});

test("errors are rare where nothing is wrong", () => {
  const troubled = new Set(plan.truth.map((t) => t.entity));
  const calm = plan.instances.filter((i) => !troubled.has(i.entity));
  expect(calm.length).toBeGreaterThan(2);
  for (const i of calm) expect(mean([...series.get(i.entity)!.values()], "errors")).toBeLessThan(0.05);
});
