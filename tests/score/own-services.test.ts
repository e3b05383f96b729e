import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectCodecs } from "../../commands/init.ts";
import { publishRecord } from "../../commands/publish.ts";
import { readConfig } from "../../config.ts";
import { type Stack, startStack } from "../../local/index.ts";
import { readTopic } from "../../ops/index.ts";
import { topics } from "../../pipeline.ts";
import { loadFeatureSet } from "../../processors/index.ts";
import type { Codecs, FeatureBatch, PredictionBatch, RoutingConfig } from "../../schemas/index.ts";
import { type Broker, connectBroker } from "../../streams/index.ts";
import { readModel } from "../../triton/index.ts";
import { until } from "../support/kafka.ts";

/** Broker, registry and model server that `weir start` never touched: everything is put there by commands. */
const root = new URL("../../", import.meta.url).pathname;
const featureSet = loadFeatureSet("core-37");
const runDir = mkdtempSync(path.join(tmpdir(), "weir-own-"));
let stack: Stack;
let env: Record<string, string>;
let broker: Broker;
let codecs: Codecs;
let score: ChildProcess | undefined;
let said = "";

const weir = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [`${root}main.ts`, ...args], {
    env: { ...process.env, ...env },
    encoding: "utf8",
  });
  return { status, stdout, stderr };
};

/** The small models, as if they had learnt from some columns of core-37. */
function trained(name: string, columns: number): string {
  const folder = path.join(runDir, "trained", name, "1");
  cpSync(`${root}tests/triton/fixtures/repository/${name}/1`, folder, { recursive: true });
  const file = path.join(folder, "manifest.json");
  const manifest = JSON.parse(readFileSync(file, "utf8"));
  const named = {
    columns: featureSet.columns.slice(0, columns),
    featureSet: "core-37",
    featureSetHash: featureSet.hash,
  };
  writeFileSync(file, JSON.stringify({ ...manifest, ...named }));
  return folder;
}

beforeAll(async () => {
  stack = await startStack({ runDir: path.join(runDir, "stack"), components: ["kafka", "registry", "triton"] });
  const { kafka, registry, triton } = stack.endpoints;
  env = {
    WEIR_KAFKA_BROKERS: kafka.join(","),
    WEIR_REGISTRY_URL: registry,
    WEIR_TRITON_GRPC: triton.grpc,
    WEIR_MODEL_REPOSITORY: triton.modelRepository,
    WEIR_PARTITIONS: "1",
    WEIR_ORDINAL: "0/1",
  };
  expect(weir("init").status).toBe(0);
  codecs = await connectCodecs(readConfig(env, []));
  broker = connectBroker({ brokers: [...kafka], clientId: "test" });
}, 120_000);

afterAll(async () => {
  if (score && score.exitCode === null && score.signalCode === null) score.kill("SIGKILL");
  await stack?.stop();
  rmSync(runDir, { recursive: true, force: true });
}, 60_000);

/** Window ends from a while after the routing version is written on: it takes effect at the next minute. */
let minute = Math.floor(Date.now() / 60_000) + 10;
const ROWS = 40;

/** One minute of rows; returns what was predicted for it. */
async function rowsScored(): Promise<PredictionBatch> {
  const windowEndMs = ++minute * 60_000;
  const matrix = Float32Array.from({ length: ROWS * featureSet.columns.length }, (_, i) => ((i * 7919) % 1000) / 100);
  const value: FeatureBatch = {
    featureSet: featureSet.name,
    featureSetHash: featureSet.hash,
    windowEndMs,
    watermarkMs: windowEndMs,
    chunk: 0,
    chunks: 1,
    entities: Array.from({ length: ROWS }, (_, i) => `i-${i}`),
    columns: featureSet.columns.length,
    matrix: Buffer.from(matrix.buffer),
    quality: Buffer.alloc(ROWS * 4),
    firstOffset: Array.from({ length: ROWS }, () => 0),
    lastOffset: Array.from({ length: ROWS }, () => 0),
    silent: [],
  };
  const key = `0/${windowEndMs}/0`;
  const record = { topic: topics.features, partition: 0, key, value, timestampMs: windowEndMs };
  await publishRecord(broker, codecs, { env: "test" }, record);
  let found: PredictionBatch | undefined;
  await until(
    `predictions of ${key}; score said: ${said}`,
    async () => {
      let times = 0;
      for await (const { key: of, value } of readTopic(broker, topics.predictions)) {
        if (of?.toString() !== key) continue;
        found = codecs.decode<PredictionBatch>(topics.predictions, value!);
        if (++times > 1) throw new Error(`${key} was predicted twice`);
      }
      return found !== undefined;
    },
    60_000,
  );
  return found!;
}
const armsOf = (p: PredictionBatch) => [...new Set(p.entities.map((_, row) => p.models[p.arm[row]!]!))];

test("models and routing reach one's own services by commands, and rows are scored by them", async () => {
  for (const [name, columns] of [
    ["xgboost_anomaly", 6],
    ["catboost_anomaly", 5],
  ] as const) {
    const published = weir("model", "publish", trained(name, columns));
    expect(published.stdout + published.stderr).toContain(`${name} version 1 is served`);
  }
  const set = weir("routing", "set", "--arm", "xgboost_anomaly/1=70", "--arm", "catboost_anomaly/1=30");
  expect([set.status, set.stderr]).toEqual([0, expect.any(String)]);
  score = spawn(process.execPath, [`${root}main.ts`, "run", "score"], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  score.stderr!.on("data", (data) => {
    said += data;
  });
  await until("weir run score", () => /running; http/.test(said), 60_000);

  const predicted = await rowsScored();
  expect(predicted.entities).toHaveLength(ROWS);
  expect(
    armsOf(predicted)
      .map(({ name, version, evaluator }) => `${name}/${version} ${evaluator}`)
      .sort(),
  ).toEqual(["catboost_anomaly/1 triton", "xgboost_anomaly/1 triton"]);
  const { evaluator } = readModel(path.join(stack.endpoints.triton.modelRepository, "xgboost_anomaly", "1"));
  const raw = new Float32Array(new Uint8Array(predicted.raw).buffer);
  for (const row of [0, ROWS - 1]) {
    if (predicted.models[predicted.arm[row]!]!.name !== "xgboost_anomaly") continue;
    const values = Float32Array.from(
      { length: 6 },
      (_, c) => (((row * featureSet.columns.length + c) * 7919) % 1000) / 100,
    );
    expect(Math.abs(raw[row]! - evaluator.score(values, 1)[0]!)).toBeLessThan(1e-6);
  }
}, 120_000);

test("a bad routing version is refused by the command and by the stage, and the last good one stays", async () => {
  const wrong = weir("routing", "set", "--arm", "xgboost_anomaly/1=70", "--arm", "ghost/1=40");
  expect([wrong.status, wrong.stderr]).toEqual([1, expect.stringMatching(/add up to 110[\s\S]*ghost version 1/)]);
  const before = await rowsScored();
  // Past the command, straight into the topic.
  const config: RoutingConfig = {
    family: "anomaly",
    version: before.routingVersion + 1,
    mode: "split",
    salt: "anomaly",
    effectiveFromMs: 0,
    arms: [{ model: "xgboost_anomaly", modelVersion: "1", weight: 90 }],
    author: "test",
    createdAtMs: 0,
    experiment: "",
    labelledUntilMs: 0,
  };
  const key = `anomaly/${config.version}`;
  const record = { topic: topics.routing, partition: 0, key, value: config, timestampMs: 0 };
  await publishRecord(broker, codecs, { env: "test" }, record);
  await until("the refusal", () => /routing record refused.*90, not 100/.test(said), 60_000);
  const after = await rowsScored();
  expect([after.routingVersion, armsOf(after).length]).toEqual([before.routingVersion, 2]);
}, 120_000);
