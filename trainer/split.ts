/** Values of `TimeSplit.slice`. */
export const EMBARGO = 0;
export const TRAIN = 1;
export const VALIDATION = 2;

export interface TimeSplit {
  /** Per row: TRAIN, VALIDATION, or EMBARGO for rows that neither may see. */
  readonly slice: Int8Array;
  /** Window end of the first validation row. */
  readonly boundaryMs: number;
  readonly train: number;
  readonly validation: number;
  readonly embargo: number;
}

/**
 * Cuts rows in time: the earlier ones are fitted, the later ones choose the operating point.
 *
 * The cut is placed so that the last `validationFraction` of the rows with a known label (all rows if none is known)
 * lies behind it, and never between two rows of one window end. A training row ends at least `embargoMs` before the
 * cut: with an embargo as long as the longest window no event counts in both slices.
 */
export function splitInTime(
  windowEndMs: Float64Array,
  label: Int8Array,
  options: { readonly validationFraction: number; readonly embargoMs: number },
): TimeSplit {
  const known = windowEndMs.filter((_, row) => label[row]! >= 0);
  const times = (known.length > 0 ? known : windowEndMs.slice()).sort();
  const boundaryMs = times[Math.floor(times.length * (1 - options.validationFraction))] ?? Number.POSITIVE_INFINITY;
  const slice = new Int8Array(windowEndMs.length);
  const count: [number, number, number] = [0, 0, 0];
  for (let row = 0; row < slice.length; row++) {
    const end = windowEndMs[row]!;
    const part = end >= boundaryMs ? VALIDATION : end <= boundaryMs - options.embargoMs ? TRAIN : EMBARGO;
    slice[row] = part;
    count[part]++;
  }
  return { slice, boundaryMs, train: count[TRAIN], validation: count[VALIDATION], embargo: count[EMBARGO] };
}
