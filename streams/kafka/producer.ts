import type { Producer, Transaction } from "kafkajs";
import { WeirError } from "../errors.ts";
import type { TopicName } from "../names.ts";
import type { ProducerRecord, TxnProducer } from "../ports.ts";
import type { KafkaClient } from "./kafkajs.ts";
import { brokerError } from "./outcome.ts";

/** One request holds one record batch a partition; the broker refuses a batch over 1 MB, kafkajs slows down over 500. */
const MAX_RECORDS = 500;
const MAX_BYTES = 900_000;
const RECORD_OVERHEAD_BYTES = 80;
export const TRANSACTION_TIMEOUT_MS = 10_000;

/** kafkajs's transactional producer with its traps closed: see `TxnProducer` for the rules. */
export class KafkaTxnProducer implements TxnProducer {
  readonly transactionalId: string;
  readonly #producer: Producer;
  #transaction: Transaction | undefined;
  #dead = false;

  constructor(client: KafkaClient, transactionalId: string) {
    this.transactionalId = transactionalId;
    this.#producer = client.producer(transactionalId, TRANSACTION_TIMEOUT_MS);
  }

  /** kafkajs asks for its producer id with the first transaction only: an empty one, aborted, asks now. */
  async init(): Promise<void> {
    await this.#guard("InitProducerId", async () => {
      await this.#producer.connect();
      const empty = await this.#producer.transaction();
      await empty.abort();
    });
  }

  async send(records: readonly ProducerRecord[]): Promise<void> {
    await this.#guard("Produce", async () => {
      for (const slice of slices(records)) {
        this.#transaction ??= await this.#producer.transaction();
        await this.#transaction.sendBatch({ topicMessages: groupByTopic(slice), acks: -1 });
      }
    });
  }

  async sendOffsets(groupId: string, topic: TopicName, partition: number, nextOffset: number): Promise<void> {
    await this.#guard("TxnOffsetCommit", async () => {
      await this.#transaction?.sendOffsets({
        consumerGroupId: groupId,
        topics: [{ topic, partitions: [{ partition, offset: String(nextOffset) }] }],
      });
    });
  }

  async commit(): Promise<void> {
    if (!this.#transaction) return;
    const transaction = this.#transaction;
    this.#transaction = undefined;
    try {
      await this.#guard("EndTxn", () => transaction.commit());
    } catch (error) {
      const known = error as WeirError;
      if (known.disposition !== "retry" || known.code === "PRODUCER_DEAD") throw known;
      throw new WeirError(
        "COMMIT_UNKNOWN",
        "retry",
        known.message,
        "The task reads its changelog to learn what became of it.",
        { cause: known },
      );
    }
  }

  async abort(): Promise<void> {
    const transaction = this.#transaction;
    this.#transaction = undefined;
    if (transaction && !this.#dead) await this.#guard("EndTxn", () => transaction.abort());
  }

  async close(): Promise<void> {
    this.#dead = true;
    await this.#producer.disconnect().catch(() => undefined);
  }

  async #guard(what: string, call: () => Promise<void>): Promise<void> {
    if (this.#dead)
      throw new WeirError(
        "PRODUCER_DEAD",
        "retry",
        `${what} on a producer that failed before.`,
        "A new producer is made.",
      );
    try {
      await call();
    } catch (error) {
      this.#dead = true;
      throw brokerError(error, `${what} of ${this.transactionalId}`);
    }
  }
}

/** Cuts records into requests that keep both limits for every partition, in order. */
export function* slices(records: readonly ProducerRecord[]): Generator<readonly ProducerRecord[]> {
  let slice: ProducerRecord[] = [];
  let used = new Map<string, { records: number; bytes: number }>();
  for (const record of records) {
    const key = `${record.topic}/${record.partition}`;
    const bytes = (record.value?.length ?? 0) + (record.key?.length ?? 0) * 3 + RECORD_OVERHEAD_BYTES;
    const sofar = used.get(key);
    if (sofar && (sofar.records + 1 > MAX_RECORDS || sofar.bytes + bytes > MAX_BYTES)) {
      yield slice;
      slice = [];
      used = new Map();
    }
    const now = used.get(key) ?? { records: 0, bytes: 0 };
    now.records++;
    now.bytes += bytes;
    used.set(key, now);
    slice.push(record);
  }
  if (slice.length > 0) yield slice;
}

function groupByTopic(records: readonly ProducerRecord[]) {
  const topics = new Map<
    string,
    { key: string | null; value: Buffer | null; partition: number; timestamp: string }[]
  >();
  for (const record of records) {
    let messages = topics.get(record.topic);
    if (!messages) {
      messages = [];
      topics.set(record.topic, messages);
    }
    messages.push({
      key: record.key,
      value: record.value,
      partition: record.partition,
      timestamp: String(record.timestampMs),
    });
  }
  return [...topics].map(([topic, messages]) => ({ topic, messages }));
}
