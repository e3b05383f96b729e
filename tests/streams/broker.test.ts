import { readdirSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { settingsOf } from "../../pipeline.ts";
import { type Broker, type TopicName, topicName } from "../../streams/index.ts";
import { brokerOf, testStack } from "../support/kafka.ts";

let broker: Broker;
let runDir: string;
let stop: () => Promise<void>;
beforeAll(async () => {
  const started = await testStack(["kafka"]);
  broker = brokerOf(started.stack);
  runDir = started.runDir;
  stop = started.stop;
});
afterAll(() => stop());

let topics = 0;
async function newTopic(settings: Record<string, string> = {}): Promise<TopicName> {
  const name = topicName(`t${topics++}`);
  const admin = broker.admin();
  await admin.createTopics([{ name, partitions: 1, replication: 1, settings }]);
  await admin.close();
  return name;
}

const record = (topic: TopicName, text: string, key: string | null = "k") => ({
  topic,
  partition: 0,
  key,
  value: Buffer.from(text),
  timestampMs: 1_000,
});

async function readAll(
  topic: TopicName,
  isolation: "read_committed" | "read_uncommitted" = "read_committed",
): Promise<string[]> {
  const reader = broker.reader();
  const texts: string[] = [];
  for (let offset = 0; ; ) {
    const batch = await reader.fetch(topic, 0, offset, { maxWaitMs: 50, isolation });
    texts.push(...batch.records.map((r) => r.value!.toString()));
    offset = batch.nextOffset;
    if (offset >= batch.endOffset) break;
  }
  await reader.close();
  return texts;
}

async function producer(id: string) {
  const p = broker.producer(id);
  await p.init();
  return p;
}

test("a marker, which bears the time of day, closes no segment of revisions from long ago: the cleaner would thin them out", async () => {
  const topic = await newTopic(settingsOf("compact,delete", 1));
  const writer = await producer(`${topic}.w`);
  for (const revision of ["open", "resolved"]) {
    await writer.send([record(topic, revision)]);
    await writer.commit();
    await writer.settle();
  }
  await writer.close();
  const segments = readdirSync(path.join(runDir, "kafka", "log", `${topic}-0`)).filter((file) => file.endsWith(".log"));
  expect(segments).toEqual(["00000000000000000000.log"]);
});

describe("read_committed on a real broker", () => {
  test("an aborted transaction is never seen, a committed one is, and an open one holds back what follows", async () => {
    const topic = await newTopic();
    const a = await producer(`${topic}.a`);
    await a.send([record(topic, "aborted")]);
    await a.abort();
    await a.send([record(topic, "committed")]);
    await a.commit();
    const b = await producer(`${topic}.b`);
    await b.send([record(topic, "open")]);
    await a.send([record(topic, "behind it")]);
    await a.commit();
    expect(await readAll(topic)).toEqual(["committed"]);
    await b.abort();
    expect(await readAll(topic)).toEqual(["committed", "behind it"]);
    await Promise.all([a.close(), b.close()]);
  });

  test("nested aborts of two producers leak nothing", async () => {
    const topic = await newTopic();
    const [a, b, good] = await Promise.all([producer(`${topic}.a`), producer(`${topic}.b`), producer(`${topic}.c`)]);
    await a.send([record(topic, "a1"), record(topic, "a2")]);
    await b.send([record(topic, "b")]);
    await b.abort();
    await a.send([record(topic, "a3")]);
    await a.abort();
    await good.send([record(topic, "good")]);
    await good.commit();
    expect(await readAll(topic)).toEqual(["good"]);
    expect(await readAll(topic, "read_uncommitted")).toHaveLength(5);
    await Promise.all([a.close(), b.close(), good.close()]);
  });

  test("many producers that commit and abort at random: exactly the committed records are seen, in small fetches too", async () => {
    const topic = await newTopic();
    const producers = await Promise.all(["a", "b", "c", "d"].map((name) => producer(`${topic}.${name}`)));
    let seed = 7;
    const random = (n: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((seed / 2_147_483_648) * n);
    };
    const open = producers.map(() => [] as string[]);
    const committed: string[] = [];
    for (let i = 0; i < 150; i++) {
      const p = random(producers.length);
      if (open[p]!.length > 0 && random(3) === 0) {
        const commits = random(2) === 0;
        await (commits ? producers[p]!.commit() : producers[p]!.abort());
        if (commits) committed.push(...open[p]!);
        open[p] = [];
      } else {
        await producers[p]!.send([record(topic, `${p}-${i}`, i % 5 === 0 ? "\0\0\0\0" : "k")]);
        open[p]!.push(`${p}-${i}`);
      }
    }
    for (const p of producers) await p.abort();
    expect((await readAll(topic)).sort()).toEqual(committed.sort());
    const reader = broker.reader();
    const small: string[] = [];
    for (let offset = 0; ; ) {
      const batch = await reader.fetch(topic, 0, offset, { maxWaitMs: 50, maxBytes: 300 });
      small.push(...batch.records.map((r) => r.value!.toString()));
      offset = batch.nextOffset;
      if (offset >= batch.endOffset) break;
    }
    expect(small.sort()).toEqual(committed);
    await Promise.all([reader.close(), ...producers.map((p) => p.close())]);
  });
});

describe("a transactional producer", () => {
  test("init fences the older producer of the same id: its open transaction is gone and its commit says fenced", async () => {
    const topic = await newTopic();
    const old = await producer(topic);
    await old.send([record(topic, "zombie")]);
    const fresh = await producer(topic);
    await expect(old.commit()).rejects.toMatchObject({ code: "PRODUCER_FENCED", disposition: "fenced" });
    await fresh.send([record(topic, "owner")]);
    await fresh.commit();
    expect(await readAll(topic)).toEqual(["owner"]);
    await Promise.all([old.close(), fresh.close()]);
  });

  test("after a failed send nothing can be committed, not even as an empty transaction", async () => {
    const topic = await newTopic();
    const old = await producer(topic);
    const fresh = await producer(topic);
    await expect(old.send([record(topic, "zombie")])).rejects.toMatchObject({ disposition: "fenced" });
    await expect(old.commit()).rejects.toMatchObject({ code: "PRODUCER_DEAD" });
    await Promise.all([old.close(), fresh.close()]);
  });

  test("one transaction takes more than a request may hold", async () => {
    const topic = await newTopic();
    const p = await producer(topic);
    await p.send(Array.from({ length: 1_200 }, (_, i) => record(topic, `${i}${"x".repeat(2_000)}`)));
    await p.commit();
    expect((await readAll(topic)).map((t) => Number.parseInt(t, 10))).toEqual(
      Array.from({ length: 1_200 }, (_, i) => i),
    );
    await p.close();
  });
});

describe("admin and reader", () => {
  test("topics are created once; another partition count is refused", async () => {
    const topic = await newTopic();
    const admin = broker.admin();
    await admin.createTopics([{ name: topic, partitions: 1, replication: 1, settings: {} }]);
    await expect(
      admin.createTopics([{ name: topic, partitions: 3, replication: 1, settings: {} }]),
    ).rejects.toMatchObject({ code: "PARTITIONS_CHANGED" });
    await admin.close();
  });

  test("the true end lies behind an open transaction, the readable end before it", async () => {
    const topic = await newTopic();
    const p = await producer(topic);
    await p.send([record(topic, "open")]);
    const admin = broker.admin();
    expect((await admin.offsets(topic, 0, "read_uncommitted")).endOffset).toBe(1);
    expect((await admin.offsets(topic, 0, "read_committed")).endOffset).toBe(0);
    await p.abort();
    await Promise.all([admin.close(), p.close()]);
  });

  test("a fetch outside the log, or of a topic that is not there, is fatal and says where", async () => {
    const topic = await newTopic();
    const reader = broker.reader();
    await expect(reader.fetch(topic, 0, 99)).rejects.toMatchObject({
      code: "OFFSET_OUT_OF_RANGE",
      disposition: "fatal",
    });
    await reader.close();
  });
});
