import { gzipSync } from "node:zlib";
import { envelope } from "../../../local/fleet/wire.ts";
import type { ShardRecord, ShardSource } from "../../../sources/index.ts";
import { sequenceOf } from "../replay/source.ts";
import type { LiveFleet } from "./fleet.ts";

/** Shards in this process that a fleet writes into as time goes by. Iterators are `shard:index`. */
export class LiveShards {
  readonly #fleet: LiveFleet;
  readonly #shards: ShardRecord[][];

  constructor(fleet: LiveFleet, shards: number) {
    this.#fleet = fleet;
    this.#shards = Array.from({ length: shards }, () => []);
  }

  /** What is delivered between the two times arrives at `toMs`. */
  arrive(fromMs: number, toMs: number): void {
    for (const { instance, entity, events } of this.#fleet.between(fromMs, toMs)) {
      const shard = this.#shards[instance % this.#shards.length]!;
      const logEvents = events.map(({ id, timestampMs, message }) => ({ id, timestamp: timestampMs, message }));
      const text = envelope({ logGroup: "/application/logs", logStream: entity }, logEvents);
      shard.push({ sequence: sequenceOf(shard.length), arrivalMs: toMs, data: gzipSync(text) });
    }
  }

  source(): ShardSource {
    const name = (shard: number) => `shard-${shard}`;
    return {
      describe: async () => ({ createdMs: 1_000, retentionMs: 86_400_000 }),
      listShards: async () => this.#shards.map((_, shard) => ({ shard: name(shard), parents: [] })),
      holds: async () => true,
      iterator: async (_stream, shard, sequence) => `${shard.split("-")[1]}:${sequence ? Number(sequence) + 1 : 0}`,
      records: async (iterator) => {
        const [shard, from] = iterator.split(":").map(Number) as [number, number];
        const records = this.#shards[shard]!.slice(from);
        return { records, next: `${shard}:${from + records.length}`, children: [], millisBehindLatest: 0 };
      },
    };
  }
}
