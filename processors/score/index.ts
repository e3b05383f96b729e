export { type Calibration, interpolate } from "./calibration.ts";
export type { BatchColumns, ScorePlan } from "./plan.ts";
export { createScoreProcessor, type ScoreOptions, type ScoreReply } from "./score.ts";
export type { ModelCatalog, Router, ScoreAnswer, ScoreCall, Scorer, ScoringModel } from "./scorer.ts";
