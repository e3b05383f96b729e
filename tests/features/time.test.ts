import { describe, expect, test } from "vitest";
import { featureSetFromMetrics } from "../../processors/features/index.ts";
import {
  bits,
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
  type SourceRecord,
  sign,
} from "./helpers.ts";

const T = DAY_ONE * MINUTE;
const at = (minute: number, ms = 0) => T + minute * MINUTE + ms;
const cpu = (source: string, entity: string, clockMs: number, timestampMs: number, value = 50): SourceRecord =>
  eventsOf(source, entity, clockMs, [metricEvent(entity, timestampMs, { cpu: value })]);

describe("closing", () => {
  test("a window closes when the watermark reaches its end plus grace and not one millisecond before", () => {
    //  0        1        2 = end + grace
    //  [ minute )--grace--|
    const before = run([sign("s", "open", at(0)), cpu("s", "a", at(0), at(0)), sign("s", "tick", at(2, -1))]);
    expect(before.rows).toHaveLength(0);
    const after = run([sign("s", "open", at(0)), cpu("s", "a", at(0), at(0)), sign("s", "tick", at(2))]);
    expect(after.rows.map((r) => r.windowEndMs)).toEqual([at(1)]);
    expect(after.output.sent.at(-1)).toMatchObject({
      topic: "features",
      key: `0/${DAY_ONE + 1}/0`,
      timestampMs: at(1),
    });
  });

  test("the slowest open source holds the window, an idle or closed one does not", () => {
    const start = [
      sign("s", "open", at(0)),
      sign("slow", "open", at(0)),
      cpu("s", "a", at(0), at(0)),
      sign("s", "tick", at(5)),
    ];
    expect(run(start).rows).toHaveLength(0);
    expect(run([...start, sign("slow", "idle", at(0))]).rows).toHaveLength(4);
    expect(run([...start, sign("slow", "close", at(0))]).rows).toHaveLength(4);
  });

  test("each closed minute has a batch, empty or not, and carries its own end as the watermark", () => {
    const { batches } = run([sign("s", "open", at(0)), cpu("s", "a", at(0), at(0)), sign("s", "tick", at(24))]);
    const ends = batches.map((b) => b.windowEndMs);
    expect(ends).toEqual(Array.from({ length: 25 }, (_, i) => at(i - 1)));
    expect(batches.map((b) => b.watermarkMs)).toEqual(ends);
    expect(batches.filter((b) => b.entities.length === 1)).toHaveLength(15);
  });

  test("the first tick after an epoch of nothing emits one batch, not fifty years of them", () => {
    const { batches } = run([sign("s", "open", at(0))]);
    expect(batches.map((b) => b.windowEndMs)).toEqual([at(-1)]);
  });

  test("a jump of a year closes what was open, says who fell silent, and skips the rest", () => {
    const { batches, output } = run([
      sign("s", "open", at(0)),
      cpu("s", "a", at(0), at(0)),
      sign("s", "tick", at(365 * 1440)),
    ]);
    expect(batches.length).toBeLessThan(30);
    expect(batches.at(-1)!.windowEndMs).toBe(at(365 * 1440 - 1));
    expect(batches.flatMap((b) => b.silent)).toEqual(["a"]);
    expect(output.counts).toMatchObject({ accepted: 1, control: 2, dead: 0 });
  });

  test("with a hop of 15 minutes only window ends at multiples of 15 have a batch", () => {
    const set = featureSetFromMetrics({ name: "two", metrics: ["m1", "m2"], hopMinutes: 15 });
    const records: SourceRecord[] = [sign("s", "open", at(0))];
    for (let m = 0; m < 60; m++) {
      const message = emf("a", at(m), { m1: m / 60, m2: 1 });
      records.push(eventsOf("s", "a", at(m), [{ id: `${m}`, timestampMs: at(m), message }]));
    }
    const { rows, batches } = run([...records, sign("s", "tick", at(62))], newProcessor(set));
    expect(rows.map((r) => r.windowEndMs)).toEqual([at(15), at(30), at(45), at(60)]);
    expect(batches.every((b) => b.windowEndMs % (15 * MINUTE) === 0)).toBe(true);
    expect(column(rows[1]!, "m1_last", set)).toBe(Math.fround(29 / 60));
    expect(column(rows[1]!, "m1_lag_15", set)).toBe(Math.fround(14 / 60));
    expect(column(rows[1]!, "m1_slope", set)).toBeCloseTo(1 / 60, 6);
    expect(column(rows[1]!, "m2_std", set)).toBe(0);
  });
});

describe("lateness", () => {
  test("an event is late one millisecond below its source's clock minus grace and in time on it", () => {
    //            4:00 = clock − grace        5:00 = clock
    //  late  ……) [ in time ………………………………|
    const { output } = run([sign("s", "open", at(5)), cpu("s", "a", at(5), at(4)), cpu("s", "b", at(5), at(4, -1))]);
    expect(output.counts).toEqual({ accepted: 1, late: 1, dead: 0, duplicate: 0, control: 1 });
    expect(output.tooLate[0]).toMatchObject({ code: "late", entity: "b", timestampMs: at(4, -1) });
  });

  test("a record's events are judged by the clock it carries, whether or not this partition has heard of it", () => {
    const record = cpu("s", "a", at(60), at(0));
    const heard = run([sign("s", "open", at(0)), sign("s", "tick", at(60)), record]);
    const unheard = run([sign("s", "open", at(0)), record]);
    expect(heard.output.counts).toMatchObject({ accepted: 0, late: 1 });
    expect(unheard.output.counts).toMatchObject({ accepted: 0, late: 1 });
  });

  test("a source that lags behind others is not late by their clocks", () => {
    const { output } = run([
      sign("fast", "open", at(0)),
      sign("slow", "open", at(0)),
      sign("fast", "tick", at(8)),
      cpu("slow", "a", at(0), at(0)),
    ]);
    expect(output.counts).toMatchObject({ accepted: 1, late: 0 });
  });

  test("a source that wakes from idling below the watermark finds its minutes closed", () => {
    const { output, rows } = run([
      sign("fast", "open", at(0)),
      sign("sleeper", "open", at(0)),
      sign("sleeper", "idle", at(0)),
      sign("fast", "tick", at(8)),
      cpu("sleeper", "a", at(0), at(0)),
    ]);
    expect(output.counts).toMatchObject({ accepted: 0, late: 1 });
    expect(rows).toHaveLength(0);
  });

  test("an event more than two hours ahead of its record's clock is a dead letter", () => {
    const { output } = run([sign("s", "open", at(0)), cpu("s", "a", at(0), at(121)), cpu("s", "a", at(0), at(119))]);
    expect(output.rejected.map((r) => r.code)).toEqual(["too_far_ahead"]);
    expect(output.counts.accepted).toBe(1);
  });

  test("when one source stalls for hours while others run, the processor stops instead of filling the memory", () => {
    const records = [sign("s", "open", at(0)), sign("stalled", "open", at(0))];
    for (let m = 0; m < 300; m++) records.push(cpu("s", "a", at(m), at(m)));
    expect(() => run(records)).toThrowError(expect.objectContaining({ code: "PANES_FULL", disposition: "fatal" }));
  });
});

describe("entities", () => {
  test("an entity emits for 15 minutes after its last event and is named silent once, in the minute after", () => {
    //  0 (event)   1 … 15 rows      16 silent     17 nothing
    const { rows, batches } = run([
      sign("s", "open", at(0)),
      cpu("s", "a", at(0), at(0)),
      sign("s", "tick", at(9)),
      sign("s", "tick", at(40)),
    ]);
    expect(rows.map((r) => r.windowEndMs)).toEqual(Array.from({ length: 15 }, (_, i) => at(i + 1)));
    expect(batches.filter((b) => b.silent.length > 0).map((b) => [b.windowEndMs, b.silent])).toEqual([[at(16), ["a"]]]);
  });

  test("an entity that comes back emits again and can fall silent again", () => {
    const { rows, batches } = run([
      sign("s", "open", at(0)),
      cpu("s", "a", at(0), at(0)),
      sign("s", "tick", at(100)),
      cpu("s", "a", at(100), at(100)),
      sign("s", "tick", at(200)),
    ]);
    expect(rows).toHaveLength(30);
    expect(batches.flatMap((b) => b.silent)).toEqual(["a", "a"]);
  });

  test("a new entity in a silent one's slot sees nothing of its past", () => {
    const processor = newProcessor();
    const { rows } = run(
      [
        sign("s", "open", at(0)),
        cpu("s", "old", at(0), at(0), 99),
        sign("s", "tick", at(60)),
        cpu("s", "new", at(60), at(60), 10),
        sign("s", "tick", at(80)),
      ],
      processor,
    );
    expect(rows.filter((r) => r.entity === "new").map((r) => column(r, "cpu_max"))).toEqual(Array(15).fill(10));
    const keys: string[] = [];
    for (const store of processor.stores) store.flush((key) => keys.push(key));
    expect(keys.filter((k) => k.startsWith("slot/"))).toEqual(["slot/0"]);
  });

  test("rows are sorted by entity and cut at 512 a batch, numbered within their minute", () => {
    const names = Array.from({ length: 1030 }, (_, i) => `host-${(i * 7919) % 1030}`);
    const records = names.map((name) => cpu("s", name, at(0), at(0)));
    const { batches } = run([sign("s", "open", at(0)), ...records, sign("s", "tick", at(2))]);
    const full = batches.filter((b) => b.windowEndMs === at(1));
    expect(full.map((b) => [b.entities.length, b.chunk, b.chunks])).toEqual([
      [512, 0, 3],
      [512, 1, 3],
      [6, 2, 3],
    ]);
    const entities = full.flatMap((b) => b.entities);
    expect(entities).toEqual([...names].sort());
    expect(full.every((b) => b.matrix.length === b.entities.length * 37 * 4)).toBe(true);
  });

  test("an entity in a partition that is not its own is a dead letter", () => {
    const { output } = run(
      [sign("s", "open", at(0)), ...["a", "b", "c", "d"].map((e) => cpu("s", e, at(0), at(0)))],
      newProcessor(core37, 2),
    );
    expect(output.counts.accepted + output.counts.dead).toBe(4);
    expect(new Set(output.rejected.map((r) => r.code))).toEqual(new Set(["wrong_partition"]));
    expect(output.counts.accepted).toBeGreaterThan(0);
    expect(output.counts.dead).toBeGreaterThan(0);
  });

  test("a second event of the same id is a duplicate while its minute is open and late afterwards", () => {
    const twice = metricEvent("a", at(0), { cpu: 40 }, "same");
    const { output, rows } = run([
      sign("s", "open", at(0)),
      eventsOf("s", "a", at(0), [twice, twice]),
      eventsOf("s", "a", at(0), [twice]),
      sign("s", "tick", at(2)),
      eventsOf("s", "a", at(2), [twice]),
    ]);
    expect(output.counts).toEqual({ accepted: 1, duplicate: 2, late: 1, dead: 0, control: 2 });
    expect(column(rows[0]!, "cpu_mean")).toBe(40);
  });

  test("equal ids of different streams or entities are different events", () => {
    const event = (entity: string) => metricEvent(entity, at(0), { cpu: 1 }, "same");
    const other = { ...eventsOf("s", "a", at(0), [event("a")]), logStream: "another" };
    const { output } = run([
      sign("s", "open", at(0)),
      eventsOf("s", "a", at(0), [event("a")]),
      other,
      eventsOf("s", "b", at(0), [event("b")]),
    ]);
    expect(output.counts).toMatchObject({ accepted: 3, duplicate: 0 });
  });

  test("a row names the first and last offset of its newest minute with data", () => {
    const { rows } = run([
      sign("s", "open", at(0)),
      cpu("s", "a", at(0), at(0)),
      cpu("s", "a", at(0), at(1)),
      cpu("s", "b", at(0), at(1)),
      eventsOf("s", "a", at(0), [lineEvent(at(1, 5), "info")]),
      sign("s", "tick", at(4)),
    ]);
    const ofA = rows.filter((r) => r.entity === "a").map((r) => [r.firstOffset, r.lastOffset]);
    expect(ofA).toEqual([
      [1, 1],
      [2, 4],
      [2, 4],
    ]);
  });

  test("the order of samples changes no bit, and a small spread far from zero is not lost in rounding", () => {
    const values = [0.1, 0.7, 0.2, 0.9, 0.4, 0.3].map((v) => 5e8 + v);
    const rowOf = (order: readonly number[]) => {
      const events = order.map((v, i) => metricEvent("a", at(0, i === 0 ? 0 : 1), { network_in: v }));
      const { rows } = run([sign("s", "open", at(0)), eventsOf("s", "a", at(0), events), sign("s", "tick", at(2))]);
      return rows[0]!;
    };
    const mean = values.reduce((a, v) => a + (v - 5e8), 0) / 6;
    const std = Math.sqrt(values.reduce((a, v) => a + (v - 5e8 - mean) ** 2, 0) / 5);
    const first = rowOf(values);
    expect(Math.abs(column(first, "network_in_std") / std - 1)).toBeLessThan(1e-6);
    for (let turn = 1; turn < 6; turn++) {
      expect(bits(rowOf([...values.slice(turn), ...values.slice(0, turn)]))).toBe(bits(first));
    }
  });
});
