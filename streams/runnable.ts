import type { SourceClocksSnapshot } from "./clocks.ts";
import type { StageName } from "./names.ts";

/** Events since the task's first start: they are committed with its progress, so a restart does not reset them. */
export interface Counters {
  /** Input events; = accepted + late + dead + duplicate + control. */
  in: number;
  accepted: number;
  late: number;
  dead: number;
  duplicate: number;
  control: number;
  /** Records written to output topics. */
  out: number;
}

export const noCounters = (): Counters => ({ in: 0, accepted: 0, late: 0, dead: 0, duplicate: 0, control: 0, out: 0 });

/** What a task tells about itself: for the terminal view, /metrics and the wait for the end of a run. */
export interface TaskStatus {
  readonly stage: StageName;
  /** Kafka partition, or Kinesis shard. */
  readonly partition: string;
  readonly state: "starting" | "running" | "stopped" | "failed";
  /** Input records not yet committed; Infinity while unknown. For a shard: milliseconds behind its tip. */
  readonly lag: number;
  /** Next input offset to read; everything before it is committed. For a shard: records read. */
  readonly position?: number;
  readonly watermarkMs: number;
  readonly counters: Readonly<Counters>;
  readonly stateBytes: number;
  /** Clocks of the input's sources as of the last commit: the lowest that is not idle holds the watermark. */
  readonly clocks?: SourceClocksSnapshot;
  /** The processor's own. */
  readonly figures?: Readonly<Record<string, number>>;
  /** Committed by this instance of the task. */
  readonly transactions?: number;
  /** Why the task waits, begins anew or has stopped; absent while all is well. */
  readonly problem?: string;
  /** Of a shard: time since its newest committed record arrived, and how long its clock has held the watermark unmoved. */
  readonly source?: { readonly ageMs: number; readonly stalledMs: number };
}

/** One role of a process: some tasks of one stage. */
export interface Runnable {
  /** Resolves when every task has taken over. */
  start(): Promise<void>;
  /** Finishes or aborts what is open and leaves; idempotent. */
  stop(): Promise<void>;
  status(): readonly TaskStatus[];
  /** It stays with this process, under an assignment of a higher epoch: an owner of one in between is no longer its equal. */
  renew?(epoch: number): void;
  /** Rejects when a task cannot keep its promise; never resolves. */
  readonly failed: Promise<never>;
}
