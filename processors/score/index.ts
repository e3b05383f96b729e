export { interpolate } from "./calibration.ts";
export type { BatchColumns, ScorePlan } from "./plan.ts";
export { createScoreProcessor, type ScoreOptions, type ScoreReply } from "./score.ts";
export {
  FAILED,
  type ModelCatalog,
  type Router,
  type ScoreAnswer,
  type ScoreCall,
  type Scorer,
  type ScoringModel,
} from "./scorer.ts";
