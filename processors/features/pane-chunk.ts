import { encodeSlot, largestSlot, newWords, type Words, wordsIn } from "./pane-codec.ts";
import { EVENTS, type PaneLayout, REFUSED } from "./pane-layout.ts";

/**
 * Panes of one minute for a run of slots: the unit of memory and of the changelog. An open one lies in memory slot by
 * slot and cell by cell; once closed it is sparse and never changes again.
 */
export interface PaneChunk {
  readonly minute: number;
  readonly index: number;
  open: Float64Array | null;
  closed: Words | null;
  /** By slot: when it was last written to, in the store's own count of savepoints. */
  stamps: Float64Array;
  /** Whether the changelog holds it as a whole. */
  logged: boolean;
  /** Whether it holds more than its record in the changelog. */
  unfolded: boolean;
}

export const NO_STAMPS = new Float64Array(0);

export const newChunk = (minute: number, index: number): PaneChunk => ({
  minute,
  index,
  open: null,
  closed: null,
  stamps: NO_STAMPS,
  logged: false,
  unfolded: false,
});

/**
 * A sparse chunk: minute · slots · shape · for each slot the 32-bit place of its panes, 0 if it has none · panes.
 * `shape` tells state of another layout; it is negative while the minute is open.
 */
const HEAD = 3;
const placesOf = (slots: number): number => Math.ceil(slots / 2);
const shapeOf = (layout: PaneLayout): number =>
  layout.slot * 65_536 + layout.headerWords * 2 + (layout.ordered ? 1 : 0);

/** Where the slot's panes begin in a sparse chunk; 0 if there are none. */
export const placeOf = (words: Words, slotInChunk: number): number =>
  slotInChunk < words.f[1]! ? words.u[HEAD * 2 + slotInChunk]! : 0;

let scratch = newWords(0);

/** The sparse form of an open chunk, in memory of its own. */
export function encodeChunk(layout: PaneLayout, minute: number, values: Float64Array, open: boolean): Words {
  const slots = usedSlots(layout, values);
  const room = HEAD + placesOf(slots) + slots * largestSlot(layout);
  if (scratch.f.length < room) scratch = newWords(room);
  const { f, u } = scratch;
  f[0] = minute;
  f[1] = slots;
  f[2] = open ? -shapeOf(layout) : shapeOf(layout);
  let at = HEAD + placesOf(slots);
  f.fill(0, HEAD, at);
  for (let slot = 0; slot < slots; slot++) {
    const base = slot * layout.slot;
    if (!isUsed(layout, values, base)) continue;
    u[HEAD * 2 + slot] = at;
    at = encodeSlot(layout, values, base, null, 0, scratch, at);
  }
  return wordsIn(new Uint8Array(f.buffer, 0, at * 8));
}

export interface ReadChunk {
  readonly words: Words;
  /** Its minute was open when it was written. */
  readonly open: boolean;
}

/** Null if the bytes are no chunk of this minute and layout. */
export function readChunk(layout: PaneLayout, minute: number, bytes: Uint8Array): ReadChunk | null {
  if (bytes.length % 8 !== 0 || bytes.length < HEAD * 8) return null;
  const words = wordsIn(bytes);
  const shape = words.f[2]!;
  const fits = words.f[0] === minute && Math.abs(shape) === shapeOf(layout) && words.f[1]! <= layout.slotsPerChunk;
  return fits ? { words, open: shape < 0 } : null;
}

/** Whether the slot at `base` of an open chunk holds anything. */
export const isUsed = (layout: PaneLayout, values: Float64Array, base: number): boolean =>
  values[base + layout.slotFields + EVENTS]! > 0 || values[base + layout.slotFields + REFUSED]! > 0;

function usedSlots(layout: PaneLayout, values: Float64Array): number {
  let slots = layout.slotsPerChunk;
  while (slots > 0 && !isUsed(layout, values, (slots - 1) * layout.slot)) slots--;
  return slots;
}

/** The bytes of a changelog value. */
export const bytesOf = (words: Words): Buffer => Buffer.from(words.f.buffer, words.f.byteOffset, words.f.byteLength);

const DELTA_HEAD = 2;
/** Chunk and slot before each slot's changes. */
const DELTA_SLOT_HEAD = 1;
const MAX_DELTA_BYTES = 65_536;

/** One slot of an open chunk as it was at the last commit. */
export interface ChangedSlot {
  readonly chunk: PaneChunk;
  readonly slotInChunk: number;
  /** -1: it held nothing. */
  readonly oldAt: number;
}

/**
 * Changed slots of one open minute as changelog values: minute · shape · for each slot its chunk and place as 32 bits
 * each, and its changed cells. Absolute values: whatever comes later replaces what came before.
 */
export function encodeDeltas(
  layout: PaneLayout,
  minute: number,
  changed: readonly ChangedSlot[],
  old: Float64Array,
): Buffer[] {
  const values: Buffer[] = [];
  const words = newWords(DELTA_HEAD + Math.floor(MAX_DELTA_BYTES / 8));
  const room = words.f.length - largestSlot(layout) - DELTA_SLOT_HEAD;
  words.f[0] = minute;
  words.f[1] = shapeOf(layout);
  let at = DELTA_HEAD;
  const end = () => {
    values.push(Buffer.from(new Uint8Array(words.f.buffer.slice(0, at * 8))));
    at = DELTA_HEAD;
  };
  for (const { chunk, slotInChunk, oldAt } of changed) {
    const own = slotInChunk * layout.slot + layout.slotFields;
    const oldOwn = oldAt + layout.slotFields;
    const [events, refused] = oldAt < 0 ? [0, 0] : [old[oldOwn + EVENTS], old[oldOwn + REFUSED]];
    if (chunk.open![own + EVENTS] === events && chunk.open![own + REFUSED] === refused) continue; // it has been taken back
    if (at > room) end();
    words.u[at * 2] = chunk.index;
    words.u[at * 2 + 1] = slotInChunk;
    at = encodeSlot(
      layout,
      chunk.open!,
      slotInChunk * layout.slot,
      oldAt < 0 ? null : old,
      oldAt,
      words,
      at + DELTA_SLOT_HEAD,
    );
  }
  if (at > DELTA_HEAD) end();
  return values;
}

/** Null if the bytes are no deltas of this layout. */
export function readDeltas(layout: PaneLayout, bytes: Uint8Array): { minute: number; words: Words; at: number } | null {
  if (bytes.length % 8 !== 0 || bytes.length < DELTA_HEAD * 8) return null;
  const words = wordsIn(bytes);
  return words.f[1] === shapeOf(layout) ? { minute: words.f[0]!, words, at: DELTA_HEAD } : null;
}
