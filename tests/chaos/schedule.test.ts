import { expect, test } from "vitest";
import { crew, draw, kinds, pointsOf } from "./schedule.ts";

test("a run's faults follow from its seed alone", () => {
  expect(draw(7, 50)).toEqual(draw(7, 50));
  expect(draw(7, 50)).not.toEqual(draw(8, 50));
});

test.each([20, 100, 1_000])("at least half of %d faults stand at named points", (count) => {
  const faults = draw(3, count);
  expect(faults).toHaveLength(count);
  expect(faults.filter((f) => f.kind === "point").length).toBeGreaterThanOrEqual(count / 2);
});

test("a hundred faults are of every kind and meet every named point", () => {
  const faults = draw(5, 100);
  expect(new Set(faults.map((f) => f.kind))).toEqual(new Set(kinds));
  const met = new Set(faults.flatMap((f) => (f.kind === "point" ? [`${f.stage} ${f.step}`] : [])));
  const all = Object.values(crew).flatMap((stages) =>
    stages.flatMap((s) => pointsOf[s]!.map((step) => `${s} ${step}`)),
  );
  expect(all.filter((point) => !met.has(point))).toEqual([]);
});

test("only the kinds asked for are drawn", () => {
  expect(new Set(draw(1, 30, ["kill", "broker"]).map((f) => f.kind))).toEqual(new Set(["kill", "broker"]));
});
