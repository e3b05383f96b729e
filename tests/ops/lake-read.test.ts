import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { compareLakeWithTopic, lakeRowCounts } from "../../ops/index.ts";
import type { FeatureBatch } from "../../schemas/index.ts";
import { encodeParquet } from "../../sinks/lake/parquet.ts";
import { columnsOf, FeatureRows } from "../../sinks/lake/rows.ts";
import { FakeBroker } from "../lake/fakes.ts";
import { codecs, columnNames, columns, featureBatch, features, startMs } from "../lake/logs.ts";

let dir: string;
let broker: FakeBroker;

beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), "weir-test-lake-"));
  broker = new FakeBroker();
  broker.createTopic(features, 1);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function writeFile(name: string, batches: [offset: number, batch: FeatureBatch][]): void {
  const rows = new FeatureRows(columnNames);
  for (const [offset, batch] of batches) rows.append(offset, batch);
  const folder = path.join(dir, "processed-logs/2026-01-06");
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, `features-features-0-${name}.parquet`), encodeParquet(columnsOf(rows.take(0)), {}));
}
const compare = () => compareLakeWithTopic({ source: { dir }, broker, codecs, topic: features, columns });
const batch = featureBatch(startMs, ["a", "b", "c"]);
const publish = (b: FeatureBatch) => broker.append(features, 0, codecs.encode(features, b));

test("equal rows are equal", async () => {
  publish(batch);
  writeFile("0", [[0, batch]]);
  expect(await compare()).toMatchObject({ rows: 3, equal: 3, missing: 0, extra: 0, different: 0 });
});

test("a single bit of a single float is a difference, the sign of a zero included", async () => {
  publish(batch);
  for (const flip of [(m: Buffer) => m.writeUInt8(m.readUInt8(12) ^ 1, 12), (m: Buffer) => m.writeUInt32LE(0, 0)]) {
    const matrix = Buffer.from(batch.matrix);
    flip(matrix);
    writeFile("0", [[0, { ...batch, matrix }]]);
    expect(await compare()).toMatchObject({ equal: 2, different: 1 });
  }
});

test("rows in no file, rows in a file only, and rows that stand in two files are told apart", async () => {
  publish(batch);
  publish(batch);
  writeFile("0", [[0, batch]]);
  expect(await compare()).toMatchObject({ equal: 3, missing: 3, extra: 0 });
  writeFile("1", [
    [1, batch],
    [2, batch],
  ]);
  expect(await compare()).toMatchObject({ equal: 6, missing: 0, extra: 3 });
  writeFile("2", [[1, batch]]);
  expect(await compare()).toMatchObject({ equal: 6, extra: 6 });
});

test("no files at all is a lake without rows", async () => {
  publish(batch);
  expect(await lakeRowCounts({ dir })).toEqual({ features: 0, raw: 0, files: 0 });
  expect(await compare()).toMatchObject({ rows: 3, missing: 3 });
});

test("rows are counted by the footers of all files", async () => {
  writeFile("0", [[0, batch]]);
  writeFile("1", [
    [1, batch],
    [2, batch],
  ]);
  expect(await lakeRowCounts({ dir })).toEqual({ features: 9, raw: 0, files: 2 });
});
