export const MINUTE_MS = 60_000;

/** Windows are half-open, in whole minutes since the epoch: minute m covers [m × 60,000, (m + 1) × 60,000). */
export const minuteOf = (timestampMs: number): number => Math.floor(timestampMs / MINUTE_MS);

/**
 * The closing rule: every minute below the result is closed at this watermark. A minute closes when the watermark
 * reaches its end plus grace; equality closes, as the end is exclusive.
 */
export const closedBefore = (watermarkMs: number, graceMs: number): number =>
  Math.floor((watermarkMs - graceMs) / MINUTE_MS);

/**
 * The lateness rule: an event is late below its own source's clock minus grace. The watermark is the lowest clock of
 * the open sources, so what this accepts never lies in a closed minute, however the sources interleave.
 */
export const isLate = (timestampMs: number, sourceClockMs: number, graceMs: number): boolean =>
  timestampMs < sourceClockMs - graceMs;
