import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type FeatureRow, MemoryOutput } from "../../processors/features/index.ts";
import {
  batchesOf,
  bits,
  core37,
  DAY_ONE,
  eventsOf,
  inLog,
  lineEvent,
  type Metrics,
  MINUTE,
  metricEvent,
  newProcessor,
  run,
  type SourceRecord,
  sign,
} from "./helpers.ts";

/**
 * The input: two or three sources, each a sequence of records of its own; what a source holds is fixed, how the
 * sources interleave is not. Times run over an hour, some events are late, some come twice, some metrics are missing.
 */
const T = DAY_ONE * MINUTE + 9 * 60 * MINUTE - 20 * MINUTE;
const GRACE = 60_000;

interface Step {
  readonly forwardMs: number;
  readonly entity: string;
  readonly events: readonly { backMs: number; metrics: Metrics | null; level: string; again: boolean }[];
}

const value = fc.oneof(
  fc.double({ min: 0, max: 100, noNaN: true }),
  fc.constantFrom(0, 0.1, 50, 50.1, 100, 101, 99.99999999),
  fc.double({ min: 1e8, max: 1e9, noNaN: true }),
);
const values = fc.oneof(value, fc.array(value, { minLength: 1, maxLength: 4 }));
const metrics: fc.Arbitrary<Metrics> = fc.record(
  { cpu: values, memory: values, network_in: values, network_out: values, disk_read: values, disk_write: values },
  { requiredKeys: [] },
);
const step: fc.Arbitrary<Step> = fc.record({
  forwardMs: fc.oneof(fc.integer({ min: 0, max: 90_000 }), fc.integer({ min: 0, max: 600_000 })),
  entity: fc.constantFrom("a", "b", "c"),
  events: fc.array(
    fc.record({
      backMs: fc.integer({ min: -120_000, max: 70_000 }),
      metrics: fc.option(metrics),
      level: fc.constantFrom("info", "warn", "error", "fatal", "debug"),
      again: fc.boolean(),
    }),
    { maxLength: 4 },
  ),
});
const sources = fc.array(fc.array(step, { maxLength: 25 }), { minLength: 2, maxLength: 3 });

/** The records of each source, in its order, the last of which lets every window close. */
function recordsOf(steps: readonly (readonly Step[])[]): SourceRecord[][] {
  return steps.map((mine, s) => {
    const source = `shard-${s}`;
    let clockMs = T;
    const records = mine.map((one, i) => {
      clockMs += one.forwardMs;
      const events = one.events.flatMap((e, j) => {
        const timestampMs = clockMs - one.forwardMs - e.backMs;
        const id = `${s}-${i}-${j}`;
        const event = e.metrics
          ? metricEvent(one.entity, timestampMs, e.metrics, id)
          : lineEvent(timestampMs, e.level, id);
        return e.again ? [event, event] : [event];
      });
      return eventsOf(source, one.entity, clockMs - one.forwardMs, events);
    });
    return [...records, sign(source, "tick", T + 100 * 24 * 60 * MINUTE)];
  });
}

const opensOf = (all: readonly (readonly SourceRecord[])[]): SourceRecord[] =>
  all.map((_, s) => sign(`shard-${s}`, "open", T));

/** Merges the sequences, each in its own order, by a list of choices. */
function interleave(all: readonly (readonly SourceRecord[])[], choices: readonly number[]): SourceRecord[] {
  const rest = all.map((records) => [...records]);
  const merged = opensOf(all);
  for (let i = 0; rest.some((r) => r.length > 0); i++) {
    const open = rest.filter((r) => r.length > 0);
    merged.push(open[(choices[i % choices.length] ?? 0) % open.length]!.shift()!);
  }
  return merged;
}

const choices = fc.array(fc.nat(5), { minLength: 1, maxLength: 60 });

test("however the same sources interleave, rows are equal in every bit and events come to the same outcome", () => {
  fc.assert(
    fc.property(sources, choices, choices, (steps, first, second) => {
      const records = recordsOf(steps);
      const a = run(interleave(records, first));
      const b = run(interleave(records, second));
      expect(b.rows.map(bits)).toEqual(a.rows.map(bits));
      expect(b.output.counts).toEqual(a.output.counts);
      expect(b.batches.flatMap((x) => x.silent)).toEqual(a.batches.flatMap((x) => x.silent));
    }),
    { numRuns: 150 },
  );
});

test("every input event comes to exactly one outcome", () => {
  fc.assert(
    fc.property(sources, choices, (steps, order) => {
      const records = interleave(recordsOf(steps), order);
      const { counts } = run(records).output;
      const events = records.reduce((n, r) => n + r.events.length, 0);
      const signs = records.filter((r) => r.kind !== "events").length;
      expect(counts.accepted + counts.late + counts.dead + counts.duplicate).toBe(events);
      expect(counts.control).toBe(signs);
    }),
    { numRuns: 50 },
  );
});

describe("a restart", () => {
  test("after any records, restored from the changelog, gives the same batches bit for bit", () => {
    fc.assert(
      fc.property(
        sources,
        choices,
        fc.array(fc.boolean(), { minLength: 1, maxLength: 20 }),
        (steps, order, restarts) => {
          const records = interleave(recordsOf(steps), order);
          const whole = run(records).batches;
          const output = new MemoryOutput();
          const changelog = new Map<string, Map<string, Buffer>>();
          let processor = newProcessor();
          for (const [i, record] of inLog(records).entries()) {
            processor.process(record, output);
            if (!restarts[i % restarts.length]) continue;
            for (const store of processor.stores) {
              const log = changelog.get(store.name) ?? new Map<string, Buffer>();
              changelog.set(store.name, log);
              store.flush((key, bytes) => {
                log.delete(key);
                if (bytes) log.set(key, bytes);
              });
            }
            processor = newProcessor();
            for (const store of processor.stores) {
              for (const [key, bytes] of changelog.get(store.name) ?? []) store.restore(key, bytes);
            }
          }
          expect(batchesOf(output)).toEqual(whole);
        },
      ),
      { numRuns: 80 },
    );
  });

  test("leaves nothing in the changelog of minutes and entities that are gone", () => {
    const processor = newProcessor();
    const live = new Map<string, number>();
    const flush = () => {
      for (const store of processor.stores) {
        store.flush((key, bytes) => {
          if (bytes) live.set(`${store.name}/${key}`, bytes.length);
          else live.delete(`${store.name}/${key}`);
        });
      }
    };
    const output = new MemoryOutput();
    const records: SourceRecord[] = [sign("s", "open", T)];
    for (let m = 0; m < 300; m++) {
      const entity = `host-${m}`;
      records.push(eventsOf("s", entity, T + m * MINUTE, [metricEvent(entity, T + m * MINUTE, { cpu: 1 })]));
    }
    for (const record of inLog(records)) {
      processor.process(record, output);
      flush();
      // 16 minutes of reach, 2 open ones, their chunk, holder and hashes, and the time.
      expect(live.size).toBeLessThan(60);
    }
    expect(Math.max(...live.values())).toBeLessThanOrEqual(65_536);
    processor.process(inLog([sign("s", "tick", T + 1000 * MINUTE)], 1000)[0]!, output);
    flush();
    expect([...live.keys()]).toEqual(["time/now"]);
  });
});

/*
 * The recount: plain, from the definitions in words, over lists of samples; nothing of the product's code but its
 * column names.
 */
interface Sample {
  readonly entity: string;
  readonly timestampMs: number;
  readonly metrics: Record<string, number[]>;
  readonly level: string | null;
}

function acceptedSamples(all: readonly (readonly SourceRecord[])[]): Sample[] {
  const seen = new Set<string>();
  const samples: Sample[] = [];
  for (const records of all) {
    let clockMs = T;
    for (const record of records) {
      clockMs = Math.max(clockMs, record.clockMs);
      for (const event of record.events) {
        if (event.timestampMs < clockMs - GRACE || seen.has(`${record.entity} ${event.id}`)) continue;
        seen.add(`${record.entity} ${event.id}`);
        const document = JSON.parse(event.message) as Record<string, unknown>;
        const metrics: Record<string, number[]> = {};
        for (const [name, v] of Object.entries(document)) {
          if (typeof v === "number") metrics[name] = [v];
          else if (Array.isArray(v)) metrics[name] = v as number[];
        }
        const level = typeof document.level === "string" ? document.level : null;
        samples.push({ entity: record.entity, timestampMs: event.timestampMs, metrics, level });
      }
    }
  }
  return samples;
}

const mean = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0) / xs.length;

function recount(samples: readonly Sample[], entity: string, endMs: number): Record<string, number> | null {
  const mine = samples.filter((s) => s.entity === entity && s.timestampMs < endMs);
  const inWindow = mine.filter((s) => s.timestampMs >= endMs - 15 * MINUTE);
  if (inWindow.length === 0) return null;
  const of = (metric: string, from: readonly Sample[] = inWindow) => from.flatMap((s) => s.metrics[metric] ?? []);
  const pane = (metric: string, back: number): number => {
    const from = endMs - (back + 1) * MINUTE;
    return Math.fround(
      mean(
        of(
          metric,
          mine.filter((s) => s.timestampMs >= from && s.timestampMs < from + MINUTE),
        ),
      ),
    );
  };
  const sum = (metric: string) => (of(metric).length === 0 ? Number.NaN : of(metric).reduce((a, b) => a + b, 0));
  const std = (metric: string) => {
    const xs = of(metric);
    if (xs.length < 2) return Number.NaN;
    const m = mean(xs);
    return Math.sqrt(xs.reduce((a, x) => a + (x - m) ** 2, 0) / (xs.length - 1));
  };
  const min = (xs: number[]) => (xs.length === 0 ? Number.NaN : Math.min(...xs));
  const max = (xs: number[]) => (xs.length === 0 ? Number.NaN : Math.max(...xs));
  const rate = (unit: number, ...metrics: string[]) => {
    const now = metrics.reduce((a, m) => a + pane(m, 0), 0);
    const before = metrics.reduce((a, m) => a + pane(m, 1), 0);
    return (now - before) / Math.max(Math.abs(before), unit);
  };
  const slope = (metric: string) => {
    const points = Array.from({ length: 15 }, (_, i) => [-i, pane(metric, i)] as const).filter(
      (p) => !Number.isNaN(p[1]),
    );
    if (points.length < 2) return Number.NaN;
    const mx = mean(points.map((p) => p[0]));
    const my = mean(points.map((p) => p[1]));
    return points.reduce((a, [x, y]) => a + (x - mx) * (y - my), 0) / points.reduce((a, [x]) => a + (x - mx) ** 2, 0);
  };
  const lines = (...levels: string[]) => inWindow.filter((s) => s.level !== null && levels.includes(s.level)).length;
  const all = lines("debug", "info", "warn", "error", "fatal");
  const [cpu, memory, netIn, netOut, read, write] = [
    "CPUUtilization",
    "MemoryUtilization",
    "NetworkIn",
    "NetworkOut",
    "DiskReadOps",
    "DiskWriteOps",
  ] as const;
  const date = new Date(endMs);
  const weekday = (date.getUTCDay() + 6) % 7;
  return {
    hour_of_day: date.getUTCHours(),
    day_of_week: weekday,
    is_weekend: weekday > 4 ? 1 : 0,
    is_business_hours: weekday < 5 && date.getUTCHours() >= 9 && date.getUTCHours() <= 16 ? 1 : 0,
    cpu_mean: mean(of(cpu)),
    cpu_std: std(cpu),
    cpu_min: min(of(cpu)),
    cpu_max: max(of(cpu)),
    memory_mean: mean(of(memory)),
    memory_std: std(memory),
    memory_min: min(of(memory)),
    memory_max: max(of(memory)),
    network_in_sum: sum(netIn),
    network_out_sum: sum(netOut),
    error_count: lines("error", "fatal"),
    warning_count: lines("warn"),
    cpu_lag_1: pane(cpu, 1),
    cpu_lag_5: pane(cpu, 5),
    cpu_lag_15: pane(cpu, 15),
    memory_lag_1: pane(memory, 1),
    memory_lag_5: pane(memory, 5),
    memory_lag_15: pane(memory, 15),
    cpu_change_rate: rate(0.1, cpu),
    memory_change_rate: rate(0.1, memory),
    network_change_rate: rate(1000, netIn, netOut),
    disk_read_ops: sum(read),
    disk_write_ops: sum(write),
    disk_read_change_rate: rate(1, read),
    disk_write_change_rate: rate(1, write),
    network_in_lag_1: pane(netIn, 1),
    network_out_lag_1: pane(netOut, 1),
    log_count: all,
    error_ratio: Math.fround(lines("error", "fatal")) / Math.max(all, 1),
    cpu_slope: slope(cpu),
    memory_slope: slope(memory),
    network_in_std: std(netIn),
    network_out_std: std(netOut),
  };
}

/**
 * Relative 1e-6, above a floor of 1e-12. Differences of float32 means: relative to those means. Spreads: values that
 * differ by less than a trillionth of `size` count as equal.
 */
function close(name: string, got: number, want: number, size: number): boolean {
  if (Number.isNaN(want)) return Number.isNaN(got);
  if (name.endsWith("_std") && Math.abs(got - want) <= 2e-12 * size) return true;
  const floor = /slope|change_rate/.test(name) ? 1 : 1e-6;
  return Math.abs(got - want) <= 1e-6 * Math.max(Math.abs(want), floor);
}

/** At least the largest distance of a value of the column's signal from its centre. */
const sizeOf = (name: string, row: Record<string, number>): number =>
  50 + Math.abs(row[name.replace("_std", "_max")] ?? row[name.replace("_std", "_sum")] ?? 0);

function expectRecounted(rows: readonly FeatureRow[], samples: readonly Sample[]): void {
  for (const row of rows) {
    const want = recount(samples, row.entity, row.windowEndMs);
    expect(want).not.toBeNull();
    for (const [i, name] of core37.columns.entries()) {
      const ok = close(name, row.values[i]!, want![name]!, sizeOf(name, want!));
      if (!ok)
        expect({ name, entity: row.entity, at: row.windowEndMs, value: row.values[i] }).toEqual({ value: want![name] });
    }
  }
}

test("every row equals a recount of its window's samples, and no row is missing or made up", () => {
  fc.assert(
    fc.property(sources, choices, (steps, order) => {
      const all = recordsOf(steps);
      const { rows } = run(interleave(all, order));
      const samples = acceptedSamples(all);
      expectRecounted(rows, samples);
      const got = rows.map((r) => `${r.windowEndMs} ${r.entity}`);
      const want: string[] = [];
      const lastMs = Math.max(T, ...samples.map((s) => s.timestampMs)) + 20 * MINUTE;
      for (let end = T - 10 * MINUTE; end <= lastMs; end += MINUTE) {
        for (const entity of ["a", "b", "c"]) {
          if (samples.some((s) => s.entity === entity && s.timestampMs < end && s.timestampMs >= end - 15 * MINUTE)) {
            want.push(`${end} ${entity}`);
          }
        }
      }
      expect(got).toEqual(want);
    }),
    { numRuns: 60 },
  );
});
