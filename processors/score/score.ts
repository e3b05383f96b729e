import type { Anomaly, AnomalyEdge, FeatureBatch, PredictionBatch, RoutingConfig } from "../../schemas/index.ts";
import {
  type EffectProcessor,
  type InputRecord,
  KeyValueStore,
  type Output,
  partitionFor,
  type TopicName,
} from "../../streams/index.ts";
import { anomaliesOf, type BatchScores, judge } from "./judge.ts";
import { type BatchColumns, type BatchPlan, planScores, type ScorePlan } from "./plan.ts";
import type { ModelCatalog, Router, ScoreAnswer, Scorer } from "./scorer.ts";

export interface ScoreOptions {
  readonly topics: {
    readonly predictions: TopicName;
    readonly anomalies: TopicName;
    readonly anomaliesByGroup: TopicName;
    /** Whose offsets the evidence names: logs.raw. */
    readonly evidence: TopicName;
  };
  /** Of `anomaliesByGroup`. */
  readonly partitions: number;
  readonly routingFamily: string;
  readonly featureSet: BatchColumns;
  readonly models: ModelCatalog;
  readonly router: Router;
  readonly scorer: Scorer;
  /** The service an entity belongs to. */
  readonly groupOf: (entity: string) => string;
  /** Ask the other arm as well, so that models are compared on the same rows. Default true. */
  readonly scoreBothArms?: boolean;
}

export interface ScoreReply {
  readonly plan: ScorePlan;
  readonly answers: readonly ScoreAnswer[];
}

/**
 * FeatureBatch → PredictionBatch of the same key, Anomaly records, and the same anomalies re-keyed by entity group.
 *
 * Counts rows: `accepted` per row, `control` for a batch without rows, `dead` for a batch that cannot be scored (its
 * watermark is forwarded all the same). Equal batches give equal records but for the latencies in them: the arm is a hash
 * of entity and routing version, and a routing version that arrives after its time counts from the window after the last
 * one scored here, which is kept in the store `routing`.
 */
export function createScoreProcessor(options: ScoreOptions): EffectProcessor<FeatureBatch, ScorePlan, ScoreReply> {
  const { router, scorer, topics } = options;
  const routing = new KeyValueStore<number>("routing");
  const LAST_WINDOW = "last-window-end";

  const versionsInForce = (): readonly RoutingConfig[] =>
    router.versions().map((config) => {
      const known = routing.get(`version/${config.version}`);
      const last = routing.get(LAST_WINDOW) ?? -1;
      return { ...config, effectiveFromMs: known ?? Math.max(config.effectiveFromMs, last + 1) };
    });

  return {
    stores: [routing],

    plan: (records) =>
      planScores(records, versionsInForce(), { ...options, scoreBothArms: options.scoreBothArms ?? true }),

    perform: async (plan, signal) => ({
      plan,
      answers: plan.calls.length > 0 ? await scorer.score(plan.calls, signal) : [],
    }),

    standing: () => ({ lastWindowEndMs: routing.get(LAST_WINDOW) ?? null, routingVersions: routing.size.keys }),

    apply(records, { plan, answers }, out) {
      for (const [version, fromMs] of plan.effectiveFromMs) {
        if (routing.get(`version/${version}`) === undefined) routing.put(`version/${version}`, fromMs);
      }
      records.forEach((record, i) => {
        applyBatch(record, plan.batches[i]!, answers, out);
        const last = routing.get(LAST_WINDOW) ?? -1;
        if (record.value.windowEndMs > last) routing.put(LAST_WINDOW, record.value.windowEndMs);
      });
    },
  };

  function applyBatch(
    record: InputRecord<FeatureBatch>,
    plan: BatchPlan,
    answers: readonly ScoreAnswer[],
    out: Output,
  ): void {
    const { value: batch, partition } = record;
    if (plan.fault) {
      const { matrix, quality, ...rest } = batch;
      const bytes = Buffer.from(JSON.stringify({ ...rest, matrixBytes: matrix.length, qualityBytes: quality.length }));
      out.reject({ ...plan.fault, eventId: "", timestampMs: batch.windowEndMs, entity: "", bytes });
    } else if (batch.entities.length > 0) out.count("accepted", batch.entities.length);
    else out.count("control", 1);

    const scores = judge(batch, plan, answers, options.models);
    out.send(topics.predictions, record.key ?? "", predictions(batch, plan, scores), record.timestampMs);

    const source = `score/${partition}`;
    const edge = (anomaly: Anomaly): AnomalyEdge => ({
      kind: "anomaly",
      source,
      clockMs: batch.watermarkMs,
      anomaly,
    });
    for (const anomaly of anomaliesOf(record, plan, scores, options)) {
      const group = anomaly.entityGroup;
      out.send(topics.anomalies, anomaly.entity, anomaly, batch.windowEndMs);
      const to = partitionFor(group, options.partitions);
      out.send(topics.anomaliesByGroup, group, edge(anomaly), batch.windowEndMs, to);
    }
    if (batch.chunk < batch.chunks - 1) return;
    // The minute is through: every reader of the re-keyed topic waits for this writer's clock, anomalies or not.
    const tick: AnomalyEdge = { kind: "tick", source, clockMs: batch.watermarkMs, anomaly: null };
    for (let to = 0; to < options.partitions; to++)
      out.send(topics.anomaliesByGroup, source, tick, batch.windowEndMs, to);
  }

  function predictions(batch: FeatureBatch, plan: BatchPlan, scores: BatchScores): PredictionBatch {
    return {
      featureSet: batch.featureSet,
      windowEndMs: batch.windowEndMs,
      watermarkMs: batch.watermarkMs,
      chunk: batch.chunk,
      chunks: batch.chunks,
      routingFamily: options.routingFamily,
      routingVersion: plan.fault ? -1 : (plan.config?.version ?? -1),
      models: [...scores.models],
      entities: scores.rows > 0 ? batch.entities : [],
      arm: Buffer.from(scores.arm),
      score: bytesOf(scores.score),
      probability: bytesOf(scores.probability),
      raw: bytesOf(scores.raw),
      shadow: bytesOf(scores.shadow),
    };
  }
}

const bytesOf = (values: Float32Array): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);
