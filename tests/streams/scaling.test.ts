import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type Broker,
  changelogTopicFor,
  deadTopicFor,
  type Groups,
  groupShare,
  type InputRecord,
  initialiseStage,
  KeyValueStore,
  type Output,
  type Processor,
  StageRunner,
  stageName,
  type TopicName,
  topicName,
} from "../../streams/index.ts";
import { brokerOf, testStack, until } from "../support/kafka.ts";

let broker: Broker & Groups;
let stop: () => Promise<void>;
beforeAll(async () => {
  const started = await testStack(["kafka"]);
  broker = brokerOf(started.stack);
  stop = started.stop;
});
afterAll(() => stop());

const PARTITIONS = 6;
const stage = stageName("scaled");
const input = topicName("scaled.in");
const output = topicName("scaled.out");
/** JSON instead of Avro: the registry is not what is tested here. */
const codecs = {
  unknownId: () => null,
  learn: async () => undefined,
  decode: (_topic: string, bytes: Buffer) => JSON.parse(bytes.toString()),
  encode: (_topic: string, value: unknown) => Buffer.from(JSON.stringify(value)),
} as never;

/** Counts the records of a key: a lost, doubled or restored-from-the-past record shows in the last count. */
class Count implements Processor<number> {
  readonly #counts = new KeyValueStore<number>("counts");
  readonly stores = [this.#counts];

  process({ key, value, timestampMs }: InputRecord<number>, out: Output): void {
    const count = (this.#counts.get(key!) ?? 0) + 1;
    this.#counts.put(key!, count);
    out.send(output, key!, { n: value, count }, timestampMs);
    out.count("accepted", 1);
  }
}

/** One "process": a runner with a membership and connections of its own. */
function member() {
  const takeOvers: number[] = [];
  const options = { broker, codecs, env: "scaling", commitIntervalMs: 20 };
  const runner = new StageRunner(
    { stage, input, outputs: [output], create: () => new Count(), fingerprint: "v1" },
    groupShare(broker.groupMember(), "scaling.scaled", [input]),
    { ...options, onStep: (task, step) => void (step === "T2" && takeOvers.push(task.partition)) },
  );
  const has = () => runner.status().flatMap((t) => (t.state === "running" ? [Number(t.partition)] : []));
  return { runner, takeOvers, has };
}

async function readOutput(): Promise<{ key: string; n: number; count: number }[]> {
  const reader = broker.reader();
  const records = [];
  for (let partition = 0; partition < PARTITIONS; partition++) {
    for (let offset = 0; ; ) {
      const batch = await reader.fetch(output, partition, offset, { maxWaitMs: 20 });
      for (const r of batch.records) records.push({ key: r.key!.toString(), ...JSON.parse(r.value!.toString()) });
      offset = batch.nextOffset;
      if (offset >= batch.endOffset) break;
    }
  }
  await reader.close();
  return records;
}

describe("a stage that is spread over processes while records flow", () => {
  test("one, three, two processes: what a process keeps goes on without a take-over, and each record counts once", async () => {
    const admin = broker.admin();
    const names: TopicName[] = [input, output, deadTopicFor(input), changelogTopicFor(stage)];
    await admin.createTopics(names.map((name) => ({ name, partitions: PARTITIONS, replication: 1, settings: {} })));
    await admin.close();
    await initialiseStage({ stage }, PARTITIONS, { broker, env: "scaling" });
    const feeder = broker.producer("feeder");
    await feeder.init();
    let fed = 0;
    let feeding = true;
    const feed = (async () => {
      while (feeding) {
        const records = Array.from({ length: 60 }, () => fed++).map((n) => ({
          topic: input,
          partition: n % PARTITIONS,
          key: `k${n % 12}`,
          value: Buffer.from(JSON.stringify(n)),
          timestampMs: n,
        }));
        await feeder.send(records);
        await feeder.commit();
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();

    const a = member();
    await a.runner.start();
    await until("the first has everything", () => a.has().length === 6);
    const [b, c] = [member(), member()];
    await Promise.all([b.runner.start(), c.runner.start()]);
    await until("each has two", () => [a, b, c].every((m) => m.has().length === 2));
    expect(a.has()).toEqual([0, 1]);
    // It kept them: taken over once, at its own start.
    expect(a.takeOvers.filter((p) => p < 2).sort()).toEqual([0, 1]);

    const keptByA = a.has();
    const keptByC = c.has();
    const before = { a: a.takeOvers.length, c: c.takeOvers.length };
    await b.runner.stop();
    await until("two have three each", () => a.has().length === 3 && c.has().length === 3);
    expect(a.has()).toEqual(expect.arrayContaining(keptByA));
    expect(c.has()).toEqual(expect.arrayContaining(keptByC));
    expect([a.takeOvers.length - before.a, c.takeOvers.length - before.c]).toEqual([1, 1]);

    feeding = false;
    await feed;
    await until("all is through", () => {
      const through = [a, c].flatMap((m) => m.runner.status()).reduce((sum, t) => sum + t.counters.in, 0);
      return through === fed;
    });
    await Promise.all([a.runner.stop(), c.runner.stop(), feeder.close()]);
    const records = await readOutput();
    expect(records.map((r) => r.n).sort((x, y) => x - y)).toEqual(Array.from({ length: fed }, (_, n) => n));
    const counts = new Map<string, number>();
    for (const { key, count } of records) {
      counts.set(key, (counts.get(key) ?? 0) + 1);
      expect(count).toBe(counts.get(key));
    }
  });
});
