import type { SourceClocksSnapshot } from "./clocks.ts";
import type { StoreName, TopicName } from "./names.ts";
import type { RawRecord } from "./ports.ts";

/** One decoded record as the runtime hands it to a processor. Offsets are safe integers. */
export interface InputRecord<T> {
  readonly topic: TopicName;
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: string | null;
  readonly value: T;
}

/**
 * What became of an input event. Every event of every record is counted in exactly one of these, in the transaction
 * that passes its offset, so that `in = accepted + late + dead + duplicate + control` holds at any time.
 */
export type Outcome = "accepted" | "late" | "dead" | "duplicate" | "control";

/** An event that cannot be used. The runtime adds stage, origin topic, partition and offset. */
export interface Rejection {
  readonly code: string;
  readonly reason: string;
  readonly eventId: string;
  readonly timestampMs: number;
  readonly entity: string;
  readonly bytes: Uint8Array;
}

/**
 * Where a processor puts its results. Nothing leaves the process before the commit.
 *
 * A processor writes to its own partition number (edges are p → p); only a re-keyed edge, declared in `pipeline.ts`,
 * names another partition.
 */
export interface Output {
  /** `value` is encoded with the topic's registered schema; null is a tombstone. `timestampMs` is event time. */
  send(topic: TopicName, key: string, value: unknown, timestampMs: number, partition?: number): void;
  /** To `<input topic>.dead`, counted as dead. */
  reject(rejection: Rejection): void;
  /** To `<input topic>.late`, counted as late. */
  late(rejection: Rejection): void;
  /** Counts input events that were not rejected. */
  count(outcome: "accepted" | "duplicate" | "control", events: number): void;
}

/**
 * State of one task behind a changelog, with an overlay of what is not committed yet.
 *
 * Order of calls, never concurrently: `restore` for each live changelog record of this store, in log order, before the
 * first `process`; `savepoint` before each record, `rollback` after a record whose processing threw; for each commit
 * `flush` once, then `merge` when it stands. `drop` when the work since then is to be done anew: the state is again what
 * it was at the last `merge` (or restore), and so is what `flush` would hand over. After a failed commit, which nobody
 * knows the end of, the instance is thrown away and a new one restored.
 */
export interface StateStore {
  readonly name: StoreName;
  /** `value` null: the key was deleted. */
  restore(key: string, value: Buffer | null): void;
  /** Hands over every key changed since the last flush, at most 900,000 bytes a value; null deletes. */
  flush(write: (key: string, value: Buffer | null) => void): void;
  /** Called for each record: must cost next to nothing. */
  savepoint(): void;
  /** Takes back every change since the savepoint. */
  rollback(): void;
  /** What was flushed is committed: it can no longer be taken back. */
  merge(): void;
  /** Takes back every change since the last merge. */
  drop(): void;
  /** Live keys and an estimate of the memory they take. */
  readonly size: { readonly keys: number; readonly bytes: number };
}

export interface Standing {
  readonly clocks?: SourceClocksSnapshot;
  readonly [what: string]: unknown;
}

/**
 * A pure step: records, state and time in, results out. No clock, no network, no randomness, no await.
 *
 * `process` is called once per record in offset order. A throw costs that record alone: what it changed and sent is
 * taken back, and it goes to the dead letters as `processor_error`.
 */
export interface Processor<In> {
  readonly stores: readonly StateStore[];
  process(record: InputRecord<In>, out: Output): void;
  /** Called before each commit: results that became ready by themselves, none of them counted as input. */
  poll?(out: Output): void;
  /** The stores went back (rollback, drop): whatever fields were read from them must be read anew. */
  reset?(): void;
  /**
   * Where it stands, as JSON: its sources' clocks (as `clocks`, which the status shows), emit cursor, configuration
   * versions, sizes of dictionaries. Written into every progress record; after a restore it must be the same again.
   */
  standing?(): Standing;
  /** Numbers of its own that the status shows, by name. */
  figures?(): Readonly<Record<string, number>>;
}

/**
 * A step with an effect on the outside that may be repeated (scoring, searching, writing text).
 *
 * Order of calls per batch: `plan` (pure, changes nothing), `perform` (the only await; retried by itself until its
 * budget ends, then throws), `apply` (pure, once, in offset order). A crash between them repeats plan and perform. If
 * plan or apply throws, the batch is taken back and each record comes again alone: those that throw become dead letters.
 */
export interface EffectProcessor<In, Request, Reply> {
  readonly stores: readonly StateStore[];
  plan(records: readonly InputRecord<In>[]): Request;
  perform(request: Request, signal: AbortSignal): Promise<Reply>;
  apply(records: readonly InputRecord<In>[], reply: Reply, out: Output): void;
  poll?(out: Output): void;
  reset?(): void;
  standing?(): Standing;
  figures?(): Readonly<Record<string, number>>;
}

/** What a raw processor writes to: it says itself which record a rejection belongs to. */
export interface RawOutput extends Output {
  at(record: Pick<RawRecord, "offset" | "timestampMs">): void;
}

/**
 * What a stage does that time has brought no record for: once its task has read everything and `afterMs` have passed
 * without a record, `decide` may note in a store how time is to move on. True: it did, and that is committed. The decision
 * is used behind that commit only, by the next `takeRaw` or `poll`, so that it stands in the changelog before anything
 * rests on it.
 */
export interface Silence {
  readonly afterMs: number;
  decide(): boolean;
}

/**
 * A pure step for records that come by the hundred thousand: it reads their bytes in place, many at a time behind one
 * savepoint. Each counts as one event. If `takeRaw` throws, all of them are taken back and each comes again alone: those
 * that throw become dead letters.
 */
export interface RawProcessor {
  readonly stores: readonly StateStore[];
  takeRaw(records: readonly RawRecord[], out: RawOutput): void;
  /** For the status. */
  readonly watermarkMs: number;
  readonly silence?: Silence;
  poll?(out: Output): void;
  reset?(): void;
  standing?(): Standing;
  figures?(): Readonly<Record<string, number>>;
}

// biome-ignore lint/suspicious/noExplicitAny: the runtime does not look into requests and replies
export type AnyProcessor = Processor<any> | EffectProcessor<any, any, any> | RawProcessor;

export const isRawProcessor = (p: AnyProcessor): p is RawProcessor => "takeRaw" in p;

export const isEffectProcessor = (p: AnyProcessor): p is EffectProcessor<unknown, unknown, unknown> => "plan" in p;
