/**
 * Raw (gunzipped) log JSON through the bridge into a real broker, exactly once: first from shards in this process, then
 * over the emulator's wire. Every event is counted in the topic afterwards. Last line: the figures as JSON.
 *
 *   npm run bench -- bridge [--megabytes N] [--rounds N]
 */
import { randomUUID } from "node:crypto";
import { loadavg } from "node:os";
import { gzipSync } from "node:zlib";
import { CreateStreamCommand, DescribeStreamSummaryCommand, PutRecordsCommand } from "@aws-sdk/client-kinesis";
import { settingsOf } from "../../pipeline.ts";
import { Codecs, type LogBatch } from "../../schemas/index.ts";
import { createBridge, kinesisClient, kinesisShards, type ShardSource } from "../../sources/index.ts";
import { type Broker, topicName } from "../../streams/index.ts";
import { flagsOf } from "../support/flags.ts";
import { brokerOf, testStack, until } from "../support/kafka.ts";
import { corpus } from "./replay/corpus.ts";
import { replaySource, sequenceOf } from "./replay/source.ts";

const values = flagsOf(import.meta.url, {
  megabytes: { type: "string", default: "600" },
  rounds: { type: "string", default: "3" },
  wire: { type: "string", default: "40" },
});
const SHARDS = 4;
const PARTITIONS = 4;
const T0 = Date.UTC(2026, 0, 5);
const clock = (clockMs: number) => gzipSync(JSON.stringify({ messageType: "WEIR_CLOCK", clockMs }));
const made = corpus(160, T0);
const mean = (of: (r: (typeof made)[number]) => number) => made.reduce((sum, r) => sum + of(r), 0) / made.length;

const { stack, stop } = await testStack(["kafka", "registry", "kinesis"]);
const broker = brokerOf(stack);

/** One bridge on topics of its own, until it has taken `events` in. */
async function through(kinesis: ShardSource, stream: string, events: number, rawBytes: number, minPollMs: number) {
  const name = (part: string) => topicName(`${randomUUID().slice(0, 8)}.${part}`);
  const topics = { logsRaw: name("logs.raw"), checkpoints: name("checkpoints"), dead: name("dead") };
  const admin = broker.admin();
  const settings = settingsOf("delete", 1);
  const common = { partitions: PARTITIONS, replication: 1 };
  await admin.createTopics(Object.values(topics).map((topic) => ({ name: topic, ...common, settings })));
  await admin.close();
  const codecs = await Codecs.connect(
    stack.endpoints.registry,
    new Map([
      [topics.logsRaw, "log-batch"],
      [topics.checkpoints, "shard-checkpoint"],
      [topics.dead, "dead-letter"],
    ]),
  );
  const env = randomUUID();
  const bridge = createBridge({
    ...{ broker, codecs, kinesis, stream, topics, env },
    partitions: PARTITIONS,
    clockMode: "records",
    tuning: { minPollMs },
  });
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  await bridge.start();
  await until("everything is committed", () => sum(bridge) >= events, 600_000);
  const seconds = (performance.now() - startedAt) / 1_000;
  const { user, system } = process.cpuUsage(cpuBefore);
  await bridge.stop();
  const found = await eventsIn(broker, codecs, topics.logsRaw);
  if (sum(bridge) !== events || found !== events)
    throw new Error(`${events} in, ${sum(bridge)} counted, ${found} out.`);
  return { megabytesPerSecond: rawBytes / 1e6 / seconds, cpuMsPerMegabyte: (user + system) / 1_000 / (rawBytes / 1e6) };
}

const sum = (bridge: ReturnType<typeof createBridge>) => bridge.status().reduce((n, s) => n + s.counters.accepted, 0);

async function eventsIn(from: Broker, codecs: Codecs, topic: ReturnType<typeof topicName>): Promise<number> {
  const reader = from.reader();
  const admin = from.admin();
  let events = 0;
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const { endOffset } = await admin.offsets(topic, partition, "read_committed");
    for (let offset = 0; offset < endOffset; ) {
      const { records, nextOffset } = await reader.fetch(topic, partition, offset, { maxBytes: 8_000_000 });
      for (const r of records) events += codecs.decode<LogBatch>(topic, r.value!).events.length;
      offset = nextOffset;
    }
  }
  await reader.close();
  await admin.close();
  return events;
}

async function inProcess(megabytes: number) {
  const perShard = Math.ceil((megabytes * 1e6) / mean((r) => r.rawBytes) / SHARDS);
  const of = (shard: number, index: number) => made[(shard * 37 + index) % made.length]!;
  const all = Array.from({ length: SHARDS }, (_, s) => Array.from({ length: perShard }, (_, i) => of(s, i))).flat();
  const kinesis = replaySource({
    shards: SHARDS,
    length: perShard + 1,
    pageRecords: 40,
    recordAt: (shard, index) => ({
      sequence: sequenceOf(index),
      arrivalMs: T0,
      data: index === perShard ? clock(T0) : of(shard, index).data,
    }),
  });
  const total = (key: "events" | "rawBytes") => all.reduce((n, r) => n + r[key], 0);
  return await through(kinesis, "replay", total("events"), total("rawBytes"), 0);
}

/** The emulator takes a few megabytes a second: it is filled first, then read. */
async function overTheWire(megabytes: number) {
  const { endpoint, region, accessKeyId, secretAccessKey } = stack.endpoints.kinesis;
  const client = kinesisClient({ endpoint, region, credentials: { accessKeyId, secretAccessKey } });
  const StreamName = "bench";
  await client.send(new CreateStreamCommand({ StreamName, ShardCount: SHARDS }));
  await until("the stream is active", async () => {
    const { StreamDescriptionSummary } = await client.send(new DescribeStreamSummaryCommand({ StreamName }));
    return StreamDescriptionSummary?.StreamStatus === "ACTIVE";
  });
  const records = Array.from(
    { length: Math.ceil((megabytes * 1e6) / mean((r) => r.rawBytes)) },
    (_, i) => made[i % made.length]!,
  );
  for (const [i, { data }] of records.entries()) {
    await until("the emulator takes the record", async () => {
      const Records = [{ Data: data, PartitionKey: String(i * 7_919) }];
      const reply = await client.send(new PutRecordsCommand({ StreamName, Records }));
      return reply.FailedRecordCount === 0;
    });
  }
  const total = (key: "events" | "rawBytes") => records.reduce((n, r) => n + r[key], 0);
  // Four calls a second and shard, as in production.
  const figures = await through(kinesisShards(client), StreamName, total("events"), total("rawBytes"), 250);
  client.destroy();
  return figures;
}

const median = (list: number[]) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)]!;
const rounded = (value: number) => Math.round(value * 10) / 10;
try {
  const megabytes = Number(values.megabytes);
  await inProcess(Math.min(100, megabytes)); // warms up
  const rounds = [];
  for (let i = 0; i < Number(values.rounds); i++) rounds.push(await inProcess(megabytes));
  const wire = Number(values.wire) > 0 ? await overTheWire(Number(values.wire)) : undefined;
  console.log(
    rounds.map((r) => `${rounded(r.megabytesPerSecond)} MB/s, ${rounded(r.cpuMsPerMegabyte)} CPU-ms a MB`).join("\n"),
  );
  console.log(
    JSON.stringify({
      bench: "bridge",
      figures: {
        megabytesPerSecond: rounded(median(rounds.map((r) => r.megabytesPerSecond))),
        cpuMsPerMegabyte: rounded(median(rounds.map((r) => r.cpuMsPerMegabyte))),
        wireMegabytesPerSecond: wire ? rounded(wire.megabytesPerSecond) : null,
        peakMb: Math.round(process.resourceUsage().maxRSS / 1_024),
      },
      conditions: {
        shards: SHARDS,
        partitions: PARTITIONS,
        megabytes,
        rounds: rounds.length,
        recordBytes: Math.round(mean((r) => r.rawBytes)),
        gzipRatio: rounded(mean((r) => r.rawBytes) / mean((r) => r.data.length)),
        eventBytes: Math.round(mean((r) => r.rawBytes) / mean((r) => r.events)),
        process: "one bridge, broker on the same machine; median of the rounds after one that warms up",
        wire: `${values.wire} MB through kinesis-local, 4 calls a second and shard`,
        megabyte: "10^6 bytes of gunzipped JSON",
        node: process.version,
        loadAverage: loadavg().map((v) => Math.round(v * 100) / 100),
      },
    }),
  );
} finally {
  await stop();
}
