import { describe, expect, test } from "vitest";
import { growthPercent, type MemorySample, median, percentile } from "./figures.ts";

const hours = (...megabytes: number[][]): MemorySample[] =>
  megabytes.flatMap((all, hour) => all.map((mb, i) => ({ hour: hour + i / all.length, megabytes: mb })));

describe("figures of benchmarks", () => {
  test("a percentile is one of the samples, the smallest that so many do not exceed", () => {
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect([0.5, 0.95, 1].map((share) => percentile(hundred, share))).toEqual([50, 95, 100]);
    expect(percentile([3, 1, 2], 0)).toBe(1);
    expect(percentile([7], 0.95)).toBe(7);
  });

  test("the median of an even number lies between the two in the middle, in whatever order they came", () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([10, 1, 2, 4])).toBe(3);
  });

  test("nothing has neither", () => {
    expect(() => percentile([], 0.5)).toThrow();
    expect(() => median([])).toThrow();
  });

  test("growth is told from the third hour to the last: what the first two take is the start", () => {
    expect(growthPercent(hours([10], [50], [100, 100, 100], [104], [110]), 5)).toBeCloseTo(10);
    expect(growthPercent(hours([100], [100], [100], [90]), 4)).toBeCloseTo(-10);
  });

  test("one collection of garbage is no growth, and one peak neither", () => {
    expect(growthPercent(hours([1], [1], [100, 20, 100], [100, 300, 100]), 4)).toBe(0);
  });

  test("an hour without samples, or fewer than four hours, are no flat memory", () => {
    expect(() => growthPercent(hours([1], [1], [], [1]), 4)).toThrow();
    expect(() => growthPercent(hours([1], [1], [1]), 3)).toThrow();
  });
});
