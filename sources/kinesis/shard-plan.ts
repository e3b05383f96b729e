import type { ShardCheckpoint } from "../../schemas/index.ts";
import type { StreamId } from "./names.ts";

/** A shard as ListShards tells it; both parents where it came from a merge. */
export interface ListedShard {
  readonly shard: string;
  readonly parents: readonly string[];
}

export interface ShardToOpen extends ListedShard {
  /** The lowest clock of its parents; 0 for a shard without known parents. */
  readonly clockMs: number;
  /** Ended parents whose sources have stood open so far, to hold the watermark for this child. */
  readonly closes: readonly string[];
}

/** What the coordinator must write, in one transaction, and which shards are to be read after it. */
export interface ShardPlan {
  readonly open: readonly ShardToOpen[];
  /** Sources of an earlier life of the stream, to close and mark ended. */
  readonly close: readonly ShardCheckpoint[];
  /** Rows nobody needs any more: their shards have ended and gone, and no child inherits from them. */
  readonly forget: readonly ShardCheckpoint[];
  /** Shards that the stream dropped before they were read to their end. */
  readonly lost: readonly ShardCheckpoint[];
  readonly read: readonly string[];
}

/** Not a shard: the row that keeps the counts of all forgotten ones. */
export const FORGOTTEN = "";

/**
 * Decides from ListShards and the committed checkpoint rows of the stream (all its lives). Pure.
 *
 * Parents come before children; a merge child waits for both; a parent that is no longer listed counts as finished.
 */
export function planShards(
  stream: StreamId,
  listed: readonly ListedShard[],
  rows: readonly ShardCheckpoint[],
): ShardPlan {
  const own = new Map(rows.filter((r) => r.streamCreatedMs === stream.createdMs).map((r) => [r.shard, r]));
  const names = new Set(listed.map((s) => s.shard));
  const close = rows.filter((r) => r.streamCreatedMs < stream.createdMs && r.state === "active");
  const lost = [...own.values()].filter((r) => r.state === "active" && !names.has(r.shard));
  const isFinished = (parent: string) => !names.has(parent) || own.get(parent)?.state === "ended";

  const open = listed
    .filter((s) => !own.has(s.shard) && s.parents.every(isFinished))
    .map((s): ShardToOpen => {
      const parents = s.parents.flatMap((p) => own.get(p) ?? []);
      const clockMs = parents.length > 0 ? Math.min(...parents.map((p) => p.clockMs)) : 0;
      return { ...s, clockMs, closes: parents.filter((p) => p.state === "ended").map((p) => p.shard) };
    });
  const active = listed.filter((s) => own.get(s.shard)?.state === "active").map((s) => s.shard);
  const heirs = new Set(listed.filter((s) => !own.has(s.shard)).flatMap((s) => s.parents));
  const forget = rows.filter((r) => {
    if (r.state !== "ended" || r.shard === FORGOTTEN) return false;
    return r.streamCreatedMs < stream.createdMs || (!names.has(r.shard) && !heirs.has(r.shard));
  });
  return { open, close, forget, lost, read: [...active, ...open.map((s) => s.shard)] };
}

/** True if the coordinator has something to write. */
export const hasWrites = (plan: ShardPlan): boolean => plan.open.length + plan.close.length + plan.forget.length > 0;
