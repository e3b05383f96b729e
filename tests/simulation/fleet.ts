import {
  createFeaturesProcessor,
  createScoreProcessor,
  IncidentsProcessor,
  loadFeatureSet,
  rulesForHop,
  type Scorer,
  type ScoringModel,
} from "../../processors/index.ts";
import {
  type AnomalyEdge,
  type FeatureBatch,
  type LogBatch,
  type LogEvent,
  type RoutingConfig,
  type SourceSign,
  standaloneSchema,
  typeOf,
} from "../../schemas/index.ts";
import {
  deadTopicFor,
  lateTopicFor,
  partitionFor,
  type StageBinding,
  stageName,
  type TaskOptions,
  topicName,
} from "../../streams/index.ts";
import { SeededRandom, type SimulatedProcess } from "../../streams/testing/index.ts";
import { RoutingTable } from "../../triton/index.ts";
import type { InputOperation, SimulatedPipeline } from "./pipeline.ts";

const PARTITIONS = 2;
const MINUTE_MS = 60_000;
const BEGIN_MS = Date.UTC(2024, 0, 1, 9);
const MINUTES = 8;
/** Until the machines count as silent, and their incidents are resolved. */
const QUIET_MINUTES = 33;
const t = {
  logsRaw: topicName("logs.raw"),
  features: topicName("features"),
  predictions: topicName("predictions"),
  anomalies: topicName("anomalies"),
  byGroup: topicName("anomalies.by-group"),
  incidents: topicName("incidents"),
};
const dead = [t.logsRaw, t.features, t.byGroup].map(deadTopicFor);
const late = lateTopicFor(t.logsRaw);

const schemaOf = new Map<string, string>([
  [t.logsRaw, "log-batch"],
  [t.features, "feature-batch"],
  [t.predictions, "prediction-batch"],
  [t.anomalies, "anomaly"],
  [t.byGroup, "anomaly-edge"],
  [t.incidents, "incident"],
  ...[...dead, late].map((topic): [string, string] => [topic, "dead-letter"]),
]);
const types = new Map([...schemaOf].map(([topic, schema]) => [topic, typeOf(standaloneSchema(schema))]));

/** The real Avro schemas without a registry. */
const codecs: TaskOptions["codecs"] = {
  encode: (topic, value) => types.get(topic)!.toBuffer(value),
  decode: <T>(topic: string, bytes: Buffer) => types.get(topic)!.fromBuffer(bytes) as T,
  unknownId: () => null,
  learn: async () => undefined,
};

const featureSet = loadFeatureSet("core-37");
const model = (column: string): ScoringModel => ({
  columns: [column, "memory_mean"],
  featureSet: featureSet.name,
  featureSetHash: featureSet.hash,
  calibration: { raw: [0, 100], probability: [0, 1], score: [0, 1] },
  threshold: 0.85,
  explain: (row) => Float64Array.from(row),
});
const models: Readonly<Record<string, ScoringModel>> = { "a/1": model("cpu_max"), "b/1": model("cpu_mean") };
const modelOf = (name: string, version: string): ScoringModel | undefined => models[`${name}/${version}`];

/** A fake: answers a row's first column, after a while. */
const fakeScorer = (process: SimulatedProcess): Scorer => ({
  async score(calls, signal) {
    await process.time.sleep(2, signal);
    signal.throwIfAborted();
    return calls.map(({ rows, matrix, modelVersion }) => ({
      version: modelVersion,
      evaluator: "built-in",
      raw: Float32Array.from({ length: rows }, (_, row) => matrix[row * 2] || 0),
    }));
  },
});

const routing: RoutingConfig = {
  family: "anomaly",
  version: 1,
  mode: "split",
  salt: "s",
  effectiveFromMs: 0,
  arms: [
    { model: "a", modelVersion: "1", weight: 70 },
    { model: "b", modelVersion: "1", weight: 30 },
  ],
  author: "test",
  createdAtMs: 0,
  experiment: "",
  labelledUntilMs: 0,
};

/** The real processors, bound as the roles bind them. */
function stages(process: SimulatedProcess): StageBinding[] {
  const router = new RoutingTable("anomaly", (name, version) => modelOf(name, version) !== undefined);
  router.offer(routing);
  const rules = rulesForHop(MINUTE_MS);
  const sources = Array.from({ length: PARTITIONS }, (_, p) => `score/${p}`);
  const names = {
    predictions: t.predictions,
    anomalies: t.anomalies,
    anomaliesByGroup: t.byGroup,
    evidence: t.logsRaw,
  };
  return [
    {
      stage: stageName("features"),
      input: t.logsRaw,
      outputs: [t.features, deadTopicFor(t.logsRaw), lateTopicFor(t.logsRaw)],
      create: (partition) =>
        createFeaturesProcessor({ featureSet, topic: t.features, partition, partitions: PARTITIONS }),
      eventsOf: (batch: LogBatch) => (batch.kind === "events" ? batch.events.length : 1),
      watermarkOf: (batch: LogBatch) => batch.clockMs,
      fingerprint: "features/1",
    },
    {
      stage: stageName("score"),
      input: t.features,
      outputs: [t.predictions, t.anomalies, t.byGroup, deadTopicFor(t.features)],
      create: () =>
        createScoreProcessor({
          topics: names,
          partitions: PARTITIONS,
          routingFamily: "anomaly",
          featureSet,
          models: { get: modelOf },
          router,
          scorer: fakeScorer(process),
          groupOf: (entity) => (entity.startsWith("web") ? "shop" : "bank"),
        }),
      eventsOf: (batch: FeatureBatch) => Math.max(1, batch.entities.length),
      watermarkOf: (batch: FeatureBatch) => batch.watermarkMs,
      fingerprint: "score/1",
    },
    {
      stage: stageName("incidents"),
      input: t.byGroup,
      outputs: [t.incidents, deadTopicFor(t.byGroup)],
      create: () => new IncidentsProcessor({ output: t.incidents, rules, sources }),
      watermarkOf: (edge: AnomalyEdge) => edge.clockMs,
      fingerprint: "incidents/1",
    },
  ];
}

const sources = ["logs@0/shard-a", "logs@0/shard-b"];
const entities = ["web-1", "web-2", "web-3", "db-1", "db-3"];
const hot = new Set(["web-1", "db-1"]);

/** Two shards, five machines, eight minutes; two machines run hot; some events twice, late, or no Avro at all. */
function inputOf(seed: number): Pick<SimulatedPipeline, "input" | "lastCalls"> {
  const random = new SeededRandom(seed);
  const input: InputOperation[] = [];
  const all = (kind: SourceSign, source: string, clockMs: number, into: InputOperation[]) => {
    for (let p = 0; p < PARTITIONS; p++) into.push(appended(p, batchOf(source, clockMs, "", [], kind)));
  };
  for (const source of sources) all("open", source, BEGIN_MS, input);
  let last: LogEvent | undefined;
  for (let minute = 0; minute < MINUTES; minute++) {
    for (const entity of entities) {
      const source = random.pick(sources);
      const clockMs = BEGIN_MS + minute * MINUTE_MS + random.between(0, 20_000);
      const isLate = random.next() < 0.08;
      const timestampMs = clockMs + random.between(0, 30_000) - (isLate ? 200_000 : 0);
      const isHot = hot.has(entity) && minute >= 2;
      const event = { id: `${entity}/${minute}`, timestampMs, message: metrics(entity, timestampMs, isHot, random) };
      const events = last && random.next() < 0.2 ? [event, event] : [event];
      const partition = partitionFor(entity, PARTITIONS);
      input.push(appended(partition, batchOf(source, clockMs, entity, events)));
      if (random.next() < 0.05) input.push(rubbish(partition));
      last = event;
    }
    for (const source of sources) all("tick", source, BEGIN_MS + (minute + 1) * MINUTE_MS - 30_000, input);
  }
  for (const source of sources) all("tick", source, BEGIN_MS + (MINUTES + QUIET_MINUTES) * MINUTE_MS, input);
  const lastCalls = [1, 2, 3].map((n) => {
    const call: InputOperation[] = [];
    for (const source of sources) all("tick", source, BEGIN_MS + (MINUTES + QUIET_MINUTES + n) * MINUTE_MS, call);
    return call;
  });
  return { input, lastCalls };
}

function metrics(entity: string, timestampMs: number, isHot: boolean, random: SeededRandom): string {
  const values = {
    CPUUtilization: isHot ? 97 : random.between(100, 600) / 10,
    MemoryUtilization: random.between(300, 700) / 10,
    NetworkIn: random.between(0, 1_000_000),
  };
  const names = Object.keys(values).map((Name) => ({ Name, Unit: "None" }));
  const document = { Namespace: "CWAgent", Dimensions: [["InstanceId"]], Metrics: names };
  return JSON.stringify({
    _aws: { Timestamp: timestampMs, CloudWatchMetrics: [document] },
    InstanceId: entity,
    ...values,
  });
}

const batchOf = (
  source: string,
  clockMs: number,
  entity: string,
  events: LogEvent[],
  kind: SourceSign = "events",
): LogBatch => ({
  kind,
  source,
  clockMs,
  arrivalMs: clockMs,
  sequence: "0",
  account: "123456789012",
  logGroup: "/application/logs",
  logStream: entity,
  entity,
  events,
});

const appended = (partition: number, batch: LogBatch): InputOperation => ({
  topic: t.logsRaw,
  partition,
  producerId: null,
  append: [{ key: Buffer.from(batch.entity), value: codecs.encode(t.logsRaw, batch), timestampMs: batch.clockMs }],
});

const rubbish = (partition: number): InputOperation => ({
  topic: t.logsRaw,
  partition,
  producerId: null,
  append: [{ key: Buffer.from("web-1"), value: Buffer.from("no Avro"), timestampMs: BEGIN_MS }],
});

/** logs.raw → features → score → incidents with the real processors; only the models are fake. */
export const fleet = (seed = 1): SimulatedPipeline => ({
  name: "fleet",
  partitions: PARTITIONS,
  topics: [...schemaOf.keys()],
  codecs,
  slots: [
    { stage: 0, partitions: [0] },
    { stage: 0, partitions: [1] },
    { stage: 1, partitions: [0, 1] },
    { stage: 2, partitions: [0, 1] },
  ],
  stages,
  ...inputOf(seed),
  judged: [...schemaOf.keys()].filter((topic) => topic !== t.logsRaw),
  writerOf: (topic, { value }) => (topic === t.byGroup ? codecs.decode<AnomalyEdge>(topic, value!).source : ""),
});
