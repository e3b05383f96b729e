/** What benchmarks make of their samples. */

/** The smallest value that at least `share` of the list does not exceed (nearest rank). Throws on an empty list. */
export function percentile(list: readonly number[], share: number): number {
  if (list.length === 0) throw new Error("No percentile of nothing.");
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}

/** The middle value; of an even number the mean of the two in the middle. */
export function median(list: readonly number[]): number {
  if (list.length === 0) throw new Error("No median of nothing.");
  const sorted = [...list].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

export const rounded = (value: number, digits = 1): number => Number(value.toFixed(digits));

/** Memory of a process at some time of what it simulates. */
export interface MemorySample {
  /** Counted from 0 at the beginning of simulated time. */
  readonly hour: number;
  readonly megabytes: number;
}

/**
 * By how much of the third hour's memory the last hour's lies above it, each the median of its samples: one collection
 * of garbage is no growth. Throws when either hour has no sample, or there are no three hours.
 */
export function growthPercent(samples: readonly MemorySample[], hours: number): number {
  if (hours < 4) throw new Error(`Growth is told from the third hour to a later one; there are ${hours}.`);
  const of = (hour: number) => samples.filter((s) => Math.floor(s.hour) === hour).map((s) => s.megabytes);
  const third = median(of(2));
  return (100 * (median(of(hours - 1)) - third)) / third;
}
