import fc from "fast-check";
import { expect, test } from "vitest";
import { calibrate } from "../../trainer/index.ts";
import type { OperatingPoint } from "../../trainer/operating-point.ts";

const point = (raw: number): OperatingPoint => ({
  raw,
  rule: "best-f1",
  reason: "given",
  falseEpisodesPerMachineDay: 0,
});
const scores = (rows: readonly (readonly [raw: number, label: number])[]) => ({
  raw: Float32Array.from(rows, ([raw]) => raw),
  label: Int8Array.from(rows, ([, label]) => label),
});

test("the score is 0 and 1 at the ends, 0.85 exactly at the operating point and 0.1 at the median normal row", () => {
  const map = calibrate(
    scores([
      [0.125, 0],
      [0.25, 0],
      [0.375, 0],
      [0.75, 1],
    ]),
    point(0.6),
  );
  const score = (raw: number) => map.score[map.raw.indexOf(raw)];
  expect([score(0), score(0.25), score(0.6), score(1)]).toEqual([0, 0.1, 0.85, 1]);
});

test("the probability is the share of anomalies among rows of like output, less sure the fewer they are", () => {
  const low = Array.from({ length: 90 }, () => [0.25, 0] as const);
  const high = Array.from({ length: 9 }, () => [0.75, 1] as const);
  const map = calibrate(scores([...low, [0.75, 0], ...high]), point(0.5));
  const probability = (raw: number) => map.probability[map.raw.indexOf(raw)]!;
  const overall = 9 / 100;
  expect(probability(0.25)).toBeCloseTo(overall / 91, 12);
  expect(probability(0.75)).toBeCloseTo((9 + overall) / 11, 12);
});

test("outputs in the wrong order share one probability", () => {
  const map = calibrate(
    scores([
      [0.25, 0],
      [0.375, 1],
      [0.5, 0],
      [0.75, 1],
    ]),
    point(0.6),
  );
  const probability = (raw: number) => map.probability[map.raw.indexOf(raw)]!;
  expect(probability(0.375)).toBe(probability(0.5));
  expect(probability(0.5)).toBeLessThan(probability(0.75));
});

test("without labelled anomalies the chance at the operating point is one half", () => {
  const map = calibrate(
    scores([
      [0.25, 0],
      [0.5, 0],
    ]),
    point(0.7),
  );
  expect(map.probability[map.raw.indexOf(0.7)]).toBe(0.5);
});

test("knots ascend strictly, the score with them, and the probability never falls or leaves 0..1", () => {
  const row = fc.tuple(fc.float({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0, 0, 1));
  fc.assert(
    fc.property(
      fc.array(row, { minLength: 1, maxLength: 100 }),
      fc.double({ min: 1e-9, max: 1 - 1e-9, noNaN: true }),
      (rows, threshold) => {
        const { raw, score, probability } = calibrate(scores(rows), point(threshold));
        expect([raw[0], raw.at(-1), score[0], score.at(-1)]).toEqual([0, 1, 0, 1]);
        expect(score[raw.indexOf(threshold)]).toBe(0.85);
        for (let at = 1; at < raw.length; at++) {
          expect(raw[at]!).toBeGreaterThan(raw[at - 1]!);
          expect(score[at]!).toBeGreaterThanOrEqual(score[at - 1]!);
          expect(probability[at]!).toBeGreaterThanOrEqual(probability[at - 1]!);
        }
        expect(probability.every((value) => value >= 0 && value <= 1)).toBe(true);
      },
    ),
    { numRuns: 500 },
  );
});

test("the probability is the isotonic regression, by its min-max formula, drawn to the overall share by one row", () => {
  const row = fc.tuple(
    fc.integer({ min: 1, max: 12 }).map((value) => value / 16),
    fc.constantFrom(0, 1),
  );
  fc.assert(
    fc.property(fc.array(row, { minLength: 2, maxLength: 40 }), (rows) => {
      const labels: number[] = rows.map(([, label]) => label);
      fc.pre(labels.includes(0) && labels.includes(1));
      const levels = [...new Set(rows.map(([raw]) => raw))].sort((a, b) => a - b);
      const share = (from: number, to: number) => {
        const among: number[] = rows.filter(([raw]) => raw >= from && raw <= to).map(([, label]) => label);
        return among.reduce((sum, label) => sum + label, 0) / among.length;
      };
      const fitted = levels.map((level) =>
        Math.max(
          ...levels
            .filter((from) => from <= level)
            .map((from) => Math.min(...levels.filter((to) => to >= level).map((to) => share(from, to)))),
        ),
      );
      const map = calibrate(scores(rows), point(0.97));
      let floor = 0;
      levels.forEach((level, at) => {
        const block = rows.filter(([raw]) => fitted[levels.indexOf(raw)] === fitted[at]).length;
        floor = Math.max(floor, (fitted[at]! * block + share(0, 1)) / (block + 1));
        // A block's ends are knots; between them it is flat.
        const after = map.raw.findIndex((knot) => knot >= level);
        expect(map.probability[after]).toBeCloseTo(floor, 9);
      });
    }),
    { numRuns: 300 },
  );
});
