import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Kafka, logLevel } from "kafkajs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectCodecs, initialise } from "../../commands/init.ts";
import { readConfig } from "../../config.ts";
import type { Stack } from "../../local/index.ts";
import { decodeValue, readTopic } from "../../ops/index.ts";
import { topics } from "../../pipeline.ts";
import { loadFeatureSet, rowsOf } from "../../processors/index.ts";
import type { Codecs, DeadLetter, FeatureBatch } from "../../schemas/index.ts";
import { type Broker, deadTopicFor, lateTopicFor, type RawRecord, type TopicName } from "../../streams/index.ts";
import { brokerOf, testStack, until } from "../support/kafka.ts";
import { bits, commit, newProcessor, RawMemoryOutput, rowsIn } from "./support.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const hooks = fileURLToPath(new URL("../chaos/hooks.ts", import.meta.url));
const T = Date.UTC(2024, 0, 1, 9);
const INSTANCES = 40;
const MINUTES = 90;
const PARTITIONS = 2;
const core37 = loadFeatureSet("core-37");

const folder = mkdtempSync(path.join(tmpdir(), "weir-samples-"));
const children: ChildProcess[] = [];
let stack: Stack;
let stop: () => Promise<void>;
let env: Record<string, string>;
let broker: Broker;
let codecs: Codecs;

beforeAll(async () => {
  ({ stack, stop } = await testStack(["kafka", "registry"]));
  env = {
    WEIR_ENV: "samples",
    WEIR_KAFKA_BROKERS: stack.endpoints.kafka.join(","),
    WEIR_REGISTRY_URL: stack.endpoints.registry,
    WEIR_PARTITIONS: String(PARTITIONS),
    WEIR_COMMIT_INTERVAL_MS: "10",
    WEIR_SAMPLES_CLOSE_AFTER_MS: "1000",
  };
  const config = readConfig(env, []);
  codecs = await connectCodecs(config);
  broker = brokerOf(stack);
  await initialise(config, broker);
  await feed();
}, 240_000);

afterAll(async () => {
  for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  await stop?.();
  rmSync(folder, { recursive: true, force: true });
});

/** As any agent writes: another client, its own partitioner's choice, gzip; some of it bad or too late. */
async function feed(): Promise<void> {
  const kafka = new Kafka({ brokers: [...stack.endpoints.kafka], logLevel: logLevel.NOTHING });
  const producer = kafka.producer();
  await producer.connect();
  for (let minute = 0; minute < MINUTES; minute++) {
    const messages = Array.from({ length: INSTANCES }, (_, i) => {
      const ts = T + minute * 60_000 + ((i * 7_919) % 60_000);
      const of = {
        instance: `i-${i}`,
        ts: i % 2 ? ts : new Date(ts).toISOString(),
        cpu: (i * minute) % 100,
        errors: i % 3,
      };
      return {
        key: `i-${i}`,
        value: JSON.stringify({ ...of, network_in: i * 1e6, host: "other" }),
        timestamp: String(ts),
      };
    });
    if (minute % 30 === 10) messages.push({ ...messages[0]!, value: "cpu=12" });
    if (minute % 30 === 20) messages.push({ ...messages[1]!, value: `{"ts":${T},"cpu":1}` });
    if (minute % 30 === 25) messages.push({ ...messages[2]!, value: `{"instance":"i-2","ts":${T + 9e12},"cpu":1}` });
    await producer.send({ topic: topics.samples, messages, compression: 1 });
  }
  await producer.disconnect();
}

/** `weir run samples`, which dies at the step when it comes there for the so many-th time. */
function start(arm?: { step: string; passes: number }): { child: ChildProcess; hit: string } {
  const file = path.join(folder, `arm-${children.length}`);
  if (arm) writeFileSync(file, JSON.stringify({ stage: "samples", ...arm }));
  const child = spawn(process.execPath, ["--no-warnings", "--import", hooks, `${root}main.ts`, "run", "samples"], {
    cwd: root,
    env: { ...process.env, ...env, WEIR_CHAOS_ARM: file },
    stdio: ["ignore", "ignore", "inherit"],
  });
  children.push(child);
  return { child, hit: `${file}.hit` };
}

async function readAll<T>(topic: TopicName): Promise<T[]> {
  const values: T[] = [];
  for await (const { value } of readTopic(broker, topic)) values.push(await decodeValue<T>(codecs, topic, value!));
  return values;
}

/** The rows and rejections that the records, as they lie in the partitions, come to in one piece. */
async function expected() {
  const reader = broker.reader();
  const rows: string[] = [];
  const letters: string[] = [];
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const processor = newProcessor(1_000, core37);
    const output = new RawMemoryOutput();
    const records: RawRecord[] = [];
    for (let at = 0; ; ) {
      const batch = await reader.fetch(topics.samples, partition, at);
      records.push(...batch.records);
      at = batch.nextOffset;
      if (at >= batch.endOffset) break;
    }
    processor.takeRaw(records, output);
    processor.silence.decide();
    commit(processor);
    processor.poll(output);
    rows.push(...rowsIn(output).map(bits));
    letters.push(...[...output.rejected, ...output.tooLate].map(({ code, entity }) => `${code} ${entity}`));
  }
  await reader.close();
  return { rows: rows.sort(), letters: letters.sort() };
}

test("samples of a foreign producer come to the same rows and dead letters, killed at whatever step and started again", async () => {
  const want = await expected();
  expect(want.rows.length).toBe(INSTANCES * MINUTES);
  for (const step of ["C3", "C5", "C6", "T4"]) {
    const { child, hit } = start({ step, passes: 2 });
    await once(child, "exit");
    expect(existsSync(hit), `killed at ${step}`).toBe(true);
  }
  const { child } = start();
  const rows = async () => (await readAll<FeatureBatch>(topics.samplesFeatures)).flatMap(rowsOf).map(bits).sort();
  await until("the last minutes are out", async () => (await rows()).length >= want.rows.length);
  child.kill("SIGTERM");
  await once(child, "exit");
  expect(child.exitCode).toBe(0);

  expect(await rows()).toEqual(want.rows);
  const letters = [
    ...(await readAll<DeadLetter>(deadTopicFor(topics.samples))),
    ...(await readAll<DeadLetter>(lateTopicFor(topics.samples))),
  ];
  expect(letters.map(({ code, entity }) => `${code} ${entity}`).sort()).toEqual(want.letters);
  expect(new Set(letters.map((letter) => letter.code))).toContain("not_json");
  expect(letters.every((letter) => letter.originTopic === topics.samples)).toBe(true);
}, 180_000);
