/** Times and sizes of the bridge, each with its default. */
export interface BridgeTuning {
  /** A transaction is committed at the end of every page read, and in between when it has grown to this. */
  readonly commitBytes: number;
  /** Between two GetRecords of a shard: 250 ms keeps 4 of the 5 calls a second that all readers of a shard share. */
  readonly minPollMs: number;
  /** Between two GetRecords of a shard that had nothing to say. */
  readonly maxPollMs: number;
  /** "arrival" mode: a shard read to its tip and silent this long no longer holds the watermark. */
  readonly idleAfterMs: number;
  /** A shard waits while its clock is further than this ahead of the slowest other. */
  readonly maxSkewMs: number;
  /** "arrival" mode: how long CloudWatch may take to deliver; the clock is at least arrival minus this. */
  readonly deliveryAllowanceMs: number;
  /** Between two ListShards, beside those that the end of a shard calls for. */
  readonly relistMs: number;
  /** More take-overs of one shard than this mean two owners at war, or a broker that cannot be worked with. */
  readonly maxTakeOversPerMinute: number;
  /** How long a fenced task gives a newer owner to claim the shard before it looks whether there is one. */
  readonly claimWaitMs: number;
  readonly retryBaseMs: number;
  readonly retryCapMs: number;
}

export const defaultTuning: BridgeTuning = {
  commitBytes: 3 * 1024 * 1024,
  minPollMs: 250,
  maxPollMs: 1_000,
  idleAfterMs: 30_000,
  maxSkewMs: 10 * 60_000,
  deliveryAllowanceMs: 5 * 60_000,
  relistMs: 30_000,
  maxTakeOversPerMinute: 20,
  claimWaitMs: 1_500,
  retryBaseMs: 200,
  retryCapMs: 10_000,
};
