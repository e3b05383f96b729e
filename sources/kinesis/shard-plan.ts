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
  /** Sources to close and mark ended: of an earlier life of the stream, or whose shard expired unread. */
  readonly close: readonly ShardCheckpoint[];
  readonly read: readonly string[];
}

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
  const stale = rows.filter((r) => r.streamCreatedMs < stream.createdMs && r.state === "active");
  const expired = [...own.values()].filter((r) => r.state === "active" && !names.has(r.shard));
  const isFinished = (parent: string) => !names.has(parent) || own.get(parent)?.state === "ended";

  const open = listed
    .filter((s) => !own.has(s.shard) && s.parents.every(isFinished))
    .map((s): ShardToOpen => {
      const parents = s.parents.flatMap((p) => own.get(p) ?? []);
      const clockMs = parents.length > 0 ? Math.min(...parents.map((p) => p.clockMs)) : 0;
      return { ...s, clockMs, closes: parents.filter((p) => p.state === "ended").map((p) => p.shard) };
    });
  const active = listed.filter((s) => own.get(s.shard)?.state === "active").map((s) => s.shard);
  return { open, close: [...stale, ...expired], read: [...active, ...open.map((s) => s.shard)] };
}

/** True if the coordinator has something to write. */
export const hasWrites = (plan: ShardPlan): boolean => plan.open.length > 0 || plan.close.length > 0;
