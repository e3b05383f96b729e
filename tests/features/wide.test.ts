import { describe, expect, test } from "vitest";
import {
  compileFeatureSet,
  expandDefinition,
  loadFeatureSet,
  readFeatureSet,
} from "../../processors/features/index.ts";
import {
  column,
  DAY_ONE,
  emf,
  eventsOf,
  lineEvent,
  type Metrics,
  MINUTE,
  metricEvent,
  newProcessor,
  run,
  type SourceRecord,
  sign,
} from "./helpers.ts";

const T = DAY_ONE * MINUTE;
const at = (minute: number, ms = 0) => T + minute * MINUTE + ms;
const wide = loadFeatureSet("wide");

/** Rows of one entity that sends in each of `minutes` what `of` says. */
function rowsOfMinutes(minutes: number, of: (m: number) => Metrics | null, set = wide) {
  const records: SourceRecord[] = [sign("s", "open", at(0))];
  for (let m = 0; m < minutes; m++) {
    const metrics = of(m);
    if (metrics) records.push(eventsOf("s", "a", at(m), [metricEvent("a", at(m), metrics)]));
  }
  return run([...records, sign("s", "tick", at(minutes + 1))], newProcessor(set)).rows;
}

test("wide has at least 300 columns, every one with a name of its own", () => {
  expect(wide.columns.length).toBeGreaterThanOrEqual(300);
  expect(new Set(wide.columns).size).toBe(wide.columns.length);
});

test("a pattern stands for every combination, the last list turning fastest; numbers stay numbers", () => {
  const { columns } = expandDefinition({
    ...readFeatureSet("core-37"),
    columns: [{ for: { s: ["a", "b"], w: [5, 15] }, name: "{s}_{w}m", signal: "{s}", windowMinutes: "{w}" } as never],
  });
  expect(columns).toEqual([
    { name: "a_5m", signal: "a", windowMinutes: 5 },
    { name: "a_15m", signal: "a", windowMinutes: 15 },
    { name: "b_5m", signal: "b", windowMinutes: 5 },
    { name: "b_15m", signal: "b", windowMinutes: 15 },
  ]);
});

describe("windows", () => {
  test("of 5, 15 and 60 minutes end together", () => {
    const row = rowsOfMinutes(90, (m) => ({ cpu: m })).at(-1)!;
    const mean = (w: number) => column(row, `cpu_mean_${w}m`, wide);
    expect([mean(5), mean(15), mean(60)]).toEqual([87, 82, 59.5]);
    expect(column(row, "cpu_min_60m", wide)).toBe(30);
    expect(column(row, "cpu_shift", wide)).toBe(27.5);
    expect(column(row, "cpu_change_15", wide)).toBe(Math.fround(15 / 74));
  });

  test("of any length add up the same panes, wherever in the hour they end", () => {
    const definition = readFeatureSet("core-37");
    const lengths = [1, 2, 3, 4, 5, 7, 15, 59, 60, 61, 119, 120, 125, 240];
    const set = compileFeatureSet({
      ...definition,
      columns: lengths.flatMap((w) => [
        { name: `sum_${w}`, signal: "cpu", statistic: "sum" as const, windowMinutes: w },
        ...(["min", "first", "last", "slope"] as const).map((statistic) => ({
          name: `${statistic}_${w}`,
          signal: "cpu",
          statistic,
          windowMinutes: w,
        })),
      ]),
    });
    const value = (m: number) => (m % 3 === 0 ? 1 << (m % 7) : 100 - (m % 13));
    const rows = rowsOfMinutes(400, (m) => (m % 11 === 5 ? null : { cpu: value(m) }), set);
    for (const row of rows) {
      const end = row.windowEndMs / MINUTE - DAY_ONE;
      for (const w of lengths) {
        const there = Array.from({ length: w }, (_, i) => end - 1 - i).filter((m) => m >= 0 && m < 400 && m % 11 !== 5);
        const values = there.map(value);
        const of = (name: string) => column(row, `${name}_${w}`, set);
        const none = values.length === 0;
        const sum = none ? Number.NaN : values.reduce((a, b) => a + b, 0);
        expect([end, w, of("sum")]).toEqual([end, w, sum]);
        expect([end, w, of("min")]).toEqual([end, w, none ? Number.NaN : Math.min(...values)]);
        expect([end, w, of("first"), of("last")]).toEqual([
          end,
          w,
          values.at(-1) ?? Number.NaN,
          values[0] ?? Number.NaN,
        ]);
        expect([end, w, of("slope")]).toEqual([end, w, Math.fround(slopeOf(there, values))]);
      }
    }
  });

  /** In whole numbers up to the one division, so that it is exact. */
  function slopeOf(xs: readonly number[], ys: readonly number[]): number {
    const sum = (of: (i: number) => number) => xs.reduce((all, _, i) => all + of(i), 0);
    const [n, x, y] = [xs.length, sum((i) => xs[i]!), sum((i) => ys[i]!)];
    const [xx, xy] = [sum((i) => xs[i]! ** 2), sum((i) => xs[i]! * ys[i]!)];
    return n < 2 ? Number.NaN : (n * xy - x * y) / (n * xx - x * x);
  }
});

describe("the trailing day", () => {
  const DAY = 1_440;
  // Half an hour at 20, half at 40, hour after hour; then 90.
  const usual = (m: number) => (m % 60 < 30 ? 20 : 40);

  test("is the 24 whole hours before the row's end, deviations are in their standard deviations", () => {
    const rows = rowsOfMinutes(DAY + 90, (m) => ({ cpu: m < DAY + 60 ? usual(m) : 90 }));
    const row = rows.at(-1)!;
    const std = Math.sqrt((100 * DAY) / (DAY - 1));
    expect(column(row, "cpu_day_mean", wide)).toBe(30);
    expect(column(row, "cpu_day_std", wide)).toBeCloseTo(std, 5);
    expect(column(row, "cpu_day_deviation", wide)).toBeCloseTo(60 / std, 5);
    expect(column(row, "cpu_same_hour_mean", wide)).toBe(30);
    expect(column(row, "cpu_same_hour_change", wide)).toBe(2);
    // The first row that has an hour behind it is the one that ends with it.
    expect(rows.findIndex((r) => !Number.isNaN(column(r, "cpu_day_mean", wide)))).toBe(59);
    expect(rows.findIndex((r) => !Number.isNaN(column(r, "cpu_same_hour_mean", wide)))).toBe(DAY);
  });

  test("forgets what lies before it, and what an entity was before a silence of a day", () => {
    const rows = rowsOfMinutes(3 * DAY, (m) => (m < 60 || m >= 2 * DAY + 30 ? { cpu: m < 60 ? 80 : 10 } : null));
    const back = rows.filter((r) => r.windowEndMs > at(2 * DAY));
    const means = new Set(back.map((r) => column(r, "cpu_day_mean", wide)));
    expect(means).toEqual(new Set([Number.NaN, 10]));
  });
});

describe("log lines", () => {
  const rowOf = (lines: readonly { group?: string; message: string }[], minutes = 1) => {
    const records: SourceRecord[] = [sign("s", "open", at(0))];
    for (let m = 0; m < minutes; m++) {
      for (const [i, { group, message }] of lines.entries()) {
        const batch = eventsOf("s", "a", at(m), [{ id: `${m}-${i}`, timestampMs: at(m, i), message }]);
        records.push(group ? { ...batch, logGroup: group } : batch);
      }
    }
    const { rows } = run([...records, sign("s", "tick", at(minutes + 1))], newProcessor(wide));
    return (name: string) => column(rows.at(-1)!, name, wide);
  };

  test("durations and memory of functions, cold starts, errors and timeouts", () => {
    const group = "/aws/lambda/f";
    const report = (ms: number, more = "") =>
      `REPORT RequestId: 8f5f4a3e-1\tDuration: ${ms} ms\tBilled Duration: ${ms} ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB${more}\t`;
    const value = rowOf([
      { group, message: report(100, "\tInit Duration: 50 ms") },
      { group, message: report(300) },
      {
        group,
        message: "2024-01-01T00:00:00.000Z 8f5f4a3e-0000-0000-0000-000000000000 Task timed out after 3.00 seconds",
      },
    ]);
    expect(value("lambda_duration_count_5m")).toBe(2);
    expect(value("lambda_duration_mean_15m")).toBe(200);
    expect(value("lambda_memory_max_60m")).toBe(64);
    expect(value("cold_starts_5m")).toBe(1);
    expect(value("function_timeouts_15m")).toBe(1);
    expect(value("function_errors_15m")).toBe(1);
    expect(value("database_errors_15m")).toBe(0);
  });

  test("errors and slow statements of a database", () => {
    const group = "/aws/rds/instance/db/postgresql";
    const head = "2024-01-01 00:00:00 UTC:10.0.0.1(5000):app@shop:[17]:";
    const value = rowOf([
      { group, message: `${head}LOG:  duration: 1500.5 ms  statement: SELECT 1` },
      { group, message: `${head}LOG:  duration: 2 ms  statement: SELECT 1` },
      { group, message: `${head}ERROR:  deadlock detected` },
    ]);
    expect(value("slow_statements_5m")).toBe(1);
    expect(value("statement_duration_count_5m")).toBe(2);
    expect(value("statement_duration_max_5m")).toBe(1500.5);
    expect(value("database_errors_5m")).toBe(1);
    expect(value("function_errors_5m")).toBe(0);
  });

  test("templates: a minute's lines count by what they are, new ones against what was there before", () => {
    const lines = ["user 1 logged in", "user 2 logged in", "user 3 logged in", "disk is full"].map((message) => ({
      message: JSON.stringify({ level: "info", message }),
    }));
    const value = rowOf(lines, 3);
    expect(value("template_distinct_mean_5m")).toBe(2);
    expect(value("template_top_share_max_15m")).toBe(0.75);
    expect(value("template_entropy_mean_60m")).toBe(Math.fround(0.8112781244591328));
    expect(value("template_fresh_max_5m")).toBe(0);
    expect(rowOf(lines, 1)("template_fresh_max_5m")).toBeNaN();
    expect(rowOf([], 1)).toBeTypeOf("function");
  });
});

test("values that stand for several observations count as often", () => {
  const message = emf("a", at(0), { CPUUtilization: 0, MemoryUtilization: 0 })
    .replace('"CPUUtilization":0', '"CPUUtilization":{"Values":[10,50],"Counts":[3,1]}')
    .replace('"MemoryUtilization":0', '"MemoryUtilization":{"Min":10,"Max":40,"Sum":100,"Count":4}');
  const event = eventsOf("s", "a", at(0), [{ id: "1", timestampMs: at(0), message }]);
  const row = run([sign("s", "open", at(0)), event, sign("s", "tick", at(2))], newProcessor(wide)).rows[0]!;
  const value = (name: string) => column(row, name, wide);
  expect([value("cpu_count"), value("cpu_mean_5m"), value("cpu_std_5m")]).toEqual([4, 20, 20]);
  expect(["count", "mean_5m", "min_5m", "max_5m"].map((f) => value(`memory_${f}`))).toEqual([4, 25, 10, 40]);
});

test("summer time begins and ends in the columns of the set's zone, windows stay minutes", () => {
  const set = compileFeatureSet({ ...readFeatureSet("core-37"), timezone: "Europe/Berlin" });
  const hoursAround = (change: string) => {
    const from = Date.parse(change) - 2 * MINUTE;
    const minutes = Array.from({ length: 4 }, (_, m) => from + m * MINUTE);
    const records = minutes.map((t, i) => eventsOf("s", "a", t, [metricEvent("a", t, { cpu: i })]));
    const { rows } = run(
      [sign("s", "open", from), ...records, sign("s", "tick", from + 5 * MINUTE)],
      newProcessor(set),
    );
    return rows.map((r) => [column(r, "hour_of_day", set), column(r, "cpu_mean", set)]);
  };
  expect(hoursAround("2024-03-31T01:00:00Z")).toEqual([
    [1, 0],
    [3, 0.5],
    [3, 1],
    [3, 1.5],
  ]);
  expect(hoursAround("2024-10-27T01:00:00Z")).toEqual([
    [2, 0],
    [2, 0.5],
    [2, 1],
    [2, 1.5],
  ]);
});

describe("quality", () => {
  test("an entity that sends only lines is judged by its lines, not by metrics it never had", () => {
    const lines = [0, 1, 2].map((m) => eventsOf("s", "a", at(m), [lineEvent(at(m), "info")]));
    const { rows } = run([sign("s", "open", at(0)), ...lines, sign("s", "tick", at(4))]);
    expect(rows.map((r) => r.quality)).toEqual([1, 1, 1]);
  });

  test("late events and events from the future lower it in the minute of their source's clock", () => {
    const { rows } = run([
      sign("s", "open", at(10)),
      eventsOf("s", "a", at(10), [
        lineEvent(at(10), "info"),
        lineEvent(at(2), "info"),
        lineEvent(at(500), "info"),
        lineEvent(at(10), "info"),
      ]),
      sign("s", "tick", at(12)),
    ]);
    expect(rows.at(-1)!.quality).toBe(0.5);
  });

  test("a metric that the entity used to send lowers it when it stays away", () => {
    const rows = rowsOfMinutes(30, (m) => (m < 15 ? { cpu: m, memory: m } : { cpu: m }));
    expect(rows[14]!.quality).toBe(1);
    expect(rows.at(-1)!.quality).toBe(0.5);
  });

  test("the day's is that of its whole hours", () => {
    const rows = rowsOfMinutes(130, (m) => (m < 60 || m % 2 === 0 ? { cpu: m % 7 } : null));
    expect(column(rows.at(-1)!, "quality_day", wide)).toBe(0.75);
  });

  test("a value that a rule calls missing does not count, one that a rule refuses costs its event", () => {
    const definition = readFeatureSet("core-37");
    const [cpu, ...rest] = definition.signals;
    const rules = [
      { outside: [-10, 110], outcome: "missing" },
      { outside: [-1000, 1000], outcome: "refused" },
    ];
    const set = compileFeatureSet({ ...definition, signals: [{ ...cpu, rules } as never, ...rest] });
    const values = [50, 105, 500, 5000];
    const events = values.map((v, i) => ({
      id: `${i}`,
      timestampMs: at(0),
      message: emf("a", at(0), { CPUUtilization: v }),
    }));
    const { rows, output } = run(
      [sign("s", "open", at(0)), eventsOf("s", "a", at(0), events), sign("s", "tick", at(2))],
      newProcessor(set),
    );
    expect(column(rows[0]!, "cpu_max", set)).toBe(105);
    expect(column(rows[0]!, "cpu_mean", set)).toBe(77.5);
    expect(output.rejected.map((r) => [r.code, r.eventId])).toEqual([["value_refused", "3"]]);
    expect(output.counts).toMatchObject({ accepted: 3, dead: 1 });
    expect(rows[0]!.quality).toBe(0); // its one minute holds a flagged value
  });
});

describe("faults recognised", () => {
  test("a sensor that says the same for half an hour is frozen, one at rest for less is not", () => {
    const frozen = (m: number, last: number) =>
      column(rowsOfMinutes(m, (i) => ({ cpu: i < last ? i : 42 })).at(-1)!, "cpu_frozen", wide);
    expect(frozen(90, 30)).toBe(1);
    expect(frozen(90, 60)).toBe(0);
    expect(frozen(29, 0)).toBe(0);
    expect(frozen(30, 0)).toBe(1);
  });

  test("shares where percent belong are recognised by the trailing day, a machine at rest is not", () => {
    const slip = (usual: number, now: number) =>
      rowsOfMinutes(140, (m) => ({ cpu: m < 120 ? usual + (m % 5) : now })).map((r) =>
        column(r, "cpu_unit_slip", wide),
      );
    expect(slip(50, 0.52).at(-1)).toBe(1);
    expect(slip(50, 0.02).at(-1)).toBe(0);
    expect(slip(50, 52).at(-1)).toBe(0);
    expect(slip(0, 0.5).at(-1)).toBe(0);
    expect(slip(50, 0.52)[100]).toBe(0);
  });

  test("a counter that falls was reset", () => {
    const definition = readFeatureSet("core-37");
    const set = compileFeatureSet({
      ...definition,
      columns: [{ name: "reset", signal: "network_in", check: "counter_reset", windowMinutes: 15 }],
    });
    const resets = (of: (m: number) => number) =>
      rowsOfMinutes(30, (m) => ({ network_in: of(m) }), set).map((r) => column(r, "reset", set));
    expect(resets((m) => 1e12 + 500 * m).some((v) => v !== 0)).toBe(false);
    const found = resets((m) => (m < 10 ? 1e12 + 500 * m : 500 * m));
    expect(found.slice(0, 10)).toEqual(Array(10).fill(0));
    expect(found.slice(10, 24)).toEqual(Array(14).fill(1));
    expect(found.slice(24)).toEqual(Array(6).fill(0));
  });

  test("what fails a check has no good minute in its row's quality", () => {
    const rows = rowsOfMinutes(90, (m) => ({ cpu: 42, memory: m }));
    expect(rows.at(-1)!.quality).toBe(0.5);
  });
});
