import { type StateStore, type StoreName, storeName, WeirError } from "../../streams/index.ts";
import { DeltaKeys } from "./delta-keys.ts";
import { UndoLog } from "./undo-log.ts";

/** A 64-bit hash as two halves, so that no BigInt is made on the hot path. */
export interface Hash64 {
  high: number;
  low: number;
}

/** Starts a hash with the text that all ids of one record share. */
export const hashText = (text: string): Hash64 => extendHash({ high: 0x9e3779b9, low: 0x243f6a88 }, text, newHash());

export const newHash = (): Hash64 => ({ high: 0, low: 0 });

/** Hash of what `seed` stands for followed by `text`, written into `into`. Two multiplicative halves, mixed at the end. */
export function extendHash(seed: Hash64, text: string, into: Hash64): Hash64 {
  let a = seed.high;
  let b = seed.low;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    a = Math.imul(a ^ c, 0x9e3779b1);
    b = Math.imul(b ^ c, 0x5f356495);
  }
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ Math.imul(b ^ (b >>> 13), 0xc2b2ae35);
  b = Math.imul(b ^ (b >>> 16), 0x85ebca6b) ^ Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
  into.high = a | 0;
  into.low = b | 0;
  return into;
}

/** Non-negative and below 2^52: orders events of equal time the same way wherever they come from. */
export const tieOf = (hash: Hash64): number => (hash.high >>> 0) * 0x100000 + (hash.low >>> 12);

/** Of one changelog value: 64 KiB, less its minute. */
const MAX_VALUE_HASHES = 8_191;
const HASH_BYTES = 8;
const HEAD_BYTES = 8;
/** 4 Mi events of one partition in one minute: 32 MiB. */
const MAX_HASHES = 1 << 22;

/** The hashes of one minute: a list in the order of arrival, and an open-addressed table of places in it. */
class SeenMinute {
  hashes: Int32Array<ArrayBuffer> = new Int32Array(512);
  count = 0;
  /** First hash that the changelog lacks. */
  loggedCount = 0;
  #table = new Int32Array(1024);

  /** False if the hash was there. */
  add(high: number, low: number): boolean {
    const mask = this.#table.length - 1;
    let at = low & mask;
    for (let place = this.#table[at]!; place !== 0; place = this.#table[at]!) {
      if (this.hashes[place * 2 - 2] === high && this.hashes[place * 2 - 1] === low) return false;
      at = (at + 1) & mask;
    }
    if (this.count * 2 === this.hashes.length) this.hashes = enlarged(this.hashes);
    this.hashes[this.count * 2] = high;
    this.hashes[this.count * 2 + 1] = low;
    this.count++;
    this.#table[at] = this.count;
    if (this.count * 2 > this.#table.length) this.#rehash();
    return true;
  }

  /** Takes the last addition back: nothing was placed after it, so nothing is looked for behind its place. */
  removeLast(): void {
    const mask = this.#table.length - 1;
    let at = this.hashes[this.count * 2 - 1]! & mask;
    while (this.#table[at] !== this.count) at = (at + 1) & mask;
    this.#table[at] = 0;
    this.count--;
    this.loggedCount = Math.min(this.loggedCount, this.count);
  }

  #rehash(): void {
    this.#table = new Int32Array(this.#table.length * 2);
    const mask = this.#table.length - 1;
    for (let place = 1; place <= this.count; place++) {
      let at = this.hashes[place * 2 - 1]! & mask;
      while (this.#table[at] !== 0) at = (at + 1) & mask;
      this.#table[at] = place;
    }
  }

  get bytes(): number {
    return this.hashes.byteLength + this.#table.byteLength;
  }
}

function enlarged(array: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2);
  larger.set(array);
  return larger;
}

/**
 * Which events of the open minutes have been counted. After a minute's close a second copy is late, so closed minutes
 * are forgotten. Changelog keys: `seen/<minute mod 256>/<n>` (float64 minute, then hashes as int32 pairs, little-endian):
 * what one commit added, until the minute closes or its records are folded into fewer.
 */
export class SeenEvents implements StateStore {
  readonly name: StoreName;
  #minutes = new Map<number, SeenMinute>();
  #keys = new DeltaKeys("seen");
  #closed = new Set<number>();
  #undo = new UndoLog();
  /** Where hashes were added since the last merge, in order. */
  #added: SeenMinute[] = [];
  #mark = 0;

  constructor(name: string) {
    this.name = storeName(name);
  }

  /** True if the event is new, false if it was counted before. Throws `SEEN_FULL` (fatal) at the limit of a minute. */
  add(minute: number, hash: Hash64): boolean {
    let seen = this.#minutes.get(minute);
    if (!seen) {
      seen = new SeenMinute();
      this.#minutes.set(minute, seen);
    }
    if (seen.count >= MAX_HASHES) {
      throw new WeirError(
        "SEEN_FULL",
        "fatal",
        `More than ${MAX_HASHES} events of minute ${minute} in one partition.`,
        "Give the input topic more partitions.",
      );
    }
    if (!seen.add(hash.high, hash.low)) return false;
    this.#added.push(seen);
    return true;
  }

  evictBelow(minute: number): void {
    for (const [m, seen] of this.#minutes) {
      if (m >= minute) continue;
      this.#minutes.delete(m);
      this.#closed.add(m);
      this.#undo.add(() => {
        this.#minutes.set(m, seen);
        this.#closed.delete(m);
      });
    }
  }

  restore(key: string, value: Buffer | null): void {
    // A minute's records are only deleted together, at its close.
    if (value === null) return;
    const minute = value.readDoubleLE(0);
    let seen = this.#minutes.get(minute);
    if (!seen) {
      seen = new SeenMinute();
      this.#minutes.set(minute, seen);
    }
    for (let at = HEAD_BYTES; at < value.length; at += HASH_BYTES) {
      seen.add(value.readInt32LE(at), value.readInt32LE(at + 4));
    }
    seen.loggedCount = seen.count;
    this.#keys.hold(minute, key);
  }

  flush(write: (key: string, value: Buffer | null) => void): void {
    this.#undo.add(this.#keys.undo());
    for (const minute of this.#closed) for (const key of this.#keys.clear(minute)) write(key, null);
    this.#closed.clear();
    for (const [minute, seen] of this.#minutes) {
      if (seen.loggedCount === seen.count) continue;
      const room = this.#keys.hasRoom(minute, Math.ceil((seen.count - seen.loggedCount) / MAX_VALUE_HASHES));
      const stale = new Set(room ? [] : this.#keys.clear(minute));
      for (let first = room ? seen.loggedCount : 0; first < seen.count; first += MAX_VALUE_HASHES) {
        const key = this.#keys.next(minute);
        stale.delete(key);
        write(key, recordOf(minute, seen, first, Math.min(first + MAX_VALUE_HASHES, seen.count)));
      }
      for (const key of stale) write(key, null);
      const before = seen.loggedCount;
      seen.loggedCount = seen.count;
      this.#undo.add(() => {
        seen.loggedCount = before;
      });
    }
  }

  savepoint(): void {
    this.#undo.savepoint();
    this.#mark = this.#added.length;
  }

  rollback(): void {
    this.#undo.rollback();
    while (this.#added.length > this.#mark) this.#added.pop()!.removeLast();
  }

  merge(): void {
    this.#undo.merge();
    this.#added = [];
    this.#mark = 0;
  }

  drop(): void {
    this.#undo.drop();
    this.#mark = 0;
    while (this.#added.length > 0) this.#added.pop()!.removeLast();
  }

  get size() {
    let bytes = 0;
    for (const seen of this.#minutes.values()) bytes += seen.bytes;
    return { keys: this.#keys.count, bytes };
  }
}

function recordOf(minute: number, seen: SeenMinute, first: number, end: number): Buffer {
  const out = Buffer.allocUnsafe(HEAD_BYTES + (end - first) * HASH_BYTES);
  out.writeDoubleLE(minute, 0);
  const { buffer, byteOffset } = seen.hashes;
  Buffer.from(buffer, byteOffset + first * HASH_BYTES, (end - first) * HASH_BYTES).copy(out, HEAD_BYTES);
  return out;
}
