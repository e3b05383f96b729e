import { isUsed, type PaneChunk } from "./pane-chunk.ts";
import type { PaneLayout } from "./pane-layout.ts";

/** The slot held nothing, and nothing was copied. */
export const WAS_EMPTY = -1;

/** Stamp of a slot that has not been touched since the last flush. */
const UNTOUCHED = 0;

/** What slots held before they were first written to. Its memory is kept for the next time. */
export class ValueLog {
  readonly chunks: PaneChunk[] = [];
  readonly slots: number[] = [];
  /** Where the slot's old values begin, or that there were none. */
  readonly oldAt: number[] = [];
  /** Old values lie one slot after the other, in the order they were added. */
  old: Float64Array;
  readonly #layout: PaneLayout;
  #copied = 0;

  constructor(layout: PaneLayout) {
    this.#layout = layout;
    this.old = new Float64Array(layout.slot * 64);
  }

  add(chunk: PaneChunk, slotInChunk: number): void {
    const stride = this.#layout.slot;
    const from = slotInChunk * stride;
    this.chunks.push(chunk);
    this.slots.push(slotInChunk);
    if (!isUsed(this.#layout, chunk.open!, from)) {
      this.oldAt.push(WAS_EMPTY);
      return;
    }
    const at = this.#copied;
    if (at === this.old.length) {
      const larger = new Float64Array(this.old.length * 2);
      larger.set(this.old);
      this.old = larger;
    }
    this.oldAt.push(at);
    for (let i = 0; i < stride; i++) this.old[at + i] = chunk.open![from + i]!;
    this.#copied += stride;
  }

  /** Puts back what was added behind the first `kept`, where the chunk is still open. `stamp`: what the slot is left with. */
  undo(stamp: number, kept = 0): void {
    for (let n = this.chunks.length - 1; n >= kept; n--) {
      const stride = this.#layout.slot;
      const open = this.chunks[n]!.open;
      const into = this.slots[n]! * stride;
      const at = this.oldAt[n]!;
      if (at === WAS_EMPTY) open?.fill(0, into, into + stride);
      else {
        open?.set(this.old.subarray(at, at + stride), into);
        this.#copied = at;
      }
      if (open) this.chunks[n]!.stamps[this.slots[n]!] = stamp;
    }
    this.chunks.length = kept;
    this.slots.length = kept;
    this.oldAt.length = kept;
  }

  clear(): void {
    this.chunks.length = 0;
    this.slots.length = 0;
    this.oldAt.length = 0;
    this.#copied = 0;
  }
}

/**
 * Old values since the last flush, those of slots touched before since the last savepoint, and those of a flush that is not
 * merged yet. A slot is copied at its first touch only; those touched since the last flush are written by the next.
 */
export class ValueLogs {
  /** Counts savepoints and flushes; a slot's stamp is the count at its last touch. */
  #epoch = 1;
  #flushedEpoch = 1;
  /** Of slots that had been touched since the last flush already. */
  readonly #record: ValueLog;
  #changed: ValueLog;
  #flushed: ValueLog;
  /** Slots of `#changed` at the savepoint. */
  #mark = 0;

  constructor(layout: PaneLayout) {
    this.#record = new ValueLog(layout);
    this.#changed = new ValueLog(layout);
    this.#flushed = new ValueLog(layout);
  }

  /** Before a slot is written to. False: it was touched since the savepoint. */
  touch(chunk: PaneChunk, slotInChunk: number): boolean {
    const stamp = chunk.stamps[slotInChunk]!;
    if (stamp === this.#epoch) return false;
    (stamp < this.#flushedEpoch ? this.#changed : this.#record).add(chunk, slotInChunk);
    chunk.stamps[slotInChunk] = this.#epoch;
    return true;
  }

  get changed(): ValueLog {
    return this.#changed;
  }

  flushed(): void {
    this.#flushed.clear();
    [this.#flushed, this.#changed] = [this.#changed, this.#flushed];
    this.#record.clear();
    this.#mark = 0;
    this.#flushedEpoch = ++this.#epoch;
  }

  savepoint(): void {
    this.#epoch++;
    this.#record.clear();
    this.#mark = this.#changed.chunks.length;
  }

  rollback(): void {
    this.#record.undo(this.#flushedEpoch);
    this.#changed.undo(UNTOUCHED, this.#mark);
    this.#epoch++;
  }

  merge(): void {
    this.#flushed.clear();
  }

  drop(): void {
    this.#record.clear();
    this.#changed.undo(UNTOUCHED);
    this.#flushed.undo(UNTOUCHED);
    this.#mark = 0;
    this.#flushedEpoch = ++this.#epoch;
  }
}
