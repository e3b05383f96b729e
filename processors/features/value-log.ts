import { isUsed, type PaneChunk } from "./pane-chunk.ts";
import type { PaneLayout } from "./pane-layout.ts";

/** What slots held before they were first written to. Its memory is kept for the next time. */
export class ValueLog {
  readonly chunks: PaneChunk[] = [];
  readonly slots: number[] = [];
  /** Old values lie one slot after the other, in the order they were added. */
  old: Float64Array;
  readonly #stride: number;

  constructor(stride: number) {
    this.#stride = stride;
    this.old = new Float64Array(stride * 64);
  }

  /** `empty`: the slot holds nothing yet, as most do when a minute's first event comes. */
  add(chunk: PaneChunk, slotInChunk: number, empty: boolean): void {
    const at = this.chunks.length * this.#stride;
    if (at === this.old.length) {
      const larger = new Float64Array(this.old.length * 2);
      larger.set(this.old);
      this.old = larger;
    }
    this.chunks.push(chunk);
    this.slots.push(slotInChunk);
    if (empty) {
      this.old.fill(0, at, at + this.#stride);
      return;
    }
    const from = slotInChunk * this.#stride;
    for (let i = 0; i < this.#stride; i++) this.old[at + i] = chunk.open![from + i]!;
  }

  /** Puts everything back, where the chunk is still open. */
  undo(): void {
    for (let n = this.chunks.length - 1; n >= 0; n--) {
      const at = n * this.#stride;
      this.chunks[n]!.open?.set(this.old.subarray(at, at + this.#stride), this.slots[n]! * this.#stride);
    }
    this.clear();
  }

  clear(): void {
    this.chunks.length = 0;
    this.slots.length = 0;
  }
}

/**
 * Old values since the last savepoint and since the last flush, and those of a flush that is not merged yet. A slot is
 * copied at its first touch only; those touched since the last flush are the ones to be written by the next.
 */
export class ValueLogs {
  #epoch = 1;
  #flushedEpoch = 1;
  readonly #layout: PaneLayout;
  readonly #record: ValueLog;
  #changed: ValueLog;
  #flushed: ValueLog;

  constructor(layout: PaneLayout) {
    this.#layout = layout;
    this.#record = new ValueLog(layout.slot);
    this.#changed = new ValueLog(layout.slot);
    this.#flushed = new ValueLog(layout.slot);
  }

  /** Before a slot is written to. False: this record has touched it already. */
  touch(chunk: PaneChunk, slotInChunk: number): boolean {
    const stamp = chunk.stamps[slotInChunk]!;
    if (stamp === this.#epoch) return false;
    const empty = !isUsed(this.#layout, chunk.open!, slotInChunk * this.#layout.slot);
    this.#record.add(chunk, slotInChunk, empty);
    if (stamp < this.#flushedEpoch) this.#changed.add(chunk, slotInChunk, empty);
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
    this.#flushedEpoch = ++this.#epoch;
  }

  savepoint(): void {
    this.#epoch++;
    this.#record.clear();
  }

  rollback(): void {
    this.#record.undo();
    this.#epoch++;
  }

  merge(): void {
    this.#flushed.clear();
  }

  drop(): void {
    this.#record.clear();
    this.#changed.undo();
    this.#flushed.undo();
    this.#flushedEpoch = ++this.#epoch;
  }
}
