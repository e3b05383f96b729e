import type { ParsedKey } from "./layout.ts";

/** What was counted over a stretch of input: rows or events, signs of life without rows, records nobody can read. */
export interface LakeCounts {
  readonly accepted: number;
  readonly control: number;
  readonly dead: number;
}

export const noLakeCounts: LakeCounts = { accepted: 0, control: 0, dead: 0 };

/** What an object says about itself. */
export interface ObjectFacts extends ParsedKey {
  /** Offset of the last record that has rows in it. */
  readonly last: number;
  readonly rows: number;
  /** Every row of the partition below this offset lies in some object, this one included. True for ever once written. */
  readonly safe: number;
  /** What was counted below `safe`. */
  readonly belowSafe: LakeCounts;
}

/** Where a partition goes on, given any of its objects; null: none, begin where the log begins. */
export function planResume(objects: readonly ObjectFacts[]): { beginAt: number; counts: LakeCounts } | null {
  let best: ObjectFacts | undefined;
  for (const o of objects) if (!best || o.safe > best.safe) best = o;
  return best ? { beginAt: best.safe, counts: best.belowSafe } : null;
}

/** True if the folder's chain, which ends with the record at `chainEnd` (-1: it is empty), holds this record's rows. */
export const isWritten = (offset: number, chainEnd: number): boolean => offset <= chainEnd;

/** The lowest offset with rows not yet in any object, once the file now being written is left out. */
export function safeAfter<T extends { readonly first: number }>(
  stillOpen: readonly T[],
  nextOffset: number,
): { safe: number; file: T | null } {
  let lowest: T | null = null;
  for (const f of stillOpen) if (!lowest || f.first < lowest.first) lowest = f;
  return lowest ? { safe: lowest.first, file: lowest } : { safe: nextOffset, file: null };
}

/**
 * What a refused create means. The name holds the first offset, so the object standing there begins where ours does.
 * The same range: our own upload whose reply was lost, or a twin's with the same rows. Another: somebody else writes
 * this chain, and what was planned from the old listing no longer holds.
 */
export function onRefusedCreate(
  ours: { readonly last: number; readonly rows: number },
  theirs: { readonly last: number; readonly rows: number },
): "written" | "list-again" {
  return ours.last === theirs.last && ours.rows === theirs.rows ? "written" : "list-again";
}
