import { WeirError } from "../errors.ts";
import type { TopicName } from "../names.ts";
import type {
  Admin,
  Broker,
  FetchResult,
  GroupMember,
  Groups,
  Isolation,
  PartitionName,
  PartitionReader,
  TopicSettings,
  TxnProducer,
} from "../ports.ts";
import { type ProducerIdentity, TransactionCoordinator } from "./coordinator.ts";
import { GroupCoordinator } from "./group-coordinator.ts";
import { type Appended, PartitionLog } from "./partition-log.ts";
import { SeededRandom } from "./random.ts";
import { SimulatedAdmin, SimulatedProducer, SimulatedReader } from "./simulated-clients.ts";
import { SimulatedMember } from "./simulated-member.ts";
import { type Reply, SimulatedProcess } from "./simulated-process.ts";
import type { Timer, VirtualTime } from "./virtual-time.ts";

export interface SimulatedBrokerOptions {
  readonly time: VirtualTime;
  readonly seed?: number;
  /** Of a request, of an answer; at least 1. */
  readonly maxLatencyMs?: number;
  /** Of each marker, behind the answer to the commit. */
  readonly maxMarkerLatencyMs?: number;
  /** Of one answer to a fetch, whatever was asked for: a broker may give less. */
  readonly maxFetchBytes?: number;
}

interface Waiter {
  readonly wake: () => void;
  readonly timer: Timer;
}

/**
 * A fake Kafka cluster in memory, behind the same ports as the real one: transactions, epochs and fencing, last stable
 * offset, aborted transactions, markers that take offsets, compaction, retention. It keeps no replicas and no disk.
 * Time is virtual and chance comes from the seed, so that a run repeats itself.
 *
 * Each process under test gets a broker of its own through `process`: there calls get lost and processes die.
 */
export class SimulatedBroker implements Broker, Groups {
  readonly coordinator: TransactionCoordinator;
  readonly groups: GroupCoordinator;
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  readonly #maxLatencyMs: number;
  readonly #maxFetchBytes: number;
  readonly #topics = new Map<string, PartitionLog[]>();
  readonly #topicIds = new Map<string, string>();
  #created = 0;
  readonly #waiters = new Map<string, Set<Waiter>>();
  readonly #outside: Broker & Groups;

  constructor(options: SimulatedBrokerOptions) {
    const { time, seed = 1, maxLatencyMs = 2, maxMarkerLatencyMs = 4 } = options;
    this.#time = time;
    this.#maxFetchBytes = options.maxFetchBytes ?? Number.POSITIVE_INFINITY;
    this.#random = new SeededRandom(seed);
    this.#maxLatencyMs = maxLatencyMs;
    this.coordinator = new TransactionCoordinator({
      time,
      logOf: ({ topic, partition }) => this.log(topic, partition),
      changed: (partition) => this.#wake(partition),
      markerLatencyMs: () => this.#random.between(1, maxMarkerLatencyMs),
    });
    this.groups = new GroupCoordinator(time);
    this.#outside = this.brokerOf(this.process("outside"));
  }

  /** A process that may be killed, paused or cut off. Its chance is its own: faults of one don't shift the others'. */
  process(name: string): SimulatedProcess {
    const seed = Math.floor(this.#random.next() * 4_294_967_296);
    return new SimulatedProcess(name, this.#time, new SeededRandom(seed), this.#maxLatencyMs);
  }

  brokerOf(process: SimulatedProcess): Broker & Groups {
    return {
      reader: () => new SimulatedReader(this, process),
      producer: (transactionalId) => new SimulatedProducer(this, process, transactionalId),
      admin: () => new SimulatedAdmin(this, process),
      groupMember: () => new SimulatedMember(this, process),
    };
  }

  reader(): PartitionReader {
    return this.#outside.reader();
  }

  producer(transactionalId: string): TxnProducer {
    return this.#outside.producer(transactionalId);
  }

  admin(): Admin {
    return this.#outside.admin();
  }

  groupMember(): GroupMember {
    return this.#outside.groupMember();
  }

  /** Outside any call: for those who set up a test and look at its end. A topic of that name is replaced. */
  createTopic(topic: string, partitions: number): void {
    this.#topicIds.set(topic, `${topic}#${this.#created++}`);
    this.#topics.set(
      topic,
      Array.from({ length: partitions }, () => new PartitionLog()),
    );
  }

  log(topic: string, partition: number): PartitionLog {
    const log = this.#topics.get(topic)?.[partition];
    if (!log) throw new Error(`The simulated broker has no ${topic}/${partition}.`);
    return log;
  }

  /** Records of a writer outside the test, there at once; within a transaction if it names a producer id. */
  append(topic: string, partition: number, records: readonly Appended[], producerId: number | null = null): void {
    this.log(topic, partition).append(records, producerId, this.#time.nowMs);
    this.#wake({ topic, partition });
  }

  /** Ends the outside writer's transaction. Its producer ids are its own: below 1,000. */
  mark(topic: string, partition: number, marker: "commit" | "abort", producerId: number): void {
    this.log(topic, partition).mark(marker, producerId, this.#time.nowMs);
    this.#wake({ topic, partition });
  }

  partitionsOf(topic: string): number | undefined {
    return this.#topics.get(topic)?.length;
  }

  topicNames(): string[] {
    return [...this.#topics.keys()];
  }

  compact(topic: string, deleteRetentionMs = Number.POSITIVE_INFINITY): void {
    for (const log of this.#topics.get(topic) ?? []) log.compact(this.#time.nowMs, deleteRetentionMs);
  }

  /** Transactions that end in the meantime leave no marker anywhere. */
  loseMarkers(forMs: number): void {
    const untilMs = this.#time.nowMs + forMs;
    this.coordinator.losesMarker = () => this.#time.nowMs < untilMs;
  }

  /** The transaction coordinator moves to another broker: requests wait until it is there. */
  moveCoordinator(forMs: number): void {
    this.coordinator.awayUntilMs = Math.max(this.coordinator.awayUntilMs, this.#time.nowMs + forMs);
  }

  get nowMs(): number {
    return this.#time.nowMs;
  }

  /** A fetch as the partition's leader serves it: at once if there is something to read, else when there is, or late. */
  serveFetch(
    { topic, partition }: PartitionName,
    offset: number,
    options: { readonly isolation: Isolation; readonly maxBytes: number; readonly maxWaitMs: number },
    reply: Reply<FetchResult>,
  ): void {
    const log = this.#existing(topic, partition, reply);
    if (!log) return;
    if (offset < log.startOffset || offset > log.endOffset) {
      reply.fail(
        new WeirError(
          "OFFSET_OUT_OF_RANGE",
          "fatal",
          `Fetch of ${topic}/${partition} at ${offset}: the log holds ${log.startOffset} to ${log.endOffset}.`,
          "Records were deleted before they were read, or the topic was recreated: replay the input into new topics.",
        ),
      );
      return;
    }
    const key = `${topic}/${partition}`;
    const answer = () =>
      reply.done(log.read(offset, options.isolation, Math.min(options.maxBytes, this.#maxFetchBytes)));
    if (log.end(options.isolation) > offset || options.maxWaitMs <= 0) {
      answer();
      return;
    }
    const waiters = this.#waiters.get(key) ?? new Set();
    this.#waiters.set(key, waiters);
    const leave = () => {
      waiter.timer.cancel();
      waiters.delete(waiter);
    };
    const waiter: Waiter = {
      wake: () => {
        if (log.end(options.isolation) <= offset) return;
        leave();
        answer();
      },
      timer: this.#time.after(options.maxWaitMs, () => {
        leave();
        answer();
      }),
    };
    waiters.add(waiter);
  }

  serveOffsets(
    { topic, partition }: PartitionName,
    isolation: Isolation,
    reply: Reply<{ startOffset: number; endOffset: number }>,
  ): void {
    const log = this.#existing(topic, partition, reply);
    if (log) reply.done({ startOffset: log.startOffset, endOffset: log.end(isolation) });
  }

  serveAddPartitions(
    producer: ProducerIdentity,
    timeoutMs: number,
    partitions: readonly PartitionName[],
    reply: Reply<void>,
  ): void {
    if (partitions.every(({ topic, partition }) => this.#existing(topic, partition, reply)))
      this.coordinator.addPartitions(producer, timeoutMs, partitions, reply);
  }

  /** Those of the partitions in which the producer has a transaction open. */
  serveOpen(producerId: number, partitions: readonly PartitionName[], reply: Reply<PartitionName[]>): void {
    if (partitions.every(({ topic, partition }) => this.#existing(topic, partition, reply)))
      reply.done(partitions.filter(({ topic, partition }) => this.log(topic, partition).hasOpen(producerId)));
  }

  serveCreate(topics: readonly TopicSettings[], reply: Reply<void>): void {
    for (const { name, partitions } of topics) {
      const existing = this.partitionsOf(name);
      if (existing === undefined) this.createTopic(name, partitions);
      else if (existing !== partitions) {
        const text = `${name} has ${existing} partitions, the pipeline wants ${partitions}.`;
        const next = "State is bound to its partition: keep the count, or replay into new topics.";
        reply.fail(new WeirError("PARTITIONS_CHANGED", "fatal", text, next));
        return;
      }
    }
    reply.done(undefined);
  }

  servePartitions(topic: TopicName, reply: Reply<number>): void {
    const count = this.partitionsOf(topic);
    if (count === undefined) reply.fail(topicMissing(topic));
    else reply.done(count);
  }

  serveTopicId(topic: TopicName, reply: Reply<string | null>): void {
    const id = this.#topicIds.get(topic);
    if (id === undefined) reply.fail(topicMissing(topic));
    else reply.done(id);
  }

  #existing(topic: string, partition: number, reply: Reply<never>): PartitionLog | undefined {
    const logs = this.#topics.get(topic);
    if (logs?.[partition]) return logs[partition];
    reply.fail(
      logs
        ? new WeirError(
            "TOPIC_MISSING",
            "fatal",
            `${topic} has no partition ${partition}.`,
            "Create the topics: `weir init`.",
          )
        : topicMissing(topic),
    );
    return undefined;
  }

  #wake({ topic, partition }: PartitionName): void {
    for (const waiter of [...(this.#waiters.get(`${topic}/${partition}`) ?? [])]) waiter.wake();
  }
}

const topicMissing = (topic: string): WeirError =>
  new WeirError("TOPIC_MISSING", "retry", `${topic} does not exist (simulated).`, "Create the topics: `weir init`.");
