import { setTimeout as sleep } from "node:timers/promises";
import type { Admin as KafkaJsAdmin } from "kafkajs";
import { WeirError } from "../errors.ts";
import type { TopicName } from "../names.ts";
import type { Admin, Isolation, TopicSettings } from "../ports.ts";
import type { KafkaClient, KafkaCluster } from "./kafkajs.ts";
import { brokerError } from "./outcome.ts";
import { topicIdRequest } from "./topic-id.ts";

const RETRY_FOR_MS = 10_000;
const RETRY_PAUSE_MS = 100;
const EARLIEST = -2;
const LATEST = -1;

export class KafkaAdmin implements Admin {
  readonly #admin: KafkaJsAdmin;
  readonly #cluster: KafkaCluster;
  #connected: Promise<unknown> | undefined;

  constructor(client: KafkaClient) {
    this.#admin = client.kafka.admin();
    this.#cluster = client.cluster();
  }

  async createTopics(topics: readonly TopicSettings[]): Promise<void> {
    await this.#run("CreateTopics", async () => {
      const existing = new Set(await this.#admin.listTopics());
      const missing = topics.filter((t) => !existing.has(t.name));
      for (const topic of topics.filter((t) => existing.has(t.name))) {
        const partitions = await this.partitionsOf(topic.name);
        if (partitions !== topic.partitions) {
          throw new WeirError(
            "PARTITIONS_CHANGED",
            "fatal",
            `${topic.name} has ${partitions} partitions, the pipeline wants ${topic.partitions}.`,
            "State is bound to its partition: keep the count, or replay into new topics.",
          );
        }
      }
      if (missing.length === 0) return;
      await this.#admin.createTopics({
        waitForLeaders: true,
        topics: missing.map((t) => ({
          topic: t.name,
          numPartitions: t.partitions,
          replicationFactor: t.replication,
          configEntries: Object.entries(t.settings).map(([name, value]) => ({ name, value })),
        })),
      });
    });
  }

  async partitionsOf(topic: TopicName): Promise<number> {
    return await this.#run(`Metadata of ${topic}`, async () => {
      await this.#cluster.addTargetTopic(topic);
      return this.#cluster.findTopicPartitionMetadata(topic).length;
    });
  }

  async groupOffset(groupId: string, topic: TopicName, partition: number): Promise<number | null> {
    return await this.#run(`OffsetFetch of ${groupId}`, async () => {
      const [answer] = await this.#admin.fetchOffsets({ groupId, topics: [topic] });
      const offset = Number(answer?.partitions.find((p) => p.partition === partition)?.offset ?? -1);
      return offset < 0 ? null : offset;
    });
  }

  async topicId(topic: TopicName): Promise<string | null> {
    return await this.#run(`Metadata of ${topic}`, async () => {
      await this.#cluster.addTargetTopic(topic);
      const { leader } = this.#cluster.findTopicPartitionMetadata(topic)[0]!;
      const broker = await this.#cluster.findBroker({ nodeId: leader });
      return await broker.connectionPool.send(topicIdRequest(topic));
    });
  }

  async offsets(
    topic: TopicName,
    partition: number,
    isolation: Isolation,
  ): Promise<{ startOffset: number; endOffset: number }> {
    return await this.#run(`ListOffsets of ${topic}/${partition}`, async () => {
      await this.#cluster.addTargetTopic(topic);
      const found = this.#cluster.findTopicPartitionMetadata(topic).find((p) => p.partitionId === partition);
      if (!found)
        throw new WeirError(
          "TOPIC_MISSING",
          "fatal",
          `${topic} has no partition ${partition}.`,
          "Create the topics: `weir init`.",
        );
      const broker = await this.#cluster.findBroker({ nodeId: found.leader });
      const ask = async (timestamp: number): Promise<number> => {
        const answer = await broker.listOffsets({
          isolationLevel: isolation === "read_committed" ? 1 : 0,
          topics: [{ topic, partitions: [{ partition, timestamp }] }],
        });
        return Number(answer.responses[0]!.partitions[0]!.offset);
      };
      return { startOffset: await ask(EARLIEST), endOffset: await ask(LATEST) };
    });
  }

  async close(): Promise<void> {
    await this.#admin.disconnect().catch(() => undefined);
    await this.#cluster.disconnect().catch(() => undefined);
  }

  /** An attempt that failed is forgotten: kept, it would fail every later call too, long after the brokers are back. */
  async #connect(): Promise<void> {
    this.#connected ??= Promise.all([this.#admin.connect(), this.#cluster.connect()]);
    try {
      await this.#connected;
    } catch (error) {
      this.#connected = undefined;
      throw error;
    }
  }

  /** Leadership of a new topic settles a moment after its creation: asked again until the time is up. */
  async #run<T>(what: string, call: () => Promise<T>): Promise<T> {
    for (const deadline = performance.now() + RETRY_FOR_MS; ; ) {
      try {
        await this.#connect();
        return await call();
      } catch (error) {
        const failure = brokerError(error, what);
        if (failure.disposition !== "retry" || performance.now() > deadline) throw failure;
        await sleep(RETRY_PAUSE_MS);
        await this.#cluster.refreshMetadata().catch(() => {
          this.#connected = undefined;
        });
      }
    }
  }
}
