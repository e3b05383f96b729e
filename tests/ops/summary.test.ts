import { expect, test } from "vitest";
import { renderSummary, type Summary } from "../../ops/index.ts";

const summary: Summary = {
  events: 1_234_567,
  late: 20,
  dead: 10,
  duplicates: 30,
  rows: 86_400,
  predictions: 86_400,
  anomalies: 512,
  incidents: 9,
  explanations: 8,
  parquetRows: 1_320_967,
  lost: 0,
  truth: { incidents: 8, found: 7, falseAlertsPerMachineDay: 0.05 },
  seconds: 171.23,
};

test("the table shows every number of the summary, in aligned columns", () => {
  const text = renderSummary(summary);
  for (const part of [
    "1,234,567",
    "20",
    "10",
    "30",
    "86,400",
    "512",
    "9",
    "8 explained",
    "1,320,967",
    "7 found",
    "0.05",
    "171.2 s",
  ])
    expect(text).toContain(part);
  const ends = text
    .split("\n")
    .map((line) => /^\S.*? {2,}\S+( s)?(?= {2}|$)|^ {2}\S+ +\S+(?= {2}|$)/.exec(line)?.[0].length);
  expect(new Set(ends).size).toBe(1);
});

test("a loss stands out", () => {
  expect(renderSummary(summary)).not.toContain("MISSING");
  expect(renderSummary({ ...summary, lost: 1 })).toMatch(/lost +1 +MISSING/);
});
