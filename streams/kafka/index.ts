import type { KafkaConfig } from "kafkajs";
import type { Broker, Groups } from "../ports.ts";
import { KafkaAdmin } from "./admin.ts";
import { KafkaGroupMember } from "./group.ts";
import { KafkaClient } from "./kafkajs.ts";
import { KafkaTxnProducer } from "./producer.ts";
import { KafkaPartitionReader } from "./reader.ts";

/** A cluster behind the ports. Nothing connects before it is used. */
export function connectBroker(config: Pick<KafkaConfig, "brokers" | "clientId" | "ssl" | "sasl">): Broker & Groups {
  const client = new KafkaClient(config);
  return {
    reader: () => new KafkaPartitionReader(client),
    producer: (transactionalId) => new KafkaTxnProducer(client, transactionalId),
    groupMember: () => new KafkaGroupMember(client),
    admin: () => new KafkaAdmin(client),
  };
}

export { type StickyMember, shareSticky } from "./sticky.ts";
