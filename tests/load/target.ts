import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { connectCodecs, initialise } from "../../commands/init.ts";
import { publishRecord } from "../../commands/publish.ts";
import { readConfig } from "../../config.ts";
import { setUp, startStack } from "../../local/index.ts";
import { topics } from "../../pipeline.ts";
import type { RoutingConfig } from "../../schemas/index.ts";
import { connectBroker } from "../../streams/index.ts";
import { loadModels, type Models, TritonClient } from "../../triton/index.ts";
import { uniform } from "../experiments/simulation.ts";
import { until } from "../support/kafka.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const fixtures = path.join(root, "tests/triton/fixtures/repository");
const names = ["xgboost_anomaly", "catboost_anomaly", "isolation_forest"] as const;
export const TOKEN = "a-token-for-load-tests";
const REQUEST_LIMIT_MS = 5_000;

export interface LocalTarget {
  readonly kafka: string;
  readonly registry: string;
  readonly grpc: string;
  readonly models: Models;
  /** Of `weir run api` in a process of its own. */
  readonly edgePort: number;
  readonly edgePid: number;
  stop(): Promise<void>;
}

/** Broker, registry, Triton with the tests' small models, 70/30 routing, and the HTTP interface as people start it. */
export async function startLocalTarget(more: Readonly<Record<string, string>> = {}): Promise<LocalTarget> {
  const components = ["kafka", "registry", "triton"] as const;
  await setUp({ components });
  const runDir = mkdtempSync(path.join(tmpdir(), "weir-load-"));
  const stack = await startStack({ runDir, components });
  let child: ChildProcess | undefined;
  const stop = async () => {
    if (child && child.exitCode === null) {
      const gone = new Promise((resolve) => child!.once("exit", resolve));
      child.kill("SIGTERM");
      await gone;
    }
    await stack.stop();
    rmSync(runDir, { recursive: true, force: true });
  };
  try {
    const { kafka, registry, triton } = stack.endpoints;
    const modelCode = path.join(root, "trainer/python/weir_trainer/model.py");
    for (const name of names) {
      const home = path.join(triton.modelRepository, name);
      cpSync(path.join(fixtures, name, "1"), path.join(home, "1"), { recursive: true });
      copyFileSync(modelCode, path.join(home, "1", "model.py"));
      const { columns } = JSON.parse(readFileSync(path.join(home, "1", "manifest.json"), "utf8")) as {
        columns: string[];
      };
      writeFileSync(path.join(home, "config.pbtxt"), pbtxt(name, columns.length));
    }
    const env = {
      WEIR_ENV: "load",
      WEIR_KAFKA_BROKERS: kafka.join(","),
      WEIR_REGISTRY_URL: registry,
      WEIR_PARTITIONS: "1",
      WEIR_TRITON_GRPC: triton.grpc,
      WEIR_MODEL_REPOSITORY: triton.modelRepository,
      WEIR_API_TOKENS: TOKEN,
      WEIR_API_PORT: "0",
      ...more,
    };
    const config = readConfig(env, []);
    const broker = connectBroker({ brokers: [...kafka], clientId: "load" });
    const codecs = await connectCodecs(config);
    await initialise(config, broker);
    const record = { topic: topics.routing, partition: 0, key: "anomaly/1", value: routing, timestampMs: 1 };
    await publishRecord(broker, codecs, config, record);
    const client = new TritonClient({ address: triton.grpc });
    const models = await loadModels({ client, repositoryDir: triton.modelRepository, names });
    client.close();
    let said = "";
    child = spawn(process.execPath, [path.join(root, "main.ts"), "run", "api"], {
      env: { ...process.env, ...env },
      stdio: ["ignore", "ignore", "pipe"],
    });
    child.stderr!.on("data", (bytes) => {
      said += bytes;
    });
    await until("the HTTP interface says where it is", () => {
      if (child!.exitCode !== null) throw new Error(`weir run api ended: ${said}`);
      return /HTTP interface at http:\/\/[^:]+:(\d+)/.test(said);
    });
    const edgePort = Number(/HTTP interface at http:\/\/[^:]+:(\d+)/.exec(said)![1]);
    await until("the HTTP interface is healthy", async () => (await fetch(`http://127.0.0.1:${edgePort}/healthz`)).ok);
    return { kafka: kafka[0]!, registry, grpc: triton.grpc, models, edgePort, edgePid: child.pid!, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const routing: RoutingConfig = {
  family: "anomaly",
  version: 1,
  mode: "split",
  salt: "anomaly",
  effectiveFromMs: 0,
  arms: [
    { model: "xgboost_anomaly", modelVersion: "1", weight: 70 },
    { model: "catboost_anomaly", modelVersion: "1", weight: 30 },
  ],
  author: "load test",
  createdAtMs: 1,
  experiment: "",
  labelledUntilMs: 0,
};

const pbtxt = (name: string, columns: number) => `name: "${name}"
backend: "python"
max_batch_size: 1024
input [ { name: "input__0" data_type: TYPE_FP32 dims: [ ${columns} ] } ]
output [ { name: "output__0" data_type: TYPE_FP32 dims: [ 1 ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
`;

const random = uniform(3);
const value = () => Math.round(random() * 4_000 - 2_000) / 1_000;
/** Columns that both models of the split have. */
const COLUMNS = ["cpu", "memory", "disk", "network", "errors"];

/** One row over HTTP, on a connection of its user. */
export function httpSender(port: number, users: number, token = TOKEN, host = "127.0.0.1", from?: Callers): Sender {
  const agents = Array.from(
    { length: users },
    (_, user) => new Agent({ keepAlive: true, ...(from && { localAddress: from(user) }) }),
  );
  return {
    send: (user) =>
      new Promise((resolve, reject) => {
        const features = Object.fromEntries(COLUMNS.map((name) => [name, value()]));
        const body = JSON.stringify({ entity: `i-${Math.floor(random() * 5_000)}`, features });
        const headers = {
          authorization: `Bearer ${token}`,
          "content-type": "application/json",
          "content-length": body.length,
        };
        const sent = request(
          { host, port, path: "/v1/score", method: "POST", headers, agent: agents[user]!, timeout: REQUEST_LIMIT_MS },
          (response) => {
            response.resume();
            response.on("end", () =>
              response.statusCode === 200 ? resolve() : reject(new Error(`HTTP ${response.statusCode}`)),
            );
          },
        );
        sent.on("timeout", () => sent.destroy(new Error("timeout")));
        sent.on("error", reject);
        sent.end(body);
      }),
    close: () => {
      for (const agent of agents) agent.destroy();
    },
  };
}

/** The address that a user calls from: one of 127.0.0.0/8, so that each has a rate limit to itself. */
export type Callers = (user: number) => string;

export interface Sender {
  send(user: number): Promise<void>;
  close(): void;
}

/** One row straight to the model server, 70 of 100 to XGBoost; a channel for each user. */
export function grpcSender(address: string, models: Models, users: number): Sender {
  const clients = Array.from({ length: users }, () => new TritonClient({ address }));
  return {
    send: async (user) => {
      const { manifest, columns } = models.get(random() < 0.7 ? "xgboost_anomaly" : "catboost_anomaly", "1")!;
      const data = Float32Array.from(columns, value);
      const { input, output, name, version } = manifest;
      const asked = { model: name, version, input: input.name, output: output.name, columns: columns.length, data };
      await clients[user]!.infer(asked, { timeoutMs: REQUEST_LIMIT_MS });
    },
    close: () => {
      for (const client of clients) client.close();
    },
  };
}
