import { expect, test } from "vitest";
import { KafkaAdmin } from "../../streams/kafka/admin.ts";
import type { KafkaClient } from "../../streams/kafka/kafkajs.ts";
import { topicName } from "../../streams/names.ts";

test("brokers that were away when it connected first are asked again, though metadata came meanwhile", async () => {
  let connects = 0;
  const client = {
    kafka: {
      admin: () => ({
        connect: async () => {
          if (++connects === 1) throw new Error("connect ECONNREFUSED");
        },
        disconnect: async () => undefined,
      }),
    },
    // The second connection of the same client found them back already.
    cluster: () => ({
      connect: async () => undefined,
      disconnect: async () => undefined,
      refreshMetadata: async () => undefined,
      addTargetTopic: async () => undefined,
      findTopicPartitionMetadata: () => [{}, {}],
    }),
  };
  const admin = new KafkaAdmin(client as unknown as KafkaClient);
  expect(await admin.partitionsOf(topicName("logs.raw"))).toBe(2);
  await admin.close();
});
