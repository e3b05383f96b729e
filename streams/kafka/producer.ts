import { setTimeout as sleep } from "node:timers/promises";
import { WeirError } from "../errors.ts";
import { type Decision, endLeftOpen, FORGOTTEN } from "../left-open.ts";
import type { TopicName } from "../names.ts";
import type { PartitionName, ProducerRecord, TxnProducer } from "../ports.ts";
import { encodeBatch, sequenceAfter } from "./batch-encoder.ts";
import { requireVerification } from "./broker-age.ts";
import { type Decided, describeProducers, describeTransaction } from "./describe-transactions.ts";
import type { KafkaBroker, KafkaClient, KafkaCluster, KafkaCoordinator } from "./kafkajs.ts";
import { brokerError, CodeError, codeOf, retriesInPlace } from "./outcome.ts";
import { type PartitionBatch, produceRequest } from "./produce-request.ts";
import { slices } from "./slices.ts";

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
  /** Partitions of the open transaction, by topic/partition; empty if none is open. */
  #added = new Map<string, PartitionName>();
  /** The transaction before it; after `init` that of the predecessor, and all partitions that it may have written to. */
  #last: { readonly partitions: readonly PartitionName[]; readonly decision: Decision } = {
    partitions: [],
    decision: FORGOTTEN,
  };
  #dead = false;
  readonly #topics = new Set<string>();
  readonly #coordinators = new Map<string, Promise<KafkaBroker & KafkaCoordinator>>();

  constructor(client: KafkaClient, transactionalId: string) {
    this.transactionalId = transactionalId;
    this.#client = client;
    this.#cluster = client.cluster();
  }

  async init(topics: readonly TopicName[] = []): Promise<void> {
    let decided: Decided;
    await this.#guard("InitProducerId", INIT_PATIENCE_MS, async () => {
      await this.#cluster.connect();
      await requireVerification(this.#client, this.#cluster);
      const coordinator = await this.#coordinator(this.transactionalId, 1);
      const { transactionalId } = this;
      // Asked before each attempt: once initialised, the coordinator has forgotten it, even if its answer got lost.
      decided = (await coordinator.connectionPool.send(describeTransaction(transactionalId))).decided ?? decided;
      const given = await coordinator.initProducerId({ transactionalId, transactionTimeout: TRANSACTION_TIMEOUT_MS });
      this.#producerId = given.producerId;
      this.#epoch = given.producerEpoch;
      this.#sequences.clear();
    });
    const decision = decided === "commit" ? decided : FORGOTTEN;
    this.#last = { partitions: await this.#partitionsOf(topics), decision };
    await this.#endLeftOpen();
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
      await this.#end("commit");
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
    if (this.#added.size > 0 && !this.#dead) await this.#end("abort");
  }

  async settle(): Promise<void> {
    if (this.#last.partitions.length === 0 || this.#added.size > 0 || this.#dead) return;
    await this.#markersWritten();
    await this.#endLeftOpen();
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
    const opens = this.#added.size === 0;
    await this.#announce(first);
    // Nothing is written in the new transaction yet: what is open now is left open, and ending it ends this one too.
    if (opens && (await this.#endLeftOpen())) await this.#announce(first);
    for (const { topic, partition } of first) this.#added.set(`${topic}/${partition}`, { topic, partition });
  }

  async #announce(partitions: readonly PartitionName[]): Promise<void> {
    const topics = [...Map.groupBy(partitions, (p) => p.topic)].map(([topic, own]) => ({
      topic,
      partitions: own.map((p) => p.partition),
    }));
    await this.#guard("AddPartitionsToTxn", PATIENCE_MS, async () => {
      await (await this.#coordinator(this.transactionalId, 1)).addPartitionsToTxn({ ...this.#identity, topics });
    });
  }

  /** See `LeftOpen`. The coordinator has nothing under way once it has initialised, or opened a transaction. */
  async #endLeftOpen(): Promise<boolean> {
    const { partitions, decision } = this.#last;
    const ended = await endLeftOpen(this.transactionalId, decision, {
      find: () => this.#leftOpen(partitions),
      end: async (open, as) => {
        await this.#announce(open);
        await this.#endTxn(as);
        await this.#markersWritten();
      },
    }).catch((error) => {
      this.#dead = true;
      throw error;
    });
    this.#last = { partitions: [], decision };
    return ended;
  }

  /** Or given up by the coordinator. */
  async #markersWritten(): Promise<void> {
    await this.#guard("DescribeTransactions", PATIENCE_MS, async () => {
      const coordinator = await this.#coordinator(this.transactionalId, 1);
      const { isEnding } = await coordinator.connectionPool.send(describeTransaction(this.transactionalId));
      if (isEnding) throw new CodeError(CONCURRENT_TRANSACTIONS);
    });
  }

  async #leftOpen(partitions: readonly PartitionName[]): Promise<PartitionName[]> {
    let open: PartitionName[] = [];
    await this.#guard("DescribeProducers", PATIENCE_MS, async () => {
      const byLeader = Map.groupBy(await this.#withLeaders(partitions), (p) => p.leader);
      const asked = [...byLeader].map(async ([nodeId, own]) => {
        const broker = await this.#cluster.findBroker({ nodeId });
        return await broker.connectionPool.send(describeProducers(own));
      });
      open = (await Promise.all(asked)).flat().filter((p) => String(p.producerId) === this.#producerId);
    });
    return open;
  }

  async #partitionsOf(topics: readonly TopicName[]): Promise<PartitionName[]> {
    let partitions: PartitionName[] = [];
    await this.#guard("Metadata", PATIENCE_MS, async () => {
      await this.#know(topics);
      partitions = topics.flatMap((topic) =>
        this.#cluster.findTopicPartitionMetadata(topic).map((p) => ({ topic, partition: p.partitionId })),
      );
    });
    return partitions;
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

  async #know(topics: Iterable<string>): Promise<void> {
    const unknown = [...topics].filter((topic) => !this.#topics.has(topic));
    if (unknown.length === 0) return;
    await this.#cluster.addMultipleTargetTopics(unknown);
    for (const topic of unknown) this.#topics.add(topic);
  }

  async #withLeaders<P extends PartitionName>(partitions: readonly P[]): Promise<(P & { leader: number })[]> {
    await this.#know(new Set(partitions.map((p) => p.topic)));
    return partitions.map((asked) => {
      const { topic, partition } = asked;
      const found = this.#cluster.findTopicPartitionMetadata(topic).find((p) => p.partitionId === partition);
      if (found) return { ...asked, leader: found.leader };
      throw new WeirError(
        "TOPIC_MISSING",
        "fatal",
        `${topic} has no partition ${partition}.`,
        "Create the topics: `weir init`.",
      );
    });
  }

  async #end(decision: Decision): Promise<void> {
    await this.#endTxn(decision);
    this.#last = { partitions: [...this.#added.values()], decision };
    this.#added = new Map();
  }

  async #endTxn(decision: Decision): Promise<void> {
    await this.#guard("EndTxn", PATIENCE_MS, async () => {
      const coordinator = await this.#coordinator(this.transactionalId, 1);
      await coordinator.endTxn({ ...this.#identity, transactionResult: decision === "commit" });
    });
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
