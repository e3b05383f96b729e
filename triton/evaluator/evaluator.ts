import { readFileSync } from "node:fs";
import { join } from "node:path";
import { artefactOf, type ModelManifest } from "../../schemas/index.ts";
import { WeirError } from "../../streams/index.ts";
import type { GoldenRows } from "../manifest.ts";
import { catboostEvaluator } from "./catboost.ts";
import { type ForestModel, forestEvaluator } from "./forest.ts";
import { type XgboostModel, xgboostEvaluator } from "./xgboost.ts";

/** A tree model run in this process: the oracle for what a server answers, and the source of explanations. */
export interface Evaluator {
  readonly columns: number;
  /** Raw output of each row of a row-major float32 matrix; NaN is a missing value. */
  score(matrix: Float32Array, rows: number): Float32Array;
  /** Per column, its share in the row's margin against the mean training row. */
  explain(row: Float32Array): Float64Array;
}

/** The artefact of a version folder, ready to run. Throws MODEL_ARTEFACT_INVALID (fatal). */
export function loadEvaluator(dir: string, manifest: ModelManifest, golden: GoldenRows): Evaluator {
  const file = artefactOf[manifest.format];
  try {
    const bytes = readFileSync(join(dir, file));
    const evaluator =
      manifest.format === "catboost-onnx"
        ? catboostEvaluator(bytes, manifest.columns.length, golden.matrix)
        : manifest.format === "xgboost-json"
          ? xgboostEvaluator(JSON.parse(bytes.toString()) as XgboostModel)
          : forestEvaluator(JSON.parse(bytes.toString()) as ForestModel);
    if (evaluator.columns !== manifest.columns.length)
      throw new Error(`it has ${evaluator.columns} columns, the manifest ${manifest.columns.length}`);
    return evaluator;
  } catch (error) {
    throw new WeirError(
      "MODEL_ARTEFACT_INVALID",
      "fatal",
      `${join(dir, file)} cannot be evaluated: ${(error as Error).message}.`,
      "Publish the model again with the trainer, or route to another version.",
      { cause: error },
    );
  }
}
