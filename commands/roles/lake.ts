import { type StageDefinition, stages, topics } from "../../pipeline.ts";
import { createLake, defaultLimits, type Lake, type LakeOptions } from "../../sinks/index.ts";
import { PartitionedRunner, type Runnable } from "../../streams/index.ts";
import { s3Of } from "../aws-clients.ts";
import { featureSetOf } from "../clients.ts";
import { type RoleContext, tellStep } from "../roles.ts";

/** Both stages of the lake, one lake a partition. */
export function create(context: RoleContext): Runnable[] {
  const featureSet = featureSetOf(context.config);
  return [
    lakeStage(context, stages.lakeFeatures, {
      stage: "lake-features",
      topic: topics.features,
      columns: () => featureSet.columns,
    }),
    lakeStage(context, stages.lakeRaw, { stage: "lake-raw", topic: topics.logsRaw }),
  ];
}

function lakeStage(
  { config, broker, codecs, sharing, log }: RoleContext,
  definition: StageDefinition,
  stage: Pick<LakeOptions, "stage" | "topic" | "columns">,
): LakeStageRunner {
  const s3 = s3Of(config);
  // A process may come to hold all partitions: together they stay within the limit even then.
  const limits = { maxBufferedBytes: defaultLimits.maxBufferedBytes / config.partitions };
  const onStep = (_: number, step: string) => tellStep(definition.name, step);
  const create = (partition: number) =>
    createLake({ ...stage, broker, codecs, log, s3, bucket: config.s3Bucket, partitions: [partition], limits, onStep });
  return new LakeStageRunner(create, sharing(definition), async () => s3.destroy());
}

class LakeStageRunner extends PartitionedRunner<Lake> {
  /** Resolves when every row read before the call lies in an object. */
  async flush(): Promise<void> {
    await Promise.all([...this.parts.values()].map((lake) => lake.flush()));
  }
}
