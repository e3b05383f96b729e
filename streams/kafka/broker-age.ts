import { WeirError } from "../errors.ts";
import type { KafkaClient, KafkaCluster } from "./kafkajs.ts";
import { codeOf } from "./outcome.ts";

const ADD_PARTITIONS_TO_TXN = 24;
/** The version in which brokers ask each other whether a transaction is open. */
const VERIFYING_VERSION = 4;
const VERIFICATION = "transaction.partition.verification.enable";
const BROKER_RESOURCE = 4;
/** TOPIC_ and CLUSTER_AUTHORIZATION_FAILED: this user may not read the brokers' settings. */
const notAllowed = new Set<unknown>([29, 31]);

export interface BrokerFacts {
  /** Highest version of AddPartitionsToTxn that it speaks. */
  readonly addPartitionsToTxn: number;
  /** Its setting `transaction.partition.verification.enable`; null where it has none, undefined where we may not ask. */
  readonly verification: string | null | undefined;
}

/**
 * Why this broker is refused; undefined if it is not. Without transaction verification (KIP-890, since Kafka 3.6) a
 * delayed write of a fenced producer can end up in a later transaction, or hang one for ever: exactly once is not kept.
 */
export function refusal({ addPartitionsToTxn, verification }: BrokerFacts): string | undefined {
  if (addPartitionsToTxn < VERIFYING_VERSION || verification === null)
    return "The broker does not verify transactions: it is older than Kafka 3.6.";
  return verification === "false" ? `The broker does not verify transactions: ${VERIFICATION} is false.` : undefined;
}

const checked = new WeakMap<KafkaClient, Promise<void>>();

/** Asks one broker, once a client. Throws `BROKER_TOO_OLD` (fatal). */
export async function requireVerification(client: KafkaClient, cluster: KafkaCluster): Promise<void> {
  const known = checked.get(client) ?? verify(cluster);
  checked.set(client, known);
  known.catch(() => checked.delete(client));
  await known;
}

async function verify(cluster: KafkaCluster): Promise<void> {
  await cluster.refreshMetadataIfNecessary();
  const broker = await cluster.findControllerBroker();
  const name = String(broker.nodeId);
  const asked = { resources: [{ type: BROKER_RESOURCE, name, configNames: [VERIFICATION] }] };
  const verification = await broker.describeConfigs(asked).then(
    ({ resources }) => resources[0]?.configEntries.find((e) => e.configName === VERIFICATION)?.configValue ?? null,
    (error) => {
      if (notAllowed.has(codeOf(error))) return undefined;
      throw error;
    },
  );
  const why = refusal({ addPartitionsToTxn: broker.versions[ADD_PARTITIONS_TO_TXN]?.maxVersion ?? 0, verification });
  if (why === undefined) return;
  throw new WeirError(
    "BROKER_TOO_OLD",
    "fatal",
    `${why} A fenced writer's delayed record could end up in its successor's transaction.`,
    "Use brokers of Kafka 3.6 or later, with transaction verification left on.",
  );
}
