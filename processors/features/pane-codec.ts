import { addValue } from "./pane-cells.ts";
import {
  COUNT,
  EVENTS,
  FIRST,
  FIRST_OFFSET,
  FIRST_TIE,
  FIRST_TIME,
  FLAGGED,
  IMPUTED,
  LAST,
  LAST_OFFSET,
  LAST_TIE,
  LAST_TIME,
  MIN,
  type PaneLayout,
  REFUSED,
} from "./pane-layout.ts";

/**
 * Panes in their sparse form: what the changelog holds, and how closed minutes lie in memory. All float64, little-endian.
 *
 *   slot   header (two bits a signal) · events · first offset · last offset · refused and imputed as 32 bits each · cells
 *   cell   NONE nothing · SINGLE its one value [time · tie] · FLAGGED_SINGLE the same, out of range
 *          · WHOLE count to flagged as in memory [first to last tie] · a count is one number under WHOLE
 */
const NONE = 0;
export const SINGLE = 1;
export const WHOLE = 2;
const FLAGGED_SINGLE = 3;
export const WHOLE_FIELDS = FLAGGED + 1;
/** Of a header: one bit of each signal's two. */
export const EVEN_BITS = 0x5555_5555;

/** The same bytes twice. */
export interface Words {
  readonly f: Float64Array;
  readonly u: Uint32Array;
}

export const newWords = (length: number): Words => wordsOf(new Float64Array(length));
export const wordsOf = (f: Float64Array): Words => ({ f, u: new Uint32Array(f.buffer, f.byteOffset, f.length * 2) });
/** A copy at an address that float64 may lie at. Throws RangeError for bytes that are no whole number of them. */
export function wordsIn(bytes: Uint8Array): Words {
  if (bytes.length % 8 !== 0) throw new RangeError(`${bytes.length} bytes`);
  return wordsOf(new Float64Array(new Uint8Array(bytes).buffer));
}

/** Room that one slot may need, in steps. */
export const largestSlot = (layout: PaneLayout): number => layout.slot + layout.headerWords;

/**
 * Writes the slot at `base` of `v` to `out` at `at`: the cells that differ from those at `oldBase` of `old`, or those
 * that are not empty. Returns where the next one goes.
 */
export function encodeSlot(
  layout: PaneLayout,
  v: Float64Array,
  base: number,
  old: Float64Array | null,
  oldBase: number,
  out: Words,
  at: number,
): number {
  const { cellAt, counted, signals, headerWords, ordered, slotFields } = layout;
  for (let i = 0; i < headerWords; i++) out.f[at + i] = 0;
  const own = base + slotFields;
  let next = at + headerWords;
  out.f[next++] = v[own + EVENTS]!;
  out.f[next++] = v[own + FIRST_OFFSET]!;
  out.f[next++] = v[own + LAST_OFFSET]!;
  out.u[next * 2] = v[own + REFUSED]!;
  out.u[next * 2 + 1] = v[own + IMPUTED]!;
  next++;
  for (let s = 0; s < signals; s++) {
    const c = base + cellAt[s]!;
    const count = v[c + COUNT]!;
    // Each observation raises the count, so an unchanged count is an unchanged cell.
    if (old === null ? count === 0 : count === old[oldBase + cellAt[s]!]!) continue;
    let code = WHOLE;
    if (counted[s]) out.f[next++] = count;
    else if (count === 1 && v[c + FLAGGED]! <= 1) {
      code = v[c + FLAGGED] === 1 ? FLAGGED_SINGLE : SINGLE;
      out.f[next++] = v[c + MIN]!;
      if (ordered) {
        out.f[next++] = v[c + FIRST_TIME]!;
        out.f[next++] = v[c + FIRST_TIE]!;
      }
    } else {
      for (let i = 0; i < WHOLE_FIELDS; i++) out.f[next++] = v[c + i]!;
      if (ordered) for (let i = FIRST; i <= LAST_TIE; i++) out.f[next++] = v[c + i]!;
    }
    out.u[at * 2 + (s >> 4)]! |= code << ((s & 15) * 2);
  }
  return next;
}
/** Puts the cells that the sparse slot has in place of those at `base` of `v`. Returns where the next slot begins. */
export function overwriteSlot(layout: PaneLayout, words: Words, at: number, v: Float64Array, base: number): number {
  const { cellAt, counted, signals, headerWords, ordered, slotFields, centres } = layout;
  const { f, u } = words;
  const own = base + slotFields;
  let next = at + headerWords;
  v[own + EVENTS] = f[next++]!;
  v[own + FIRST_OFFSET] = f[next++]!;
  v[own + LAST_OFFSET] = f[next++]!;
  v[own + REFUSED] = u[next * 2]!;
  v[own + IMPUTED] = u[next * 2 + 1]!;
  next++;
  for (let s = 0; s < signals; s++) {
    const code = (u[at * 2 + (s >> 4)]! >>> ((s & 15) * 2)) & 3;
    if (code === NONE) continue;
    const c = base + cellAt[s]!;
    if (counted[s]) v[c + COUNT] = f[next++]!;
    else if (code === WHOLE) {
      for (let i = 0; i < WHOLE_FIELDS; i++) v[c + i] = f[next++]!;
      if (ordered) for (let i = FIRST; i <= LAST_TIE; i++) v[c + i] = f[next++]!;
    } else {
      v.fill(0, c, c + WHOLE_FIELDS);
      const value = f[next++]!;
      addValue(v, c, value, centres[s]!);
      if (code === FLAGGED_SINGLE) v[c + FLAGGED] = 1;
      if (ordered) next = setOrdered(v, c, value, f, next);
    }
  }
  return next;
}

function setOrdered(v: Float64Array, c: number, value: number, f: Float64Array, at: number): number {
  v[c + FIRST] = value;
  v[c + LAST] = value;
  v[c + FIRST_TIME] = f[at]!;
  v[c + LAST_TIME] = f[at]!;
  v[c + FIRST_TIE] = f[at + 1]!;
  v[c + LAST_TIE] = f[at + 1]!;
  return at + 2;
}
