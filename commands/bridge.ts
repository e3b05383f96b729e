import { userInfo } from "node:os";
import type { Config } from "../config.ts";
import { topics } from "../pipeline.ts";
import { acceptGap, excludeSource, kinesisShards, type OperateOptions, recordAt } from "../sources/index.ts";
import { WeirError } from "../streams/index.ts";
import { kinesisOf } from "./aws-clients.ts";
import { brokerOf } from "./clients.ts";
import { connectCodecs } from "./init.ts";
import { configFor } from "./run.ts";

interface DecisionFlags {
  readonly reason: string;
  readonly by?: string;
}

/** `weir bridge exclude-source` */
export async function exclude(source: string, { reason, by }: DecisionFlags): Promise<void> {
  await excludeSource((await connected()).operate, { source, reason, by: by ?? userInfo().username });
  process.stdout.write(`${source} is left out: closed in every partition, and no bridge reads it again.\n`);
}

/** `weir bridge accept-gap` */
export async function accept(source: string, { reason, by }: DecisionFlags): Promise<void> {
  const { operate, config } = await connected();
  const client = kinesisOf(config);
  try {
    await acceptGap(operate, kinesisShards(client), { source, reason, by: by ?? userInfo().username });
  } finally {
    client.destroy();
  }
  process.stdout.write(`${source} goes on without what is gone; start the bridge again.\n`);
}

/** `weir bridge record`: the bytes of one record as the stream holds it, for dead letters that were cut. */
export async function record(shard: string, sequence: string): Promise<void> {
  const config = await configFor(["kinesisStream"]);
  const client = kinesisOf(config);
  try {
    const data = await recordAt(client, config.kinesisStream, shard, sequence);
    if (!data)
      throw new WeirError(
        "RECORD_GONE",
        "fatal",
        `${config.kinesisStream} no longer holds record ${sequence} of ${shard}.`,
        "The stream keeps records for its retention period only.",
      );
    await new Promise<void>((resolve) => process.stdout.write(data, () => resolve()));
  } finally {
    client.destroy();
  }
}

async function connected(): Promise<{ operate: OperateOptions; config: Config }> {
  const config = await configFor(["kinesisStream"]);
  const operate = {
    broker: brokerOf(config),
    codecs: await connectCodecs(config),
    topics: { logsRaw: topics.logsRaw, checkpoints: topics.checkpoints, dead: topics.kinesisDead },
    env: config.env,
  };
  return { operate, config };
}
