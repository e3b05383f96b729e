import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ControlProcessor, MeasureProcessor } from "../../control/index.ts";
import { stages, topics, writtenBy } from "../../pipeline.ts";
import type { ExperimentEvent, Label, PredictionBatch, RoutingConfig } from "../../schemas/index.ts";
import { type Runnable, SideInput, type StageBinding, type TopicName, WeirError } from "../../streams/index.ts";
import { RoutingTable, readManifest } from "../../triton/index.ts";
import { ROUTING_FAMILY } from "../model-names.ts";
import { afterInputs, type RoleContext, stageRunner } from "../roles.ts";

/** How long a routing version may take from the first prediction made under it to this process's own reading of it. */
const ROUTING_LIMIT_MS = 30_000;
const POLL_MS = 50;
/** Of one partition; the oldest are forgotten. A label is about 200 bytes. */
const MAX_LABELS = 100_000;
/** Where a model version is no longer in the repository: the operating point that every calibration aims at. */
const THRESHOLD = 0.85;

/** The stages that run experiments: measure on the predictions, control on what they report. */
export function create(context: RoleContext): Runnable[] {
  const { config, broker, codecs, log } = context;
  const { partitions, modelRepository } = config;
  const manifests = new Map<string, ReturnType<typeof readManifest>>();
  const manifestOf = (model: string, version: string) => {
    const key = `${model}/${version}`;
    try {
      if (!manifests.has(key)) manifests.set(key, readManifest(path.join(modelRepository, model, version)));
    } catch {
      return undefined;
    }
    return manifests.get(key);
  };
  const decoded = async <T>(topic: TopicName, value: Buffer): Promise<T> => {
    const id = codecs.unknownId(value);
    if (id !== null) await codecs.learn(id);
    return codecs.decode<T>(topic, value);
  };

  // Score decides what may be routed to; here every version that it may have used must be known.
  const table = new RoutingTable(ROUTING_FAMILY, () => true);
  const routing = new SideInput(broker, topics.routing, async (value) => {
    const faults = table.offer(await decoded<RoutingConfig>(topics.routing, value));
    if (faults.length > 0) log(`routing record refused, the last good one stays: ${faults.join("; ")}`);
  });
  const versionOf = (version: number) => table.versions().find((v) => v.version === version);
  const labels = Array.from({ length: partitions }, () => new Map<string, Label>());
  const labelInputs = labels.map((known, partition) => {
    const take = async (value: Buffer) => {
      const label = await decoded<Label>(topics.labels, value);
      const key = `${label.entity}/${label.windowEndMs}`;
      known.delete(key);
      known.set(key, label);
      if (known.size > MAX_LABELS) known.delete(known.keys().next().value!);
    };
    return new SideInput(broker, topics.labels, take, partition);
  });

  const routingKnown = async (versions: readonly number[], signal: AbortSignal) => {
    for (const deadline = performance.now() + ROUTING_LIMIT_MS; !versions.every(versionOf); ) {
      signal.throwIfAborted();
      if (performance.now() > deadline)
        throw new WeirError(
          "ROUTING_VERSION_MISSING",
          "retry",
          `Predictions name routing versions ${versions.join(", ")}, not all of which stand in the topic ${topics.routing}.`,
          "Look whether the routing topic was made anew; its versions must be kept for ever.",
        );
      await sleep(POLL_MS, undefined, { signal });
    }
  };
  const measure: StageBinding = {
    stage: stages.measure.name,
    input: topics.predictions,
    outputs: writtenBy(stages.measure),
    create: (partition) =>
      new MeasureProcessor({
        output: topics.experiments,
        partition,
        partitions,
        routing: versionOf,
        routingKnown,
        thresholdOf: (model, version) => manifestOf(model, version)?.threshold ?? THRESHOLD,
        labels: () => labels[partition]!.values(),
      }),
    eventsOf: (batch: PredictionBatch) => Math.max(1, batch.entities.length),
    watermarkOf: (batch: PredictionBatch) => batch.watermarkMs,
    fingerprint: `measure/1/${partitions}`,
  };
  const sources = Array.from({ length: partitions }, (_, p) => `measure/${p}`);
  const control: StageBinding = {
    stage: stages.control.name,
    input: topics.experiments,
    outputs: writtenBy(stages.control),
    create: () =>
      new ControlProcessor({
        topics: { routing: topics.routing, decisions: topics.decisions },
        sources,
        newestRouting: (family) => (family === ROUTING_FAMILY ? (table.versions().at(-1) ?? null) : null),
        isKnown: (model, version) => manifestOf(model, version) !== undefined,
      }),
    watermarkOf: (event: ExperimentEvent) => event.clockMs,
    fingerprint: `control/1/${partitions}`,
  };
  return afterInputs(
    [routing, ...labelInputs],
    [stageRunner(context, stages.measure, measure), stageRunner(context, stages.control, control)],
  );
}
