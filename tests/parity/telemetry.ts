/** Telemetry as the bridge would write it to logs.raw: two shards, two partitions, the shards' clocks in band. */
import type { TelemetryRound } from "../../local/fleet/index.ts";
import { topics } from "../../pipeline.ts";
import type { FeatureSet } from "../../processors/index.ts";
import type { LogBatch, SourceSign } from "../../schemas/index.ts";
import { decodeRecord, toPieces } from "../../sources/index.ts";
import { type InputRecord, partitionFor } from "../../streams/index.ts";

export interface Telemetry {
  readonly name: string;
  readonly featureSet: FeatureSet;
  /** Window ends that are compared: from (inclusive), to (exclusive). */
  readonly fromMs: number;
  readonly toMs: number;
  readonly rounds: () => Iterable<TelemetryRound>;
}

export const PARTITIONS = 2;
const SHARDS = 2;
export const GRACE_MS = 60_000;

/** All records of logs.raw, in the order they are written, partitions mixed. */
export function* logsRaw(rounds: Iterable<TelemetryRound>): Generator<InputRecord<LogBatch>> {
  const offsets = new Array<number>(PARTITIONS).fill(0);
  const clocks = new Array<number>(SHARDS).fill(0);
  const record = (partition: number, value: LogBatch): InputRecord<LogBatch> => ({
    topic: topics.logsRaw,
    partition,
    offset: offsets[partition]!++,
    timestampMs: value.clockMs,
    key: value.entity,
    value,
  });
  const sign = (kind: SourceSign, shard: number, clockMs: number): LogBatch => {
    const about = { source: `s/${shard}`, clockMs, arrivalMs: clockMs, sequence: "" };
    return { kind, ...about, account: "", logGroup: "", logStream: "", entity: "", events: [] };
  };
  const everywhere = function* (kind: SourceSign, shard: number, clockMs: number) {
    for (let p = 0; p < PARTITIONS; p++) yield record(p, sign(kind, shard, clockMs));
  };
  for (let shard = 0; shard < SHARDS; shard++) yield* everywhere("open", shard, 0);
  for (const round of rounds) {
    for (const { data, partitionKey } of round.records) {
      const shard = partitionFor(partitionKey, SHARDS);
      const arrivalMs = round.clockMs;
      const decoded = decodeRecord(data, { arrivalMs, clockMode: "records" });
      const source = `s/${shard}`;
      const context = { stream: "s", shard: `${shard}`, source, clockMs: clocks[shard]!, partitions: PARTITIONS };
      for (const piece of toPieces({ sequence: "0", arrivalMs, data }, decoded, context))
        if (piece.kind === "log") yield record(piece.partition, piece.value);
    }
    for (let shard = 0; shard < SHARDS; shard++) {
      clocks[shard] = round.clockMs;
      yield* everywhere("tick", shard, round.clockMs);
    }
  }
}
