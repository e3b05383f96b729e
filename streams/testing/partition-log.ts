import type { FetchResult, Isolation, RawRecord } from "../ports.ts";

/** What is appended; `producerId` null outside a transaction. */
export interface Appended {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestampMs: number;
}

interface Entry extends RawRecord {
  readonly producerId: number | null;
  /** A marker takes an offset like a record, and nobody sees it. */
  readonly marker: "commit" | "abort" | null;
  readonly appendedMs: number;
}

interface Aborted {
  readonly producerId: number;
  readonly firstOffset: number;
  readonly lastOffset: number;
}

const ENTRY_BYTES = 70;

/**
 * One partition of the simulated broker: offsets, open transactions and their last stable offset, the list of aborted
 * transactions in the order of their ends (as a real broker keeps it), compaction and deletion. Time is an argument.
 */
export class PartitionLog {
  startOffset = 0;
  endOffset = 0;
  #entries: Entry[] = [];
  /** Producer id → first offset of its open transaction. */
  #open = new Map<number, number>();
  #aborted: Aborted[] = [];

  append(records: readonly Appended[], producerId: number | null, nowMs: number): void {
    if (producerId !== null && records.length > 0 && !this.#open.has(producerId))
      this.#open.set(producerId, this.endOffset);
    for (const { key, value, timestampMs } of records)
      this.#entries.push({
        offset: this.endOffset++,
        key,
        value,
        timestampMs,
        producerId,
        marker: null,
        appendedMs: nowMs,
      });
  }

  /** Ends the producer's transaction here. A marker is written even where the transaction left no record. */
  mark(marker: "commit" | "abort", producerId: number, nowMs: number): void {
    const firstOffset = this.#open.get(producerId);
    this.#open.delete(producerId);
    const offset = this.endOffset++;
    this.#entries.push({ offset, key: null, value: null, timestampMs: nowMs, producerId, marker, appendedMs: nowMs });
    if (marker === "abort" && firstOffset !== undefined)
      this.#aborted.push({ producerId, firstOffset, lastOffset: offset });
  }

  hasOpen(producerId: number): boolean {
    return this.#open.has(producerId);
  }

  get lastStableOffset(): number {
    return Math.min(this.endOffset, ...this.#open.values());
  }

  end(isolation: Isolation): number {
    return isolation === "read_committed" ? this.lastStableOffset : this.endOffset;
  }

  /** Callers check the range before. At least one entry, then up to `maxBytes`. */
  read(offset: number, isolation: Isolation, maxBytes: number): FetchResult {
    const endOffset = this.end(isolation);
    const { startOffset } = this;
    const records: RawRecord[] = [];
    let nextOffset = offset;
    let bytes = 0;
    let i = this.#indexOf(offset);
    for (; i < this.#entries.length; i++) {
      const entry = this.#entries[i]!;
      if (entry.offset >= endOffset || bytes >= maxBytes) break;
      bytes += ENTRY_BYTES + (entry.key?.length ?? 0) + (entry.value?.length ?? 0);
      nextOffset = entry.offset + 1;
      if (entry.marker === null && !(isolation === "read_committed" && this.#isAborted(entry))) records.push(entry);
    }
    // Holes of the cleaner: the position passes over them.
    const following = this.#entries[i]?.offset ?? this.endOffset;
    if (following > nextOffset) nextOffset = Math.min(following, endOffset);
    return { records, nextOffset: Math.max(nextOffset, offset), endOffset, startOffset };
  }

  /** All committed records, in log order. */
  committed(): RawRecord[] {
    return this.read(this.startOffset, "read_committed", Number.POSITIVE_INFINITY).records as RawRecord[];
  }

  /** The last committed record of a key. */
  last(key: string): RawRecord | undefined {
    const stable = this.lastStableOffset;
    return this.#entries.findLast(
      (e) => e.marker === null && e.offset < stable && e.key?.toString() === key && !this.#isAborted(e),
    );
  }

  /**
   * What the log cleaner does below the last stable offset: aborted records go, of each key the last committed record
   * stays; a tombstone goes once it is older than `deleteRetentionMs`. Markers stay, as they mostly do.
   */
  compact(nowMs: number, deleteRetentionMs: number): void {
    const cleanTo = this.lastStableOffset;
    const last = new Map<string, number>();
    const keyOf = (entry: Entry) => entry.key?.toString("latin1") ?? "";
    const kept = this.#entries.filter((e) => e.offset >= cleanTo || e.marker !== null || !this.#isAborted(e));
    for (const e of kept) if (e.offset < cleanTo && e.marker === null) last.set(keyOf(e), e.offset);
    this.#entries = kept.filter((e) => {
      if (e.offset >= cleanTo || e.marker !== null) return true;
      if (last.get(keyOf(e)) !== e.offset) return false;
      return e.value !== null || nowMs - e.appendedMs < deleteRetentionMs;
    });
  }

  /** Retention: records below are gone. */
  deleteBefore(offset: number): void {
    this.startOffset = Math.max(this.startOffset, Math.min(offset, this.lastStableOffset));
    this.#entries = this.#entries.filter((e) => e.offset >= this.startOffset);
  }

  #isAborted({ producerId, offset }: Entry): boolean {
    return (
      producerId !== null &&
      this.#aborted.some((a) => a.producerId === producerId && a.firstOffset <= offset && offset <= a.lastOffset)
    );
  }

  /** Of the first entry at or behind the offset. */
  #indexOf(offset: number): number {
    let [low, high] = [0, this.#entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#entries[middle]!.offset < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
