import type { StageDefinition } from "../pipeline.ts";
import { type Assignments, everyNth, fixedShare, type Groups, groupShare } from "../streams/index.ts";

/** Where a process learns its share of each stage. */
export type Sharing = (stage: StageDefinition) => Assignments;

/** A stage that reads from outside Kafka is one piece of work: partition 0. */
export const partitionsOfStage = ({ input }: StageDefinition, partitions: number): number =>
  input === null ? 1 : partitions;

/** Process `ordinal` of `processes`: every n-th partition. Fewer partitions than processes leave some with nothing. */
export const fixedSharing =
  (partitions: number, ordinal: number, processes: number, epoch = 0): Sharing =>
  (stage) =>
    fixedShare(everyNth(partitionsOfStage(stage, partitions), ordinal, processes), epoch);

/**
 * A Kafka group for each stage, named as its offsets are. What reads from outside Kafka has no group: it runs in every
 * process that is told to run it, and the newest wins.
 */
export const groupSharing =
  (groups: Groups, env: string): Sharing =>
  (stage) =>
    stage.input === null ? fixedShare([0]) : groupShare(groups.groupMember(), `${env}.${stage.name}`, [stage.input]);
