import { ConfigResourceTypes, Kafka, logLevel } from "kafkajs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type Broker,
  connectBroker,
  type Sasl,
  type TopicName,
  topicName,
  type WeirError,
} from "../../streams/index.ts";
import { until } from "../support/kafka.ts";
import { type SecureKafka, startSecureKafka, user } from "../support/secure-kafka.ts";

let kafka: SecureKafka;
let broker: Broker;
beforeAll(async () => {
  kafka = await startSecureKafka();
  broker = connectBroker({ brokers: [kafka.plain], clientId: "interop" });
}, 90_000);
afterAll(() => kafka?.stop());

async function newTopic(name: string): Promise<TopicName> {
  const admin = broker.admin();
  await admin.createTopics([{ name: topicName(name), partitions: 1, replication: 1, settings: {} }]);
  await admin.close();
  return topicName(name);
}

async function read(from: Broker, topic: TopicName): Promise<string[]> {
  const reader = from.reader();
  const texts: string[] = [];
  for (let offset = 0; ; ) {
    const batch = await reader.fetch(topic, 0, offset, { maxWaitMs: 50 });
    texts.push(...batch.records.map((r) => r.value!.toString()));
    offset = batch.nextOffset;
    if (offset >= batch.endOffset) break;
  }
  await reader.close();
  return texts;
}

async function write(to: Broker, topic: TopicName, ...texts: string[]): Promise<void> {
  const producer = to.producer(`writer-${topic}`);
  await producer.init();
  await producer.send(
    texts.map((text) => ({ topic, partition: 0, key: "k", value: Buffer.from(text), timestampMs: 1_000 })),
  );
  await producer.commit();
  await producer.close();
}

describe("TLS and SASL on a real broker", () => {
  const connect = (sasl: Sasl, caFile: string | undefined = kafka.caFile) =>
    connectBroker({
      brokers: [kafka.secure],
      clientId: "interop",
      tls: true,
      ...(caFile !== "" && { caFile }),
      sasl,
    });

  test.each(["scram-sha-512", "scram-sha-256", "plain"] as const)("%s writes and reads", async (mechanism) => {
    const topic = await newTopic(`sasl-${mechanism}`);
    const secure = connect({ mechanism, ...user });
    await write(secure, topic, "behind a password");
    expect(await read(secure, topic)).toEqual(["behind a password"]);
  });

  test("a wrong password is refused at once, for good", async () => {
    const reader = connect({ mechanism: "scram-sha-512", ...user, password: "guess" }).reader();
    await expect(reader.fetch(topicName("any"), 0, 0)).rejects.toMatchObject({
      code: "KAFKA_SASL_REFUSED",
      disposition: "fatal",
    });
    await reader.close();
  });

  test("a certificate that no known authority has signed is refused", async () => {
    const reader = connect({ mechanism: "plain", ...user }, "").reader();
    await expect(reader.fetch(topicName("any"), 0, 0)).rejects.toMatchObject({
      code: "KAFKA_TLS_REFUSED",
      disposition: "fatal",
    });
    await reader.close();
  });
});

test("a broker that does not verify transactions is refused before anything is written", async () => {
  const admin = new Kafka({ brokers: [kafka.plain], logLevel: logLevel.NOTHING }).admin();
  const verify = async (value: string) => {
    const configEntries = [{ name: "transaction.partition.verification.enable", value }];
    await admin.alterConfigs({
      validateOnly: false,
      resources: [{ type: ConfigResourceTypes.BROKER, name: "1", configEntries }],
    });
  };
  await admin.connect();
  await verify("false");
  const init = async () => {
    const producer = connectBroker({ brokers: [kafka.plain], clientId: "interop" }).producer("refused");
    await producer.init().finally(() => producer.close());
  };
  const refused = () =>
    init().then(
      () => undefined,
      (error) => error as WeirError,
    );
  // A setting reaches the broker a moment after it was accepted.
  await until("it is refused", async () => (await refused())?.code === "BROKER_TOO_OLD");
  expect(await refused()).toMatchObject({ disposition: "fatal" });
  await verify("true");
  await until("it is not refused any more", async () => (await refused()) === undefined);
  await admin.disconnect();
});

describe("the Java client", () => {
  const lines = Array.from({ length: 400 }, (_, i) => `line ${i} of many that look alike`);

  test("its batches are read, whatever they are compressed with", async () => {
    const codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    const topics = await Promise.all(codecs.map((codec) => newTopic(`java-${codec}`)));
    kafka.java("write", String(lines.length), ...codecs.map((codec, i) => `${codec}=${topics[i]}`));
    for (const topic of topics) expect([topic, await read(broker, topic)]).toEqual([topic, lines]);
  });

  test("it reads our transactions, and does not see aborted ones", async () => {
    const topic = await newTopic("java-reads");
    const producer = broker.producer("java-reads");
    await producer.init();
    const record = (text: string) => ({
      topic,
      partition: 0,
      key: `key of ${text}`,
      value: Buffer.from(text),
      timestampMs: 1_234,
    });
    await producer.send(lines.map((line) => record(`aborted ${line}`)));
    await producer.abort();
    await producer.send(lines.map(record));
    await producer.commit();
    await producer.close();
    expect(kafka.java("read", topic)).toEqual(lines.map((line) => `1234\tkey of ${line}\t${line}`));
  });
});
