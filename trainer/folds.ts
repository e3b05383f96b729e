/** Values of `Fold.part`; NEITHER is the embargo around the fold's block and the unknown rows within it. */
export const NEITHER = 0;
export const FIT = 1;
export const SCORE = 2;

export const FOLDS = 5;
/** From here on the last quarter alone holds enough anomalies, and five fits more would cost minutes. */
const MAX_FOLDED_ROWS = 20_000;

export interface Fold {
  /** Window ends of the block's first and last labelled row. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Per row: FIT, SCORE or NEITHER. */
  readonly part: Int8Array;
}

/** Folds for few labelled rows with at least one anomaly among them; else one split in time serves. */
export function wantsFolds(label: Int8Array): boolean {
  let known = 0;
  for (const value of label) if (value >= 0) known++;
  return known < MAX_FOLDED_ROWS && label.includes(1);
}

/**
 * Cuts the labelled history into contiguous blocks in time with about as many labelled rows each; each fold scores the
 * labelled rows of one block and is fitted on all rows, unknown ones too, before and after it.
 *
 * Rows of one window end stay together. A row is fitted only if its window and those of the block, each `embargoMs`
 * long, do not overlap. Every labelled row is scored by one fold. Blocks that would be empty are left out; without labels there are none.
 */
export function foldsInTime(windowEndMs: Float64Array, label: Int8Array, embargoMs: number, count = FOLDS): Fold[] {
  const times = windowEndMs.filter((_, row) => label[row]! >= 0).sort();
  if (times.length === 0) return [];
  const starts = Array.from({ length: count }, (_, at) => times[Math.floor((times.length * at) / count)]!);
  return [...new Set(starts)].map((fromMs, at, all) => {
    const untilMs = all[at + 1] ?? Number.POSITIVE_INFINITY;
    const toMs = times.findLast((end) => end < untilMs)!;
    const part = Int8Array.from(windowEndMs, (end, row) => {
      if (end >= fromMs && end <= toMs) return label[row]! >= 0 ? SCORE : NEITHER;
      return end <= fromMs - embargoMs || end >= toMs + embargoMs ? FIT : NEITHER;
    });
    return { fromMs, toMs, part };
  });
}
