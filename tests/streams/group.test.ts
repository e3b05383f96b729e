import { Kafka, logLevel } from "kafkajs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Broker, type GroupEvent, type Groups, type TopicName, topicName } from "../../streams/index.ts";
import { brokerOf, testStack, until } from "../support/kafka.ts";

let broker: Broker & Groups;
let kafka: Kafka;
let stop: () => Promise<void>;
beforeAll(async () => {
  const started = await testStack(["kafka"]);
  broker = brokerOf(started.stack);
  kafka = new Kafka({ brokers: [...started.stack.endpoints.kafka], logLevel: logLevel.NOTHING });
  stop = started.stop;
});
afterAll(() => stop());

let topics = 0;
async function newTopic(partitions: number): Promise<TopicName> {
  const name = topicName(`group${topics++}`);
  const admin = broker.admin();
  await admin.createTopics([{ name, partitions, replication: 1, settings: {} }]);
  await admin.close();
  return name;
}

function member(topic: TopicName) {
  const one = broker.groupMember();
  const events: GroupEvent[] = [];
  return {
    events,
    join: () => one.join(`g.${topic}`, [topic], (event) => void events.push(event)),
    leave: () => one.leave(),
    kinds: () => events.map((e) => e.kind),
    partitions: () => {
      const last = events.findLast((e) => e.kind === "assigned");
      return last?.kind === "assigned" ? last.partitions : [];
    },
    generation: () => Math.max(...events.map((e) => (e.kind === "failed" ? -1 : e.generation))),
  };
}

describe("a group", () => {
  test("one member has everything; a second takes half, the first keeps the rest and was told beforehand", async () => {
    const topic = await newTopic(4);
    const a = member(topic);
    await a.join();
    expect(a.partitions()).toEqual([0, 1, 2, 3]);
    const b = member(topic);
    await b.join();
    await until("both know their share", () => a.partitions().length === 2);
    expect([a.partitions(), b.partitions()]).toEqual([
      [0, 1],
      [2, 3],
    ]);
    expect(a.kinds()).toEqual(["assigned", "revoking", "assigned"]);
    expect(a.generation()).toBe(b.generation());
    await b.leave();
    await until("the first has everything again", () => a.partitions().length === 4);
    await a.leave();
  });

  test("a member can leave while it waits for the others to join, and nobody waits for its session to run out", async () => {
    const topic = await newTopic(2);
    const a = member(topic);
    await a.join();
    const b = member(topic);
    const joining = b.join();
    const admin = kafka.admin();
    await until("the group shares anew", async () => {
      const { groups } = await admin.describeGroups([`g.${topic}`]);
      return groups[0]!.state === "PreparingRebalance";
    });
    await b.leave();
    await admin.disconnect();
    await joining;
    expect(b.events).toEqual([]);
    await until("the first has everything", () => a.generation() > 1 && a.partitions().length === 2, 5_000);
    await a.leave();
  });

  test("a group of another kind of consumers is refused, not joined by force", async () => {
    const topic = await newTopic(1);
    const foreign = kafka.consumer({ groupId: `g.${topic}`, maxWaitTimeInMs: 100 });
    await foreign.connect();
    await foreign.subscribe({ topic });
    await foreign.run({ eachMessage: async () => undefined });
    await until("the foreign consumer is in", async () => (await foreign.describeGroup()).state === "Stable");
    const a = member(topic);
    await expect(a.join()).rejects.toMatchObject({ code: "KAFKA_INCONSISTENT_GROUP_PROTOCOL", disposition: "fatal" });
    await foreign.disconnect();
    await a.leave();
  });
});
