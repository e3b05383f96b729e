import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { qualityReport } from "../../ops/index.ts";
import { encodeParquet } from "../../sinks/lake/parquet.ts";
import { columnsOf, FeatureRows } from "../../sinks/lake/rows.ts";
import { columnNames, featureBatch } from "../lake/logs.ts";

const dir = mkdtempSync(path.join(tmpdir(), "weir-test-quality-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const MIDNIGHT = Date.UTC(2026, 0, 6);
const HOUR = 3_600_000;

test("the lake's rows are judged day by day: all entities, then each, the worst first; midnight ends the day before", async () => {
  expect(await qualityReport({ dir }, 0, 1e15)).toEqual([]);
  const rows = new FeatureRows(columnNames);
  // Qualities are 1, 1 − 1/128, 1 − 2/128.
  for (const [i, end] of [MIDNIGHT - HOUR, MIDNIGHT, MIDNIGHT + HOUR].entries()) {
    rows.append(i, featureBatch(end, ["a", "b", "c"].slice(0, 3 - (i % 2)), { windowEndMs: end }));
  }
  mkdirSync(path.join(dir, "processed-logs/2026-01-06"), { recursive: true });
  writeFileSync(
    path.join(dir, "processed-logs/2026-01-06/features-features-0-0.parquet"),
    encodeParquet(columnsOf(rows.take(0)), {}),
  );
  const report = await qualityReport({ dir }, 0, 1e15);
  expect(report.map((r) => [r.day, r.entity, r.rows, r.mean, r.lowest])).toEqual([
    ["2026-01-05", null, 5, 1 - 4 / 128 / 5, 126 / 128],
    ["2026-01-05", "c", 1, 126 / 128, 126 / 128],
    ["2026-01-05", "b", 2, 127 / 128, 127 / 128],
    ["2026-01-05", "a", 2, 1, 1],
    ["2026-01-06", null, 3, 127 / 128, 126 / 128],
    ["2026-01-06", "c", 1, 126 / 128, 126 / 128],
    ["2026-01-06", "b", 1, 127 / 128, 127 / 128],
    ["2026-01-06", "a", 1, 1, 1],
  ]);
  expect(await qualityReport({ dir }, MIDNIGHT + 1, MIDNIGHT + HOUR)).toEqual([]);
});
