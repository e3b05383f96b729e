import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chooseOperatingPoint, type LabelledScores } from "../../trainer/operating-point.ts";

const MINUTE = 60_000;
const DAY = 1440 * MINUTE;

interface Row {
  readonly raw: number;
  readonly label: number;
  readonly minute: number;
  readonly entity?: number;
}

const scores = (rows: readonly Row[]): LabelledScores => ({
  raw: Float32Array.from(rows, (row) => row.raw),
  label: Int8Array.from(rows, (row) => row.label),
  entity: Int32Array.from(rows, (row) => row.entity ?? 0),
  windowEndMs: Float64Array.from(rows, (row) => row.minute * MINUTE),
});

/** As many machine-days as there are rows, so that a budget counts episodes per row. */
const perRow = (episodes: number, rows: readonly Row[]) => ({
  hopMs: DAY,
  maxFalseEpisodesPerMachineDay: episodes / rows.length,
});

describe("with labelled anomalies", () => {
  test("of few anomalies as many as the budget allows are found, half-way to the next lower output", () => {
    const rows = [
      { raw: 0.75, label: 1, minute: 0 },
      { raw: 0.5, label: 0, minute: 100 },
      { raw: 0.375, label: 0, minute: 200 },
      { raw: 0.25, label: 0, minute: 300 },
      { raw: 0.125, label: 1, minute: 400 },
      { raw: 0.0625, label: 0, minute: 500 },
    ];
    const rule = "recall-in-budget";
    // The best F1 is that of the first row alone: 2/3 against 4/7.
    expect(chooseOperatingPoint(scores(rows), perRow(3, rows))).toMatchObject({ raw: 0.09375, rule });
    expect(chooseOperatingPoint(scores(rows), perRow(2, rows))).toMatchObject({ raw: 0.625, rule });
  });

  test("from 200 anomalies on the best F1 within the budget wins", () => {
    const found = Array.from({ length: 199 }, (_, at) => ({ raw: 0.75, label: 1, minute: at }));
    const mistaken = Array.from({ length: 9 }, (_, at) => ({ raw: 0.5, label: 0, minute: 1000 + at * 100 }));
    const rows = [...found, ...mistaken, { raw: 0.25, label: 1, minute: 5000 }];
    expect(chooseOperatingPoint(scores(rows), perRow(9, rows))).toMatchObject({ raw: 0.625, rule: "best-f1" });
    const fewer = rows.slice(1);
    expect(chooseOperatingPoint(scores(fewer), perRow(9, fewer)).rule).toBe("recall-in-budget");
  });

  test("a threshold so low that false alerts melt into one long one does not keep the budget", () => {
    const rows = [
      { raw: 0.875, label: 1, minute: 500 },
      { raw: 0.75, label: 0, minute: 0 },
      { raw: 0.625, label: 0, minute: 60 },
      { raw: 0.5, label: 0, minute: 30 },
      { raw: 0.25, label: 1, minute: 900 },
    ];
    expect(chooseOperatingPoint(scores(rows), perRow(1, rows)).raw).toBe(0.8125);
  });

  test("rows of equal output are flagged together or not at all", () => {
    const rows = [
      { raw: 0.75, label: 1, minute: 0 },
      { raw: 0.5, label: 1, minute: 100 },
      { raw: 0.5, label: 0, minute: 200 },
      { raw: 0.25, label: 0, minute: 300 },
    ];
    expect(chooseOperatingPoint(scores(rows), perRow(0, rows)).raw).toBe(0.625);
  });

  test("false alerts of one entity at most 30 minutes apart are one episode, a minute more makes two", () => {
    const at = (minute: number, entity = 0): Row[] => [
      { raw: 0.75, label: 0, minute: 0 },
      { raw: 0.75, label: 0, minute, entity },
      { raw: 0.5, label: 1, minute: 500 },
      { raw: 0.25, label: 0, minute: 900 },
    ];
    const rate = (rows: Row[]) => chooseOperatingPoint(scores(rows), perRow(9, rows)).falseEpisodesPerMachineDay;
    expect(rate(at(30))).toBe(1 / 4);
    expect(rate(at(31))).toBe(2 / 4);
    expect(rate(at(30, 1))).toBe(2 / 4);
  });

  test("a flagged row within 30 minutes of an anomaly of its entity is no false alert: its window still holds it", () => {
    const at = (minute: number): Row[] => [
      { raw: 0.75, label: 1, minute: 0 },
      { raw: 0.75, label: 0, minute },
      { raw: 0.25, label: 0, minute: 900 },
    ];
    const rate = (rows: Row[]) => chooseOperatingPoint(scores(rows), perRow(9, rows)).falseEpisodesPerMachineDay;
    expect(rate(at(30))).toBe(0);
    expect(rate(at(31))).toBe(1 / 3);
  });

  test("where the budget allows no threshold that finds an anomaly, the normal rows decide and the reason says so", () => {
    const rows = [
      { raw: 0.75, label: 0, minute: 0 },
      { raw: 0.5, label: 1, minute: 500 },
    ];
    const point = chooseOperatingPoint(scores(rows), perRow(0, rows));
    expect(point).toMatchObject({ raw: 0.875, rule: "normal-quantile", falseEpisodesPerMachineDay: 0 });
    expect(point.reason).toContain("no threshold keeps to");
  });
});

describe("without labelled anomalies", () => {
  test("0.5 % of the normal rows lie above the threshold", () => {
    const rows = Array.from({ length: 1000 }, (_, at) => ({ raw: at / 1024, label: 0, minute: at * 60 }));
    const point = chooseOperatingPoint(scores(rows), { hopMs: MINUTE, maxFalseEpisodesPerMachineDay: 0.5 });
    expect(point.rule).toBe("normal-quantile");
    expect(rows.filter((row) => row.raw >= point.raw)).toHaveLength(5);
    expect(point.reason).toContain("no anomaly is labelled");
  });

  test.each([0, 1])("a model that always answers %d still gets a threshold inside 0..1", (raw) => {
    const rows = [0, 1, 2].map((minute) => ({ raw, label: 0, minute }));
    const point = chooseOperatingPoint(scores(rows), { hopMs: MINUTE, maxFalseEpisodesPerMachineDay: 0.5 });
    expect(point.raw).toBeGreaterThan(0);
    expect(point.raw).toBeLessThan(1);
  });
});

/** F1 and false episodes of one threshold, straight from the definitions. */
function recount(rows: readonly Row[], threshold: number) {
  const flagged = rows.filter((row) => row.raw >= threshold);
  const hits = flagged.filter((row) => row.label === 1).length;
  const positives = rows.filter((row) => row.label === 1).length;
  let episodes = 0;
  for (const entity of new Set(rows.map((row) => row.entity))) {
    const anomalies = rows.filter((row) => row.entity === entity && row.label === 1);
    const alerts = flagged
      .filter((row) => row.entity === entity && row.label === 0)
      .filter((row) => anomalies.every((anomaly) => Math.abs(anomaly.minute - row.minute) > 30))
      .map((row) => row.minute)
      .sort((a, b) => a - b);
    episodes += alerts.filter((minute, at) => at === 0 || minute - alerts[at - 1]! > 30).length;
  }
  return { threshold, hits, f1: (2 * hits) / (flagged.length + positives), rate: episodes / rows.length };
}

test("the choice equals a search over all thresholds", () => {
  const row = fc.record({
    raw: fc.integer({ min: 1, max: 15 }).map((value) => value / 16),
    label: fc.constantFrom(0, 0, 0, 1),
    minute: fc.integer({ min: 0, max: 300 }),
    entity: fc.integer({ min: 0, max: 2 }),
  });
  fc.assert(
    fc.property(fc.array(row, { minLength: 1, maxLength: 60 }), fc.integer({ min: 0, max: 5 }), (rows, episodes) => {
      const budget = episodes / rows.length;
      const point = chooseOperatingPoint(scores(rows), { hopMs: DAY, maxFalseEpisodesPerMachineDay: budget });
      const all = rows.map((one) => recount(rows, one.raw));
      const highestOver = Math.max(0, ...all.filter(({ rate }) => rate > budget).map(({ threshold }) => threshold));
      const allowed = all.filter(({ hits, threshold }) => hits > 0 && threshold > highestOver);
      expect(point.rule).toBe(allowed.length > 0 ? "recall-in-budget" : "normal-quantile");
      const chosen = recount(rows, point.raw);
      expect(point.falseEpisodesPerMachineDay).toBeCloseTo(chosen.rate, 12);
      if (allowed.length > 0) expect(chosen.hits).toBe(Math.max(...allowed.map(({ hits }) => hits)));
    }),
    { numRuns: 500 },
  );
});
