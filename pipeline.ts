import {
  changelogTopicFor,
  deadTopicFor,
  lateTopicFor,
  type StageName,
  stageName,
  type TopicName,
  topicName,
} from "./streams/index.ts";

/**
 * All topics and stages of Weir on one page. Topic creation, the registry subjects, the docs and the audit are derived
 * from it.
 */

/** How a topic forgets: `delete` by size, `compact` keeps the last value of each key. */
export type Cleanup = "delete" | "compact" | "compact,delete";

export interface TopicDefinition {
  readonly name: TopicName;
  /** Avro record of the value: file `schemas/avro/<schema>.avsc`, subject `<topic>-value`. Null: bytes of the runtime, or of others. */
  readonly schema: string | null;
  readonly cleanup: Cleanup;
}

export interface StageDefinition {
  readonly name: StageName;
  /** Null: the stage reads from outside Kafka. */
  readonly input: TopicName | null;
  readonly outputs: readonly TopicName[];
  /** Outputs that are keyed anew: many writers a partition, each a source with its own clock. */
  readonly rekeyed: readonly TopicName[];
  /** Stages without one keep their progress where their output lives (the lake: in its objects). */
  readonly changelog: boolean;
}

export const topics = {
  kinesisDead: topicName("kinesis.dead"),
  checkpoints: topicName("ingest.checkpoints"),
  logsRaw: topicName("logs.raw"),
  features: topicName("features"),
  samples: topicName("samples"),
  samplesFeatures: topicName("samples.features"),
  predictions: topicName("predictions"),
  anomalies: topicName("anomalies"),
  anomaliesByGroup: topicName("anomalies.by-group"),
  incidents: topicName("incidents"),
  explanations: topicName("explanations"),
  routing: topicName("routing"),
  labels: topicName("labels"),
  experiments: topicName("experiments"),
  decisions: topicName("decisions"),
} as const;

const stage = (
  name: string,
  input: TopicName | null,
  outputs: TopicName[],
  more: Partial<StageDefinition> = {},
): StageDefinition => ({
  name: stageName(name),
  input,
  outputs,
  rekeyed: [],
  changelog: input !== null,
  ...more,
});

const t = topics;

export const stages = {
  bridge: stage("bridge", null, [t.logsRaw, t.checkpoints, t.kinesisDead], { rekeyed: [t.logsRaw] }),
  features: stage("features", t.logsRaw, [t.features]),
  samples: stage("samples", t.samples, [t.samplesFeatures]),
  score: stage("score", t.features, [t.predictions, t.anomalies, t.anomaliesByGroup], {
    rekeyed: [t.anomaliesByGroup],
  }),
  incidents: stage("incidents", t.anomaliesByGroup, [t.incidents]),
  measure: stage("measure", t.predictions, [t.experiments], { rekeyed: [t.experiments] }),
  control: stage("control", t.experiments, [t.routing, t.decisions]),
  explain: stage("explain", t.incidents, [t.explanations]),
  lakeFeatures: stage("lake-features", t.features, [], { changelog: false }),
  lakeRaw: stage("lake-raw", t.logsRaw, [], { changelog: false }),
} as const;

const data = (name: TopicName, schema: string, cleanup: Cleanup = "delete"): TopicDefinition => ({
  name,
  schema,
  cleanup,
});

/** Every topic, the derived ones (dead letters, late events, changelogs) included. */
export const topicDefinitions: readonly TopicDefinition[] = [
  data(t.logsRaw, "log-batch"),
  data(t.features, "feature-batch"),
  { name: t.samples, schema: null, cleanup: "delete" },
  data(t.samplesFeatures, "feature-batch"),
  data(t.predictions, "prediction-batch"),
  data(t.anomalies, "anomaly"),
  data(t.anomaliesByGroup, "anomaly-edge"),
  data(t.incidents, "incident", "compact,delete"),
  data(t.explanations, "explanation", "compact,delete"),
  data(t.routing, "routing-config", "compact"),
  data(t.labels, "label", "compact"),
  data(t.experiments, "experiment-event"),
  data(t.decisions, "decision", "compact,delete"),
  data(t.checkpoints, "shard-checkpoint", "compact"),
  data(t.kinesisDead, "dead-letter"),
  ...Object.values(stages).flatMap((s) =>
    s.input === null || !s.changelog
      ? []
      : [
          data(deadTopicFor(s.input), "dead-letter"),
          { name: changelogTopicFor(s.name), schema: null, cleanup: "compact" as const },
        ],
  ),
  data(lateTopicFor(t.logsRaw), "dead-letter"),
  data(lateTopicFor(t.samples), "dead-letter"),
];

/** All topics that a stage writes to, its changelog left out. */
export function writtenBy({ input, outputs }: StageDefinition): TopicName[] {
  const named = new Set(topicDefinitions.map((d) => d.name));
  const letters = input === null ? [] : [deadTopicFor(input), lateTopicFor(input)].filter((name) => named.has(name));
  return [...outputs, ...letters];
}

const DAY_MS = 86_400_000;
const GIB_BYTES = 1_073_741_824;

/**
 * Settings of a topic, all explicit. Record time is event time and a replay of last year must not be eaten by
 * retention, so data is bounded by size; only compacted topics whose records also expire carry a time.
 */
export function settingsOf(cleanup: Cleanup, replication: number): Record<string, string> {
  const common = {
    "cleanup.policy": cleanup,
    "min.insync.replicas": String(Math.max(1, replication - 1)),
    "message.timestamp.type": "CreateTime",
    "message.timestamp.before.max.ms": "9223372036854775807",
    "message.timestamp.after.max.ms": "9223372036854775807",
    "max.message.bytes": "1048588",
  };
  if (cleanup === "delete")
    return {
      ...common,
      "retention.ms": "-1",
      "retention.bytes": String(4 * GIB_BYTES),
      "segment.bytes": String(GIB_BYTES / 8),
    };
  if (cleanup === "compact")
    return {
      ...common,
      "segment.bytes": "16777216",
      "min.cleanable.dirty.ratio": "0.05",
      "max.compaction.lag.ms": "600000",
      "delete.retention.ms": String(DAY_MS),
    };
  // Subscribers read every revision, so nothing but its size may close a segment, which the cleaner then thins out: a lag that
  // forces a clean-up would count from event time, long past in a replay, and so does a segment's age, against the time of day
  // that a transaction's marker bears.
  return {
    ...common,
    "segment.bytes": String(GIB_BYTES / 8),
    "segment.ms": "9223372036854775807",
    "delete.retention.ms": String(DAY_MS),
    "retention.ms": "-1",
    "retention.bytes": String(GIB_BYTES),
  };
}
