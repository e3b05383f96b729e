import { setTimeout as sleep } from "node:timers/promises";
import { WeirError } from "../errors.ts";
import type { TopicName } from "../names.ts";
import type { ProducerRecord, TxnProducer } from "../ports.ts";
import { encodeBatch, sequenceAfter } from "./batch-encoder.ts";
import { requireVerification } from "./broker-age.ts";
import type { KafkaBroker, KafkaClient, KafkaCluster, KafkaCoordinator } from "./kafkajs.ts";
import { brokerError, CodeError, codeOf, retriesInPlace } from "./outcome.ts";
import { type PartitionBatch, produceRequest } from "./produce-request.ts";

/** The broker refuses a batch over 1 MB, and one request is to stay small beside the memory of both sides. */
const MAX_BATCH_BYTES = 900_000;
const MAX_BATCH_RECORDS = 10_000;
const MAX_REQUEST_BYTES = 8_000_000;
const RECORD_OVERHEAD_BYTES = 80;
export const TRANSACTION_TIMEOUT_MS = 10_000;
/**
 * How long a call is repeated. Less than the transaction's own time: behind that the broker has aborted it anyway. A
 * take-over waits for the predecessor's transaction, which may have as long.
 */
const PATIENCE_MS = 8_000;
const INIT_PATIENCE_MS = 2 * TRANSACTION_TIMEOUT_MS;
/** After a commit the broker writes markers and answers CONCURRENT_TRANSACTIONS for a few milliseconds. */
const FIRST_PAUSE_MS = 3;
const LONGEST_PAUSE_MS = 100;

const DUPLICATE_SEQUENCE_NUMBER = 46;

/** Transactional producer: our own batches and sequences over kafkajs's coordinator calls. Rules: see `TxnProducer`. */
export class KafkaTxnProducer implements TxnProducer {
  readonly transactionalId: string;
  readonly #client: KafkaClient;
  readonly #cluster: KafkaCluster;
  #producerId = "";
  #epoch = -1;
  readonly #sequences = new Map<string, number>();
  /** Partitions of the open transaction; empty if none is open. */
  #added = new Set<string>();
  #dead = false;
  readonly #topics = new Set<string>();
  readonly #coordinators = new Map<string, Promise<KafkaBroker & KafkaCoordinator>>();

  constructor(client: KafkaClient, transactionalId: string) {
    this.transactionalId = transactionalId;
    this.#client = client;
    this.#cluster = client.cluster();
  }

  async init(): Promise<void> {
    await this.#guard("InitProducerId", INIT_PATIENCE_MS, async () => {
      await this.#cluster.connect();
      await requireVerification(this.#client, this.#cluster);
      const coordinator = await this.#coordinator(this.transactionalId, 1);
      const { transactionalId } = this;
      const given = await coordinator.initProducerId({ transactionalId, transactionTimeout: TRANSACTION_TIMEOUT_MS });
      this.#producerId = given.producerId;
      this.#epoch = given.producerEpoch;
      this.#sequences.clear();
    });
  }

  async send(records: readonly ProducerRecord[]): Promise<void> {
    for (const slice of slices(records)) {
      const batches = Map.groupBy(slice, (r) => `${r.topic}/${r.partition}`);
      await this.#add([...batches].flatMap(([name, [first]]) => (this.#added.has(name) ? [] : [first!])));
      await this.#produce(
        [...batches].map(([name, own]) => ({
          topic: own[0]!.topic,
          partition: own[0]!.partition,
          bytes: encodeBatch(own, this.#owner(name), this.#client.compression),
        })),
      );
      for (const [name, own] of batches)
        this.#sequences.set(name, sequenceAfter(this.#sequences.get(name) ?? 0, own.length));
    }
  }

  async sendOffsets(groupId: string, topic: TopicName, partition: number, nextOffset: number): Promise<void> {
    if (this.#added.size === 0) return;
    const offset = { topic, partitions: [{ partition, offset: String(nextOffset) }] };
    await this.#guard("AddOffsetsToTxn", PATIENCE_MS, async () => {
      await (await this.#coordinator(this.transactionalId, 1)).addOffsetsToTxn({ ...this.#identity, groupId });
    });
    await this.#guard("TxnOffsetCommit", PATIENCE_MS, async () => {
      await (await this.#coordinator(groupId, 0)).txnOffsetCommit({ ...this.#identity, groupId, topics: [offset] });
    });
  }

  async commit(): Promise<void> {
    if (this.#added.size === 0 && !this.#dead) return;
    try {
      await this.#end(true);
    } catch (error) {
      const known = error as WeirError;
      if (known.disposition !== "retry" || known.code === "PRODUCER_DEAD" || codeOf(known.cause) !== undefined)
        throw known;
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
    if (this.#added.size > 0 && !this.#dead) await this.#end(false);
  }

  async close(): Promise<void> {
    this.#dead = true;
    await this.#cluster.disconnect().catch(() => undefined);
  }

  get #identity() {
    const { transactionalId } = this;
    return { transactionalId, producerId: this.#producerId, producerEpoch: this.#epoch };
  }

  #owner(partition: string) {
    const sequence = this.#sequences.get(partition) ?? 0;
    return { producerId: BigInt(this.#producerId), producerEpoch: this.#epoch, sequence };
  }

  async #add(first: readonly ProducerRecord[]): Promise<void> {
    if (first.length === 0) return;
    const topics = [...Map.groupBy(first, (r) => r.topic)].map(([topic, own]) => ({
      topic,
      partitions: own.map((r) => r.partition),
    }));
    await this.#guard("AddPartitionsToTxn", PATIENCE_MS, async () => {
      await (await this.#coordinator(this.transactionalId, 1)).addPartitionsToTxn({ ...this.#identity, topics });
    });
    for (const r of first) this.#added.add(`${r.topic}/${r.partition}`);
  }

  /** What the leaders took is not sent again; what is sent again keeps its sequence, so that it is written once. */
  async #produce(batches: readonly PartitionBatch[]): Promise<void> {
    let left = batches;
    await this.#guard("Produce", PATIENCE_MS, async () => {
      const byLeader = Map.groupBy(await this.#withLeaders(left), (b) => b.leader);
      const done = await Promise.all(
        [...byLeader].map(async ([nodeId, own]) => {
          const broker = await this.#cluster.findBroker({ nodeId });
          return await broker.connectionPool.send(produceRequest(this.transactionalId, own));
        }),
      );
      const failed = done.flat().filter((r) => r.errorCode !== 0 && r.errorCode !== DUPLICATE_SEQUENCE_NUMBER);
      left = left.filter((b) => failed.some((f) => f.topic === b.topic && f.partition === b.partition));
      const worst = failed.find((f) => !retriesInPlace(new CodeError(f.errorCode))) ?? failed[0];
      if (worst) throw new CodeError(worst.errorCode, `${worst.topic}/${worst.partition}`);
    });
  }

  async #withLeaders(batches: readonly PartitionBatch[]): Promise<(PartitionBatch & { leader: number })[]> {
    for (const topic of new Set(batches.map((b) => b.topic))) {
      if (this.#topics.has(topic)) continue;
      await this.#cluster.addTargetTopic(topic);
      this.#topics.add(topic);
    }
    return batches.map((batch) => {
      const { topic, partition } = batch;
      const found = this.#cluster.findTopicPartitionMetadata(topic).find((p) => p.partitionId === partition);
      if (found) return { ...batch, leader: found.leader };
      throw new WeirError(
        "TOPIC_MISSING",
        "fatal",
        `${topic} has no partition ${partition}.`,
        "Create the topics: `weir init`.",
      );
    });
  }

  async #end(commits: boolean): Promise<void> {
    await this.#guard("EndTxn", PATIENCE_MS, async () => {
      const coordinator = await this.#coordinator(this.transactionalId, 1);
      await coordinator.endTxn({ ...this.#identity, transactionResult: commits });
    });
    this.#added = new Set();
  }

  async #coordinator(id: string, coordinatorType: 0 | 1): Promise<KafkaBroker & KafkaCoordinator> {
    const key = `${coordinatorType}/${id}`;
    const known = this.#coordinators.get(key) ?? this.#cluster.findGroupCoordinator({ groupId: id, coordinatorType });
    this.#coordinators.set(key, known);
    return await known;
  }

  /**
   * Repeats a call while that can help. All of them may be: a batch carries its sequence, a partition is added once, and
   * an end that was reached is answered as reached. Any other failure kills the producer.
   */
  async #guard(what: string, patienceMs: number, call: () => Promise<void>): Promise<void> {
    if (this.#dead)
      throw new WeirError(
        "PRODUCER_DEAD",
        "retry",
        `${what} on a producer that failed before.`,
        "A new producer is made.",
      );
    const deadline = performance.now() + patienceMs;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 1.5)) {
      try {
        await call();
        return;
      } catch (error) {
        if (this.#dead || performance.now() > deadline || !retriesInPlace(error)) {
          this.#dead = true;
          throw brokerError(error, `${what} of ${this.transactionalId}`);
        }
        await sleep(pauseMs);
        // A busy coordinator is still the coordinator; any other answer may mean that it, or a leader, has moved.
        if (codeOf(error) !== CONCURRENT_TRANSACTIONS) {
          this.#coordinators.clear();
          await this.#cluster.refreshMetadata().catch(() => undefined);
        }
      }
    }
  }
}

const CONCURRENT_TRANSACTIONS = 51;

/** Cuts records into requests of one batch a partition, within the limits of both, in order. */
export function* slices(records: readonly ProducerRecord[]): Generator<readonly ProducerRecord[]> {
  let slice: ProducerRecord[] = [];
  let total = 0;
  let used = new Map<string, { records: number; bytes: number }>();
  for (const record of records) {
    const key = `${record.topic}/${record.partition}`;
    const bytes = (record.value?.length ?? 0) + (record.key?.length ?? 0) * 3 + RECORD_OVERHEAD_BYTES;
    const sofar = used.get(key);
    const full = sofar && (sofar.records >= MAX_BATCH_RECORDS || sofar.bytes + bytes > MAX_BATCH_BYTES);
    if (full || (slice.length > 0 && total + bytes > MAX_REQUEST_BYTES)) {
      yield slice;
      slice = [];
      total = 0;
      used = new Map();
    }
    const now = used.get(key);
    if (now) {
      now.records++;
      now.bytes += bytes;
    } else used.set(key, { records: 1, bytes });
    total += bytes;
    slice.push(record);
  }
  if (slice.length > 0) yield slice;
}
