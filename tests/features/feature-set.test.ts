import { describe, expect, test } from "vitest";
import {
  compileFeatureSet,
  type FeatureSetDefinition,
  featureSetFromMetrics,
  loadFeatureSet,
  readFeatureSet,
} from "../../processors/features/index.ts";
import {
  column,
  core37,
  DAY_ONE,
  emf,
  eventsOf,
  lineEvent,
  MINUTE,
  metricEvent,
  newProcessor,
  run,
  sign,
} from "./helpers.ts";

const T = DAY_ONE * MINUTE;
const at = (minute: number, ms = 0) => T + minute * MINUTE + ms;

const core37Columns =
  "hour_of_day day_of_week is_weekend is_business_hours cpu_mean cpu_std cpu_min cpu_max memory_mean memory_std " +
  "memory_min memory_max network_in_sum network_out_sum error_count warning_count cpu_lag_1 cpu_lag_5 cpu_lag_15 " +
  "memory_lag_1 memory_lag_5 memory_lag_15 cpu_change_rate memory_change_rate network_change_rate disk_read_ops " +
  "disk_write_ops disk_read_change_rate disk_write_change_rate network_in_lag_1 network_out_lag_1 log_count " +
  "error_ratio cpu_slope memory_slope network_in_std network_out_std";

describe("definitions", () => {
  test("core-37 has its 37 columns in their order, core-36 all but the last", () => {
    expect(core37.columns.join(" ")).toBe(core37Columns);
    expect(loadFeatureSet("core-36").columns).toEqual(core37.columns.slice(0, 36));
  });

  test("the hash follows the meaning, not the layout", () => {
    const definition = readFeatureSet("core-37");
    const turned = Object.fromEntries(Object.entries(definition).reverse()) as unknown as FeatureSetDefinition;
    expect(compileFeatureSet(turned).hash).toBe(core37.hash);
    expect(compileFeatureSet({ ...definition, timezone: "Europe/Berlin" }).hash).not.toBe(core37.hash);
    expect(loadFeatureSet("core-36").hash).not.toBe(core37.hash);
  });

  test("a set for named metrics has ten columns for each", () => {
    const set = featureSetFromMetrics({ name: "csv", metrics: ["x", "y"], hopMinutes: 15 });
    expect(set.columns.slice(0, 10)).toEqual(
      ["last", "mean", "std", "min", "max", "slope", "lag_1", "lag_5", "lag_15", "change_rate"].map((c) => `x_${c}`),
    );
    expect(set.columns).toHaveLength(20);
    expect(set.hopMinutes).toBe(15);
  });

  test("a faulty definition is refused with every fault at once", () => {
    const definition: FeatureSetDefinition = {
      name: "bad",
      hopMinutes: 0,
      windowMinutes: 15,
      timezone: "Mars/Olympus",
      signals: [
        { name: "a", metric: "cpu_usage_active", unit: "Percent", centre: 0, smallestUnit: 0 },
        { name: "a", metric: "CPUUtilization", unit: "Percent", centre: 0, smallestUnit: 1, range: [1, 0] },
        { name: "lines", levels: ["info"] },
      ],
      columns: [
        { name: "x", signal: "nothing", statistic: "mean" },
        { name: "x", signal: "lines", statistic: "mean" },
        { name: "r", ratioOf: ["later", "x"] },
        { name: "later", signal: "a", lagMinutes: 1.5 },
      ],
    };
    const faults = [
      "hopMinutes is 0",
      "Mars/Olympus",
      "signal a is declared twice",
      "column x is declared twice",
      "CPUUtilization feeds two signals",
      "smallestUnit above 0",
      "range of a",
      "unknown signal nothing",
      "log lines are only counted",
      "column r needs later further up",
      "lagMinutes of later is 1.5",
    ];
    for (const fault of faults) {
      expect(() => compileFeatureSet(definition)).toThrowError(
        expect.objectContaining({ code: "FEATURE_SET_INVALID", message: expect.stringContaining(fault) }),
      );
    }
  });

  test.each(["nothing", "../avro/anomaly"])("a set that is not there is refused: %s", (name) => {
    expect(() => loadFeatureSet(name)).toThrowError(expect.objectContaining({ code: "FEATURE_SET_UNKNOWN" }));
  });
});

describe("values", () => {
  const minutes = (n: number, of: (minute: number) => Parameters<typeof metricEvent>[2]) =>
    Array.from({ length: n }, (_, m) => eventsOf("s", "a", at(m), [metricEvent("a", at(m), of(m))]));
  const lastRow = (n: number, of: (minute: number) => Parameters<typeof metricEvent>[2]) =>
    run([sign("s", "open", at(0)), ...minutes(n, of), sign("s", "tick", at(n + 1))]).rows.at(-1)!;

  test("windows are the 15 minutes up to the row's end, lags reach one minute further", () => {
    // cpu = minute number; the row ends at 20, its window holds 5 … 19, now is 19.
    const row = lastRow(20, (m) => ({ cpu: m, network_in: m * 1000, network_out: 500 }));
    expect(row.windowEndMs).toBe(at(20));
    const values = Object.fromEntries(core37.columns.map((c) => [c, column(row, c)]));
    expect(values).toMatchObject({
      cpu_mean: 12,
      cpu_std: Math.fround(Math.sqrt(20)),
      cpu_min: 5,
      cpu_max: 19,
      cpu_lag_1: 18,
      cpu_lag_5: 14,
      cpu_lag_15: 4,
      cpu_change_rate: Math.fround(1 / 18),
      cpu_slope: 1,
      network_in_sum: 180_000,
      network_out_sum: 7500,
      network_change_rate: Math.fround(1000 / 18_500),
      network_out_std: 0,
      memory_mean: Number.NaN,
      memory_slope: Number.NaN,
      disk_read_ops: Number.NaN,
      error_count: 0,
      log_count: 0,
      error_ratio: 0,
    });
  });

  test("a single sample has no spread and no slope, and a change from nothing is unknown", () => {
    const row = lastRow(1, () => ({ cpu: 7 }));
    expect(["cpu_std", "cpu_slope", "cpu_change_rate", "cpu_lag_1"].map((c) => column(row, c))).toEqual(
      Array(4).fill(Number.NaN),
    );
    expect(column(row, "cpu_mean")).toBe(7);
  });

  test("a change rate divides by at least the smallest unit", () => {
    expect(
      column(
        lastRow(2, (m) => ({ cpu: m * 0.5 })),
        "cpu_change_rate",
      ),
    ).toBe(5);
  });

  test("lines are counted by level, errors with the critical ones", () => {
    const lines = ["info", "warn", "warn", "error", "fatal", "debug"].map((l, i) => lineEvent(at(0, i), l));
    const { rows } = run([sign("s", "open", at(0)), eventsOf("s", "a", at(0), lines), sign("s", "tick", at(2))]);
    const values = ["error_count", "warning_count", "log_count", "error_ratio"].map((c) => column(rows[0]!, c));
    expect(values).toEqual([2, 2, 6, Math.fround(2 / 6)]);
  });

  test("a document of a wrong shape counts as a line and among the flaws", () => {
    const message = emf("a", at(0), { CPUUtilization: 1 }).replace('"CPUUtilization":1', '"CPUUtilization":"1"');
    const processor = newProcessor();
    const { rows } = run(
      [
        sign("s", "open", at(0)),
        eventsOf("s", "a", at(0), [{ id: "1", timestampMs: at(0), message }]),
        sign("s", "tick", at(2)),
      ],
      processor,
    );
    expect(column(rows[0]!, "log_count")).toBe(1);
    expect(column(rows[0]!, "cpu_mean")).toBeNaN();
    expect([...processor.flaws]).toEqual([["emf_shape", 1]]);
  });

  test("quality is the share of signal minutes that are there and in range", () => {
    const whole = { cpu: 1, memory: 1, network_in: 1, network_out: 1, disk_read: 1, disk_write: 1 };
    expect(lastRow(15, () => whole).quality).toBe(1);
    expect(lastRow(15, (m) => (m === 3 ? { ...whole, cpu: 101 } : whole)).quality).toBe(Math.fround(89 / 90));
    expect(lastRow(15, (m) => (m < 5 ? {} : whole)).quality).toBe(Math.fround(60 / 90));
    const flagged = lastRow(15, (m) => (m === 3 ? { ...whole, cpu: 101 } : whole));
    expect(column(flagged, "cpu_max")).toBe(101);
  });

  test("the status tells mean and lowest quality of the newest rows, and what was odd about events", () => {
    const processor = newProcessor();
    expect(processor.figures?.()).toEqual({});
    const broken = emf("b", at(0), { CPUUtilization: 1 }).replace('"CPUUtilization":1', '"CPUUtilization":"1"');
    const events = (entity: string, message: string) =>
      eventsOf("s", entity, at(0), [{ id: entity, timestampMs: at(0), message }]);
    run(
      [
        sign("s", "open", at(0)),
        events("a", emf("a", at(0), { CPUUtilization: 1 })),
        events("b", broken),
        sign("s", "tick", at(2)),
      ],
      processor,
    );
    // Of `a`, one of fifteen minutes is there; `b` sends no metric that could be missing.
    const lowest = Math.fround(1 / 15);
    expect(processor.figures?.()).toEqual({
      quality_mean: (lowest + 1) / 2,
      quality_lowest: lowest,
      flaw_emf_shape: 1,
    });
    run([sign("s", "tick", at(30))], processor);
    expect(processor.figures?.()).toEqual({ flaw_emf_shape: 1 });
  });

  test("a value beyond float32 is missing, not infinite", () => {
    const message = emf("a", at(0), { CPUUtilization: 0 }).replace(
      '"CPUUtilization":0',
      '"CPUUtilization":[1e999,1e39,3]',
    );
    const { rows } = run([
      sign("s", "open", at(0)),
      eventsOf("s", "a", at(0), [{ id: "1", timestampMs: at(0), message }]),
      sign("s", "tick", at(2)),
    ]);
    expect([column(rows[0]!, "cpu_mean"), column(rows[0]!, "cpu_max")]).toEqual([3, 3]);
  });

  test("of equal times the event with the same id wins as the last one, whichever came last", () => {
    const set = featureSetFromMetrics({ name: "one", metrics: ["m"], hopMinutes: 1 });
    const event = (id: string, m: number, ms = 5) => ({ id, timestampMs: at(0, ms), message: emf("a", at(0), { m }) });
    const last = (order: ReturnType<typeof event>[]) => {
      const records = [sign("s", "open", at(0)), ...order.map((e) => eventsOf("s", "a", at(0), [e]))];
      return column(run([...records, sign("s", "tick", at(2))], newProcessor(set)).rows[0]!, "m_last", set);
    };
    const [x, y] = [event("x", 1), event("y", 2)];
    expect(last([x, y])).toBe(last([y, x]));
    expect(last([event("z", 3, 6), x, y])).toBe(3);
  });

  test.each([
    ["UTC", "2024-01-05T09:00:00Z", [9, 4, 0, 1]],
    ["UTC", "2024-01-05T08:59:00Z", [8, 4, 0, 0]],
    ["UTC", "2024-01-05T16:59:00Z", [16, 4, 0, 1]],
    ["UTC", "2024-01-05T17:00:00Z", [17, 4, 0, 0]],
    ["UTC", "2024-01-06T12:00:00Z", [12, 5, 1, 0]],
    ["UTC", "2024-01-08T00:00:00Z", [0, 0, 0, 0]],
    ["Europe/Berlin", "2024-01-07T23:00:00Z", [0, 0, 0, 0]],
    ["Europe/Berlin", "2024-03-31T00:59:00Z", [1, 6, 1, 0]],
    ["Europe/Berlin", "2024-03-31T01:00:00Z", [3, 6, 1, 0]],
    ["Asia/Kolkata", "2024-01-05T03:30:00Z", [9, 4, 0, 1]],
  ])("calendar of a row in %s ending at %s", (timezone, end, expected) => {
    const set = compileFeatureSet({ ...readFeatureSet("core-37"), timezone });
    const endMs = Date.parse(end);
    const { rows } = run(
      [
        sign("s", "open", endMs - MINUTE),
        eventsOf("s", "a", endMs - MINUTE, [metricEvent("a", endMs - MINUTE, { cpu: 1 })]),
        sign("s", "tick", endMs + MINUTE),
      ],
      newProcessor(set),
    );
    expect([...rows[0]!.values.slice(0, 4)]).toEqual(expected);
  });
});
