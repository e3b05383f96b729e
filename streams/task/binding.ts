import type { StageName, TaskId, TopicName } from "../names.ts";
import type { Broker } from "../ports.ts";
import type { AnyProcessor } from "../processor.ts";
import type { StateVersion } from "./changelog.ts";
import type { Encoder } from "./task-output.ts";
import type { TaskTime } from "./time.ts";
import type { TransactionBudget } from "./transaction-budget.ts";

export interface Decoder {
  unknownId(bytes: Buffer): number | null;
  learn(id: number): Promise<void>;
  decode<T>(topic: string, bytes: Buffer): T;
}

/** What makes a stage this stage: its processor and how its input is counted. */
export interface StageBinding {
  readonly stage: StageName;
  readonly input: TopicName;
  /** All topics that it writes to, dead letters and late events included, its changelog left out. */
  readonly outputs: readonly TopicName[];
  /** A fresh processor for one partition, before any state is restored into it. */
  readonly create: (partition: number) => AnyProcessor;
  /** Events that a record brings in, each to be counted in exactly one outcome. Default: the record itself. */
  readonly eventsOf?: (value: never) => number;
  /** Of the processor's settings: state written under another one is refused. */
  readonly fingerprint: string;
  /** The watermark a record carries, for the status. */
  readonly watermarkOf?: (value: never) => number;
}

/** The numbered points of taking over and of committing: see `take-over.ts` and `commit.ts`. */
export type TaskStep = "T1" | "T2" | "T3" | "T4" | "T5" | "T6" | "C1" | "C2" | "C3" | "C4" | "C5" | "C6";

export interface TaskOptions {
  readonly broker: Broker;
  readonly codecs: Encoder & Decoder;
  readonly env: string;
  readonly commitIntervalMs: number;
  /** Of the assignment: a later one has a higher epoch and wins. Default 0. */
  readonly assignmentEpoch?: number;
  /** Version of the changelog to write. Default: the one found there, the newest in a new environment. */
  readonly stateVersion?: StateVersion;
  /** Default: one for the whole process. */
  readonly budget?: TransactionBudget;
  /** Default: this machine's. */
  readonly time?: TaskTime;
  /** Called right before each step has its effect, so the next step's call stands right behind it. */
  readonly onStep?: (task: TaskId, step: TaskStep) => void;
}
