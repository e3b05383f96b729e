import { expect, test } from "vitest";
import { averagePrecision, measure } from "../../trainer/metrics.ts";

test("quality counts a row at the threshold as flagged", () => {
  const quality = measure(Float32Array.of(0.75, 0.5, 0.5, 0.25), Int8Array.of(1, 0, 1, 1), 0.5);
  expect(quality).toMatchObject({
    precision: 2 / 3,
    recall: 2 / 3,
    f1: 2 / 3,
    falsePositiveRate: 1,
    confusion: { truePositives: 2, falsePositives: 1, falseNegatives: 1, trueNegatives: 0 },
  });
});

test("shares of nothing are null, not zero", () => {
  const quality = measure(Float32Array.of(0.25, 0.5), Int8Array.of(0, 0), 0.75);
  expect(quality).toMatchObject({ prAuc: null, precision: null, recall: null, f1: null, falsePositiveRate: 0 });
});

test("average precision sums precision over the steps in recall", () => {
  // recall 1/2 at precision 1, recall 1 at precision 2/3
  expect(averagePrecision(Float32Array.of(0.9, 0.8, 0.7, 0.1), Int8Array.of(1, 0, 1, 0))).toBeCloseTo((1 + 2 / 3) / 2);
});

test("a model that cannot tell rows apart has the prevalence as average precision, whatever their order", () => {
  const same = new Float32Array(8).fill(0.5);
  expect(averagePrecision(same, Int8Array.of(1, 1, 0, 0, 0, 0, 0, 0))).toBe(0.25);
  expect(averagePrecision(same, Int8Array.of(0, 0, 0, 0, 0, 0, 1, 1))).toBe(0.25);
});
