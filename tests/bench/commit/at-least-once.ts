import { crc32c } from "@node-rs/crc32";
import type { Broker, ProducerRecord, TopicName, TxnProducer } from "../../../streams/index.ts";
import { encodeBatch, sequenceAfter } from "../../../streams/kafka/batch-encoder.ts";
import type { KafkaBroker, KafkaClient, KafkaCluster, KafkaCoordinator } from "../../../streams/kafka/kafkajs.ts";
import { produceRequest } from "../../../streams/kafka/produce-request.ts";
import { slices } from "../../../streams/kafka/slices.ts";
import { PROGRESS } from "../../../streams/task/changelog.ts";

const TRANSACTIONAL = 0x10;

/** `kafkajs`'s calls that the product has no use for. */
interface PlainCoordinator extends KafkaCoordinator {
  initProducerId(request: {
    transactionalId: string | null;
    transactionTimeout: number;
  }): Promise<{ producerId: string; producerEpoch: number }>;
  offsetCommit(request: {
    groupId: string;
    groupGenerationId: number;
    memberId: string;
    topics: { topic: string; partitions: { partition: number; offset: string }[] }[];
  }): Promise<unknown>;
}

/**
 * The same cluster, but its producers know no transactions: what a stage hands over in a commit is sent as it is to an
 * idempotent producer (acks of all replicas), its progress record excepted, and then the input's next offset is
 * committed to a consumer group. That is how a stage with a changelog runs at least once. For comparison only.
 */
export const atLeastOnce = (client: KafkaClient, broker: Broker, input: TopicName): Broker => ({
  reader: () => broker.reader(),
  admin: () => broker.admin(),
  producer: (id) => new PlainProducer(client, id, input),
});

class PlainProducer implements TxnProducer {
  readonly transactionalId: string;
  readonly #client: KafkaClient;
  readonly #cluster: KafkaCluster;
  readonly #input: TopicName;
  readonly #topics = new Set<string>();
  readonly #sequences = new Map<string, number>();
  #id = { producerId: 0n, producerEpoch: 0 };
  #coordinator: (KafkaBroker & PlainCoordinator) | undefined;
  #passed: { readonly partition: number; readonly nextOffset: number } | undefined;

  constructor(client: KafkaClient, id: string, input: TopicName) {
    this.transactionalId = id;
    this.#client = client;
    this.#cluster = client.cluster();
    this.#input = input;
  }

  async init(): Promise<void> {
    await this.#cluster.connect();
    const found = await this.#cluster.findGroupCoordinator({ groupId: this.transactionalId, coordinatorType: 0 });
    this.#coordinator = found as KafkaBroker & PlainCoordinator;
    const given = await this.#coordinator.initProducerId({ transactionalId: null, transactionTimeout: 10_000 });
    this.#id = { producerId: BigInt(given.producerId), producerEpoch: given.producerEpoch };
  }

  async send(records: readonly ProducerRecord[]): Promise<void> {
    for (const slice of slices(records.filter((r) => !this.#isProgress(r)))) {
      const batches = Map.groupBy(slice, (r) => `${r.topic}/${r.partition}`);
      const byLeader = Map.groupBy(
        await Promise.all(
          [...batches].map(async ([name, own]) => {
            const { topic, partition } = own[0]!;
            const sequence = this.#sequences.get(name) ?? 0;
            this.#sequences.set(name, sequenceAfter(sequence, own.length));
            const bytes = plain(encodeBatch(own, { ...this.#id, sequence }, this.#client.compression));
            return { topic, partition, bytes, leader: await this.#leaderOf(topic, partition) };
          }),
        ),
        (batch) => batch.leader,
      );
      const done = await Promise.all(
        [...byLeader].map(async ([nodeId, own]) => {
          const leader = await this.#cluster.findBroker({ nodeId });
          return await leader.connectionPool.send(withoutId(produceRequest("", own)));
        }),
      );
      const failed = done.flat().find((r) => r.errorCode !== 0);
      if (failed) throw new Error(`${failed.topic}/${failed.partition}: broker error ${failed.errorCode}`);
    }
  }

  async sendOffsets(): Promise<void> {
    // Each commit does that here.
  }

  async commit(): Promise<void> {
    if (!this.#passed) return;
    const { partition, nextOffset } = this.#passed;
    this.#passed = undefined;
    await this.#coordinator!.offsetCommit({
      groupId: this.transactionalId,
      groupGenerationId: -1,
      memberId: "",
      topics: [{ topic: this.#input, partitions: [{ partition, offset: String(nextOffset) }] }],
    });
  }

  async abort(): Promise<void> {
    throw new Error("What is sent is sent.");
  }

  async settle(): Promise<void> {}

  async close(): Promise<void> {
    await this.#cluster.disconnect();
  }

  #isProgress({ key, value, partition }: ProducerRecord): boolean {
    if (key !== PROGRESS) return false;
    this.#passed = { partition, nextOffset: JSON.parse(value!.toString()).nextOffset };
    return true;
  }

  async #leaderOf(topic: TopicName, partition: number): Promise<number> {
    if (!this.#topics.has(topic)) {
      await this.#cluster.addTargetTopic(topic);
      this.#topics.add(topic);
    }
    return this.#cluster.findTopicPartitionMetadata(topic).find((p) => p.partitionId === partition)!.leader;
  }
}

/** The same batch outside of any transaction: one bit of its attributes, and the checksum anew. */
export function plain(batch: Buffer): Buffer {
  batch.writeInt16BE(batch.readInt16BE(21) & ~TRANSACTIONAL, 21);
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17);
  return batch;
}

/** A produce request names no transactional id: its length becomes -1, where an empty one has 0. */
function withoutId<T extends ReturnType<typeof produceRequest>>(request: T): T {
  const encode = async () => {
    const body = await request.request.encode();
    (body as unknown as { buf: Buffer }).buf.writeInt16BE(-1, 0);
    return body;
  };
  return { ...request, request: { ...request.request, encode } };
}
