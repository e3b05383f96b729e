import path from "node:path";
import { ROUTING_FAMILY } from "../../commands/model-names.ts";
import { ControlProcessor, MeasureProcessor } from "../../control/index.ts";
import { stages, topics } from "../../pipeline.ts";
import type { Decision, ExperimentEvent, Label, PredictionBatch, RoutingConfig } from "../../schemas/index.ts";
import type { Output, TopicName } from "../../streams/index.ts";
import { readManifest } from "../../triton/index.ts";
import { type Line, records } from "../support/results.ts";
import type { Environment } from "./environment.ts";

/**
 * What measure and control would have written, had they read what stands in their input in one go, and what they wrote.
 * Their input is no other run's: which requests were slow or failed, and when an experiment began, depends on the moment.
 */
export interface Replayed {
  readonly reports: readonly Line[];
  readonly decisions: readonly Line[];
  readonly routing: readonly Line[];
}

type Sent = (topic: TopicName, value: object, timestampMs: number) => void;

/** Takes what a processor sends; counters are of no interest. */
const output = (sent: Sent): Output => ({
  send: (topic, _key, value, timestampMs) => sent(topic, value as object, timestampMs),
  reject: ({ code, reason }) => {
    throw new Error(`${code}: ${reason}`);
  },
  late: () => undefined,
  count: () => undefined,
});

/** Lines in the form in which values come out of a topic, so that equal ones have equal texts. */
const linesOf = ({ codecs }: Environment) => {
  const text = (topic: TopicName, value: object): string =>
    JSON.stringify(codecs.decode(topic, codecs.encode(topic, value)));
  return {
    report: (value: ExperimentEvent, timestampMs: number): Line => ({
      key: `${value.source} ${timestampMs}`,
      value: text(topics.experiments, value),
    }),
    decision: (value: Decision): Line => ({
      key: `${value.experiment}/${value.number} ${value.request}`,
      value: text(topics.decisions, value),
    }),
    routing: (value: RoutingConfig): Line => ({
      key: `${value.family}/${value.version}`,
      value: text(topics.routing, value),
    }),
  };
};

export async function written(env: Environment): Promise<Replayed> {
  const lines = linesOf(env);
  const found = { reports: [] as Line[], decisions: [] as Line[], routing: [] as Line[] };
  for await (const { decoded, timestampMs } of records<ExperimentEvent>(env, topics.experiments))
    if (decoded.kind === "report") found.reports.push(lines.report(decoded, timestampMs));
  for await (const { decoded } of records<Decision>(env, topics.decisions))
    found.decisions.push(lines.decision(decoded));
  for await (const { decoded } of records<RoutingConfig>(env, topics.routing))
    found.routing.push(lines.routing(decoded));
  return found;
}

export async function replayed(env: Environment): Promise<Replayed> {
  return { reports: await replayMeasure(env), ...(await replayControl(env)) };
}

async function replayMeasure(env: Environment): Promise<Line[]> {
  const { config } = env;
  const { partitions, modelRepository } = config;
  const routing = await routingOf(env);
  const labels = Array.from({ length: partitions }, (): Label[] => []);
  for await (const { decoded, partition } of records<Label>(env, topics.labels)) labels[partition]!.push(decoded);
  const lines = linesOf(env);
  const reports: Line[] = [];
  const out = output((_topic, value, timestampMs) => reports.push(lines.report(value as ExperimentEvent, timestampMs)));
  const thresholds = new Map<string, number>();
  const thresholdOf = (model: string, version: string) => {
    const key = path.join(model, version);
    if (!thresholds.has(key)) thresholds.set(key, readManifest(path.join(modelRepository, key)).threshold);
    return thresholds.get(key)!;
  };
  const processors = labels.map(
    (known, partition) =>
      new MeasureProcessor({
        output: topics.experiments,
        partition,
        partitions,
        routing: (version) => routing.get(version),
        routingKnown: async () => undefined,
        thresholdOf,
        labels: () => known,
      }),
  );
  for await (const { decoded: value, ...record } of records<PredictionBatch>(env, topics.predictions))
    processors[record.partition]!.apply([{ ...record, topic: topics.predictions, key: null, value }], null, out);
  return reports;
}

async function replayControl(env: Environment): Promise<Omit<Replayed, "reports">> {
  const lines = linesOf(env);
  const first = (await routingOf(env)).get(1)!;
  let newest = first;
  const decisions: Line[] = [];
  const routing = [lines.routing(first)];
  const out = output((topic, value) => {
    if (topic === topics.decisions) decisions.push(lines.decision(value as Decision));
    else {
      newest = value as RoutingConfig;
      routing.push(lines.routing(newest));
    }
  });
  const processor = new ControlProcessor({
    topics: { routing: topics.routing, decisions: topics.decisions },
    sources: Array.from({ length: env.config.partitions }, (_, p) => `${stages.measure.name}/${p}`),
    newestRouting: (family) => (family === ROUTING_FAMILY ? newest : null),
    isKnown: () => true,
  });
  for await (const { decoded: value, ...record } of records<ExperimentEvent>(env, topics.experiments))
    processor.process({ ...record, topic: topics.experiments, key: value.family, value }, out);
  return { decisions, routing };
}

/** By version; of two records of one the first stands. */
export async function routingOf(env: Environment): Promise<ReadonlyMap<number, RoutingConfig>> {
  const routing = new Map<number, RoutingConfig>();
  for await (const { decoded } of records<RoutingConfig>(env, topics.routing))
    if (!routing.has(decoded.version)) routing.set(decoded.version, decoded);
  return routing;
}
