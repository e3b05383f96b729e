import { compileFeatureSet, SamplesProcessor } from "../../processors/index.ts";
import { standaloneSchema, typeOf } from "../../schemas/index.ts";
import { JsonSampleReader } from "../../sources/samples/index.ts";
import {
  deadTopicFor,
  lateTopicFor,
  partitionFor,
  stageName,
  type TaskOptions,
  topicName,
} from "../../streams/index.ts";
import { SeededRandom } from "../../streams/testing/index.ts";
import type { InputOperation, SimulatedPipeline } from "./pipeline.ts";

const PARTITIONS = 2;
const MINUTE_MS = 60_000;
const BEGIN_MS = Date.UTC(2024, 0, 1, 9);
/** Longer than any pause of the input, and over before the last calls come: silence closes what is open between them. */
const CLOSE_AFTER_MS = 12_000;
const input = topicName("samples");
const output = topicName("samples.features");
const [dead, late] = [deadTopicFor(input), lateTopicFor(input)];
const entities = ["web-1", "web-2", "web-3", "db-1", "db-3"];

const types = new Map([
  [output as string, typeOf(standaloneSchema("feature-batch"))],
  ...[dead, late].map((topic) => [topic as string, typeOf(standaloneSchema("dead-letter"))] as const),
]);
const codecs: TaskOptions["codecs"] = {
  encode: (topic, value) => types.get(topic)!.toBuffer(value),
  decode: () => {
    throw new TypeError("Records are read as they lie.");
  },
  unknownId: () => null,
  learn: async () => undefined,
};

const featureSet = compileFeatureSet({
  name: "samples",
  hopMinutes: 1,
  windowMinutes: 3,
  timezone: "UTC",
  signals: [
    { name: "cpu", metric: "cpu", unit: "Percent", centre: 50, smallestUnit: 1 },
    { name: "errors", levels: ["error"] },
  ],
  columns: [
    { name: "cpu_mean", signal: "cpu", statistic: "mean" },
    { name: "cpu_lag_1", signal: "cpu", lagMinutes: 1 },
    { name: "errors_sum", signal: "errors", statistic: "sum" },
  ],
});

function inputOf(seed: number): Pick<SimulatedPipeline, "input" | "lastCalls"> {
  const random = new SeededRandom(seed);
  const append = (partition: number, value: string, timestampMs: number): InputOperation => ({
    topic: input,
    partition,
    producerId: null,
    append: [{ key: null, value: Buffer.from(value), timestampMs }],
  });
  const sample = (entity: string, ts: number, cpu: number) =>
    append(partitionFor(entity, PARTITIONS), JSON.stringify({ entity, ts, cpu, errors: random.between(0, 2) }), ts);
  const operations: InputOperation[] = [];
  for (let minute = 0; minute < 10; minute++) {
    for (const entity of entities) {
      const isLate = minute > 3 && random.next() < 0.1;
      const ts = BEGIN_MS + minute * MINUTE_MS + random.between(0, 59_999) - (isLate ? 200_000 : 0);
      operations.push(sample(entity, ts, random.between(0, 100)));
      if (random.next() < 0.1) operations.push(append(partitionFor(entity, PARTITIONS), '{"entity":', ts));
    }
  }
  const lastCalls = [30, 40, 50].map((minute) =>
    entities.map((entity) => sample(entity, BEGIN_MS + minute * MINUTE_MS, minute)),
  );
  return { input: operations, lastCalls };
}

/** A foreign topic of JSON samples → rows, with the real processor. */
export const samples = (seed = 1): SimulatedPipeline => ({
  name: "samples",
  partitions: PARTITIONS,
  topics: [input, output, dead, late],
  codecs,
  slots: [
    { stage: 0, partitions: [0] },
    { stage: 0, partitions: [1] },
  ],
  stages: () => [
    {
      stage: stageName("samples"),
      input,
      outputs: [output, dead, late],
      create: (partition) =>
        new SamplesProcessor({
          featureSet,
          topic: output,
          partition,
          reader: new JsonSampleReader(featureSet),
          closeAfterMs: CLOSE_AFTER_MS,
        }),
      fingerprint: "samples/1",
    },
  ],
  ...inputOf(seed),
  judged: [output, dead, late],
});
