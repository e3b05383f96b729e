import { addValue, mergeCell } from "./pane-cells.ts";
import {
  ACTIVE,
  COUNT,
  EVENTS,
  FIRST,
  FIRST_OFFSET,
  FIRST_TIE,
  FIRST_TIME,
  FLAGGED,
  GOOD,
  IMPUTED,
  LAST,
  LAST_OFFSET,
  LAST_TIE,
  LAST_TIME,
  MIN,
  type PaneLayout,
  REFUSED,
  SUM,
  SUM_LOW,
} from "./pane-layout.ts";

/**
 * Panes in their sparse form: what the changelog holds, and how closed minutes lie in memory. All float64, little-endian.
 *
 *   slot   header (two bits a signal) · events · first offset · last offset · refused and imputed as 32 bits each · cells
 *   cell   NONE nothing · SINGLE its one value [time · tie] · FLAGGED_SINGLE the same, out of range
 *          · WHOLE count to flagged as in memory [first to last tie] · a count is one number under WHOLE
 */
const NONE = 0;
const SINGLE = 1;
const WHOLE = 2;
const FLAGGED_SINGLE = 3;
const WHOLE_FIELDS = FLAGGED + 1;
const EVEN_BITS = 0x5555_5555;

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
  out.f.fill(0, at, at + headerWords);
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

const scratch = new Float64Array(LAST_TIE + 1);

/**
 * Adds a sparse slot, one closed minute, to what `g` has gathered at `base`. `older`: the minute lies before all of it.
 * Where `means` is given, the minute's float32 means of all signals are written there, as far as it has them.
 */
export function mergeSlot(
  layout: PaneLayout,
  words: Words,
  at: number,
  g: Float64Array,
  base: number,
  older: boolean,
  means: Float32Array | null,
  meansAt: number,
): void {
  const { cellAt, counted, signals, headerWords, ordered, slotFields, centres } = layout;
  const { f, u } = words;
  const own = base + slotFields;
  let next = at + headerWords;
  const spoke = f[next]! > 0;
  g[own + EVENTS]! += f[next]!;
  if (spoke) g[own + ACTIVE]! += 1;
  next += 3;
  g[own + REFUSED]! += u[next * 2]!;
  g[own + IMPUTED]! += u[next * 2 + 1]!;
  next++;
  if (means && spoke) for (let s = 0; s < signals; s++) if (counted[s]) means[meansAt + s] = 0;
  let word = 0;
  let codes = u[at * 2]!;
  let left = (codes | (codes >>> 1)) & EVEN_BITS;
  for (;;) {
    while (left === 0) {
      if (++word * 16 >= signals) return;
      codes = u[at * 2 + word]!;
      left = (codes | (codes >>> 1)) & EVEN_BITS;
    }
    // The lowest signal that has a cell; most have none.
    const bit = 31 - Math.clz32(left & -left);
    left &= left - 1;
    const s = word * 16 + (bit >> 1);
    const code = (codes >>> bit) & 3;
    const c = base + cellAt[s]!;
    const value = f[next]!;
    if (counted[s]) {
      g[c + COUNT]! += value;
      next++;
      if (means) means[meansAt + s] = value;
    } else if (code === WHOLE) {
      if (means) means[meansAt + s] = centres[s]! + (f[next + SUM]! + f[next + SUM_LOW]!) / value;
      for (let i = 0; i < WHOLE_FIELDS; i++) scratch[i] = f[next++]!;
      if (ordered) for (let i = FIRST; i <= LAST_TIE; i++) scratch[i] = f[next++]!;
      scratch[GOOD] = scratch[FLAGGED] === 0 ? 1 : 0;
      mergeCell(g, c, scratch, 0, older, ordered);
    } else {
      const centre = centres[s]!;
      if (means) means[meansAt + s] = centre + (value - centre);
      next++;
      const first = g[c + COUNT] === 0;
      addValue(g, c, value, centre);
      if (code === SINGLE) g[c + GOOD]! += 1;
      else g[c + FLAGGED]! += 1;
      if (ordered) {
        if (first || older) {
          g[c + FIRST] = value;
          g[c + FIRST_TIME] = f[next]!;
          g[c + FIRST_TIE] = f[next + 1]!;
        }
        if (first || !older) {
          g[c + LAST] = value;
          g[c + LAST_TIME] = f[next]!;
          g[c + LAST_TIE] = f[next + 1]!;
        }
        next += 2;
      }
    }
  }
}

/** Adds slots that lie in memory as cells, e.g. the sums of some minutes. */
export function mergeDense(
  layout: PaneLayout,
  v: Float64Array,
  from: number,
  g: Float64Array,
  into: number,
  older: boolean,
): void {
  const { cellAt, counted, signals, ordered, slotFields } = layout;
  for (let s = 0; s < signals; s++) {
    const c = cellAt[s]!;
    if (counted[s]) g[into + c]! += v[from + c]!;
    else mergeCell(g, into + c, v, from + c, older, ordered);
  }
  g[into + slotFields + EVENTS]! += v[from + slotFields + EVENTS]!;
  for (let i = REFUSED; i <= ACTIVE; i++) g[into + slotFields + i]! += v[from + slotFields + i]!;
}
