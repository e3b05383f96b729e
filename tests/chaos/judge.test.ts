import { expect, test } from "vitest";
import { compareLines, noVerdict } from "./judge.ts";

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
