import { copyFileSync, cpSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { experimentCommand, experimentExplain, experimentStatus } from "../../commands/experiment.ts";
import { connectCodecs, initialise } from "../../commands/init.ts";
import { label } from "../../commands/label.ts";
import { createRole } from "../../commands/roles.ts";
import { routingSet, routingShow } from "../../commands/routing.ts";
import { fixedSharing } from "../../commands/sharing.ts";
import { type Config, readConfig } from "../../config.ts";
import { readTopic, tryDecode } from "../../ops/index.ts";
import { topics } from "../../pipeline.ts";
import { loadFeatureSet } from "../../processors/index.ts";
import type { Codecs, Decision, FeatureBatch, Label, PredictionBatch, RoutingConfig } from "../../schemas/index.ts";
import type { Broker, ProducerRecord, Runnable, TopicName, TxnProducer } from "../../streams/index.ts";
import { uniform } from "../experiments/simulation.ts";
import { brokerOf, testStack, until } from "../support/kafka.ts";

/**
 * Canaries on real components: broker, registry, Triton, the score stage and the control stage, on event time. Version 1
 * is the champion; 2 is as good; 3 flags what it should not; 4 begins to fail once the file `ill` lies beside it.
 */
const MINUTE = 60_000;
const T = Date.UTC(2026, 0, 5);
const PARTITIONS = 2;
const ENTITIES = 1_500;
const featureSet = loadFeatureSet("core-37");
const fixtures = new URL("../triton/fixtures/repository/", import.meta.url).pathname;
const modelCode = new URL("../../trainer/python/weir_trainer/model.py", import.meta.url).pathname;

let close: (() => Promise<void>)[] = [];
let broker: Broker;
let codecs: Codecs;
let config: Config;
let repository: string;
let runnables: Runnable[];
let producer: TxnProducer;
let minute = 0;
const notes: string[] = [];

/** A version folder of the fixtures under another number; its columns are those of core-37. */
function publish(
  name: string,
  from: string,
  version: string,
  change: (manifest: Manifest) => void = () => undefined,
): void {
  const folder = path.join(repository, name, version);
  cpSync(path.join(fixtures, name, from), folder, { recursive: true });
  copyFileSync(modelCode, path.join(folder, "model.py"));
  const manifest = JSON.parse(readFileSync(path.join(folder, "manifest.json"), "utf8")) as Manifest;
  const columns = featureSet.columns.slice(0, manifest.columns.length);
  Object.assign(manifest, { version, columns, featureSet: featureSet.name, featureSetHash: featureSet.hash });
  change(manifest);
  writeFileSync(path.join(folder, "manifest.json"), JSON.stringify(manifest));
}

interface Manifest {
  columns: string[];
  calibration: { raw: number[]; probability: number[]; score: number[] };
}

const pbtxt = (name: string, columns: number) => `name: "${name}"
backend: "python"
max_batch_size: 1024
input [ { name: "input__0" data_type: TYPE_FP32 dims: [ ${columns} ] } ]
output [ { name: "output__0" data_type: TYPE_FP32 dims: [ 1 ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
version_policy { latest { num_versions: 4 } }
`;

/** Fails from the moment on that the file is there: it was well when it was proved. */
const ILL = `
import os
_execute = TritonPythonModel.execute
def _ill(self, requests):
    if os.path.exists(os.path.join(os.path.dirname(os.path.abspath(__file__)), "ill")):
        raise RuntimeError("ill")
    return _execute(self, requests)
TritonPythonModel.execute = _ill
`;

beforeAll(async () => {
  const { stack, stop } = await testStack(["kafka", "registry", "triton"]);
  close = [stop];
  const { kafka, registry, triton } = stack.endpoints;
  repository = triton.modelRepository;
  for (const [name, columns] of [
    ["xgboost_anomaly", 6],
    ["catboost_anomaly", 5],
    ["isolation_forest", 6],
  ] as const) {
    publish(name, "1", "1");
    writeFileSync(path.join(repository, name, "config.pbtxt"), pbtxt(name, columns));
  }
  const env = {
    WEIR_ENV: "test",
    WEIR_KAFKA_BROKERS: kafka.join(","),
    WEIR_REGISTRY_URL: registry,
    WEIR_PARTITIONS: String(PARTITIONS),
    WEIR_TRITON_GRPC: triton.grpc,
    WEIR_MODEL_REPOSITORY: repository,
    WEIR_COMMIT_INTERVAL_MS: "50",
  };
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  config = readConfig(env, []);
  broker = brokerOf(stack);
  codecs = await connectCodecs(config);
  await initialise(config, broker);
  const context = {
    config,
    broker,
    codecs,
    sharing: fixedSharing(PARTITIONS, 0, 1),
    log: (line: string) => notes.push(line),
  };
  runnables = (await Promise.all([createRole("score", context), createRole("control", context)])).flat();
  close.unshift(() => Promise.all(runnables.map((r) => r.stop())).then(() => undefined));
  await Promise.all(runnables.map((r) => r.start()));
  producer = broker.producer("test.features.fake");
  await producer.init();
  close.unshift(() => producer.close());
}, 240_000);

afterAll(async () => {
  for (const step of close) await step();
  vi.unstubAllEnvs();
}, 60_000);

const random = uniform(7);
/** Rows of one minute as the features stage would write them, in chunks of at most 512. */
function batches(partition: number, windowEndMs: number): ProducerRecord[] {
  const entities = Array.from({ length: ENTITIES }, (_, i) => `i-${i}`).filter((_, i) => i % PARTITIONS === partition);
  const chunks = Math.ceil(entities.length / 512);
  return Array.from({ length: chunks }, (_, chunk) => {
    const own = entities.slice(chunk * 512, chunk * 512 + 512);
    const columns = featureSet.columns.length;
    const matrix = Float32Array.from({ length: own.length * columns }, () => random() * 3 - 2);
    const value: FeatureBatch = {
      featureSet: featureSet.name,
      featureSetHash: featureSet.hash,
      windowEndMs,
      watermarkMs: windowEndMs,
      chunk,
      chunks,
      entities: own,
      columns,
      matrix: Buffer.from(matrix.buffer),
      quality: Buffer.alloc(own.length * 4),
      firstOffset: own.map(() => -1),
      lastOffset: own.map(() => -1),
      silent: [],
    };
    const key = `${partition}/${windowEndMs}/${chunk}`;
    return {
      topic: topics.features,
      partition,
      key,
      value: codecs.encode(topics.features, value),
      timestampMs: windowEndMs,
    };
  });
}

/** One minute of the fleet, until the control stage has heard of all of it. */
async function oneMinute(): Promise<void> {
  minute++;
  const windowEndMs = T + minute * MINUTE;
  await producer.send(Array.from({ length: PARTITIONS }, (_, p) => batches(p, windowEndMs)).flat());
  await producer.commit();
  const measured = () => runnables.flatMap((r) => r.status()).filter((t) => t.stage === "measure");
  const heard = () => runnables.flatMap((r) => r.status()).filter((t) => t.stage === "control");
  const failed = Promise.race(runnables.map((r) => r.failed));
  const done = until(
    `minute ${minute}`,
    () => {
      const reports = heard().reduce((sum, t) => sum + t.counters.in, 0);
      return measured().every((t) => t.watermarkMs >= windowEndMs) && reports >= minute * PARTITIONS;
    },
    60_000,
  );
  await Promise.race([done, failed]);
}

async function all<T>(topic: TopicName): Promise<T[]> {
  const values: T[] = [];
  for await (const { value } of readTopic(broker, topic)) {
    const decoded = await tryDecode<T>(codecs, topic, value);
    if (decoded) values.push(decoded);
  }
  return values;
}

/** Minutes until the experiment is over; its decisions. */
async function runExperiment(name: string, limit: number): Promise<Decision[]> {
  for (let i = 0; i < limit; i++) {
    await oneMinute();
    if (i % 3 !== 2) continue;
    const own = (await all<Decision>(topics.decisions)).filter((d) => d.experiment === name);
    if (own.at(-1)?.ended) return own;
  }
  const last = (await all<Decision>(topics.decisions)).at(-1);
  throw new Error(`${name} was not over after ${limit} minutes: ${JSON.stringify(last)} ${notes.join("; ")}`);
}

const armsOf = ({ arms }: RoutingConfig) => arms.map((a) => `${a.model}/${a.modelVersion} ${a.weight}`).join(", ");

/** The newest routing version, once it has these arms: a decision may be seen a moment before the version it wrote. */
async function untilArms(expected: string | RegExp): Promise<RoutingConfig> {
  let newest: RoutingConfig | undefined;
  const holds = async () => {
    newest = (await all<RoutingConfig>(topics.routing)).at(-1);
    const arms = newest ? armsOf(newest) : "";
    return typeof expected === "string" ? arms === expected : expected.test(arms);
  };
  await until("routing", holds).catch((cause) => {
    throw new Error(`routing to ${expected} was awaited; it is to ${newest && armsOf(newest)}`, { cause });
  });
  return newest!;
}

/** Minutes until score routes by the version with these arms: it has to prove a model that it meets for the first time. */
async function untilRouted(expected: string | RegExp): Promise<void> {
  const { version } = await untilArms(expected);
  await until(
    `version ${version} routes`,
    async () => {
      await oneMinute();
      return (await all<PredictionBatch>(topics.predictions)).some((p) => p.routingVersion === version);
    },
    120_000,
  );
}

/** What a command prints. */
async function printed(run: () => Promise<unknown>): Promise<string> {
  const lines: string[] = [];
  const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => lines.push(String(text)) > 0);
  try {
    await run();
  } finally {
    write.mockRestore();
  }
  return lines.join("");
}

const canary = (experiment: string, version: string) => () =>
  experimentCommand(
    { action: "start-canary", experiment, challenger: `xgboost_anomaly/${version}`, champion: null, ladder: "normal" },
    "ann",
    false,
  );
const set = (...arm: string[]) => routingSet({ arm, mode: "split", salt: "anomaly", author: "ann" });

test("a routing version with faults is refused with all of them and nothing is written; a good one stands", async () => {
  await expect(set("xgboost_anomaly/1=70", "catboost_anomaly/9=20", "x")).rejects.toThrow(
    /x is not model\/version=percent.*weights add up to 90.*catboost_anomaly version 9 is not known/,
  );
  expect(await all(topics.routing)).toEqual([]);
  const options = { arm: ["xgboost_anomaly/1=70", "catboost_anomaly/1=30"], from: T };
  await printed(() => routingSet({ ...options, mode: "split", salt: "anomaly", author: "ann" }));
  expect(await printed(() => routingShow({ json: false }))).toMatch(
    /1 {2}from 2026-01-05T00:00:00.000Z {2}split {2}xgboost/,
  );
  await untilRouted("xgboost_anomaly/1 70, catboost_anomaly/1 30");
});

test("a canary of a deliberately bad model is withdrawn by itself, and what was before comes back", async () => {
  publish("xgboost_anomaly", "1", "3", ({ calibration }) => {
    calibration.score = [0.8, 0.99, 1];
  });
  expect(await printed(canary("bad", "3"))).toMatch(/^bad #0 .* start .* by ann/);
  await untilRouted(/xgboost_anomaly\/3/);
  const decisions = await runExperiment("bad", 40);
  expect(decisions.at(-1)).toMatchObject({ action: "rollback", reasons: expect.arrayContaining(["alert-rate"]) });
  await untilArms("xgboost_anomaly/1 70, catboost_anomaly/1 30");
}, 300_000);

test("one whose model begins to fail is withdrawn, and no row was left without a verdict", async () => {
  const before = minute;
  publish("xgboost_anomaly", "1", "4");
  const folder = path.join(repository, "xgboost_anomaly", "4");
  writeFileSync(path.join(folder, "model.py"), readFileSync(path.join(folder, "model.py"), "utf8") + ILL);
  await printed(canary("ill", "4"));
  await untilRouted(/xgboost_anomaly\/4/);
  writeFileSync(path.join(folder, "ill"), "");
  const decisions = await runExperiment("ill", 30);
  expect(decisions.at(-1)).toMatchObject({ action: "rollback", reasons: expect.arrayContaining(["error-rate"]) });
  const predictions = (await all<PredictionBatch>(topics.predictions)).filter(
    (p) => p.windowEndMs > T + before * MINUTE,
  );
  expect(predictions.some((p) => p.models.some((m) => m.evaluator === "failed"))).toBe(true);
  expect(predictions.reduce((rows, p) => rows + p.entities.length, 0)).toBe((minute - before) * ENTITIES);
  await untilArms("xgboost_anomaly/1 70, catboost_anomaly/1 30");
}, 300_000);

test("a good one is promoted to all of the traffic, and every decision comes out the same when it is made again", async () => {
  publish("xgboost_anomaly", "1", "2");
  await expect(canary("ill", "2")()).rejects.toThrow(/there was an experiment ill before/);
  await printed(canary("good", "2"));
  await untilRouted(/xgboost_anomaly\/2/);
  const decisions = await runExperiment("good", 90);
  expect(decisions.map((d) => d.action).filter((a) => a !== "hold")).toEqual([
    ...["start", "advance", "advance", "advance", "complete"],
  ]);
  await untilRouted("xgboost_anomaly/2 100");
  await oneMinute();
  const last = (await all<PredictionBatch>(topics.predictions)).at(-1)!;
  expect(last.models.map((m) => `${m.name}/${m.version}`)).toEqual(["xgboost_anomaly/2"]);

  expect(await printed(() => experimentStatus(undefined, false))).toMatch(/good #\d+ .* complete/);
  let code = -1;
  const text = await printed(async () => {
    code = await experimentExplain("good", false);
  });
  expect(code).toBe(0);
  expect(text).toMatch(/ equal\n/);
  expect(text).toMatch(/ 0 different when made again/);
}, 600_000);

test("a label lies in the partition of its entity's rows", async () => {
  await printed(() => label("i-7", T + MINUTE, "anomaly", { author: "ann", note: "", at: T + 5 * MINUTE }));
  expect(await all<Label>(topics.labels)).toMatchObject([
    { entity: "i-7", anomalous: true, knownAtMs: T + 5 * MINUTE },
  ]);
});
