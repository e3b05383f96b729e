import type { ProducerRecord } from "../../streams/index.ts";
import { type StreamId, sourceIdOf } from "./names.ts";
import { freshCursor, rowOf, type ShardCursor } from "./shard-cursor.ts";
import type { ListedShard } from "./shard-plan.ts";
import type { Sign, Wire } from "./wire.ts";

export interface ShardEnd {
  readonly signs: readonly Sign[];
  /** Of the children that begin here. */
  readonly rows: readonly ProducerRecord[];
}

/** What stands in the transaction that ends a shard beside its last records and its own row. Pure. */
export function shardEnd(
  wire: Wire,
  stream: StreamId,
  shard: string,
  cursor: ShardCursor,
  children: readonly ListedShard[],
  hasRow: (source: string) => boolean,
): ShardEnd {
  const { clockMs, arrivalMs, sequence } = cursor;
  const own = children.filter((c) => c.parents.every((p) => p === shard));
  const fresh = own.filter((c) => !hasRow(sourceIdOf(stream, c.shard)));
  const signs: Sign[] = fresh.map((c) => ({
    kind: "open",
    source: sourceIdOf(stream, c.shard),
    clockMs,
    arrivalMs,
    sequence: "",
  }));
  // The child of a merge is opened by the coordinator when both parents have ended; until then this source stays
  // open where it is, or the watermark could pass the clock that the child inherits.
  if (own.length === children.length)
    signs.push({ kind: "close", source: sourceIdOf(stream, shard), clockMs, arrivalMs, sequence });
  return { signs, rows: fresh.map((c) => wire.row(rowOf(stream, c.shard, freshCursor(clockMs), c.parents))) };
}
