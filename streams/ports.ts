import type { WeirError } from "./errors.ts";
import type { TopicName } from "./names.ts";

/** One record as it lies in the log. Offsets are safe integers; buffers are views into the fetched bytes. */
export interface RawRecord {
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  /** The fetched bytes themselves and where in them the value begins and ends, for whoever reads in place. */
  readonly bytes?: Buffer;
  readonly valueAt?: number;
  readonly valueEnd?: number;
}

export type Isolation = "read_committed" | "read_uncommitted";

export interface FetchResult {
  readonly records: readonly RawRecord[];
  /** Where to read on: past control records and compaction gaps, so it moves even when `records` is empty. */
  readonly nextOffset: number;
  /** First offset that may not be read yet: last stable offset if read_committed, else the high watermark. */
  readonly endOffset: number;
  readonly startOffset: number;
}

/** Reads partitions without a group. One fetch at a time; each reader has its own connection. */
export interface PartitionReader {
  /**
   * Waits up to `maxWaitMs` (default 500) for at least one byte. Throws `OFFSET_OUT_OF_RANGE` (fatal) outside the log,
   * other broker errors as `retry`.
   */
  fetch(
    topic: TopicName,
    partition: number,
    offset: number,
    options?: { readonly maxBytes?: number; readonly maxWaitMs?: number; readonly isolation?: Isolation },
  ): Promise<FetchResult>;
  close(): Promise<void>;
}

export interface PartitionName {
  readonly topic: string;
  readonly partition: number;
}

export interface ProducerRecord {
  readonly topic: TopicName;
  readonly partition: number;
  readonly key: string | null;
  readonly value: Buffer | null;
  readonly timestampMs: number;
}

/**
 * One transactional producer, one transaction at a time.
 *
 * `init` fences every older producer of the same id and finishes its open transaction. `topics` are those that an older
 * producer of the id may have written to: where a broker never marked the end of its last transaction, that is done too
 * (see `left-open.ts`; between its own transactions a producer sees to it by itself). After any error of `send` or
 * `commit` the producer is dead: close it and make a new one; an error's disposition says what to do:
 * `fenced` (a newer owner, or the transaction timed out), `retry` (nothing was committed), `fatal`. A commit without an
 * answer throws `COMMIT_UNKNOWN` with disposition `retry`: read the changelog before going on.
 */
export interface TxnProducer {
  readonly transactionalId: string;
  init(topics?: readonly TopicName[]): Promise<void>;
  /** Opens the transaction with the first call; at most 900 KB a partition go into one request. */
  send(records: readonly ProducerRecord[]): Promise<void>;
  /** For lag tools only: nothing of ours reads them back. */
  sendOffsets(groupId: string, topic: TopicName, partition: number, nextOffset: number): Promise<void>;
  /** Without a preceding send it is a no-op. */
  commit(): Promise<void>;
  abort(): Promise<void>;
  /**
   * Resolves once the last transaction has ended in all its partitions, so that what it wrote can be read. A commit is
   * answered before that; to be called where no next transaction may follow for a while.
   */
  settle(): Promise<void>;
  close(): Promise<void>;
}

export interface TopicSettings {
  readonly name: TopicName;
  readonly partitions: number;
  readonly replication: number;
  readonly settings: Readonly<Record<string, string>>;
}

export interface Admin {
  /** Creates what is missing; an existing topic with another partition count is refused (`PARTITIONS_CHANGED`). */
  createTopics(topics: readonly TopicSettings[]): Promise<void>;
  partitionsOf(topic: TopicName): Promise<number>;
  /** Differs when a topic was deleted and created anew; null where the broker does not tell. */
  topicId?(topic: TopicName): Promise<string | null>;
  /** What a group has committed last, null if nothing: proof that a stage was at work here before. */
  groupOffset?(groupId: string, topic: TopicName, partition: number): Promise<number | null>;
  /** First and next offset. The true end needs `read_uncommitted`. */
  offsets(
    topic: TopicName,
    partition: number,
    isolation: Isolation,
  ): Promise<{ startOffset: number; endOffset: number }>;
  close(): Promise<void>;
}

/**
 * What a member of a group learns, in this order: `assigned` once it has joined; before every later assignment
 * `revoking`, or `lost` if the group went on without it; `failed` once and last.
 */
export type GroupEvent =
  /** All partitions of this member from now on. One that it had before goes on undisturbed, a missing one is gone. */
  | { readonly kind: "assigned"; readonly generation: number; readonly partitions: readonly number[] }
  /** The group begins to share anew: some of these may go, so what is open had better be committed. No promise. */
  | { readonly kind: "revoking"; readonly generation: number; readonly partitions: readonly number[] }
  /** The session ran out and others may own these already; fencing protects them. The member joins again by itself. */
  | { readonly kind: "lost"; readonly generation: number; readonly partitions: readonly number[] }
  /** The group refuses this member for good. */
  | { readonly kind: "failed"; readonly error: WeirError };

/** Shares partition numbers among the processes of a stage, and does nothing else: no offsets, no fetching. */
export interface GroupMember {
  /**
   * Resolves with the first assignment, after its event. Partition p of all `topics` goes to one member: they are
   * partitioned alike. Listeners are called one event at a time and must not throw. Generations only grow.
   */
  join(groupId: string, topics: readonly TopicName[], onEvent: (event: GroupEvent) => void): Promise<void>;
  /** Leaves at once, so that the others need not wait for the session to run out; no event follows. Idempotent. */
  leave(): Promise<void>;
}

/** A Kafka cluster, seen through the ports. */
export interface Broker {
  reader(): PartitionReader;
  producer(transactionalId: string): TxnProducer;
  admin(): Admin;
}

/** The part of a cluster that shares work out: only whoever runs stages needs it. */
export interface Groups {
  groupMember(): GroupMember;
}
