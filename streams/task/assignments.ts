import type { TopicName } from "../names.ts";
import type { GroupMember } from "../ports.ts";

/** The partitions of one stage that this process is to run, all of them. */
export interface Share {
  readonly partitions: readonly number[];
  /** Grows with every assignment: where two processes take the same partition, the higher one wins. */
  readonly epoch: number;
}

/** Where a process learns its share of a stage. One instance a stage; started once, stopped once. */
export interface Assignments {
  /** Resolves once `take` has been called for the first time; it is called again whenever the share changes. */
  start(take: (share: Share) => void, fail: (error: unknown) => void): Promise<void>;
  /** Called after the tasks have ended. */
  stop(): Promise<void>;
}

/** A share that never changes: static assignment, and everything in one process. */
export const fixedShare = (partitions: readonly number[], epoch = 0): Assignments => ({
  start: async (take) => take({ partitions, epoch }),
  stop: async () => undefined,
});

/**
 * The share that a Kafka group gives. Its generation is the epoch: it only grows.
 *
 * `revoking` is not acted on: a rebalance takes longer than the commit interval, so what is open is committed anyway,
 * and a partition that stays must go on undisturbed.
 */
export const groupShare = (member: GroupMember, groupId: string, topics: readonly TopicName[]): Assignments => ({
  start: (take, fail) =>
    member.join(groupId, topics, (event) => {
      if (event.kind === "assigned") take({ partitions: event.partitions, epoch: event.generation });
      if (event.kind === "lost") take({ partitions: [], epoch: event.generation });
      if (event.kind === "failed") fail(event.error);
    }),
  stop: () => member.leave(),
});

/** The partitions i, i + n, i + 2n… of `partitions`: the share of process i of n under static assignment. */
export const everyNth = (partitions: number, ordinal: number, processes: number): number[] =>
  Array.from({ length: partitions }, (_, p) => p).filter((p) => p % processes === ordinal);
