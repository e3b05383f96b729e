import { stages, topics, writtenBy } from "../../pipeline.ts";
import { SamplesProcessor } from "../../processors/index.ts";
import { JsonSampleReader } from "../../sources/samples/index.ts";
import type { Runnable, StageBinding } from "../../streams/index.ts";
import { featureSetOf } from "../clients.ts";
import { type RoleContext, stageRunner } from "../roles.ts";

export function create(context: RoleContext): Runnable[] {
  const { graceMs, samplesCloseAfterMs: closeAfterMs } = context.config;
  const featureSet = featureSetOf(context.config);
  const binding: StageBinding = {
    stage: stages.samples.name,
    input: topics.samples,
    outputs: writtenBy(stages.samples),
    create: (partition) => {
      const reader = new JsonSampleReader(featureSet);
      return new SamplesProcessor({
        featureSet,
        topic: topics.samplesFeatures,
        partition,
        reader,
        graceMs,
        closeAfterMs,
      });
    },
    fingerprint: `samples/1/${featureSet.hash}/${graceMs}`,
  };
  return [stageRunner(context, stages.samples, binding)];
}
