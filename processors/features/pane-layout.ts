import type { FeatureSet } from "./feature-set.ts";

/**
 * A cell holds one signal of one entity over a minute, or over some minutes, as consecutive float64:
 *
 *   count · sum · sumLow · squares · squaresLow · min · max · flagged · good [· first · time · tie · last · time · tie]
 *
 * Sums are of the differences from the signal's declared centre and carry their rounding error along (`Low`), so that
 * they do not depend on the order of the samples. `good` counts the minutes with values of which none was flagged; it
 * stays 0 while the minute is open. All zero is the empty cell. Of a signal that counts lines only the count is kept.
 */
export const COUNT = 0;
export const SUM = 1;
export const SUM_LOW = 2;
export const SQUARES = 3;
export const SQUARES_LOW = 4;
export const MIN = 5;
export const MAX = 6;
export const FLAGGED = 7;
export const GOOD = 8;
export const FIRST = 9;
export const FIRST_TIME = 10;
export const FIRST_TIE = 11;
export const LAST = 12;
export const LAST_TIME = 13;
export const LAST_TIE = 14;

/**
 * Behind an entity's cells: its events in the minute, the lowest and highest offset that brought one, events refused
 * (late, too far ahead), and values taken as missing. The sixth is spare: without it chunks would hold other slots.
 */
export const EVENTS = 0;
export const FIRST_OFFSET = 1;
export const LAST_OFFSET = 2;
export const REFUSED = 3;
export const IMPUTED = 4;
const SLOT_FIELDS = 6;

/** Chunks are one changelog value each. */
export const MAX_CHUNK_BYTES = 65_536;
const MAX_SLOTS_PER_CHUNK = 64;
/** Minute, slots and shape, and an offset for each slot. */
const CHUNK_HEADER_BYTES = 3 * 8 + MAX_SLOTS_PER_CHUNK * 4;

/** Where things stand in a slot, in float64 steps. */
export interface PaneLayout {
  readonly signals: number;
  /** Beginning of each signal's cell. */
  readonly cellAt: Int32Array;
  /** 1 where the cell is a bare count. */
  readonly counted: Uint8Array;
  readonly centres: Float64Array;
  readonly slot: number;
  /** Offset of an entity's own fields behind its cells. */
  readonly slotFields: number;
  /** A power of two. */
  readonly slotsPerChunk: number;
  readonly ordered: boolean;
  /** Two bits for each signal head a slot in its sparse form: so many steps. */
  readonly headerWords: number;
}

export function paneLayout(set: FeatureSet): PaneLayout {
  const signals = set.signals.length;
  const valueCell = set.ordered ? LAST_TIE + 1 : GOOD + 1;
  const counted = Uint8Array.from(set.signals, (s) => ("centre" in s ? 0 : 1));
  const cellAt = new Int32Array(signals);
  let slotFields = 0;
  for (let s = 0; s < signals; s++) {
    cellAt[s] = slotFields;
    slotFields += counted[s] ? 1 : valueCell;
  }
  const slot = slotFields + SLOT_FIELDS;
  const headerWords = Math.ceil((2 * signals) / 64);
  const largest = (slot + headerWords) * 8;
  let slotsPerChunk = MAX_SLOTS_PER_CHUNK;
  while (slotsPerChunk > 1 && slotsPerChunk * largest + CHUNK_HEADER_BYTES > MAX_CHUNK_BYTES) slotsPerChunk /= 2;
  const centres = Float64Array.from(set.signals, (s) => ("centre" in s ? s.centre : 0));
  return { signals, cellAt, counted, centres, slot, slotFields, slotsPerChunk, ordered: set.ordered, headerWords };
}
