import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import type { Outcome } from "./harness.ts";
import { noVerdict } from "./judge.ts";
import { appendRecord, rowsOf } from "./record.ts";

const dir = mkdtempSync(path.join(tmpdir(), "weir-chaos-record-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const counts = { in: 10, out: 10, lost: 0, duplicated: 0, different: 0, seconds: 1.5 };
const outcome = (kinds: Record<string, number>, points: Record<string, number>): Outcome => ({
  report: { faults: 3, kinds, points, ...counts },
  verdict: noVerdict(),
  rounds: 1,
  starts: 0,
  ends: 0,
  logDigest: "0123456789abcdef0123",
});

test("each run adds a line, the sums cover all of them, and notes stay", () => {
  const file = path.join(dir, "chaos.md");
  appendRecord(file, { ...outcome({ kill: 1, point: 2 }, { "score C5": 2 }), seed: 1, brokers: 1, groups: false });
  writeFileSync(file, readFileSync(file, "utf8").replace("## Runs", "## Notes\n\nSeed 1 was slow.\n\n## Runs"));
  appendRecord(file, {
    ...outcome({ point: 3 }, { "score C5": 1, "lake-raw UPLOAD": 2 }),
    seed: 2,
    brokers: 3,
    groups: true,
  });
  const text = readFileSync(file, "utf8");
  expect(rowsOf(text).map((r) => [r.seed, r.brokers, r.kinds])).toEqual([
    ["1", "1", "kill 1, point 2"],
    ["2", "3, groups", "point 3"],
  ]);
  expect(text).toContain("**All runs: 6 faults in 2 runs, 20 events in, 20 out; 0 lost, 0 duplicated, 0 different.**");
  expect(text).toContain("By kind: kill 1, point 5.");
  expect(text).toContain("At points: lake-raw UPLOAD 2, score C5 3.");
  expect(text).toContain("Seed 1 was slow.");
});
