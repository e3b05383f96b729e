import type { ListedShard } from "./shard-plan.ts";
import type { ShardRecord } from "./to-log-batches.ts";

export interface ShardPage {
  readonly records: readonly ShardRecord[];
  /** Null: the shard is closed and these are its last records. */
  readonly next: string | null;
  /** Known only at the end of a shard; empty where the service does not say. */
  readonly children: readonly ListedShard[];
  readonly millisBehindLatest: number;
}

export interface StreamFacts {
  /** Since the epoch. A stream deleted and made anew under its name has another. */
  readonly createdMs: number;
  /** How long a record can be read. */
  readonly retentionMs: number;
}

/**
 * A stream of shards, seen through the four calls the bridge needs. Errors are WeirErrors:
 * `KINESIS_THROTTLED` and `KINESIS_UNAVAILABLE` (retry: the same iterator stays good), `KINESIS_ITERATOR_EXPIRED`
 * (retry with a new one), `KINESIS_AT_END` (retry: nothing can follow the sequence asked for; the shard is closed),
 * `KINESIS_NOT_FOUND` (retry: stream or shard are gone), `KINESIS_REFUSED` (fatal).
 */
export interface ShardSource {
  describe(stream: string, signal?: AbortSignal): Promise<StreamFacts>;
  /** All shards within retention, closed ones too. */
  listShards(stream: string, signal?: AbortSignal): Promise<readonly ListedShard[]>;
  /** Iterator behind `sequence`; empty: from the trim horizon. */
  iterator(stream: string, shard: string, sequence: string, signal?: AbortSignal): Promise<string>;
  records(iterator: string, signal?: AbortSignal): Promise<ShardPage>;
  /** Whether the record itself can still be read: then nothing behind it has been dropped. */
  holds(stream: string, shard: string, sequence: string, signal?: AbortSignal): Promise<boolean>;
}
