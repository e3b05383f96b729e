import type { Broker, Groups } from "../ports.ts";
import { KafkaAdmin } from "./admin.ts";
import { KafkaGroupMember } from "./group.ts";
import { type Connection, KafkaClient } from "./kafkajs.ts";
import { KafkaTxnProducer } from "./producer.ts";
import { KafkaPartitionReader } from "./reader.ts";

export type { Connection } from "./kafkajs.ts";
export type { AwsCredentials } from "./msk-token.ts";
export type { Sasl, Security } from "./security.ts";
export { type StickyMember, shareSticky } from "./sticky.ts";

/** A cluster behind the ports. Nothing connects before it is used. */
export function connectBroker(connection: Connection): Broker & Groups {
  const client = new KafkaClient(connection);
  return {
    reader: () => new KafkaPartitionReader(client),
    producer: (transactionalId) => new KafkaTxnProducer(client, transactionalId),
    groupMember: () => new KafkaGroupMember(client),
    admin: () => new KafkaAdmin(client),
  };
}
