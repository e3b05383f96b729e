import type { ShardRecord, ShardSource } from "../../../sources/index.ts";

export interface Replay {
  readonly shards: number;
  /** Records of each shard, the closing clock record included. */
  readonly length: number;
  readonly recordAt: (shard: number, index: number) => ShardRecord;
  readonly pageRecords: number;
}

/** Shards in this process that hand out made-up records as fast as they are asked for. Iterators are `shard:index`. */
export function replaySource({ shards, length, recordAt, pageRecords }: Replay): ShardSource {
  const names = Array.from({ length: shards }, (_, s) => `shard-${s}`);
  return {
    describe: async () => ({ createdMs: 1_000, retentionMs: 365 * 86_400_000 }),
    listShards: async () => names.map((shard) => ({ shard, parents: [] })),
    holds: async () => true,
    iterator: async (_stream, shard, sequence) => `${names.indexOf(shard)}:${sequence ? Number(sequence) + 1 : 0}`,
    records: async (iterator) => {
      const [shard, from] = iterator.split(":").map(Number) as [number, number];
      const to = Math.min(length, from + pageRecords);
      const records = Array.from({ length: to - from }, (_, i) => recordAt(shard, from + i));
      return { records, next: `${shard}:${to}`, children: [], millisBehindLatest: to < length ? 1_000 : 0 };
    },
  };
}

/** Twenty digits, so that they sort as they count. */
export const sequenceOf = (index: number): string => String(index).padStart(20, "0");
