import { WeirError } from "../errors.ts";
import type { Decision } from "../left-open.ts";
import type { PartitionName } from "../ports.ts";
import type { Appended, PartitionLog } from "./partition-log.ts";
import type { Reply } from "./simulated-process.ts";
import type { Timer, VirtualTime } from "./virtual-time.ts";

/** What a producer holds after its initialisation; it travels with each of its requests. */
export interface ProducerIdentity {
  readonly transactionalId: string;
  readonly producerId: number;
  readonly epoch: number;
}

interface PendingOffset {
  readonly groupId: string;
  readonly key: string;
  readonly offset: number;
}

interface TransactionState {
  readonly producerId: number;
  epoch: number;
  state: "empty" | "ongoing" | "committing" | "aborting" | "committed" | "aborted";
  partitions: Map<string, PartitionName>;
  offsets: PendingOffset[];
  timeout: Timer | undefined;
  /** Requests that came while markers were written: a client asks again until it is through. */
  waiting: (() => void)[];
}

/**
 * The transaction coordinator of the simulated broker.
 *
 * It keeps what the design rests on: an initialisation raises the epoch, and whoever comes with an older one is fenced;
 * an open transaction is aborted by it, by its timeout, or by its end; the decision stands before the markers, which
 * reach the partitions one by one, later; nothing of a producer id goes on until all have arrived; a record is refused
 * where no transaction of its epoch was announced (as brokers since 3.6 verify).
 */
export class TransactionCoordinator {
  readonly #time: VirtualTime;
  readonly #logOf: (partition: PartitionName) => PartitionLog;
  readonly #changed: (partition: PartitionName) => void;
  readonly #markerLatencyMs: () => number;
  readonly #transactions = new Map<string, TransactionState>();
  readonly #committedOffsets = new Map<string, number>();
  #producerIds = 1_000;
  /** Requests that arrive before this time find the coordinator on its way to another broker. */
  awayUntilMs = 0;
  /** Whether a marker is given up on its way to a partition, as where that has no leader just then. */
  losesMarker: (partition: PartitionName) => boolean = () => false;

  constructor(options: {
    readonly time: VirtualTime;
    readonly logOf: (partition: PartitionName) => PartitionLog;
    /** Called whenever more of a partition may have become readable. */
    readonly changed: (partition: PartitionName) => void;
    readonly markerLatencyMs: () => number;
  }) {
    this.#time = options.time;
    this.#logOf = options.logOf;
    this.#changed = options.changed;
    this.#markerLatencyMs = options.markerLatencyMs;
  }

  init(transactionalId: string, timeoutMs: number, reply: Reply<ProducerIdentity & { timeoutMs: number }>): void {
    if (this.#isAway(() => this.init(transactionalId, timeoutMs, reply))) return;
    const known = this.#transactions.get(transactionalId);
    const t: TransactionState = known ?? {
      producerId: this.#producerIds++,
      epoch: -1,
      state: "empty",
      partitions: new Map(),
      offsets: [],
      timeout: undefined,
      waiting: [],
    };
    this.#transactions.set(transactionalId, t);
    if (t.state === "ongoing") {
      t.epoch++; // from here on the older producer is fenced, even before the answer
      this.#end(t, "aborting");
    }
    if (this.#isEnding(t)) {
      t.waiting.push(() => this.init(transactionalId, timeoutMs, reply));
      return;
    }
    t.epoch++;
    t.state = "empty";
    reply.done({ transactionalId, producerId: t.producerId, epoch: t.epoch, timeoutMs });
  }

  /** How the last transaction of an id was decided: undefined if there was none, or none since its initialisation. */
  decided(transactionalId: string, reply: Reply<Decision | "under way" | undefined>): void {
    if (this.#isAway(() => this.decided(transactionalId, reply))) return;
    const state = this.#transactions.get(transactionalId)?.state;
    if (state === "committing" || state === "committed") reply.done("commit");
    else if (state === "aborting" || state === "aborted") reply.done("abort");
    else reply.done(state === "ongoing" ? "under way" : undefined);
  }

  /** Answers once all markers of its last transaction have come, or were given up. */
  completed(producer: ProducerIdentity, reply: Reply<void>): void {
    const t = this.#transactions.get(producer.transactionalId);
    if (t && this.#isEnding(t)) t.waiting.push(() => reply.done(undefined));
    else reply.done(undefined);
  }

  addPartitions(
    producer: ProducerIdentity,
    timeoutMs: number,
    partitions: readonly PartitionName[],
    reply: Reply<void>,
  ): void {
    if (this.#isAway(() => this.addPartitions(producer, timeoutMs, partitions, reply))) return;
    const t = this.#checked(producer, "AddPartitionsToTxn", reply);
    if (!t) return;
    if (this.#isEnding(t)) {
      t.waiting.push(() => this.addPartitions(producer, timeoutMs, partitions, reply));
      return;
    }
    this.#open(t, timeoutMs);
    for (const p of partitions) t.partitions.set(`${p.topic}/${p.partition}`, p);
    reply.done(undefined);
  }

  /** At the partition's leader, which asks the coordinator whether the transaction is open. */
  produce(
    producer: ProducerIdentity,
    partition: PartitionName,
    records: readonly Appended[],
    nowMs: number,
    reply: Reply<void>,
  ): void {
    const t = this.#checked(producer, `Produce to ${partition.topic}/${partition.partition}`, reply);
    if (!t) return;
    if (t.state !== "ongoing" || !t.partitions.has(`${partition.topic}/${partition.partition}`)) {
      reply.fail(
        new WeirError(
          "KAFKA_UNAVAILABLE",
          "retry",
          `Produce of ${producer.transactionalId}: no such transaction.`,
          "A new producer is made.",
        ),
      );
      return;
    }
    this.#logOf(partition).append(records, t.producerId, nowMs);
    this.#changed(partition);
    reply.done(undefined);
  }

  /** The group's offset becomes known with the commit. */
  addOffset(producer: ProducerIdentity, timeoutMs: number, offset: PendingOffset, reply: Reply<void>): void {
    if (this.#isAway(() => this.addOffset(producer, timeoutMs, offset, reply))) return;
    const t = this.#checked(producer, "TxnOffsetCommit", reply);
    if (!t) return;
    if (this.#isEnding(t)) {
      t.waiting.push(() => this.addOffset(producer, timeoutMs, offset, reply));
      return;
    }
    this.#open(t, timeoutMs);
    t.offsets.push(offset);
    reply.done(undefined);
  }

  committedOffset(groupId: string, { topic, partition }: PartitionName): number | undefined {
    return this.#committedOffsets.get(`${groupId}/${topic}/${partition}`);
  }

  end(producer: ProducerIdentity, decision: "committing" | "aborting", reply: Reply<void>): void {
    if (this.#isAway(() => this.end(producer, decision, reply))) return;
    const t = this.#checked(producer, "EndTxn", reply);
    if (!t) return;
    if (t.state === "ongoing") this.#end(t, decision);
    else if (t.state !== decision && t.state !== (decision === "committing" ? "committed" : "aborted")) {
      reply.fail(
        new WeirError(
          "KAFKA_UNAVAILABLE",
          "retry",
          `EndTxn of ${producer.transactionalId}: its transaction is ${t.state}.`,
          "A new producer is made.",
        ),
      );
      return;
    }
    reply.done(undefined);
  }

  #checked(producer: ProducerIdentity, what: string, reply: Reply<never>): TransactionState | undefined {
    const t = this.#transactions.get(producer.transactionalId);
    if (t && t.producerId === producer.producerId && t.epoch === producer.epoch) return t;
    reply.fail(
      new WeirError(
        "PRODUCER_FENCED",
        "fenced",
        `${what} of ${producer.transactionalId}: epoch ${producer.epoch} is over (simulated).`,
        "Another process owns this task now, or the transaction timed out; the task looks who and acts.",
      ),
    );
    return undefined;
  }

  #isAway(again: () => void): boolean {
    if (this.#time.nowMs >= this.awayUntilMs) return false;
    this.#time.after(this.awayUntilMs - this.#time.nowMs, again);
    return true;
  }

  #isEnding(t: TransactionState): boolean {
    return t.state === "committing" || t.state === "aborting";
  }

  #open(t: TransactionState, timeoutMs: number): void {
    if (t.state === "ongoing") return;
    t.state = "ongoing";
    t.partitions = new Map();
    t.offsets = [];
    t.timeout = this.#time.after(timeoutMs, () => {
      t.epoch++;
      this.#end(t, "aborting");
    });
  }

  /** The decision; then each partition gets its marker in its own time. */
  #end(t: TransactionState, decision: "committing" | "aborting"): void {
    t.timeout?.cancel();
    t.state = decision;
    const partitions = [...t.partitions.values()];
    const lost = new Set(partitions.filter(this.losesMarker));
    let missing = partitions.length;
    const complete = () => {
      t.state = decision === "committing" ? "committed" : "aborted";
      if (decision === "committing")
        for (const o of t.offsets) this.#committedOffsets.set(`${o.groupId}/${o.key}`, o.offset);
      const waiting = t.waiting;
      t.waiting = [];
      for (const again of waiting) again();
    };
    if (missing === 0) complete();
    for (const partition of partitions)
      this.#time.after(this.#markerLatencyMs(), () => {
        const marker = decision === "committing" ? "commit" : "abort";
        if (!lost.has(partition)) this.#logOf(partition).mark(marker, t.producerId, this.#time.nowMs);
        this.#changed(partition);
        if (--missing === 0) complete();
      });
  }
}
