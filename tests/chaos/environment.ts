import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { KinesisClient } from "@aws-sdk/client-kinesis";
import { S3Client } from "@aws-sdk/client-s3";
import { connectCodecs } from "../../commands/init.ts";
import { localOptions } from "../../commands/local-options.ts";
import { ensureModels } from "../../commands/models.ts";
import { prepareScenario, type Scenario } from "../../commands/scenario.ts";
import { type Config, readConfig } from "../../config.ts";
import { createStream } from "../../local/components/kinesis.ts";
import { triton } from "../../local/components/triton.ts";
import { type FleetPlan, FleetWriter, writeTopology } from "../../local/fleet/index.ts";
import {
  type ComponentName,
  defaultCacheDir,
  type Endpoints,
  setUp,
  silentProgress,
  startStack,
} from "../../local/index.ts";
import type { Codecs } from "../../schemas/index.ts";
import { kinesisClient } from "../../sources/index.ts";
import { type Broker, connectBroker } from "../../streams/index.ts";
import { prepareExperiments, putTwins } from "./experiments.ts";
import type { Outside } from "./schedule.ts";
import { Cluster, Server } from "./servers.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const besideKafka: readonly ComponentName[] = ["registry", "s3", "kinesis", "triton"];
const MINUTE_MS = 60_000;
/** A Monday, 9:00: a weekend and business hours lie before it. */
const BEGIN_MS = Date.UTC(2026, 2, 2, 9);
/** Written until the last fault has struck: longer than any run takes. */
const MINUTES = 4 * 1_440;
const INSTANCES = 8;
/** As many as a member is scaled to. */
const PARTITIONS = 3;
const INIT_ATTEMPTS = 5;

export type FleetScenario = Scenario & { readonly plan: FleetPlan };

/** What both runs share: servers that hold nothing of a run, or keep it apart by name. */
export interface Servers {
  readonly dir: string;
  readonly scenario: FleetScenario;
  readonly endpoints: Endpoints;
  readonly killable: Readonly<Record<Outside, Server>>;
  readonly kinesis: KinesisClient;
  readonly s3: S3Client;
  stop(): Promise<void>;
}

/** Brokers, topics and a stream, without any process of Weir. */
export interface Environment {
  readonly dir: string;
  readonly servers: Servers;
  readonly scenario: FleetScenario;
  readonly cluster: Cluster;
  /** For processes of Weir. */
  readonly variables: Readonly<Record<string, string>>;
  readonly config: Config;
  readonly broker: Broker;
  readonly codecs: Codecs;
  readonly writer: FleetWriter;
  readonly ledgerFile: string;
  stop(): Promise<void>;
}

/** Registry, S3, Kinesis and Triton, with the models trained and in its repository. */
export async function startServers(dir: string, seed: number): Promise<Servers> {
  mkdirSync(dir, { recursive: true });
  const cacheDir = defaultCacheDir();
  await setUp({ components: ["kafka", ...besideKafka] });
  const inject = { late: 60, malformed: 40, duplicate: 80, drop: 0 };
  const fleet = { seed, instances: INSTANCES, minutes: MINUTES, endMs: BEGIN_MS + MINUTES * MINUTE_MS };
  const scenario = prepareScenario({ ...fleet, inject }, dir);
  if (scenario.kind !== "fleet") throw new Error("The scenario is a fleet.");
  // Instances in twos: of more and smaller services come more incidents, so that explain has work.
  const twos = scenario.plan.instances.map(({ entity, entityGroup }, i) => [entity, `${entityGroup}-${i >> 1}`]);
  writeTopology(scenario.topologyFile, { ...scenario.topology, ...Object.fromEntries(twos) });
  const trained = path.join(cacheDir, "trained", scenario.modelsKey);
  await ensureModels(scenario, trained, cacheDir, silentProgress, new AbortController().signal);
  const runDir = path.join(dir, "stack");
  const stack = await startStack({ runDir, shards: 2, components: besideKafka });
  const { s3, kinesis, triton: models } = stack.endpoints;
  putTwins(trained, models.modelRepository);
  const client = kinesisClient({ region: kinesis.region, endpoint: kinesis.endpoint, credentials: kinesis });
  const objects = new S3Client({ region: s3.region, endpoint: s3.endpoint, forcePathStyle: true, credentials: s3 });
  const server = (name: Outside, sweep?: () => void) => {
    const { pid, logFile } = stack.status().find((s) => s.name === name)!;
    return new Server(name, pid, logFile, sweep);
  };
  const killable = {
    registry: server("registry"),
    s3: server("s3"),
    triton: server("triton", () => triton.sweep!(path.join(runDir, "triton"))),
  };
  return {
    dir,
    scenario,
    endpoints: stack.endpoints,
    killable,
    kinesis: client,
    s3: objects,
    async stop() {
      client.destroy();
      objects.destroy();
      // What was killed and started again is no longer the stack's.
      await Promise.all(Object.values(killable).map((server) => server.kill()));
      await stack.stop();
    },
  };
}

/** A cluster with topics, and a writer of the fleet's telemetry into a stream of its own, of which nothing is written yet. */
export async function startEnvironment(servers: Servers, name: string, brokers: 1 | 3): Promise<Environment> {
  const dir = path.join(servers.dir, name);
  mkdirSync(dir, { recursive: true });
  const { scenario, kinesis } = servers;
  const [cluster] = await Promise.all([
    Cluster.start(dir, defaultCacheDir(), brokers),
    createStream({ ...servers.endpoints.kinesis, stream: name }, 2),
  ]);
  try {
    const nobody = "http://127.0.0.1:1";
    const unused = { qdrant: nobody, ai: { baseUrl: nobody, chatModel: "none", embeddingModel: "none" } };
    const endpoints = { ...servers.endpoints, ...unused, kafka: cluster.bootstrap };
    const variables: Record<string, string> = {
      ...localOptions({ ...endpoints, kinesis: { ...endpoints.kinesis, stream: name } }, scenario),
      WEIR_REPLICATION: String(brokers),
      WEIR_PARTITIONS: String(PARTITIONS),
    };
    await initialised(variables);
    // The lake's last files are written by this process: the SDK takes its credentials from here.
    for (const name of ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]) process.env[name] = variables[name];
    const config = readConfig({}, [], variables);
    const broker = connectBroker({ brokers: cluster.bootstrap, clientId: "chaos" });
    const codecs = await connectCodecs(config);
    await prepareExperiments(broker, codecs, config, scenario);
    const ledgerFile = path.join(dir, "ledger.bin");
    const writer = new FleetWriter({
      client: kinesis,
      stream: name,
      ledgerFile,
      stateFile: path.join(dir, "fleet.json"),
      origin: scenario.origin,
      sleep: (ms) => sleep(ms),
    });
    const stop = () => cluster.stop();
    return { dir, servers, scenario, cluster, variables, config, broker, codecs, writer, ledgerFile, stop };
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

/** `weir init`, which may be repeated: new topics of a broker on a busy machine find their leaders late. */
async function initialised(variables: Readonly<Record<string, string>>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const init = spawn(process.execPath, ["--disable-warning=TimeoutNegativeWarning", `${root}main.ts`, "init"], {
      cwd: root,
      env: { ...process.env, ...variables },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    init.stderr.on("data", (bytes) => {
      said += bytes;
    });
    const code = await new Promise((resolve) => init.once("close", resolve));
    if (code === 0) return;
    if (attempt === INIT_ATTEMPTS) throw new Error(`weir init ended with ${code}: ${said}`);
  }
}
