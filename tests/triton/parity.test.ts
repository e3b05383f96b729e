import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { defaultCacheDir } from "../../local/index.ts";
import { catboostEvaluator, type Evaluator, forestEvaluator, xgboostEvaluator } from "../../triton/index.ts";

/** 100,000 rows of 37 columns with missing values, ties and infinities, scored by the libraries and by us. */
const ROWS = 100_000;
const COLUMNS = 37;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "weir-parity-"));
  const at = (path: string) => new URL(`../../${path}`, import.meta.url).pathname;
  execFileSync(join(defaultCacheDir(), "tools/bin/python"), [at("tests/triton/fixtures/parity.py"), folder], {
    env: { ...process.env, PYTHONPATH: at("trainer/python"), OMP_NUM_THREADS: "1" },
    stdio: "pipe",
  });
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const floats = (name: string): Float32Array => {
  const bytes = readFileSync(join(folder, `${name}.f32`));
  return new Float32Array(new Uint8Array(bytes).buffer);
};
const json = (name: string) => JSON.parse(readFileSync(join(folder, name), "utf8"));

/** In batches of 250, as the stage would, and once in one piece: the same bits. */
function scores(evaluator: Evaluator, rows: Float32Array): Float32Array {
  const whole = evaluator.score(rows, ROWS);
  for (let row = 0; row < ROWS; row += 250) {
    const part = evaluator.score(rows.subarray(row * COLUMNS, (row + 250) * COLUMNS), 250);
    if (!part.every((score, i) => Object.is(score, whole[row + i]))) throw new Error(`batch of row ${row} differs`);
  }
  return whole;
}

function largestDifference(got: ArrayLike<number>, expected: Float32Array): number {
  expect(got.length).toBe(ROWS);
  let largest = 0;
  for (let row = 0; row < ROWS; row++) {
    const difference = Math.abs(got[row]! - expected[row]!);
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

test("XGBoost: within 1e-6 of the library", () => {
  const got = scores(xgboostEvaluator(json("xgboost.json")), floats("rows"));
  expect(largestDifference(got, floats("xgboost"))).toBeLessThan(1e-6);
});

test("isolation forest: within 1e-6 of scikit-learn", () => {
  const got = scores(forestEvaluator(json("forest.json")), floats("forest-rows"));
  expect(largestDifference(got, floats("forest"))).toBeLessThan(1e-6);
});

test("CatBoost's ONNX: within 1e-6 of onnxruntime, there and in this process, and 1e-5 of CatBoost itself", async () => {
  const file = readFileSync(join(folder, "model.onnx"));
  const rows = floats("rows");
  const got = scores(catboostEvaluator(file, COLUMNS, rows.subarray(0, COLUMNS)), rows);
  expect(largestDifference(got, floats("catboost"))).toBeLessThan(1e-6);
  expect(largestDifference(got, floats("catboost-native"))).toBeLessThan(1e-5);
  const session = await ort.InferenceSession.create(file, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  const { probabilities } = await session.run({ features: new ort.Tensor("float32", rows, [ROWS, COLUMNS]) });
  const pairs = probabilities!.data as Float32Array;
  const anomalous = pairs.filter((_, i) => i % 2 === 1);
  expect(largestDifference(got, anomalous)).toBeLessThan(1e-6);
  await session.release();
});
