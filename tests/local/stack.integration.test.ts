import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import {
  DescribeStreamSummaryCommand,
  GetRecordsCommand,
  GetShardIteratorCommand,
  KinesisClient,
  ListShardsCommand,
  PutRecordCommand,
} from "@aws-sdk/client-kinesis";
import { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { Kafka, logLevel } from "kafkajs";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  type ComponentName,
  defaultCacheDir,
  type Endpoints,
  endpointsFileOf,
  type Stack,
  setUp,
  startStack,
  stopByRunDir,
} from "../../local/index.ts";

const longMs = 180_000;
const folders: string[] = [];
function newRunDir(): string {
  const dir = mkdtempSync(path.join(os.tmpdir(), "weir-stack-"));
  folders.push(dir);
  return dir;
}

/** Pids of the processes, corpses left out, whose group one of these leads. */
function membersOf(groups: readonly number[]): string[] {
  return readdirSync("/proc").filter((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      const [state, , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return state !== "Z" && groups.includes(Number(group));
    } catch {
      return false;
    }
  });
}

function kinesisOf({ kinesis }: Endpoints): KinesisClient {
  const { endpoint, region, ...credentials } = kinesis;
  return new KinesisClient({ endpoint, region, credentials, requestHandler: new NodeHttpHandler() });
}

function s3Of({ s3 }: Endpoints): S3Client {
  const { endpoint, region, ...credentials } = s3;
  return new S3Client({ endpoint, region, credentials, forcePathStyle: true });
}

const adminOf = (endpoints: Endpoints) =>
  new Kafka({ brokers: [...endpoints.kafka], logLevel: logLevel.NOTHING }).admin();

async function recordsOf(client: KinesisClient, stream: string): Promise<string[]> {
  const found: string[] = [];
  const { Shards = [] } = await client.send(new ListShardsCommand({ StreamName: stream }));
  for (const { ShardId } of Shards) {
    const { ShardIterator } = await client.send(
      new GetShardIteratorCommand({ StreamName: stream, ShardId, ShardIteratorType: "TRIM_HORIZON" }),
    );
    const { Records = [] } = await client.send(new GetRecordsCommand({ ShardIterator }));
    found.push(...Records.map((record) => Buffer.from(record.Data ?? []).toString()));
  }
  return found;
}

async function createdAt(client: KinesisClient, stream: string): Promise<number | undefined> {
  const { StreamDescriptionSummary } = await client.send(new DescribeStreamSummaryCommand({ StreamName: stream }));
  return StreamDescriptionSummary?.StreamCreationTimestamp?.getTime();
}

/** Where the gateway could not be built, for want of Go, objects lie in memory. */
const keepsObjects = (): boolean => existsSync(path.join(defaultCacheDir(), "s3", "versitygw"));

beforeAll(() => setUp({ components: ["kafka", "registry", "s3", "kinesis", "triton"] }), 600_000);
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

describe("the whole stack", () => {
  const components: ComponentName[] = ["kafka", "registry", "s3", "kinesis", "triton"];
  const runDir = newRunDir();
  let stack: Stack | undefined;
  afterEach(async () => stack?.stop());

  test(
    "starts, keeps its data over a restart on other ports, and leaves no process and no pid file",
    async () => {
      stack = await startStack({ runDir, components, shards: 3 });
      const { endpoints } = stack;
      expect(JSON.parse(readFileSync(endpointsFileOf(runDir), "utf8"))).toEqual(endpoints);
      expect(stack.status().map(({ name, state }) => `${name} ${state}`)).toEqual(
        components.map((name) => `${name} running`),
      );
      expect(() => endpoints.qdrant).toThrow(/LOCAL_NOT_STARTED|without qdrant/);
      await expect(startStack({ runDir, components })).rejects.toMatchObject({ code: "LOCAL_STACK_RUNNING" });

      const admin = adminOf(endpoints);
      await admin.connect();
      await admin.createTopics({ topics: [{ topic: "kept", numPartitions: 2, replicationFactor: 1 }] });
      await admin.disconnect();
      expect(await (await fetch(`${endpoints.registry}/config`)).json()).toEqual({ compatibilityLevel: "BACKWARD" });
      const subject = await fetch(`${endpoints.registry}/subjects/kept-value/versions`, {
        method: "POST",
        headers: { "content-type": "application/vnd.schemaregistry.v1+json" },
        body: JSON.stringify({ schema: '"string"' }),
      });
      expect(subject.status).toBe(200);
      const s3 = s3Of(endpoints);
      await s3.send(new PutObjectCommand({ Bucket: endpoints.s3.bucket, Key: "a/b", Body: "kept" }));
      const kinesis = kinesisOf(endpoints);
      const { stream } = endpoints.kinesis;
      await kinesis.send(new PutRecordCommand({ StreamName: stream, PartitionKey: "x", Data: Buffer.from("kept") }));
      const created = await createdAt(kinesis, stream);
      expect((await kinesis.send(new ListShardsCommand({ StreamName: stream }))).Shards).toHaveLength(3);
      expect((await fetch(`${endpoints.triton.http}/v2/health/ready`)).status).toBe(200);
      expect(await (await fetch(endpoints.triton.metrics)).text()).toContain("nv_");
      s3.destroy();
      kinesis.destroy();

      const groups = stack.status().map(({ pid }) => pid);
      await stack.stop();
      expect(membersOf(groups)).toEqual([]);
      expect(readdirSync(runDir).filter((file) => /\.pid$|endpoints/.test(file))).toEqual([]);

      stack = await startStack({ runDir, components: ["kafka", "registry", "s3", "kinesis"] });
      const again = stack.endpoints;
      const secondAdmin = adminOf(again);
      await secondAdmin.connect();
      expect(await secondAdmin.listTopics()).toContain("kept");
      await secondAdmin.disconnect();
      expect(await (await fetch(`${again.registry}/subjects`)).json()).toEqual(["kept-value"]);
      const secondS3 = s3Of(again);
      const object = secondS3.send(new GetObjectCommand({ Bucket: again.s3.bucket, Key: "a/b" }));
      if (keepsObjects()) expect(await (await object).Body?.transformToString()).toBe("kept");
      else await expect(object).rejects.toThrow("does not exist"); // moto, and it says so at the start
      secondS3.destroy();
      const secondKinesis = kinesisOf(again);
      expect(await recordsOf(secondKinesis, stream)).toEqual(["kept"]);
      expect(await createdAt(secondKinesis, stream)).toBe(created);
      secondKinesis.destroy();
    },
    2 * longMs,
  );
});

describe("a stack", () => {
  test(
    "of which one component fails is stopped as a whole, with that component's error",
    async () => {
      const runDir = newRunDir();
      const failed = startStack({ runDir, cacheDir: newRunDir(), components: ["kinesis", "registry"] });
      await expect(failed).rejects.toMatchObject({
        code: "LOCAL_COMPONENT_FAILED",
        message: expect.stringMatching(/^registry ended while it was starting.*[\s\S]*jarfile/),
      });
      const own = readdirSync("/proc").filter((entry) => {
        try {
          return readFileSync(`/proc/${entry}/environ`, "utf8").includes(runDir);
        } catch {
          return false;
        }
      });
      expect(own).toEqual([]);
      expect(readdirSync(runDir).filter((file) => file.endsWith(".pid"))).toEqual([]);
    },
    longMs,
  );

  test(
    "whose emulator was killed gets a new stream, never an old state under the old name",
    async () => {
      const runDir = newRunDir();
      const first = await startStack({ runDir, components: ["kinesis"], shards: 1 });
      const client = kinesisOf(first.endpoints);
      const { stream } = first.endpoints.kinesis;
      const created = await createdAt(client, stream);
      await client.send(new PutRecordCommand({ StreamName: stream, PartitionKey: "x", Data: Buffer.from("lost") }));
      client.destroy();
      process.kill(first.status()[0]!.pid, "SIGKILL");
      await expect.poll(() => first.status()[0]?.state).toBe("failed");
      await first.stop();

      const second = await startStack({ runDir, components: ["kinesis"], shards: 1 });
      try {
        const secondClient = kinesisOf(second.endpoints);
        expect(await createdAt(secondClient, stream)).not.toBe(created);
        expect(await recordsOf(secondClient, stream)).toEqual([]);
        secondClient.destroy();
      } finally {
        await second.stop();
      }
    },
    longMs,
  );

  test(
    "leaves no shared memory of the model server behind, even of a killed one",
    async () => {
      const stack = await startStack({ runDir: newRunDir(), components: ["triton"] });
      const before = readdirSync("/dev/shm");
      const { http, modelRepository } = stack.endpoints.triton;
      mkdirSync(path.join(modelRepository, "echo", "1"), { recursive: true });
      const tensor = (name: string) => `[ { name: "${name}" data_type: TYPE_FP32 dims: [ 1 ] } ]`;
      const config = `name: "echo" backend: "python" max_batch_size: 8 input ${tensor("x")} output ${tensor("y")}`;
      writeFileSync(path.join(modelRepository, "echo", "config.pbtxt"), config);
      const model = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n";
      writeFileSync(path.join(modelRepository, "echo", "1", "model.py"), model);
      const loaded = await fetch(`${http}/v2/repository/models/echo/load`, { method: "POST" });
      expect(await loaded.text()).toBe("");
      const regions = readdirSync("/dev/shm").filter(
        (name) => name.startsWith("weir-triton-") && !before.includes(name),
      );
      expect(regions).not.toEqual([]);
      process.kill(-stack.status()[0]!.pid, "SIGKILL");
      await stack.stop();
      expect(readdirSync("/dev/shm").filter((name) => regions.includes(name))).toEqual([]);
    },
    longMs,
  );

  test(
    "is ended from its run folder alone",
    async () => {
      const runDir = newRunDir();
      const stack = await startStack({ runDir, components: ["kinesis"], shards: 1 });
      const groups = stack.status().map(({ pid }) => pid);
      expect(await stopByRunDir(runDir)).toBe(true);
      expect(membersOf(groups)).toEqual([]);
      expect(existsSync(endpointsFileOf(runDir))).toBe(false);
      expect(await stopByRunDir(runDir)).toBe(false);
      await stack.stop();
    },
    longMs,
  );
});

test(
  "containers are refused with a next step where there is no Docker",
  async () => {
    const saved = process.env.DOCKER_HOST;
    process.env.DOCKER_HOST = "unix:///nowhere/docker.sock";
    try {
      const refused = startStack({ runDir: newRunDir(), infra: "docker", components: ["kafka"] });
      await expect(refused).rejects.toMatchObject({ code: "LOCAL_NO_DOCKER" });
    } finally {
      if (saved === undefined) delete process.env.DOCKER_HOST;
      else process.env.DOCKER_HOST = saved;
    }
  },
  longMs,
);

test("the cache lies where WEIR_CACHE says", () => {
  const saved = process.env.WEIR_CACHE;
  process.env.WEIR_CACHE = "/somewhere/else";
  expect(defaultCacheDir()).toBe("/somewhere/else");
  if (saved === undefined) delete process.env.WEIR_CACHE;
  else process.env.WEIR_CACHE = saved;
  expect(defaultCacheDir()).toBe(path.resolve(saved ?? ".weir"));
});
