import type { Anomaly, AnomalyKind, FeatureBatch, FeatureContribution, ModelRef } from "../../schemas/index.ts";
import type { InputRecord } from "../../streams/index.ts";
import { interpolate } from "./calibration.ts";
import { type BatchPlan, float32, modelOf } from "./plan.ts";
import type { ScoreOptions } from "./score.ts";
import { FAILED, type ModelCatalog, type ScoreAnswer, type ScoringModel } from "./scorer.ts";

const TOP_FEATURES = 5;
/** A silent entity has no score of its own: it is as strange as can be, against the usual operating point. */
const SILENT = { score: 1, probability: 1, threshold: 0.85 };

/** Verdicts of a batch's rows, in its order; no rows where no routing version was in force. */
export interface BatchScores {
  readonly rows: number;
  readonly models: readonly ModelRef[];
  /** Per row: index into `models`. */
  readonly arm: Uint8Array;
  /** Per row: index into the config's arms of the one whose verdict it is; the first where another failed. */
  readonly judgedBy: Uint8Array;
  readonly score: Float32Array;
  readonly probability: Float32Array;
  readonly raw: Float32Array;
  readonly shadow: Float32Array;
}

/** Calibrates what the models said. All figures are float32, so that every reader of the record judges as we do. */
export function judge(
  batch: FeatureBatch,
  plan: BatchPlan,
  answers: readonly ScoreAnswer[],
  catalog: ModelCatalog,
): BatchScores {
  const { config } = plan;
  const rows = plan.fault || !config ? 0 : batch.entities.length;
  const scores = {
    rows,
    models: [] as ModelRef[],
    arm: new Uint8Array(rows),
    judgedBy: plan.arms.slice(0, rows),
    score: new Float32Array(rows),
    probability: new Float32Array(rows),
    raw: new Float32Array(rows),
    shadow: new Float32Array(rows).fill(Number.NaN),
  };
  if (rows === 0 || !config) return scores;
  const answerOf = (index: number) => answers[plan.asked[index]?.call ?? -1];
  plan.arms.forEach((index, row) => {
    if (answerOf(index)?.evaluator === FAILED) scores.judgedBy[row] = 0;
  });
  config.arms.forEach((arm, index) => {
    const asked = plan.asked[index];
    if (!asked) return;
    const { version, evaluator, latencyMs = -1, raw } = answers[asked.call]!;
    const { calibration } = modelOf(catalog, arm.model, arm.modelVersion);
    const modelIndex = scores.models.push({ name: arm.model, version, evaluator, latencyMs }) - 1;
    if (evaluator === FAILED) return;
    for (let row = 0; row < rows; row++) {
      const place = asked.places[row]!;
      if (place < 0) continue;
      const said = raw[place]!;
      const score = interpolate(calibration.raw, calibration.score, said);
      if (scores.judgedBy[row] !== index) {
        scores.shadow[row] = score;
        continue;
      }
      scores.arm[row] = modelIndex;
      scores.raw[row] = said;
      scores.score[row] = score;
      scores.probability[row] = interpolate(calibration.raw, calibration.probability, said);
    }
  });
  return scores;
}

/** Rows at or over their model's threshold, in the batch's order, then the entities that fell silent. */
export function anomaliesOf(
  record: InputRecord<FeatureBatch>,
  plan: BatchPlan,
  scores: BatchScores,
  options: Pick<ScoreOptions, "models" | "featureSet" | "groupOf" | "topics">,
): Anomaly[] {
  const { value: batch, partition } = record;
  const { config } = plan;
  if (plan.fault || !config) return [];
  const base = (entity: string, kind: AnomalyKind, firstOffset: number, lastOffset: number) => ({
    anomalyId: `${entity}/${batch.windowEndMs}/${kind}`,
    kind,
    entity,
    entityGroup: options.groupOf(entity),
    windowStartMs: batch.windowEndMs - options.featureSet.windowMinutes * 60_000,
    windowEndMs: batch.windowEndMs,
    featureSet: batch.featureSet,
    routingVersion: config.version,
    evidence: {
      entity,
      windowEndMs: batch.windowEndMs,
      topic: options.topics.evidence,
      partition,
      firstOffset,
      lastOffset,
    },
  });
  const anomalies: Anomaly[] = [];
  for (let row = 0; row < scores.rows; row++) {
    const arm = config.arms[scores.judgedBy[row]!]!;
    const model = modelOf(options.models, arm.model, arm.modelVersion);
    const threshold = Math.fround(model.threshold);
    if (scores.score[row]! < threshold) continue;
    anomalies.push({
      ...base(batch.entities[row]!, "model", batch.firstOffset[row]!, batch.lastOffset[row]!),
      model: arm.model,
      modelVersion: scores.models[scores.arm[row]!]!.version,
      score: scores.score[row]!,
      probability: scores.probability[row]!,
      threshold,
      topFeatures: topFeatures(model, batch, row, options.featureSet.columns),
    });
  }
  for (const entity of batch.silent) {
    anomalies.push({
      ...base(entity, "telemetry_silent", -1, -1),
      model: "",
      modelVersion: "",
      ...SILENT,
      threshold: Math.fround(SILENT.threshold),
      topFeatures: [],
    });
  }
  return anomalies;
}

/** The columns that speak most for an anomaly; those that speak against it, or that nobody has seen, are no reasons. */
function topFeatures(
  model: ScoringModel,
  batch: FeatureBatch,
  row: number,
  columns: readonly string[],
): FeatureContribution[] {
  const source = float32(batch.matrix);
  const start = row * batch.columns;
  const values = Float32Array.from(model.columns, (name) => source[start + columns.indexOf(name)]!);
  const contributions = model.explain(values);
  if (!contributions) return [];
  return model.columns
    .map((name, i) => ({ name, value: values[i]!, contribution: Math.fround(contributions[i]!) }))
    .filter((feature) => feature.contribution > 0 && Number.isFinite(feature.value))
    .sort((a, b) => b.contribution - a.contribution)
    .slice(0, TOP_FEATURES);
}
