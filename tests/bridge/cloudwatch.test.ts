import { gzipSync } from "node:zlib";
import {
  CloudWatchLogsClient,
  CreateLogGroupCommand,
  CreateLogStreamCommand,
  PutLogEventsCommand,
  PutSubscriptionFilterCommand,
  paginateFilterLogEvents,
} from "@aws-sdk/client-cloudwatch-logs";
import {
  CreateStreamCommand,
  DescribeStreamSummaryCommand,
  type KinesisClient,
  ListShardsCommand,
  PutRecordsCommand,
} from "@aws-sdk/client-kinesis";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectCodecs } from "../../commands/init.ts";
import { decodeValue, readTopic } from "../../ops/index.ts";
import { settingsOf, topicDefinitions, topics } from "../../pipeline.ts";
import type { Codecs, LogBatch } from "../../schemas/index.ts";
import { createBridge, kinesisClient, kinesisShards } from "../../sources/index.ts";
import type { Broker, Runnable } from "../../streams/index.ts";
import { brokerOf, testStack, until } from "../support/kafka.ts";

const PARTITIONS = 3;
const SHARDS = 2;
const PUTS_PER_ROUND = 4;
const EVENTS_PER_PUT = 5;
const kinesisStream = "cloudwatch";
/** Set when the test begins: below every arrival, and above arrival minus the allowance for late delivery. */
let firstEventMs = 0;

/** A log stream, and whose events the bridge must find in it. */
interface LogStream {
  readonly group: string;
  readonly name: string;
  readonly entityOf: (n: number) => string;
  readonly message: (n: number) => string;
}

let stopStack: () => Promise<void> = async () => {};
let logs: CloudWatchLogsClient;
let kinesis: KinesisClient;
let broker: Broker;
let codecs: Codecs;
let logStreams: readonly LogStream[];
const bridges: Runnable[] = [];

beforeAll(async () => {
  const { stack, stop } = await testStack(["kafka", "registry", "moto"]);
  stopStack = stop;
  const access = {
    endpoint: stack.endpoints.moto,
    region: "us-east-1",
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
  };
  kinesis = kinesisClient(access);
  logs = new CloudWatchLogsClient({ ...access, requestHandler: new NodeHttpHandler() });
  broker = brokerOf(stack);
  const admin = broker.admin();
  const own: readonly string[] = [topics.logsRaw, topics.checkpoints, topics.kinesisDead];
  await admin.createTopics(
    topicDefinitions
      .filter((t) => own.includes(t.name))
      .map((t) => ({ name: t.name, partitions: PARTITIONS, replication: 1, settings: settingsOf(t.cleanup, 1) })),
  );
  await admin.close();
  codecs = await connectCodecs({ registryUrl: stack.endpoints.registry });

  await kinesis.send(new CreateStreamCommand({ StreamName: kinesisStream, ShardCount: SHARDS }));
  let destinationArn = "";
  await until("the stream is active", async () => {
    const reply = await kinesis.send(new DescribeStreamSummaryCommand({ StreamName: kinesisStream }));
    destinationArn = reply.StreamDescriptionSummary?.StreamARN ?? "";
    return reply.StreamDescriptionSummary?.StreamStatus === "ACTIVE";
  });
  const account = destinationArn.split(":")[4]!;
  logStreams = logStreamsOf(account);
  for (const logGroupName of groups()) {
    await logs.send(new CreateLogGroupCommand({ logGroupName }));
    const roleArn = `arn:aws:iam::${account}:role/delivery`;
    await logs.send(
      new PutSubscriptionFilterCommand({ logGroupName, filterName: "all", filterPattern: "", destinationArn, roleArn }),
    );
  }
  for (const { group, name } of logStreams)
    await logs.send(new CreateLogStreamCommand({ logGroupName: group, logStreamName: name }));
}, 240_000);

afterAll(async () => {
  await Promise.all(bridges.map((b) => b.stop()));
  kinesis?.destroy();
  logs?.destroy();
  await stopStack();
}, 60_000);

function logStreamsOf(account: string): LogStream[] {
  const named = (group: string, name: string, entity: string): LogStream => ({
    group,
    name,
    entityOf: () => entity,
    message: (n) => `${group} ${name} ${n}: größer als 10 µs ✓`,
  });
  const instanceOf = (n: number) => `i-0000000000000000${n % 2}`;
  return [
    named("/application/shop", "web-1", `${account}//application/shop/web-1`),
    named("/application/shop", "i-0123456789abcdef0/app", "i-0123456789abcdef0"),
    named("/aws/lambda/checkout", "2031/01/01/[$LATEST]0a1b2c", "lambda/checkout"),
    named("/aws/rds/instance/orders/postgresql", "orders", "rds/orders"),
    {
      group: "/metrics/hosts",
      name: "collector",
      entityOf: instanceOf,
      message: (n) => JSON.stringify({ _aws: { Timestamp: firstEventMs }, InstanceId: instanceOf(n), cpu: n }),
    },
  ];
}

const groups = () => new Set(logStreams.map((s) => s.group));

/** As CloudWatch does it to try a destination, which moto leaves out: one record for each shard. */
async function putControlMessages(): Promise<void> {
  const control = {
    messageType: "CONTROL_MESSAGE",
    owner: "CloudwatchLogs",
    logGroup: "",
    logStream: "",
    subscriptionFilters: [],
    logEvents: [{ id: "", timestamp: firstEventMs, message: "CWL CONTROL MESSAGE: Checking health of destination." }],
  };
  const { Shards = [] } = await kinesis.send(new ListShardsCommand({ StreamName: kinesisStream }));
  expect(Shards).toHaveLength(SHARDS);
  const Records = Shards.map((shard) => ({
    Data: gzipSync(JSON.stringify(control)),
    PartitionKey: "any",
    ExplicitHashKey: shard.HashKeyRange!.StartingHashKey!,
  }));
  const reply = await kinesis.send(new PutRecordsCommand({ StreamName: kinesisStream, Records }));
  expect(reply.FailedRecordCount ?? 0).toBe(0);
}

/** The next events of every log stream. Each call becomes one record, in a shard that chance picks. */
async function putRound(round: number): Promise<void> {
  for (const { group, name, message } of logStreams)
    for (let put = 0; put < PUTS_PER_ROUND; put++) {
      const first = (round * PUTS_PER_ROUND + put) * EVENTS_PER_PUT;
      const logEvents = Array.from({ length: EVENTS_PER_PUT }, (_, i) => ({
        timestamp: firstEventMs + first + i,
        message: message(first + i),
      }));
      await logs.send(new PutLogEventsCommand({ logGroupName: group, logStreamName: name, logEvents }));
    }
}

const eventsAfter = (rounds: number) => rounds * logStreams.length * PUTS_PER_ROUND * EVENTS_PER_PUT;

interface SeenEvent {
  readonly id: string;
  readonly timestampMs: number;
  readonly message: string;
  readonly logGroup: string;
  readonly logStream: string;
  readonly entity: string;
}

/** What CloudWatch itself says it holds, under the entity that each event is about. */
async function eventsInCloudWatch(): Promise<SeenEvent[]> {
  const seen: SeenEvent[] = [];
  for (const logGroup of groups())
    for await (const page of paginateFilterLogEvents({ client: logs }, { logGroupName: logGroup }))
      for (const { eventId, timestamp, message, logStreamName } of page.events ?? []) {
        const from = logStreams.find((s) => s.group === logGroup && s.name === logStreamName)!;
        const entity = from.entityOf(timestamp! - firstEventMs);
        const event = { id: eventId!, timestampMs: timestamp!, message: message! };
        seen.push({ ...event, logGroup, logStream: from.name, entity });
      }
  return seen;
}

const eventsOf = (batch: LogBatch): SeenEvent[] =>
  batch.events.map((event) => ({
    ...event,
    logGroup: batch.logGroup,
    logStream: batch.logStream,
    entity: batch.entity,
  }));

const byId = (a: SeenEvent, b: SeenEvent) => Number(a.id) - Number(b.id);

function bridge(): Runnable {
  const made = createBridge({
    broker,
    codecs,
    kinesis: kinesisShards(kinesis),
    stream: kinesisStream,
    topics: { logsRaw: topics.logsRaw, checkpoints: topics.checkpoints, dead: topics.kinesisDead },
    partitions: PARTITIONS,
    env: "cloudwatch",
    clockMode: "arrival",
  });
  bridges.push(made);
  return made;
}

const count = (b: Runnable, counter: "in" | "accepted" | "control" | "dead") =>
  b.status().reduce((sum, s) => sum + s.counters[counter], 0);

async function committed(): Promise<LogBatch[][]> {
  const partitions = Array.from({ length: PARTITIONS }, (): LogBatch[] => []);
  for await (const { partition, value } of readTopic(broker, topics.logsRaw))
    partitions[partition]!.push(await decodeValue<LogBatch>(codecs, topics.logsRaw, value!));
  return partitions;
}

test("PutLogEvents, subscription filter, Kinesis, bridge: every event once under its entity, control messages only counted, ticks everywhere", async () => {
  firstEventMs = Date.now() - 60_000;
  await putControlMessages();
  await putRound(0);
  const first = bridge();
  await first.start();
  await until("what lay there is through", () => count(first, "accepted") === eventsAfter(1));
  await putRound(1);
  await until("what came meanwhile is through", () => count(first, "accepted") === eventsAfter(2));
  await first.stop();
  await putRound(2);
  const second = bridge();
  await second.start();
  await until("what came between two bridges is through", () => count(second, "accepted") === eventsAfter(3));
  await second.stop();

  const partitions = await committed();
  const batches = partitions.flat();
  const arrived = batches.flatMap(eventsOf).sort(byId);
  const written = (await eventsInCloudWatch()).sort(byId);
  expect(written).toHaveLength(eventsAfter(3));
  expect(arrived).toEqual(written);

  expect(count(second, "control")).toBe(SHARDS);
  expect(count(second, "in")).toBe(eventsAfter(3) + SHARDS);
  expect(count(second, "dead")).toBe(0);
  expect(batches.filter((b) => b.account === "CloudwatchLogs")).toEqual([]);
  for await (const letter of readTopic(broker, topics.kinesisDead)) expect.unreachable(`dead: ${letter.value}`);

  const sources = new Set(batches.map((b) => b.source));
  expect(sources.size).toBe(SHARDS);
  for (const source of sources) {
    const own = batches.filter((b) => b.source === source);
    const newestMs = Math.max(...own.flatMap((b) => b.events.map((e) => e.timestampMs)));
    expect(newestMs).toBeGreaterThan(0);
    const lives = partitions.map((p) => p.filter((b) => b.source === source && b.kind !== "events"));
    for (const life of lives) {
      expect(life.map(({ kind, clockMs, sequence }) => ({ kind, clockMs, sequence }))).toEqual(
        lives[0]!.map(({ kind, clockMs, sequence }) => ({ kind, clockMs, sequence })),
      );
      expect(life[0]).toMatchObject({ kind: "open", clockMs: 0 });
      expect(life.length).toBeGreaterThan(1);
      expect(life.at(-1)).toMatchObject({ kind: "tick", clockMs: newestMs });
      expect(life.slice(1).every((b, i) => b.kind === "tick" && b.clockMs >= life[i]!.clockMs)).toBe(true);
    }
  }
}, 120_000);
