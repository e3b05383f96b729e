import { stages, topics, writtenBy } from "../../pipeline.ts";
import { createFeaturesProcessor } from "../../processors/index.ts";
import type { LogBatch } from "../../schemas/index.ts";
import type { Runnable, StageBinding } from "../../streams/index.ts";
import { featureSetOf } from "../clients.ts";
import { type RoleContext, stageRunner } from "../roles.ts";

export function create(context: RoleContext): Runnable[] {
  const { partitions, graceMs } = context.config;
  const featureSet = featureSetOf(context.config);
  const binding: StageBinding = {
    stage: stages.features.name,
    input: topics.logsRaw,
    outputs: writtenBy(stages.features),
    create: (partition) =>
      createFeaturesProcessor({ featureSet, topic: topics.features, partition, partitions, graceMs }),
    eventsOf: (batch: LogBatch) => (batch.kind === "events" ? batch.events.length : 1),
    watermarkOf: (batch: LogBatch) => batch.clockMs,
    fingerprint: `features/2/${featureSet.hash}/${partitions}/${graceMs}`,
  };
  return [stageRunner(context, stages.features, binding)];
}
