import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { FeatureRow } from "../../processors/features/index.ts";
import {
  bits,
  commit,
  GRACE,
  MINUTE,
  newProcessor,
  RawMemoryOutput,
  record,
  rowsIn,
  run,
  smallSet,
  T,
} from "./support.ts";

const sample = (entity: string, ts: number, fields: object) => ({ entity, ts, ...fields });
const column = (row: FeatureRow | undefined, name: string) => row?.values[smallSet.columns.indexOf(name)];
/** Lets every minute before it close. */
const later = sample("later", T + 60 * MINUTE, { cpu: 1 });

describe("rows", () => {
  test("each entity has one for each minute that closes, over the trailing window", () => {
    const { rows } = run([
      sample("a", T, { cpu: 10, errors: 2 }),
      sample("a", T + 30_000, { cpu: 20, memory: 7 }),
      sample("a", T + MINUTE, { cpu: 40, errors: 1 }),
      later,
    ]);
    const [first, second] = rows;
    expect([first!.entity, first!.windowEndMs, second!.windowEndMs]).toEqual(["a", T + MINUTE, T + 2 * MINUTE]);
    expect(["cpu_mean", "cpu_last", "memory_first", "errors_sum"].map((n) => column(first, n))).toEqual([15, 20, 7, 2]);
    expect(column(second, "cpu_mean")).toBe(Math.fround(70 / 3));
    expect(column(second, "errors_sum")).toBe(3);
  });

  test("the spread of one value is what the set says, and the calendar that of so many minutes before the end", () => {
    const { rows } = run([sample("a", T - MINUTE, { cpu: 5 }), sample("a", T, { cpu: 7 }), later]);
    expect(rows.slice(0, 2).map((row) => column(row, "cpu_std"))).toEqual([0, Math.fround(Math.SQRT2)]);
    expect(rows.slice(0, 2).map((row) => column(row, "minute"))).toEqual([8, 9]);
  });

  test("a minute closes when a sample is a grace past its end, no sooner", () => {
    const before = run([sample("a", T, { cpu: 1 }), sample("b", T + MINUTE + GRACE - 1, { cpu: 1 })]);
    expect(before.rows).toHaveLength(0);
    const at = run([sample("a", T, { cpu: 1 }), sample("b", T + MINUTE + GRACE, { cpu: 1 })]);
    expect(at.rows).toHaveLength(1);
  });
});

describe("what becomes of a record", () => {
  test("each counts once: accepted, late, or dead with its code and origin", () => {
    const samples = [
      sample("a", T + 5 * MINUTE, { cpu: 1 }),
      sample("a", T, { cpu: 1 }),
      "rubbish",
      sample("a", T + 5 * MINUTE, { cpu: 2_000 }),
      sample("a", T + 5 * MINUTE + 1, { memory: 1 }),
    ];
    const { output } = run(samples);
    expect(output.counts).toEqual({ accepted: 2, late: 1, dead: 2, duplicate: 0, control: 0 });
    expect(output.rejected.map((r) => r.code)).toEqual(["not_json", "value_refused"]);
    expect(output.tooLate.map(({ code, entity, timestampMs }) => [code, entity, timestampMs])).toEqual([
      ["late", "a", T],
    ]);
    expect(output.origins).toEqual([1, 2, 3]);
  });

  test("late is what lies more than the grace below the newest sample, however it is spread", () => {
    const at = (backMs: number) =>
      run([sample("a", T + 5 * MINUTE, { cpu: 1 }), sample("b", T + 5 * MINUTE - backMs, { cpu: 1 })]).output.counts;
    expect(at(GRACE).late).toBe(0);
    expect(at(GRACE + 1).late).toBe(1);
  });

  test("a sample far ahead of its record's own time moves no clock", () => {
    const output = new RawMemoryOutput();
    const processor = newProcessor();
    const ahead = sample("a", T + 300_001, { cpu: 1 });
    const good = sample("a", T + 300_000, { cpu: 1 });
    processor.takeRaw([record(ahead, 0, T), record(good, 1, T)], output);
    expect(output.rejected.map((r) => r.code)).toEqual(["future_timestamp"]);
    expect(processor.watermarkMs).toBe(T + 300_000);
  });

  test("a value outside of its range is kept, and one past float32 is missing: both show in the quality", () => {
    const quality = (fields: object) => run([sample("a", T, fields), later]).rows[0]!.quality;
    expect(quality({ cpu: 50, memory: 1 })).toBeCloseTo(1 / 5);
    expect(quality({ cpu: 150, memory: 1 })).toBeCloseTo(1 / 10);
    const { rows } = run([sample("a", T, { cpu: 1, memory: 1e300 }), later]);
    expect(column(rows[0], "memory_first")).toBeNaN();
  });
});

describe("silence", () => {
  test("closes the open minutes once it is committed, and not before", () => {
    const { processor, rows } = run([sample("a", T, { cpu: 1 }), sample("a", T + MINUTE, { cpu: 2 })]);
    expect(rows).toHaveLength(0);
    commit(processor);
    expect(processor.silence.decide()).toBe(true);
    const output = new RawMemoryOutput();
    processor.poll(output);
    expect(output.sent).toHaveLength(0);
    expect(commit(processor).map(([store, key]) => `${store}/${key}`)).toEqual(["time/now"]);
    processor.poll(output);
    expect(rowsIn(output).map((row) => row.windowEndMs)).toEqual([T + MINUTE, T + 2 * MINUTE]);
  });

  test("what it decided is used by whoever takes over", () => {
    const { processor } = run([sample("a", T, { cpu: 1 })]);
    const written = commit(processor);
    processor.silence.decide();
    written.push(...commit(processor));
    const next = newProcessor();
    for (const [store, key, value] of written) next.stores.find((s) => s.name === store)!.restore(key, value);
    const output = new RawMemoryOutput();
    next.poll(output);
    expect(rowsIn(output)).toHaveLength(1);
    expect(next.standing()).toMatchObject({ emittedMinute: T / MINUTE + 1 });
  });

  test("a decision that was not committed is forgotten when the task goes back", () => {
    const { processor } = run([sample("a", T, { cpu: 1 })]);
    commit(processor);
    processor.silence.decide();
    for (const store of processor.stores) store.drop();
    processor.reset();
    const output = new RawMemoryOutput();
    processor.poll(output);
    expect(output.sent).toHaveLength(0);
    expect(processor.silence.decide()).toBe(true);
  });

  test("decides once, and nothing where no minute is open", () => {
    expect(newProcessor().silence.decide()).toBe(false);
    const { processor } = run([sample("a", T, { cpu: 1 })]);
    expect([processor.silence.decide(), processor.silence.decide()]).toEqual([true, false]);
    commit(processor);
    processor.poll(new RawMemoryOutput());
    expect(processor.silence.decide()).toBe(false);
  });

  test("what comes behind it for a closed minute is late", () => {
    const { processor } = run([sample("a", T, { cpu: 1 })]);
    processor.silence.decide();
    commit(processor);
    const { output } = run([sample("a", T + 30_000, { cpu: 1 }), sample("a", T + MINUTE, { cpu: 1 })], processor);
    expect(output.counts).toMatchObject({ late: 1, accepted: 1 });
    expect(rowsIn(output)).toHaveLength(1);
  });
});

describe("any interleaving whose samples are not late", () => {
  const one = fc.record({
    entity: fc.constantFrom("a", "b", "c"),
    // Seconds, so that some share their time.
    atMs: fc.integer({ min: 0, max: 900 }).map((s) => T + s * 1_000),
    cpu: fc.option(fc.double({ min: -10, max: 110, noNaN: true })),
    memory: fc.option(fc.integer({ min: -5, max: 5 })),
    errors: fc.nat(3),
  });
  /** By a time that is at most half the grace off: then none is more than the grace below one before it. */
  const shuffled = fc.array(fc.tuple(one, fc.nat(GRACE / 2), fc.nat(GRACE / 2)), { minLength: 1, maxLength: 60 });
  const rowsOf = (samples: { entity: string; atMs: number }[]) => {
    const given = samples.map(({ atMs, ...fields }) => sample(fields.entity, atMs, fields));
    const { output, rows } = run([...given, later]);
    expect(output.counts.late + output.counts.dead).toBe(0);
    return rows.map(bits);
  };

  test("gives equal rows, bit for bit", () => {
    fc.assert(
      fc.property(shuffled, (samples) => {
        const by = (lag: 1 | 2) => [...samples].sort((x, y) => x[0].atMs + x[lag] - y[0].atMs - y[lag]).map(([s]) => s);
        const inOrder = [...samples].sort((x, y) => x[0].atMs - y[0].atMs).map(([s]) => s);
        expect(rowsOf(by(1))).toEqual(rowsOf(inOrder));
        expect(rowsOf(by(2))).toEqual(rowsOf(inOrder));
      }),
      { numRuns: 150 },
    );
  });
});

test("what a throw takes back leaves no trace, wherever in a batch it comes", () => {
  const samples = Array.from({ length: 40 }, (_, i) => sample(`e${i % 7}`, T + i * 17_000, { cpu: i, errors: i % 3 }));
  const straight = run([...samples, later]).rows.map(bits);
  fc.assert(
    fc.property(fc.array(fc.nat(40), { maxLength: 5 }), fc.nat(39), (cuts, at) => {
      const processor = newProcessor();
      const output = new RawMemoryOutput();
      const records = [...samples, later].map((s, i) => record(s, i));
      const bounds = [...new Set([0, ...cuts, records.length])].sort((a, b) => a - b);
      for (let i = 1; i < bounds.length; i++) {
        for (const store of processor.stores) store.savepoint();
        const undone = new RawMemoryOutput();
        processor.takeRaw(records.slice(bounds[i - 1]!, Math.max(at, bounds[i - 1]!)), undone);
        for (const store of processor.stores) store.rollback();
        processor.reset();
        processor.takeRaw(records.slice(bounds[i - 1]!, bounds[i]!), output);
        if (i % 2 === 0) commit(processor);
      }
      expect(rowsIn(output).map(bits)).toEqual(straight);
    }),
    { numRuns: 100 },
  );
});
