import { expect, test } from "vitest";
import type { PredictionBatch, RoutingConfig } from "../../schemas/index.ts";
import { armChooser } from "../../triton/index.ts";
import { compareLines, noVerdict, strayRows } from "./judge.ts";

const wanted = [
  { key: "60000 a", value: "1" },
  { key: "60000 b", value: "2" },
];

function judged(found: typeof wanted) {
  const verdict = noVerdict();
  compareLines(verdict, "rows", wanted, found);
  const { lost, duplicated, different } = verdict;
  return { lost, duplicated, different };
}

test("the same lines in any order are without fault", () => {
  expect(judged([...wanted].reverse())).toEqual({ lost: 0, duplicated: 0, different: 0 });
});

test("a line that is missing is lost, one that stands twice doubled", () => {
  expect(judged([wanted[0]!])).toEqual({ lost: 1, duplicated: 0, different: 0 });
  expect(judged([...wanted, wanted[1]!])).toEqual({ lost: 0, duplicated: 1, different: 0 });
});

test("a line with another value, or that nobody wanted, is different", () => {
  expect(judged([wanted[0]!, { key: "60000 b", value: "3" }])).toEqual({ lost: 0, duplicated: 0, different: 1 });
  expect(judged([...wanted, { key: "60000 c", value: "2" }])).toEqual({ lost: 0, duplicated: 0, different: 1 });
});

test("of long lines a fault tells where they begin to differ", () => {
  const verdict = noVerdict();
  const long = (end: string) => [{ key: "a", value: `${"x".repeat(1_000)}${end}` }];
  compareLines(verdict, "decisions", long("1"), long("2"));
  expect(verdict.faults).toEqual([expect.stringMatching(/^different: decisions a: x{50}2, not x{50}1$/)]);
});

test("many faults of one sort do not hide the others", () => {
  const verdict = noVerdict();
  const many = Array.from({ length: 100 }, (_, i) => ({ key: String(i), value: "" }));
  compareLines(verdict, "reports", many, []);
  compareLines(verdict, "decisions", many, []);
  expect(verdict.lost).toBe(200);
  expect(verdict.faults.filter((fault) => fault.startsWith("lost: decisions"))).toHaveLength(10);
});

const routing = {
  mode: "split",
  salt: "s",
  arms: [
    { model: "m", modelVersion: "1", weight: 50 },
    { model: "m", modelVersion: "2", weight: 50 },
  ],
} as RoutingConfig;
const entities = Array.from({ length: 20 }, (_, i) => `i-${i}`);
const judgedBy = (arm: (entity: string) => number, challenger = "triton") =>
  ({
    entities,
    models: [
      { name: "m", version: "1", evaluator: "triton", latencyMs: 1 },
      { name: "m", version: "2", evaluator: challenger, latencyMs: 1 },
    ],
    arm: Buffer.from(entities.map(arm)),
  }) as unknown as PredictionBatch;

test("rows that another arm judged than routing gives them to are told, unless theirs gave no answer", () => {
  const choose = armChooser(routing);
  const ofSecond = entities.filter((entity) => choose(entity) === 1).length;
  expect(strayRows(judgedBy(choose), routing)).toBe(0);
  expect(
    strayRows(
      judgedBy((entity) => 1 - choose(entity)),
      routing,
    ),
  ).toBe(20);
  expect(
    strayRows(
      judgedBy(() => 0),
      routing,
    ),
  ).toBe(ofSecond);
  expect(
    strayRows(
      judgedBy(() => 0, "failed"),
      routing,
    ),
  ).toBe(0);
  expect(strayRows(judgedBy(choose), undefined), "of a version that does not stand").toBe(20);
});
