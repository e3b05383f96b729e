import { Kafka } from "kafkajs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Broker, type TopicName, topicName } from "../../streams/index.ts";
import { encodeBatch } from "../../streams/kafka/batch-encoder.ts";
import {
  type KafkaBroker,
  KafkaClient,
  type KafkaCluster,
  type KafkaCoordinator,
} from "../../streams/kafka/kafkajs.ts";
import { produceRequest } from "../../streams/kafka/produce-request.ts";
import { brokerOf, testStack } from "../support/kafka.ts";

const CONFIG_OF_BROKER = 4;
let broker: Broker;
let cluster: KafkaCluster;
let stop: () => Promise<void>;

/**
 * A real broker cannot be told to lose a marker. But one that does not verify transactions takes records of a transaction
 * that was never told of their partition, and its end then leaves no marker there: the same state of the log.
 */
beforeAll(async () => {
  const started = await testStack(["kafka"]);
  const brokers = [...started.stack.endpoints.kafka];
  broker = brokerOf(started.stack);
  // The adapter asks once whether the broker verifies transactions, and refuses one that does not.
  const first = broker.producer("first");
  await first.init();
  await first.close();
  cluster = new KafkaClient({ brokers, clientId: "predecessor" }).cluster();
  await cluster.connect();
  const admin = new Kafka({ brokers, clientId: "settings" }).admin();
  await admin.connect();
  const { controller } = await admin.describeCluster();
  const configEntries = [{ name: "transaction.partition.verification.enable", value: "false" }];
  const resources = [{ type: CONFIG_OF_BROKER, name: String(controller), configEntries }];
  await admin.alterConfigs({ validateOnly: false, resources });
  await admin.disconnect();
  stop = async () => {
    await cluster.disconnect();
    await started.stop();
  };
});
afterAll(() => stop());

let topics = 0;
async function newTopic(): Promise<TopicName> {
  const name = topicName(`t${topics++}`);
  const admin = broker.admin();
  await admin.createTopics([{ name, partitions: 1, replication: 1, settings: {} }]);
  await admin.close();
  return name;
}

const record = (topic: TopicName, text: string) => ({
  topic,
  partition: 0,
  key: "k",
  value: Buffer.from(text),
  timestampMs: 1_000,
});

/** Ends a transaction that wrote to both topics; the end is marked in the first alone. */
async function predecessor(transactionalId: string, marked: TopicName, unmarked: TopicName, commits: boolean) {
  const coordinator: KafkaBroker & KafkaCoordinator = await cluster.findGroupCoordinator({
    groupId: transactionalId,
    coordinatorType: 1,
  });
  const { producerId, producerEpoch } = await coordinator.initProducerId({
    transactionalId,
    transactionTimeout: 10_000,
  });
  const identity = { transactionalId, producerId, producerEpoch };
  await coordinator.addPartitionsToTxn({ ...identity, topics: [{ topic: marked, partitions: [0] }] });
  const owner = { producerId: BigInt(producerId), producerEpoch, sequence: 0 };
  const batches = [marked, unmarked].map((topic) => ({
    topic,
    partition: 0,
    bytes: encodeBatch([record(topic, "of the predecessor")], owner, "none"),
  }));
  const produced = await coordinator.connectionPool.send(produceRequest(transactionalId, batches));
  expect(produced.map((p) => p.errorCode)).toEqual([0, 0]);
  await coordinator.endTxn({ ...identity, transactionResult: commits });
}

async function readable(topic: TopicName): Promise<string[]> {
  const reader = broker.reader();
  const texts: string[] = [];
  for (let offset = 0; ; ) {
    const { records, nextOffset, endOffset } = await reader.fetch(topic, 0, offset, { maxWaitMs: 50 });
    texts.push(...records.map((r) => r.value!.toString()));
    offset = nextOffset;
    if (offset >= endOffset) break;
  }
  await reader.close();
  return texts;
}

test.each([
  ["committed", true, ["of the predecessor", "of the successor"]],
  ["aborted", false, ["of the successor"]],
] as const)(
  "what the broker left open of a transaction that was %s is ended so before the successor writes",
  async (...row) => {
    const [, commits, expected] = row;
    const [marked, unmarked] = [await newTopic(), await newTopic()];
    const id = `${marked}.writer`;
    await predecessor(id, marked, unmarked, commits);
    expect(await readable(unmarked)).toEqual([]);
    const successor = broker.producer(id);
    await successor.init([marked, unmarked]);
    await successor.send([record(marked, "of the successor"), record(unmarked, "of the successor")]);
    await successor.commit();
    await successor.settle();
    await successor.close();
    expect(await readable(unmarked)).toEqual(expected);
    expect(await readable(marked)).toEqual(expected);
  },
);

test("what is open in a topic that the successor does not name is not looked for", async () => {
  const [marked, unmarked] = [await newTopic(), await newTopic()];
  await predecessor(`${marked}.writer`, marked, unmarked, true);
  const successor = broker.producer(`${marked}.writer`);
  await successor.init([marked]);
  await successor.close();
  expect(await readable(unmarked)).toEqual([]);
});
