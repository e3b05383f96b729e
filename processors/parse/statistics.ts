import { isObject } from "./types.ts";

/** Of one metric in one event. A summary of more is refused: see {@link readObservations}. */
export const MAX_OBSERVATIONS = 1_000;
/** Rounding of a sum by its writer, relative. */
const TOLERANCE = 1e-6;

/**
 * The observations a metric's value stands for, at most {@link MAX_OBSERVATIONS}; null if it is none of these shapes:
 * a number, an array of numbers (`maxValues` at most), `{Values, Counts}`, or `{Min, Max, Sum, Count}`.
 *
 * A summary of minimum, maximum, sum and count is turned into observations with exactly these: minimum and maximum
 * once, the rest spread evenly over the remaining sum. Their spread is the least that the summary allows. A summary
 * of more observations than the limit is not thinned out, for its sum would no longer be true.
 */
export function readObservations(target: unknown, maxValues: number): readonly number[] | null {
  if (typeof target === "number") return [target];
  if (Array.isArray(target)) {
    return target.length <= maxValues && target.every(isNumber) ? (target as number[]) : null;
  }
  if (!isObject(target)) return null;
  if ("Values" in target) return fromCounts(target.Values, target.Counts, maxValues);
  return fromSummary(target.Min, target.Max, target.Sum, target.Count);
}

function fromCounts(values: unknown, counts: unknown, maxValues: number): number[] | null {
  if (!Array.isArray(values) || values.length > maxValues || !values.every(isNumber)) return null;
  if (counts === undefined) return values as number[];
  if (!Array.isArray(counts) || counts.length !== values.length) return null;
  const observations: number[] = [];
  for (const [i, count] of (counts as unknown[]).entries()) {
    if (!isCount(count) || observations.length + count > MAX_OBSERVATIONS) return null;
    for (let n = 0; n < count; n++) observations.push((values as number[])[i]!);
  }
  return observations;
}

export function fromSummary(min: unknown, max: unknown, sum: unknown, count: unknown): number[] | null {
  if (
    !isCount(count) ||
    count > MAX_OBSERVATIONS ||
    !isFiniteNumber(min) ||
    !isFiniteNumber(max) ||
    !isFiniteNumber(sum)
  )
    return null;
  if (count === 0) return [];
  const slack = TOLERANCE * count * Math.max(Math.abs(min), Math.abs(max));
  if (min > max || sum < min * count - slack || sum > max * count + slack) return null;
  if (count === 1) return [sum];
  if (count === 2) return [min, sum - min];
  const middle = Math.min(max, Math.max(min, (sum - min - max) / (count - 2)));
  return [min, ...Array<number>(count - 2).fill(middle), max];
}

const isNumber = (value: unknown): boolean => typeof value === "number";
const isFiniteNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
const isCount = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0;
