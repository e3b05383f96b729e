import type { ModelFormat } from "../schemas/index.ts";

export type ModelKind = "isolation_forest" | "xgboost_anomaly" | "catboost_anomaly";

interface Recipe {
  readonly format: ModelFormat;
  /** Learns from labels; the forest does not. */
  readonly supervised: boolean;
  /** In the library's own words. */
  readonly parameters: Readonly<Record<string, number | string>>;
}

/** A change of the trainer after which models must be fitted anew counts this up. */
export const TRAINER_VERSION = "2";

/** Below this many labelled anomalies among the training rows, supervised models learn the forest's opinion instead. */
export const MIN_POSITIVES = 10;

/** Share of training rows the forest's opinion calls anomalous: its top 1 % was right more often than its top 5 %. */
export const PSEUDO_LABEL_SHARE = 0.01;

export const recipes: Readonly<Record<ModelKind, Recipe>> = {
  isolation_forest: {
    format: "isolation-forest-json",
    supervised: false,
    parameters: { n_estimators: 100, max_samples: 256, contamination: 0.05, random_state: 42 },
  },
  xgboost_anomaly: {
    format: "xgboost-json",
    supervised: true,
    parameters: {
      objective: "binary:logistic",
      max_depth: 6,
      eta: 0.1,
      subsample: 0.8,
      colsample_bytree: 0.8,
      min_child_weight: 1,
      gamma: 0,
      alpha: 0,
      lambda: 1,
      scale_pos_weight: 19,
      tree_method: "hist",
      eval_metric: "auc",
      seed: 42,
      num_boost_round: 100,
      early_stopping_rounds: 20,
    },
  },
  catboost_anomaly: {
    format: "catboost-onnx",
    supervised: true,
    parameters: {
      iterations: 100,
      depth: 6,
      learning_rate: 0.1,
      loss_function: "Logloss",
      eval_metric: "AUC",
      auto_class_weights: "Balanced",
      random_seed: 42,
    },
  },
};
