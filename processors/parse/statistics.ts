import { isObject } from "./types.ts";

/** Of one metric in one event. A summary of more is refused: see {@link readObservations}. */
export const MAX_OBSERVATIONS = 1_000;
/** Rounding of a sum by its writer, relative. */
const TOLERANCE = 1e-6;

/**
 * The observations a metric's value stands for, at most {@link MAX_OBSERVATIONS}; a text says where below the value it
 * is none of these shapes: a number, an array of numbers (`maxValues` at most), `{Values, Counts}`, or
 * `{Min, Max, Sum, Count}`.
 *
 * A summary of minimum, maximum, sum and count is turned into observations with exactly these: minimum and maximum
 * once, the rest spread evenly over the remaining sum. Their spread is the least that the summary allows. A summary
 * of more observations than the limit is not thinned out, for its sum would no longer be true.
 */
export function readObservations(target: unknown, maxValues: number): readonly number[] | string {
  if (typeof target === "number") return [target];
  if (Array.isArray(target)) {
    if (target.length > maxValues) return "";
    return target.every(isNumber) ? (target as number[]) : "[]";
  }
  if (!isObject(target)) return "";
  if ("Values" in target) return fromCounts(target.Values, target.Counts, maxValues);
  const { Min, Max, Sum, Count } = target;
  const found = fromSummary(Min, Max, Sum, Count);
  return typeof found === "string" ? `.${found[0]!.toUpperCase()}${found.slice(1)}` : found;
}

function fromCounts(values: unknown, counts: unknown, maxValues: number): number[] | string {
  if (!Array.isArray(values) || values.length > maxValues) return ".Values";
  if (!values.every(isNumber)) return ".Values[]";
  if (counts === undefined) return values as number[];
  if (!Array.isArray(counts) || counts.length !== values.length) return ".Counts";
  const observations: number[] = [];
  for (const [i, count] of (counts as unknown[]).entries()) {
    if (!isCount(count) || observations.length + count > MAX_OBSERVATIONS) return ".Counts[]";
    for (let n = 0; n < count; n++) observations.push((values as number[])[i]!);
  }
  return observations;
}

/** The observations, or which of the four is wrong: of those that contradict each other, the later one. */
export function fromSummary(
  min: unknown,
  max: unknown,
  sum: unknown,
  count: unknown,
): number[] | "min" | "max" | "sum" | "count" {
  if (!isFiniteNumber(min)) return "min";
  if (!isFiniteNumber(max)) return "max";
  if (!isFiniteNumber(sum)) return "sum";
  if (!isCount(count) || count > MAX_OBSERVATIONS) return "count";
  if (count === 0) return [];
  const slack = TOLERANCE * count * Math.max(Math.abs(min), Math.abs(max));
  if (min > max) return "max";
  if (sum < min * count - slack || sum > max * count + slack) return "sum";
  if (count === 1) return [sum];
  if (count === 2) return [min, sum - min];
  const middle = Math.min(max, Math.max(min, (sum - min - max) / (count - 2)));
  return [min, ...Array<number>(count - 2).fill(middle), max];
}

const isNumber = (value: unknown): boolean => typeof value === "number";
const isFiniteNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
const isCount = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0;
