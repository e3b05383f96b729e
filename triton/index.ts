export * from "./client/index.ts";
export { catboostEvaluator } from "./evaluator/catboost.ts";
export { type Evaluator, loadEvaluator } from "./evaluator/evaluator.ts";
export { type ForestModel, forestEvaluator } from "./evaluator/forest.ts";
export { type XgboostModel, xgboostEvaluator } from "./evaluator/xgboost.ts";
export {
  artefactOf,
  type GoldenRows,
  type ModelFormat,
  type ModelManifest,
  readGolden,
  readManifest,
} from "./manifest.ts";
export { type LoadModelsOptions, loadModels, type Model, Models, readModel } from "./models.ts";
export { murmur3 } from "./murmur3.ts";
export { armChooser, BUCKETS, bucketOf, RoutingTable, routingFor, validateRouting } from "./router.ts";
export { TritonScorer, type TritonScorerOptions } from "./scorer.ts";
