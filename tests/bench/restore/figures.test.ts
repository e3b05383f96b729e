import { expect, test } from "vitest";
import { figuresOf, median } from "./figures.ts";

test("every figure is the median of its kills; restoreRatio is the fastest way of Kafka Streams over 1,500 of ours", () => {
  const child = new Map([
    [1_500, [2, 0.5, 0.8]],
    [15_000, [7, 1.126, 1.124]],
  ]);
  const peers = new Map([
    ["default", 46],
    ["static", 16],
    ["6 s session", 20],
  ]);
  expect(figuresOf({ child, group: [12, 10, 11], peers })).toEqual({
    seconds1500: 0.8,
    seconds15000: 1.13,
    groupSeconds: 11,
    restoreRatio: 20,
  });
});

test("what was not measured is left out", () => {
  expect(figuresOf({ child: new Map([[15_000, [3]]]), group: [], peers: new Map([["static", 16]]) })).toEqual({
    seconds15000: 3,
  });
  expect(figuresOf({ child: new Map([[1_500, [3]]]), group: [], peers: new Map() })).toEqual({ seconds1500: 3 });
});

test("a median of two kills is the longer one", () => {
  expect(median([1, 2])).toBe(2);
});
