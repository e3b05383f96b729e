import { stages, topics } from "../../pipeline.ts";
import { createBridge, kinesisShards } from "../../sources/index.ts";
import { PartitionedRunner, type Runnable } from "../../streams/index.ts";
import { kinesisOf } from "../aws-clients.ts";
import { closingAfter, type RoleContext, tellStep } from "../roles.ts";

/** One bridge a stream, in whichever process has the share of it. */
export function create({ config, broker, codecs, sharing, log }: RoleContext): Runnable[] {
  const bridge = () => {
    const client = kinesisOf(config);
    const bridge = createBridge({
      broker,
      codecs,
      kinesis: kinesisShards(client),
      stream: config.kinesisStream,
      topics: { logsRaw: topics.logsRaw, checkpoints: topics.checkpoints, dead: topics.kinesisDead },
      partitions: config.partitions,
      env: config.env,
      clockMode: config.clockMode,
      tuning: { maxSkewMs: config.maxSkewMs },
      log,
      onStep: (_, step) => tellStep(stages.bridge.name, step),
    });
    // An emulator waits with its end for connections that are kept alive.
    return closingAfter(bridge, async () => client.destroy());
  };
  return [new PartitionedRunner(bridge, sharing(stages.bridge))];
}
