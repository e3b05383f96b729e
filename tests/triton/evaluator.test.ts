import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { forestEvaluator, readGolden, readManifest, readModel, xgboostEvaluator } from "../../triton/index.ts";

const repository = new URL("fixtures/repository/", import.meta.url).pathname;
const dirs = ["xgboost_anomaly/1", "xgboost_anomaly/2", "catboost_anomaly/1", "isolation_forest/1"];
const read = (file: string) => JSON.parse(readFileSync(join(repository, file), "utf8"));

describe.each(dirs)("the built-in evaluator of %s", (dir) => {
  const { manifest, golden, evaluator } = readModel(join(repository, dir));

  test("gives the golden rows the library's own outputs within 1e-6, missing values and ties included", () => {
    const raw = evaluator.score(golden.matrix, golden.rows);
    expect(golden.matrix.some(Number.isNaN)).toBe(true);
    for (let row = 0; row < golden.rows; row++) expect(Math.abs(raw[row]! - golden.raw[row]!)).toBeLessThan(1e-6);
  });

  test("leaves its input untouched and repeats itself", () => {
    const before = golden.matrix.slice();
    expect(evaluator.score(golden.matrix, golden.rows)).toEqual(evaluator.score(golden.matrix, golden.rows));
    expect(golden.matrix).toEqual(before);
  });

  test("explains a row by shares that differ between two rows by what their margins differ by", () => {
    const columns = manifest.columns.length;
    const margin = (raw: number) =>
      manifest.format === "isolation-forest-json" ? Math.log(raw) : Math.log(raw / (1 - raw));
    const offsets = Array.from({ length: golden.rows }, (_, row) => {
      const shares = evaluator.explain(golden.matrix.slice(row * columns, (row + 1) * columns));
      return margin(golden.raw[row]!) - shares.reduce((a, b) => a + b, 0);
    });
    for (const offset of offsets) expect(offset).toBeCloseTo(offsets[0]!, 4);
  });
});

test("shares of an XGBoost row are the library's own approximate contributions", () => {
  const { golden, evaluator } = readModel(join(repository, "xgboost_anomaly/1"));
  const { shares } = read("xgboost-contributions.json") as { shares: number[][] };
  shares.forEach((expected, row) => {
    const got = evaluator.explain(golden.matrix.slice(row * 6, (row + 1) * 6));
    expected.forEach((share, column) => {
      expect(got[column]).toBeCloseTo(share, 4);
    });
  });
});

test("a value that equals its threshold goes right in XGBoost and left in a forest", () => {
  const xgb = read("xgboost_anomaly/1/xgboost.json");
  const leaves = { left_children: [1, -1, -1], right_children: [2, -1, -1], split_indices: [0, 0, 0] };
  const tree = { ...leaves, split_conditions: [0.1, -1, 1], default_left: [1, 0, 0], sum_hessian: [2, 1, 1] };
  xgb.learner.gradient_booster.model.trees = [tree];
  xgb.learner.learner_model_param = { base_score: "5E-1", num_feature: "1" };
  const evaluator = xgboostEvaluator(xgb);
  const tie = Math.fround(0.1);
  const [equal, below, missing] = evaluator.score(Float32Array.of(tie, tie - 1e-7, Number.NaN), 3);
  expect(equal).toBeCloseTo(1 / (1 + Math.exp(-1)), 6);
  expect(below).toBeCloseTo(1 / (1 + Math.exp(1)), 6);
  expect(missing).toBe(below);

  const bare = { left: [1, -1, -1], right: [2, -1, -1], feature: [0, -1, -1], pathLength: [0, 1, 2] };
  const forest = (threshold: number) =>
    forestEvaluator({
      format: "isolation-forest-json",
      columns: 1,
      medians: [0],
      norm: 1,
      trees: [{ ...bare, threshold: [threshold, 0, 0] }],
    }).score(Float32Array.of(tie), 1)[0];
  expect(forest(tie)).toBeCloseTo(0.5, 6);
  // 0.1 as a double lies below its float32, so the float32 does not.
  expect(forest(0.1)).toBeCloseTo(0.25, 6);
});

test("a model that this evaluator would get wrong is refused", () => {
  const xgb = read("xgboost_anomaly/1/xgboost.json");
  expect(() => xgboostEvaluator({ learner: { ...xgb.learner, objective: { name: "reg:squarederror" } } })).toThrow(
    /only binary:logistic/,
  );
  xgb.learner.gradient_booster.model.trees[0].categories = [1];
  expect(() => xgboostEvaluator(xgb)).toThrow(/categorical/);
});

describe("a version folder", () => {
  const made: string[] = [];
  afterEach(() => {
    for (const dir of made.splice(0)) rmSync(dir, { recursive: true });
  });
  const copy = (): string => {
    const home = mkdtempSync(join(tmpdir(), "weir-models-"));
    made.push(home);
    cpSync(repository, home, { recursive: true });
    return join(home, "xgboost_anomaly", "1");
  };
  const edit = (dir: string, file: string, change: (value: Record<string, unknown>) => void) => {
    const value = JSON.parse(readFileSync(join(dir, file), "utf8"));
    change(value);
    writeFileSync(join(dir, file), JSON.stringify(value));
  };

  test("with a bad manifest is refused with every fault at once", () => {
    const dir = copy();
    edit(dir, "manifest.json", (m) => {
      m.version = "7";
      m.format = "pickle";
      m.columns = ["cpu", "cpu"];
      m.threshold = 1.5;
      m.missing = "-1";
      m.calibration = { raw: [0, 0], probability: [1, 0], score: [0, 2] };
      delete m.trained;
    });
    for (const fault of [/folder's, 1/, /pickle/, /twice/, /input.columns/, /1.5/, /"nan"/, /raw does not ascend/])
      expect(() => readManifest(dir)).toThrow(fault);
    for (const fault of [/probability falls/, /score leaves 0 to 1/, /trained needs/])
      expect(() => readManifest(dir)).toThrow(fault);
  });

  test("without a manifest, with broken JSON or with golden rows of another width is refused with a code", () => {
    const dir = copy();
    edit(dir, "golden.json", (g) => {
      (g.rows as number[][])[3]!.pop();
    });
    expect(() => readGolden(dir, readManifest(dir))).toThrow(/not every row has 6 values/);
    writeFileSync(join(dir, "manifest.json"), "{");
    expect(() => readManifest(dir)).toThrow(expect.objectContaining({ code: "MODEL_MANIFEST_INVALID" }));
    rmSync(join(dir, "manifest.json"));
    expect(() => readManifest(dir)).toThrow(expect.objectContaining({ code: "MODEL_MANIFEST_INVALID" }));
  });

  test("whose artefact does not give the golden outputs, or cannot be read, is refused", () => {
    const dir = copy();
    edit(dir, "golden.json", (g) => {
      (g.raw as number[])[5]! += 1e-4;
    });
    expect(() => readModel(dir)).toThrow(expect.objectContaining({ code: "MODEL_GOLDEN_MISMATCH" }));
    writeFileSync(join(dir, "xgboost.json"), "{broken");
    expect(() => readModel(dir)).toThrow(expect.objectContaining({ code: "MODEL_ARTEFACT_INVALID" }));
  });
});
