/** The score at which a row counts as an anomaly, for every model: calibration moves the operating point there. */
export const SCORE_THRESHOLD = 0.85;

/** Artefact format, which decides the file in the version folder and who can evaluate it. */
export type ModelFormat = "xgboost-json" | "catboost-onnx" | "isolation-forest-json";

/** The model's file in its version folder: the name that the server's backends look for. */
export const artefactOf: Readonly<Record<ModelFormat, string>> = {
  "xgboost-json": "xgboost.json",
  "catboost-onnx": "model.onnx",
  "isolation-forest-json": "forest.json",
};

/**
 * Monotone, piecewise linear maps of a model's raw output, told at the same knots; flat beyond the ends. `raw` ascends.
 *
 * `probability`: chance that the row is an anomaly. `score`: strictly ascending, 0.85 exactly at the operating point.
 */
export interface Calibration {
  readonly raw: readonly number[];
  readonly probability: readonly number[];
  readonly score: readonly number[];
}

/** `given`: labels of the job; `pseudo`: the isolation forest's, for want of labels; `none`: not needed. */
export type LabelSource = "given" | "pseudo" | "none";

/**
 * What a version folder of the model repository says about itself (`<repository>/<name>/<version>/manifest.json`): all
 * that a scorer needs besides the artefact.
 */
export interface ModelManifest {
  readonly name: string;
  /** A whole number as text, from 1 on. */
  readonly version: string;
  readonly format: ModelFormat;
  /** In the order of the input's columns. */
  readonly columns: readonly string[];
  readonly featureSet: string;
  readonly featureSetHash: string;
  /** Missing values are NaN. */
  readonly missing: "nan";
  /** The tensors, as the server names them. */
  readonly input: { readonly name: string; readonly columns: number };
  /** Width 2: the chances of "normal" and "anomaly"; absent: 1, the chance of an anomaly. */
  readonly output: { readonly name: string; readonly width?: 1 | 2 };
  readonly calibration: Calibration;
  /** Scores at or above it are anomalies. */
  readonly threshold: number;
  readonly trained: {
    readonly rows: number;
    readonly positives: number;
    /** Names the training data; given by the job. */
    readonly digest: string;
    /** First and last window end among the rows that were fitted. */
    readonly fromMs: number;
    readonly toMs: number;
    /** Whose opinion the positives are. */
    readonly labels: LabelSource;
  };
  readonly libraries: Readonly<Record<string, string>>;
}
