import { describe, expect, test } from "vitest";
import { loadFeatureSet } from "../../processors/index.ts";
import { compare, keyOf, nothingCompared, type Rows, sameFloat32, within } from "./rows.ts";
import { parityOf } from "./run-parity.ts";
import { fleet, hasSmd, odd, recorded, smdDir } from "./telemetries.ts";

describe("the stage, both backfills, the trainer's data set and SQL give equal rows", () => {
  test("over the simulated fleet, with late and double events and a night before a Monday", async () => {
    const result = await parityOf(fleet({ instances: 8, minutes: 420, seed: 3, set: "core-37" }));
    expect(result.faults).toEqual([]);
    expect(result.differing).toBe(0);
    expect(result.cells).toBeGreaterThan(100_000);
  });

  test("over a day of trouble: frozen and odd values, gaps, traces, several values a document", async () => {
    // Behind the first day, where every column of the wide set has its past.
    const result = await parityOf(odd("wide", 26));
    expect(result.faults).toEqual([]);
    expect(result.cells).toBeGreaterThan(180_000);
    expect([...result.leftOut]).toEqual(["wide.quality_day"]);
  });

  test("SQL that is told another definition is found out", async () => {
    const { telemetry, definition } = fleet({ instances: 3, minutes: 90, seed: 3, set: "core-37" });
    const columns = definition.columns.map((c) => (c.name === "cpu_lag_5" ? { ...c, lagMinutes: 6 } : c));
    const result = await parityOf({ telemetry, definition: { ...definition, columns } });
    expect(result.differing).toBeGreaterThan(100);
    expect(result.faults.every((fault) => fault.includes("cpu_lag_5"))).toBe(true);
  });

  test.skipIf(!hasSmd)(`over a recorded machine (needs ${hasSmd ? "smd" : smdDir})`, async () => {
    const result = await parityOf(recorded({ machines: ["machine-1-3"], days: 0.5, hopMinutes: 15 }));
    expect(result.faults).toEqual([]);
    expect(result.cells).toBeGreaterThan(17_000);
  });
});

describe("the comparison itself", () => {
  const set = loadFeatureSet("core-36");
  const row = (...values: number[]) => Float32Array.from({ length: set.columns.length }, (_, i) => values[i] ?? 0);
  const rows = (of: Record<string, Float32Array>): Rows =>
    new Map(Object.entries(of).map(([e, v]) => [keyOf(e, 60_000), v]));
  const differing = (a: Rows, b: Rows, equal = sameFloat32) => {
    const into = nothingCompared();
    compare(
      [
        { name: "a", rows: a, equal: sameFloat32 },
        { name: "b", rows: b, equal },
      ],
      set,
      into,
    );
    return [into.differing, into.cells];
  };

  test("among ours every bit counts, but any NaN is any other", () => {
    expect(differing(rows({ x: row(1, Number.NaN) }), rows({ x: row(1, Number.NaN) }))).toEqual([0, 36]);
    expect(differing(rows({ x: row(1) }), rows({ x: row(1 + 2 ** -23) }))).toEqual([1, 36]);
    expect(differing(rows({ x: row(0) }), rows({ x: row(-0) }))).toEqual([1, 36]);
    expect(differing(rows({ x: row(0) }), rows({ x: row(Number.NaN) }))).toEqual([1, 36]);
  });

  test("SQL may be off by a millionth, and where values behind it are large, by a billionth of these", () => {
    const sizes = [1, 1e6, 0];
    const to = (...values: number[]) =>
      differing(rows({ x: row(1, 1e-4, 0) }), rows({ x: row(...values) }), within(sizes))[0];
    expect(to(1 + 9e-7, 1e-4 + 9e-4, 0)).toBe(0);
    expect(to(1 + 2e-6, 1e-4, 0)).toBe(1);
    expect(to(1, 1e-4 + 2e-3, 0)).toBe(1);
    expect(to(1, 1e-4, 1e-12)).toBe(1);
    expect(to(1, Number.NaN, 0)).toBe(1);
  });

  test("a row that one side lacks differs in every cell", () => {
    expect(differing(rows({ x: row(), y: row() }), rows({ x: row() }))).toEqual([36, 72]);
    expect(differing(rows({ x: row() }), rows({ x: row(), y: row() }))).toEqual([36, 72]);
  });
});
