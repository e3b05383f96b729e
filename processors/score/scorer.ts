import type { Calibration, RoutingConfig } from "../../schemas/index.ts";

/** Rows for one model version, at most 512 unless one feature batch holds more. */
export interface ScoreCall {
  readonly model: string;
  readonly modelVersion: string;
  readonly rows: number;
  /** float32, row-major, in the model's own column order; NaN where missing. */
  readonly matrix: Float32Array;
  /** An experiment's challenger: one attempt within a short limit, and the champion's verdict counts where it fails. */
  readonly mayFail?: boolean;
}

/** Stands as the evaluator of an answer without scores. Only a call that may fail is answered so. */
export const FAILED = "failed";

export interface ScoreAnswer {
  /** The version that answered. */
  readonly version: string;
  /** triton, built-in, or failed. */
  readonly evaluator: string;
  /** How long the request took, whole milliseconds. */
  readonly latencyMs?: number;
  /** What the model said, one finite number a row; higher is stranger. Empty where it failed. */
  readonly raw: Float32Array;
}

/**
 * Whoever can run models. `score` is called once per plan, may run its calls in any order, repeats itself for equal
 * input, leaves its input untouched and answers in the order of the calls. While the model server is gone it waits;
 * when the signal aborts it throws the signal's reason. Any other throw means that waiting cannot help.
 */
export interface Scorer {
  score(calls: readonly ScoreCall[], signal: AbortSignal): Promise<readonly ScoreAnswer[]>;
}

/** All that is needed of a model version besides running it. */
export interface ScoringModel {
  readonly columns: readonly string[];
  readonly featureSet: string;
  readonly featureSetHash: string;
  readonly calibration: Calibration;
  readonly threshold: number;
  /** Share of each column in the row's log-odds against the average row; null where the model cannot tell. */
  explain(row: Float32Array): Float64Array | null;
}

/** Finds the model version a routing record names; undefined if it was never published here. */
export interface ModelCatalog {
  get(model: string, version: string): ScoringModel | undefined;
}

/** Which model judges a row. Pure but for `versions`, which grows as routing records arrive. */
export interface Router {
  /** Every good version of the family so far. */
  versions(): readonly RoutingConfig[];
  /** The version in force at a window's end. */
  routingFor(windowEndMs: number, versions: readonly RoutingConfig[]): RoutingConfig | null;
  /** The arm whose verdict counts for an entity, as an index into `config.arms`. */
  armChooser(config: RoutingConfig): (entity: string) => number;
}
