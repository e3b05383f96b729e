/** Artefact format, which decides the file in the version folder and who can evaluate it. */
export type ModelFormat = "xgboost-json" | "catboost-onnx" | "isolation-forest-json";

/** The score at which a row counts as an anomaly, for every model: calibration moves the operating point there. */
export const SCORE_THRESHOLD = 0.85;

/**
 * Monotone, piecewise linear maps of a model's raw output, told at the same knots. `raw` ascends strictly from 0 to 1.
 *
 * `probability`: chance that the row is an anomaly. `score`: strictly ascending, 0.85 exactly at the operating point.
 */
export interface Calibration {
  readonly raw: readonly number[];
  readonly probability: readonly number[];
  readonly score: readonly number[];
}

/** What a version folder says about itself: all that a scorer needs besides the artefact. */
export interface ModelManifest {
  readonly name: string;
  readonly version: string;
  readonly format: ModelFormat;
  /** In the order of the input's columns. */
  readonly columns: readonly string[];
  readonly featureSet: string;
  readonly featureSetHash: string;
  /** Missing values may be NaN. */
  readonly missing: "nan";
  readonly input: { readonly name: "input__0"; readonly columns: number };
  readonly output: { readonly name: "output__0" };
  readonly calibration: Calibration;
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

/** `given`: labels of the job; `pseudo`: the isolation forest's, for want of labels; `none`: not needed. */
export type LabelSource = "given" | "pseudo" | "none";

/** Rows with the outputs the artefact must reproduce; null = missing. */
export interface GoldenRows {
  readonly rows: readonly (readonly (number | null)[])[];
  readonly raw: readonly number[];
}
