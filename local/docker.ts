import { mkdirSync } from "node:fs";
import path from "node:path";
import { GenericContainer, getContainerRuntimeClient, type StartedTestContainer, Wait } from "testcontainers";
import { WeirError } from "../streams/index.ts";
import { type ComponentName, defaultComponents } from "./components/index.ts";
import { createStream, kinesisEndpoint } from "./components/kinesis.ts";
import { setCompatibility } from "./components/registry.ts";
import { createBucket, s3Endpoint } from "./components/s3.ts";
import { asEndpoints, type Endpoints, notStarted } from "./endpoints.ts";
import { freePorts } from "./net.ts";
import { silentProgress } from "./progress.ts";
import type { Stack, StackOptions } from "./stack.ts";
import type { ComponentStatus } from "./supervisor.ts";

/**
 * The same stack from official images, through testcontainers: `--infra docker`.
 *
 * Not run: this file was written where there is no Docker; only its refusal without Docker is tested. Data do not
 * outlive the containers. A language model is left to the user (vLLM needs a GPU): `ai` is not started.
 */
interface Image {
  readonly image: string;
  /** Ports inside the container; each gets a free port of this machine. */
  readonly ports: readonly number[];
  prepare(container: GenericContainer, ports: readonly number[], dataDir: string): GenericContainer;
  endpoints(ports: readonly number[], dataDir: string): Partial<Endpoints>;
  afterReady?(ports: readonly number[], shards: number): Promise<void>;
}

const registryApi = (port: number) => `http://127.0.0.1:${port}/apis/ccompat/v7`;

const images: Readonly<Record<Exclude<ComponentName, "ai">, Image>> = {
  kafka: {
    image: "apache/kafka:4.4.0",
    ports: [9092],
    prepare: (container, [port]) =>
      container
        .withEnvironment({
          KAFKA_NODE_ID: "1",
          KAFKA_PROCESS_ROLES: "broker,controller",
          KAFKA_LISTENERS: "PLAINTEXT://:9092,CONTROLLER://:9093",
          // What the broker tells its clients has to be the port of this machine.
          KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://127.0.0.1:${port}`,
          KAFKA_CONTROLLER_LISTENER_NAMES: "CONTROLLER",
          KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
          KAFKA_CONTROLLER_QUORUM_VOTERS: "1@localhost:9093",
          KAFKA_AUTO_CREATE_TOPICS_ENABLE: "false",
          KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: "1",
          KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: "1",
          KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: "1",
          KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR: "1",
          KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR: "1",
          KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: "0",
        })
        .withWaitStrategy(Wait.forLogMessage(/Kafka Server started/)),
    endpoints: ([port]) => ({ kafka: [`127.0.0.1:${port}`] }),
  },
  registry: {
    image: "apicurio/apicurio-registry:3.0.9",
    ports: [8080],
    prepare: (container) => container.withWaitStrategy(Wait.forHttp("/health/ready", 8080)),
    endpoints: ([port]) => ({ registry: registryApi(port!) }),
    afterReady: ([port]) => setCompatibility(registryApi(port!)),
  },
  s3: {
    image: "versity/versitygw:v1.8.0",
    ports: [7070],
    prepare: (container) =>
      container
        .withEnvironment({ ROOT_ACCESS_KEY: s3Endpoint(0).accessKeyId, ROOT_SECRET_KEY: s3Endpoint(0).secretAccessKey })
        .withCommand(["--port", ":7070", "--health", "/health", "posix", "/tmp"])
        .withWaitStrategy(Wait.forHttp("/health", 7070)),
    endpoints: ([port]) => ({ s3: s3Endpoint(port!) }),
    afterReady: ([port]) => createBucket(s3Endpoint(port!)),
  },
  kinesis: {
    image: "ghcr.io/etspaceman/kinesis-mock:0.6.2",
    ports: [4568],
    prepare: (container) =>
      container
        .withEnvironment({ SHARD_LIMIT: "200", CREATE_STREAM_DURATION: "10ms", LOG_LEVEL: "ERROR" })
        .withWaitStrategy(Wait.forHttp("/healthcheck", 4568)),
    endpoints: ([port]) => ({ kinesis: kinesisEndpoint(port!) }),
    afterReady: ([port], shards) => createStream(kinesisEndpoint(port!), shards),
  },
  triton: {
    image: "nvcr.io/nvidia/tritonserver:24.10-py3",
    ports: [8001, 8000, 8002],
    prepare: (container, _ports, dataDir) =>
      container
        .withBindMounts([{ source: modelRepository(dataDir), target: "/models" }])
        .withSharedMemorySize(256 * 1024 ** 2)
        // The models of the local stack are Python ones; the image has no XGBoost for them.
        .withCommand([
          "bash",
          "-c",
          "pip install -q 'numpy<2' xgboost-cpu onnxruntime && exec tritonserver --model-repository=/models " +
            "--model-control-mode=explicit --disable-auto-complete-config --metrics-config=summary_latencies=true",
        ])
        .withWaitStrategy(Wait.forHttp("/v2/health/ready", 8000)),
    endpoints: ([grpc, http, metrics], dataDir) => ({
      triton: {
        grpc: `127.0.0.1:${grpc}`,
        http: `http://127.0.0.1:${http}`,
        metrics: `http://127.0.0.1:${metrics}/metrics`,
        modelRepository: modelRepository(dataDir),
      },
    }),
  },
  qdrant: {
    image: "qdrant/qdrant:v1.19.0",
    ports: [6333],
    prepare: (container) => container.withWaitStrategy(Wait.forHttp("/healthz", 6333)),
    endpoints: ([port]) => ({ qdrant: `http://127.0.0.1:${port}` }),
  },
  moto: {
    image: "motoserver/moto:5.2.5",
    ports: [5000],
    prepare: (container) =>
      container
        .withEnvironment({ MOTO_ACCOUNT_ID: "000000000000" })
        .withWaitStrategy(Wait.forHttp("/moto-api/data.json", 5000)),
    endpoints: ([port]) => ({ moto: `http://127.0.0.1:${port}` }),
  },
};

function modelRepository(dataDir: string): string {
  const folder = path.join(dataDir, "models");
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** As `startStack`, with containers instead of processes. @throws WeirError LOCAL_NO_DOCKER, LOCAL_COMPONENT_FAILED */
export async function startDockerStack(options: StackOptions): Promise<Stack> {
  await requireDocker();
  const progress = options.progress ?? silentProgress;
  const asked = options.components ?? defaultComponents;
  const names = asked.filter((name) => name !== "ai");
  progress.note("  ! --infra docker is new: it has not been run by its authors.");
  if (names.length < asked.length) progress.note("  ! ai is not started: point Weir at your own vLLM.");
  const started = new Map<ComponentName, { container: StartedTestContainer; port: number }>();
  const known: Partial<Endpoints>[] = [];
  const stop = async () => {
    await Promise.allSettled([...started.values()].map(({ container }) => container.stop()));
    started.clear();
  };
  const startOne = async (name: Exclude<ComponentName, "ai">) => {
    progress.begin(name);
    try {
      const { image, ports: inside, prepare, endpoints, afterReady } = images[name];
      const ports = await freePorts(inside.length);
      const dataDir = path.resolve(options.runDir, name);
      const exposed = inside.map((container, i) => ({ container, host: ports[i]! }));
      const container = await prepare(new GenericContainer(image).withExposedPorts(...exposed), ports, dataDir)
        .withStartupTimeout(300_000)
        .start();
      started.set(name, { container, port: ports[0]! });
      await afterReady?.(ports, options.shards ?? 4);
      known.push(endpoints(ports, dataDir));
      progress.done(name, `port ${ports[0]}`);
    } catch (error) {
      progress.failed(name);
      throw error;
    }
  };
  const ends = await Promise.allSettled(names.map(startOne));
  const failed = ends.find((end) => end.status === "rejected");
  if (failed) {
    await stop();
    const { reason } = failed;
    if (reason instanceof WeirError) throw reason;
    throw new WeirError(
      "LOCAL_COMPONENT_FAILED",
      "fatal",
      `A container could not be started: ${reason instanceof Error ? reason.message : String(reason)}`,
      "Read `docker ps -a` and `docker logs`, or use the native stack.",
      { cause: reason },
    );
  }
  return {
    endpoints: asEndpoints(Object.assign({}, ...known)),
    stop,
    status: () =>
      [...started].map(
        ([name, { container, port }]): ComponentStatus => ({
          name,
          pid: 0,
          port,
          state: "running",
          logFile: `docker logs ${container.getId().slice(0, 12)}`,
        }),
      ),
    async ready(component) {
      if (!started.has(component)) throw notStarted(component);
    },
  };
}

async function requireDocker(): Promise<void> {
  try {
    await getContainerRuntimeClient();
  } catch (error) {
    throw new WeirError(
      "LOCAL_NO_DOCKER",
      "fatal",
      `Docker does not answer: ${error instanceof Error ? error.message : String(error)}.`,
      "Start Docker and see that `docker version` works for this user, or leave out `--infra docker`.",
      { cause: error },
    );
  }
}
