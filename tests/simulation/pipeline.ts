import type { StageBinding, TaskOptions } from "../../streams/index.ts";
import type { RawRecord } from "../../streams/ports.ts";
import type { Appended, SimulatedProcess } from "../../streams/testing/index.ts";

/** What outside writers do to one input partition, in this order whatever the schedule. */
export type InputOperation =
  | {
      readonly topic: string;
      readonly partition: number;
      readonly append: readonly Appended[];
      readonly producerId: number | null;
    }
  | {
      readonly topic: string;
      readonly partition: number;
      readonly mark: "commit" | "abort";
      readonly producerId: number;
    };

/** A pipeline as the simulation runs it. */
export interface SimulatedPipeline {
  readonly name: string;
  readonly partitions: number;
  /** All topics but the changelogs. */
  readonly topics: readonly string[];
  readonly codecs: TaskOptions["codecs"];
  /** One slot each: a stage and its partitions, or its membership in the stage's group. */
  readonly slots: readonly { readonly stage: number; readonly partitions: readonly number[] | "by group" }[];
  /** Stages as a process of its own builds them. */
  stages(process: SimulatedProcess): readonly StageBinding[];
  readonly input: readonly InputOperation[];
  /** Come one by one when all is long quiet; each makes every task commit, so that whoever was replaced learns of it. */
  readonly lastCalls: readonly (readonly InputOperation[])[];
  /** Topics whose committed records are compared. */
  readonly judged: readonly string[];
  /** Of a topic with several writers a partition, whose order among each other is free: which of them wrote it. */
  writerOf?(topic: string, record: RawRecord): string;
}
