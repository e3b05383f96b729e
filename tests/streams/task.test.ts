import { type Admin, Kafka, logLevel } from "kafkajs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type Broker,
  changelogTopicFor,
  deadTopicFor,
  type InputRecord,
  initialiseStage,
  KeyValueStore,
  type Output,
  type Processor,
  type StageBinding,
  StageRunner,
  stageName,
  type TaskOptions,
  type TopicName,
  topicName,
  type WeirError,
} from "../../streams/index.ts";
import { brokerOf, testStack, until } from "../support/kafka.ts";

let broker: Broker;
let kafkajsAdmin: Admin;
let stop: () => Promise<void>;
beforeAll(async () => {
  const started = await testStack(["kafka"]);
  broker = brokerOf(started.stack);
  kafkajsAdmin = new Kafka({ brokers: [...started.stack.endpoints.kafka], logLevel: logLevel.NOTHING }).admin();
  await kafkajsAdmin.connect();
  stop = async () => {
    await kafkajsAdmin.disconnect();
    await started.stop();
  };
});
afterAll(() => stop());

const PARTITIONS = 2;
/** JSON instead of Avro: the registry is not what is tested here. */
const codecs = {
  unknownId: () => null,
  learn: async () => undefined,
  decode: (_topic: string, bytes: Buffer) => JSON.parse(bytes.toString()),
  encode: (_topic: string, value: unknown) =>
    Buffer.from(JSON.stringify(value, (_k, v) => (v?.type === "Buffer" ? v.data.length : v))),
} as never;

interface Number_ {
  readonly n: number;
}

/** Running sum by key: any lost, doubled or reordered record shows in the last value. */
class RunningSum implements Processor<Number_> {
  readonly #sums = new KeyValueStore<number>("sums");
  readonly stores = [this.#sums];
  readonly #output: TopicName;
  readonly #fails: (n: number) => boolean;

  constructor(output: TopicName, fails: (n: number) => boolean = () => false) {
    this.#output = output;
    this.#fails = fails;
  }

  process({ key, value, timestampMs }: InputRecord<Number_>, out: Output): void {
    const sum = (this.#sums.get(key!) ?? 0) + value.n;
    this.#sums.put(key!, sum);
    if (this.#fails(value.n)) throw new Error(`cannot take ${value.n}`);
    out.send(this.#output, key!, { sum, n: value.n }, timestampMs);
    out.count("accepted", 1);
  }
}

/** A deleted topic's name is free again a moment later. */
async function createAnew(topic: TopicName): Promise<void> {
  await until(`${topic} is gone`, async () => !(await kafkajsAdmin.listTopics()).includes(topic));
  await kafkajsAdmin.createTopics({ waitForLeaders: false, topics: [{ topic, numPartitions: PARTITIONS }] });
}

let worlds = 0;
async function newWorld(fails?: (n: number) => boolean) {
  const id = worlds++;
  const stage = stageName(`sum${id}`);
  const input = topicName(`in${id}`);
  const output = topicName(`out${id}`);
  const admin = broker.admin();
  const names = [input, output, deadTopicFor(input), changelogTopicFor(stage)];
  await admin.createTopics(names.map((name) => ({ name, partitions: PARTITIONS, replication: 1, settings: {} })));
  await admin.close();
  const outputs = [output, deadTopicFor(input)];
  const binding: StageBinding = {
    stage,
    input,
    outputs,
    create: () => new RunningSum(output, fails),
    fingerprint: "v1",
  };
  const options = { broker, codecs, env: `env${id}`, commitIntervalMs: 20 };
  await initialiseStage(binding, PARTITIONS, options);
  const feeder = broker.producer(`feeder${id}`);
  await feeder.init();
  let next = 1;
  return {
    binding,
    output,
    input,
    options,
    runner: (more: Partial<StageBinding> = {}, moreOptions: Partial<TaskOptions> = {}) =>
      new StageRunner({ ...binding, ...more }, [0, 1], { ...options, ...moreOptions }),
    /** Numbers from 1 on, by key over both partitions. */
    feed: async (count: number) => {
      const records = Array.from({ length: count }, () => next++).map((n) => ({
        topic: input,
        partition: n % PARTITIONS,
        key: `k${n % 6}`,
        value: Buffer.from(JSON.stringify({ n })),
        timestampMs: n,
      }));
      await feeder.send(records);
      await feeder.commit();
    },
    fed: () => next - 1,
    close: () => feeder.close(),
  };
}

async function read(
  topic: TopicName,
): Promise<{ key: string; value: { sum: number; n: number } & Record<string, unknown> }[]> {
  const reader = broker.reader();
  const records = [];
  for (let partition = 0; partition < PARTITIONS; partition++) {
    for (let offset = 0; ; ) {
      const batch = await reader.fetch(topic, partition, offset, { maxWaitMs: 20 });
      for (const r of batch.records) records.push({ key: r.key!.toString(), value: JSON.parse(r.value!.toString()) });
      offset = batch.nextOffset;
      if (offset >= batch.endOffset) break;
    }
  }
  await reader.close();
  return records;
}

/** Every number once, and each sum that of all numbers of its key up to it. */
function expectExactlyOnce(records: Awaited<ReturnType<typeof read>>, numbers: readonly number[]): void {
  expect(records.map((r) => r.value.n).sort((a, b) => a - b)).toEqual(numbers);
  const sums = new Map<string, number>();
  for (const { key, value } of records) {
    sums.set(key, (sums.get(key) ?? 0) + value.n);
    expect(value.sum).toBe(sums.get(key));
  }
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
const counted = (runner: StageRunner) => runner.status().reduce((sum, t) => sum + t.counters.in, 0);

describe("a stage on a real broker", () => {
  test("counts, sums and outputs go on behind a stop as if there had been none", async () => {
    const world = await newWorld();
    await world.feed(500);
    const first = world.runner();
    await first.start();
    await until("some records are through", () => counted(first) > 0);
    await first.stop();
    await world.feed(500);
    const second = world.runner();
    await second.start();
    await until("all records are through", () => counted(second) === 1_000);
    await second.stop();
    expectExactlyOnce(await read(world.output), upTo(1_000));
    await world.close();
  });

  test("a newer owner takes the tasks over in the middle of the stream; the older one stops, and nothing doubles", async () => {
    const world = await newWorld();
    const old = world.runner();
    await old.start();
    await world.feed(400);
    await until("the old owner works", () => counted(old) > 0);
    const fresh = world.runner();
    const starting = fresh.start();
    for (let i = 0; i < 20; i++) await world.feed(30);
    await starting;
    // It learns of it with its next commit: as long as it may have read everything, there has to be more.
    await until("the old owner has stopped", async () => {
      const isStopped = old.status().every((t) => t.state === "stopped");
      if (!isStopped) await world.feed(30);
      return isStopped;
    });
    await until("all records are through", () => counted(fresh) === world.fed());
    await Promise.all([old.stop(), fresh.stop()]);
    expectExactlyOnce(await read(world.output), upTo(world.fed()));
    await world.close();
  });

  test("a record that makes the processor throw is a dead letter with its origin, leaves no trace in the state, and the rest goes on without a new take-over", async () => {
    const world = await newWorld((n) => n === 77);
    await world.feed(200);
    const steps: string[] = [];
    const runner = world.runner({}, { onStep: (task, step) => steps.push(`${task.partition} ${step}`) });
    await runner.start();
    await until("all records are accounted for", () => counted(runner) === 200);
    const [in_, accepted, dead] = (["in", "accepted", "dead"] as const).map((c) =>
      runner.status().reduce((sum, t) => sum + t.counters[c], 0),
    );
    expect([in_, accepted, dead]).toEqual([200, 199, 1]);
    expect(steps.filter((s) => s.endsWith("T2"))).toHaveLength(PARTITIONS);
    await runner.stop();
    expectExactlyOnce(
      await read(world.output),
      upTo(200).filter((n) => n !== 77),
    );
    const [letter] = await read(deadTopicFor(world.input));
    expect(letter!.value).toMatchObject({
      code: "processor_error",
      reason: "cannot take 77",
      originTopic: world.input,
      originPartition: "1",
      originOffset: "38",
    });
    await world.close();
  });

  test("state of another fingerprint is refused, and so is a changelog that was never initialised", async () => {
    const world = await newWorld();
    await world.feed(10);
    const first = world.runner();
    await first.start();
    await until("progress is committed", () => counted(first) === 10);
    await first.stop();
    const other = world.runner({ fingerprint: "v2" });
    await expect(other.start()).rejects.toMatchObject({ code: "FINGERPRINT_CHANGED" });
    await other.stop();
    const stage = stageName("never-initialised");
    const admin = broker.admin();
    await admin.createTopics([
      { name: changelogTopicFor(stage), partitions: PARTITIONS, replication: 1, settings: {} },
    ]);
    await admin.close();
    const lost = world.runner({ stage });
    await expect(lost.start()).rejects.toMatchObject({ code: "STATE_INCOMPLETE" });
    await lost.stop();
    await world.close();
  });

  test("topics that were cut, recreated or given more partitions under the state are refused, and nothing comes out", async () => {
    const world = await newWorld();
    await world.feed(40);
    const first = world.runner();
    await first.start();
    await until("progress is committed", () => counted(first) === 40);
    await first.stop();
    const refusal = async () => {
      const runner = world.runner();
      await runner.start().catch(() => undefined);
      const error: WeirError = await runner.failed.catch((e) => e);
      await runner.stop();
      return `${error.code} ${error.message}`;
    };
    const changelog = changelogTopicFor(world.binding.stage);
    await world.feed(10);
    const deleteBefore = async (topic: string, offset: string) => {
      await kafkajsAdmin.fetchTopicOffsets(topic);
      const partitions = [0, 1].map((partition) => ({ partition, offset }));
      await kafkajsAdmin.deleteTopicRecords({ topic, partitions });
    };

    await deleteBefore(world.input, "23");
    expect(await refusal()).toMatch(/^STATE_INCOMPLETE .*\d offsets were deleted unread/);
    await kafkajsAdmin.createPartitions({ topicPartitions: [{ topic: world.input, count: 3 }] });
    expect(await refusal()).toMatch(/^PARTITIONS_CHANGED .*2 input partitions, now there are 3/);
    await kafkajsAdmin.deleteTopics({ topics: [world.input] });
    await createAnew(world.input);
    expect(await refusal()).toMatch(/^STATE_INCOMPLETE .*(ends at 0|created anew)/);
    await deleteBefore(changelog, "1");
    expect(await refusal()).toMatch(/^STATE_INCOMPLETE .*genesis/);
    await kafkajsAdmin.deleteTopics({ topics: [changelog] });
    await createAnew(changelog);
    expect(await refusal()).toMatch(/^STATE_INCOMPLETE .*empty/);
    const groupId = `${world.options.env}.${world.binding.stage}`;
    await kafkajsAdmin.setOffsets({ groupId, topic: world.input, partitions: [{ partition: 1, offset: "20" }] });
    await expect(initialiseStage(world.binding, PARTITIONS, world.options)).rejects.toMatchObject({
      code: "STATE_INCOMPLETE",
      message: expect.stringContaining("has read"),
    });
    expectExactlyOnce(await read(world.output), upTo(40));
    await world.close();
  });

  test("a processor that accounts for more or fewer events than came in stops its stage", async () => {
    const world = await newWorld();
    await world.feed(4);
    const liar = world.runner({ eventsOf: () => 2 });
    await liar.start().catch(() => undefined);
    await expect(liar.failed).rejects.toMatchObject({ code: "COUNTERS_DO_NOT_ADD_UP" });
    await liar.stop();
    await world.close();
  });
});
