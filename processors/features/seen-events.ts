import { type StateStore, type StoreName, storeName, WeirError } from "../../streams/index.ts";

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

/** One segment of a minute's hashes is one changelog value: 4,096 × 8 bytes. */
const SEGMENT_HASHES = 4096;
/** 4 Mi events of one partition in one minute: 32 MiB. */
const MAX_HASHES = 1 << 22;

/** The hashes of one minute: a list in the order of arrival, and an open-addressed table of places in it. */
class SeenMinute {
  hashes = new Int32Array(512);
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
 * are forgotten. Changelog keys: `<minute>/<segment>`, the segment's hashes as int32 pairs, little-endian.
 */
export class SeenEvents implements StateStore {
  readonly name: StoreName;
  #minutes = new Map<number, SeenMinute>();
  #deleted: string[] = [];

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
    return seen.add(hash.high, hash.low);
  }

  evictBelow(minute: number): void {
    for (const [m, seen] of this.#minutes) {
      if (m >= minute) continue;
      for (let i = 0; i * SEGMENT_HASHES < seen.loggedCount; i++) this.#deleted.push(`${m}/${i}`);
      this.#minutes.delete(m);
    }
  }

  restore(key: string, value: Buffer | null): void {
    const [minute, segment] = key.split("/").map(Number) as [number, number];
    if (value === null) {
      // Segments of a minute are only deleted together, at its close.
      this.#minutes.delete(minute);
      return;
    }
    let seen = this.#minutes.get(minute);
    if (!seen) {
      seen = new SeenMinute();
      this.#minutes.set(minute, seen);
    }
    for (let at = 0; at < value.length; at += 8) seen.add(value.readInt32LE(at), value.readInt32LE(at + 4));
    seen.loggedCount = Math.max(seen.loggedCount, segment * SEGMENT_HASHES + value.length / 8);
  }

  flush(write: (key: string, value: Buffer | null) => void): void {
    for (const key of this.#deleted) write(key, null);
    this.#deleted = [];
    for (const [minute, seen] of this.#minutes) {
      if (seen.loggedCount === seen.count) continue;
      for (let i = Math.floor(seen.loggedCount / SEGMENT_HASHES); i * SEGMENT_HASHES < seen.count; i++) {
        const part = seen.hashes.subarray(i * SEGMENT_HASHES * 2, Math.min((i + 1) * SEGMENT_HASHES, seen.count) * 2);
        write(`${minute}/${i}`, Buffer.from(new Uint8Array(part.buffer, part.byteOffset, part.byteLength)));
      }
      seen.loggedCount = seen.count;
    }
  }

  get size() {
    let keys = 0;
    let bytes = 0;
    for (const seen of this.#minutes.values()) {
      keys += Math.ceil(seen.count / SEGMENT_HASHES);
      bytes += seen.bytes;
    }
    return { keys, bytes };
  }
}
