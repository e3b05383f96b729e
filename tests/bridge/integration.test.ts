import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import {
  CreateStreamCommand,
  DescribeStreamSummaryCommand,
  type KinesisClient,
  ListShardsCommand,
  MergeShardsCommand,
  PutRecordsCommand,
  SplitShardCommand,
} from "@aws-sdk/client-kinesis";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Stack, setUp, startStack } from "../../local/index.ts";
import { Codecs, type LogBatch } from "../../schemas/index.ts";
import { createBridge, kinesisClient, kinesisShards } from "../../sources/index.ts";
import { type Broker, connectBroker, type Runnable, topicName } from "../../streams/index.ts";
import { clockRecord, logRecord, T0, until } from "./harness.ts";

const PARTITIONS = 2;
const stream = "integration";
const topics = {
  logsRaw: topicName("it.logs.raw"),
  checkpoints: topicName("it.checkpoints"),
  dead: topicName("it.dead"),
};
const runDir = mkdtempSync(path.join(tmpdir(), "weir-bridge-"));
let stack: Stack;
let client: KinesisClient;
let broker: Broker;
let codecs: Codecs;
const bridges: Runnable[] = [];

beforeAll(async () => {
  await setUp({ components: ["kafka", "registry", "kinesis"] });
  stack = await startStack({ runDir, components: ["kafka", "registry", "kinesis"] });
  const { endpoint, region, accessKeyId, secretAccessKey } = stack.endpoints.kinesis;
  client = kinesisClient({ endpoint, region, credentials: { accessKeyId, secretAccessKey } });
  broker = connectBroker({ brokers: [...stack.endpoints.kafka], clientId: "bridge-test" });
  const admin = broker.admin();
  const settings = { "min.insync.replicas": "1" };
  const replication = 1;
  await admin.createTopics([
    { name: topics.logsRaw, partitions: PARTITIONS, replication, settings },
    {
      name: topics.checkpoints,
      partitions: PARTITIONS,
      replication,
      settings: { ...settings, "cleanup.policy": "compact" },
    },
    { name: topics.dead, partitions: PARTITIONS, replication, settings },
  ]);
  await admin.close();
  codecs = await Codecs.connect(
    stack.endpoints.registry,
    new Map([
      [topics.logsRaw, "log-batch"],
      [topics.checkpoints, "shard-checkpoint"],
      [topics.dead, "dead-letter"],
    ]),
  );
  await client.send(new CreateStreamCommand({ StreamName: stream, ShardCount: 2 }));
  await streamIsActive();
}, 240_000);

afterAll(async () => {
  await Promise.all(bridges.map((b) => b.stop()));
  client?.destroy();
  await stack?.stop();
  rmSync(runDir, { recursive: true, force: true });
}, 60_000);

async function streamIsActive(): Promise<void> {
  let status: string | undefined;
  const deadline = Date.now() + 30_000;
  while (status !== "ACTIVE" && Date.now() < deadline) {
    const reply = await client.send(new DescribeStreamSummaryCommand({ StreamName: stream }));
    status = reply.StreamDescriptionSummary?.StreamStatus;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(status).toBe("ACTIVE");
}

/** A clock and then the events `<prefix>0` … in every open shard: its starting hash key leads there. */
async function put(prefix: string, clockMs: number, perShard: number): Promise<string[]> {
  const { Shards = [] } = await client.send(new ListShardsCommand({ StreamName: stream }));
  const parents = new Set(Shards.flatMap((s) => [s.ParentShardId, s.AdjacentParentShardId]));
  const open = Shards.filter((s) => !parents.has(s.ShardId));
  const ids: string[] = [];
  for (const [i, shard] of open.entries()) {
    const own = Array.from({ length: perShard }, (_, n) => `${prefix}-${i}-${n}`);
    ids.push(...own);
    const data = own.map((id, n) => logRecord(`web-${n % 5}`, [id], clockMs + n));
    const Records = [clockRecord(clockMs), ...data].map((value) => ({
      Data: gzipSync(JSON.stringify(value)),
      PartitionKey: "any",
      ExplicitHashKey: shard.HashKeyRange!.StartingHashKey!,
    }));
    const reply = await client.send(new PutRecordsCommand({ StreamName: stream, Records }));
    expect(reply.FailedRecordCount ?? 0).toBe(0);
  }
  return ids;
}

function bridge(): Runnable {
  const made = createBridge({
    broker,
    codecs,
    kinesis: kinesisShards(client),
    stream,
    topics,
    partitions: PARTITIONS,
    env: "it",
    clockMode: "records",
    tuning: { relistMs: 1_000, commitBytes: 4_000 },
  });
  bridges.push(made);
  return made;
}

async function committed(): Promise<LogBatch[][]> {
  const reader = broker.reader();
  const admin = broker.admin();
  const logs: LogBatch[][] = [];
  try {
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const batches: LogBatch[] = [];
      const { endOffset } = await admin.offsets(topics.logsRaw, partition, "read_committed");
      for (let offset = 0; offset < endOffset; ) {
        const { records, nextOffset } = await reader.fetch(topics.logsRaw, partition, offset);
        for (const r of records) batches.push(codecs.decode<LogBatch>(topics.logsRaw, r.value!));
        offset = nextOffset;
      }
      logs.push(batches);
    }
    return logs;
  } finally {
    await reader.close();
    await admin.close();
  }
}

const accepted = (b: Runnable) => b.status().reduce((sum, s) => sum + s.counters.accepted, 0);

test("a take over by a second bridge, a split and a merge on real Kafka and a real shard service: every event once, in order", async () => {
  const [shard0, shard1] = ["shardId-000000000000", "shardId-000000000001"];
  const expected = await put("first", T0, 150);
  const first = bridge();
  await first.start();
  await until("the first has begun", () => accepted(first) > 0, 30_000);

  const second = bridge();
  await second.start();
  expected.push(...(await put("second", T0 + 60_000, 50)));
  await expect(first.failed).rejects.toMatchObject({ code: "ALL_SHARDS_LOST" });
  await until("the second is through", () => accepted(second) === expected.length, 30_000);

  await client.send(
    new SplitShardCommand({ StreamName: stream, ShardToSplit: shard0, NewStartingHashKey: (2n ** 126n).toString() }),
  );
  await streamIsActive();
  expected.push(...(await put("split", T0 + 120_000, 50)));
  await until("the split's children are through", () => accepted(second) === expected.length, 30_000);
  await second.stop();

  await client.send(
    new MergeShardsCommand({ StreamName: stream, ShardToMerge: "shardId-000000000003", AdjacentShardToMerge: shard1 }),
  );
  await streamIsActive();
  expected.push(...(await put("merged", T0 + 180_000, 50)));
  const third = bridge();
  await third.start();
  await until("the merge's child is through", () => accepted(third) === expected.length, 30_000);
  await third.stop();

  const logs = await committed();
  const ids = logs.flat().flatMap((b) => b.events.map((e) => e.id));
  expect([...ids].sort()).toEqual([...expected].sort());
  for (const partition of logs) {
    const signs = partition.filter((b) => ["open", "close"].includes(b.kind));
    const story = signs.map((b) => `${b.kind} ${b.source.slice(-1)} at ${b.clockMs - (b.clockMs && T0)}`);
    expect(story.slice(0, 6)).toEqual([
      "open 0 at 0",
      "open 1 at 0",
      "open 2 at 60000",
      "open 3 at 60000",
      "close 0 at 60000",
      "open 4 at 120000",
    ]);
    expect(story.slice(6).sort()).toEqual(["close 1 at 120000", "close 3 at 120000"]);
    const times = new Map<string, number>();
    for (const b of partition) {
      for (const e of b.events) {
        const key = `${b.source} ${b.entity}`;
        expect(e.timestampMs).toBeGreaterThanOrEqual(times.get(key) ?? 0);
        times.set(key, e.timestampMs);
      }
    }
  }
}, 120_000);
