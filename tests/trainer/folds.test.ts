import fc from "fast-check";
import { expect, test } from "vitest";
import { FIT, foldsInTime, NEITHER, SCORE, wantsFolds } from "../../trainer/folds.ts";

test("a fold fits what lies at least one embargo before and after its block, unknown rows too", () => {
  //  unknown: 10 20 30   labelled: 40 50 | 60 70 | 80 90
  const end = Float64Array.of(10, 20, 30, 40, 50, 60, 70, 80, 90);
  const label = Int8Array.of(-1, -1, -1, 0, 1, 0, 0, 1, 0);
  const folds = foldsInTime(end, label, 20, 3);
  expect(folds.map(({ fromMs, toMs }) => [fromMs, toMs])).toEqual([
    [40, 50],
    [60, 70],
    [80, 90],
  ]);
  expect([...folds[1]!.part]).toEqual([FIT, FIT, FIT, FIT, NEITHER, SCORE, SCORE, NEITHER, FIT]);
});

test("every labelled row is scored once, by a fold that was fitted on no row near its block", () => {
  const rows = fc.array(fc.record({ end: fc.integer({ min: 0, max: 60 }), label: fc.integer({ min: -1, max: 1 }) }), {
    minLength: 1,
    maxLength: 80,
  });
  fc.assert(
    fc.property(rows, fc.integer({ min: 0, max: 20 }), (list, embargoMs) => {
      const end = Float64Array.from(list, (row) => row.end);
      const label = Int8Array.from(list, (row) => row.label);
      const folds = foldsInTime(end, label, embargoMs);
      list.forEach((row, at) => {
        expect(folds.filter(({ part }) => part[at] === SCORE)).toHaveLength(row.label >= 0 ? 1 : 0);
      });
      for (const { part, fromMs, toMs } of folds) {
        expect(part).toContain(SCORE);
        list.forEach((row, at) => {
          const isFar = row.end <= fromMs - embargoMs || row.end >= toMs + embargoMs;
          const isInside = row.end >= fromMs && row.end <= toMs;
          expect(part[at] === FIT).toBe(isFar && !isInside);
        });
      }
    }),
  );
});

test("folds serve few labels with an anomaly among them; many labels, or none to find, keep the single split", () => {
  const labels = (known: number, anomalies: number) =>
    Int8Array.from({ length: known + 100 }, (_, row) => (row >= known ? -1 : row < anomalies ? 1 : 0));
  expect(wantsFolds(labels(19_999, 1))).toBe(true);
  expect(wantsFolds(labels(20_000, 1))).toBe(false);
  expect(wantsFolds(labels(1_000, 0))).toBe(false);
  expect(wantsFolds(labels(0, 0))).toBe(false);
});
