import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type Stack, startStack } from "../../local/index.ts";
import { audit, compareLakeWithTopic, eventHash, lakeRowCounts, readEventIds, tailTopic } from "../../ops/index.ts";
import { Codecs } from "../../schemas/index.ts";
import { createLake } from "../../sinks/index.ts";
import { type Broker, connectBroker, type TopicName } from "../../streams/index.ts";
import { columns, featureBatch, features, hourMs, logBatch, logsRaw, minuteMs, startMs } from "./logs.ts";

let stack: Stack;
let broker: Broker;
let codecs: Codecs;
let s3: S3Client;
const runDir = mkdtempSync(path.join(tmpdir(), "weir-test-lake-kafka-"));

beforeAll(async () => {
  stack = await startStack({ runDir, components: ["kafka", "registry", "s3"] });
  broker = connectBroker({ brokers: [...stack.endpoints.kafka], clientId: "lake-test" });
  codecs = await Codecs.connect(
    stack.endpoints.registry,
    new Map([
      [features, "feature-batch"],
      [logsRaw, "log-batch"],
    ]),
  );
  const { endpoint, region, accessKeyId, secretAccessKey } = stack.endpoints.s3;
  s3 = new S3Client({ endpoint, region, credentials: { accessKeyId, secretAccessKey }, forcePathStyle: true });
  const admin = broker.admin();
  await admin.createTopics([features, logsRaw].map((name) => ({ name, partitions: 2, replication: 1, settings: {} })));
  await admin.close();
}, 180_000);
afterAll(async () => {
  s3?.destroy();
  await stack?.stop();
  rmSync(runDir, { recursive: true, force: true });
}, 60_000);

/** Writes the values in one transaction; an aborted one leaves its records in the log all the same. */
async function write(topic: TopicName, partition: number, values: unknown[], end: "commit" | "abort"): Promise<void> {
  const producer = broker.producer(`lake-test.${topic}.${partition}`);
  await producer.init();
  await producer.send(
    values.map((value) => ({ topic, partition, key: "k", value: codecs.encode(topic, value), timestampMs: startMs })),
  );
  await producer[end]();
  await producer.close();
}

async function runThrough(stage: "lake-features" | "lake-raw", topic: TopicName): Promise<number> {
  const { bucket } = stack.endpoints.s3;
  const lake = createLake({ broker, codecs, s3, bucket, stage, topic, partitions: [0, 1], columns });
  try {
    await lake.start();
    await Promise.race([
      vi.waitFor(() => expect(lake.status().map((t) => t.lag)).toEqual([0, 0]), { timeout: 30_000 }),
      lake.failed,
    ]);
    await lake.flush();
    return lake.status().reduce((n, t) => n + t.counters.out, 0);
  } finally {
    await lake.stop();
  }
}

test("over a real broker the lake and the audit see what was committed, once, and nothing that was aborted", async () => {
  const minutes = (from: number, n: number) =>
    Array.from({ length: n }, (_, i) => featureBatch(startMs + (from + i) * minuteMs, ["a", "b", "c"]));
  await write(features, 0, minutes(0, 150), "commit");
  await write(features, 1, minutes(0, 50), "commit");
  await write(features, 0, minutes(1000, 20), "abort");
  expect(await runThrough("lake-features", features)).toBe(600);
  await write(features, 0, minutes(150, 10), "commit");
  expect(await runThrough("lake-features", features)).toBe(630);

  const logs = (id: string) =>
    Array.from({ length: 40 }, (_, i) => logBatch(startMs, [startMs, startMs + hourMs], `${id}${i}`));
  await write(logsRaw, 0, logs("kept"), "commit");
  await write(logsRaw, 1, logs("aborted"), "abort");
  expect(await runThrough("lake-raw", logsRaw)).toBe(80);

  const source = { s3, bucket: stack.endpoints.s3.bucket };
  expect(await compareLakeWithTopic({ source, broker, codecs, topic: features, columns })).toMatchObject({
    rows: 630,
    equal: 630,
    missing: 0,
    extra: 0,
    different: 0,
  });
  expect(await lakeRowCounts(source)).toMatchObject({ features: 630, raw: 80 });

  const ledger = Array.from({ length: 40 }, (_, i) => [`kept${i}/0`, `kept${i}/1`]).flat();
  const found = await readEventIds({ broker, codecs, logs: logsRaw, dead: [] });
  expect(audit(BigUint64Array.from([...ledger, "aborted0/0"], eventHash), found)).toMatchObject({
    written: 81,
    found: 80,
    lost: 1,
    lostSample: [eventHash("aborted0/0")],
  });

  const lines: string[] = [];
  await tailTopic({
    broker,
    codecs,
    topic: logsRaw,
    json: true,
    fromBeginning: true,
    follow: false,
    write: (line) => lines.push(line),
  });
  expect(lines).toHaveLength(40);
}, 120_000);
