import { ListShardsCommand } from "@aws-sdk/client-kinesis";
import { createRole } from "../../commands/roles.ts";
import { fixedSharing } from "../../commands/sharing.ts";
import { decodeValue, readTopic } from "../../ops/index.ts";
import { type StageDefinition, stages, topics } from "../../pipeline.ts";
import type { FeatureBatch, ShardCheckpoint } from "../../schemas/index.ts";
import type { Lake } from "../../sinks/index.ts";
import { changelogTopicFor, type TopicName } from "../../streams/index.ts";
import { until } from "../support/kafka.ts";
import type { Environment } from "./environment.ts";

const LIMIT_MS = 240_000;
const TAIL_OFFSETS = 300;

/** Resolves when all that was written has passed every stage, each looked at once its inputs had come to their end. */
export async function drained(env: Environment): Promise<void> {
  await until("the bridge has read every shard", () => bridged(env), LIMIT_MS);
  const { features, score, incidents, explain, measure, control } = stages;
  for (const stage of [features, score, incidents, explain, measure, control])
    await until(`${stage.name} has come to the end of its input`, () => isThrough(env, stage), LIMIT_MS);
}

/** Every open shard stands at the clock that was told last. */
async function bridged({ servers, config, writer, broker, codecs }: Environment): Promise<boolean> {
  const rows = new Map<string, ShardCheckpoint>();
  for await (const { key, value } of readTopic(broker, topics.checkpoints)) {
    if (value) rows.set(String(key), await decodeValue<ShardCheckpoint>(codecs, topics.checkpoints, value));
  }
  const list = new ListShardsCommand({ StreamName: config.kinesisStream, MaxResults: 1_000 });
  const { Shards = [] } = await servers.kinesis.send(list);
  const open = Shards.filter((s) => s.SequenceNumberRange!.EndingSequenceNumber === undefined);
  const clocks = new Map([...rows.values()].map((row) => [row.shard, row.state === "ended" ? -1 : row.clockMs]));
  return open.every((s) => (clocks.get(s.ShardId!) ?? 0) >= writer.state.nextMs!);
}

async function isThrough({ broker, config }: Environment, { name, input }: StageDefinition): Promise<boolean> {
  for (let partition = 0; partition < config.partitions; partition++) {
    const lasts = await Promise.all([
      lastOf(broker, input!, partition, () => true),
      lastOf(broker, changelogTopicFor(name), partition, (key) => key === "progress"),
    ]);
    const [last, progress] = lasts;
    const nextOffset = JSON.parse(String(progress?.value ?? "{}")).nextOffset ?? 0;
    if (last && nextOffset <= last.offset) return false;
  }
  return true;
}

/** Up to which time rows have come out, in the partition that is furthest behind; 0 while one has none. */
export async function rowsUpToMs({ broker, codecs, config }: Environment): Promise<number> {
  const ends = Array.from({ length: config.partitions }, async (_, partition) => {
    const last = await lastOf(broker, topics.features, partition, () => true);
    return last ? (await decodeValue<FeatureBatch>(codecs, topics.features, last.value!)).windowEndMs : 0;
  });
  return Math.min(...(await Promise.all(ends)));
}

/** The last committed record of a partition with such a key. */
async function lastOf(
  broker: Environment["broker"],
  topic: TopicName,
  partition: number,
  wanted: (key: string) => boolean,
) {
  const admin = broker.admin();
  const reader = broker.reader();
  try {
    const { startOffset, endOffset } = await admin.offsets(topic, partition, "read_committed");
    for (let span = TAIL_OFFSETS; ; span *= 10) {
      const from = Math.max(startOffset, endOffset - span);
      let last: { offset: number; value: Buffer | null } | undefined;
      for (let next = from; next < endOffset; ) {
        const { records, nextOffset } = await reader.fetch(topic, partition, next, { maxWaitMs: 100 });
        for (const { key, offset, value } of records) {
          if (offset >= from && offset < endOffset && wanted(String(key))) last = { offset, value };
        }
        next = nextOffset;
      }
      if (last || from === startOffset) return last;
    }
  } finally {
    await Promise.all([admin.close(), reader.close()]);
  }
}

/** Files that the lake held open are closed by a lake that goes on where the last one was killed. */
export async function flushLake({ config, broker, codecs }: Environment): Promise<void> {
  const sharing = fixedSharing(config.partitions, 0, 1);
  const lakes = (await createRole("lake", { config, broker, codecs, sharing, log: () => undefined })) as Lake[];
  try {
    await Promise.all(lakes.map((lake) => lake.start()));
    const isAtEnd = () => lakes.every((lake) => lake.status().every((t) => t.lag <= 0));
    await until("the lake has read its input", isAtEnd, LIMIT_MS);
    await Promise.all(lakes.map((lake) => lake.flush()));
  } finally {
    await Promise.all(lakes.map((lake) => lake.stop()));
  }
}
