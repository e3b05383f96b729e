import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { decompressFrameSync } from "lz4-napi";
import { WeirError } from "../errors.ts";
import type { RawRecord } from "../ports.ts";
import { unsnappy } from "./snappy.ts";

/**
 * Record batches (magic 2) walked in place: https://kafka.apache.org/documentation/#recordbatch.
 * Keys and values are views into `bytes`, or into the inflated batch.
 */
const HEADER_BYTES = 61;
const COMPRESSION_MASK = 0x07;
const LOG_APPEND_TIME = 0x08;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;
const ABORT_MARKER = 0;

export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: number;
}

export interface DecodedBatches {
  readonly records: RawRecord[];
  /** Past the last whole batch: moves over markers, aborted records and batches the cleaner emptied. */
  readonly nextOffset: number;
}

/** What one batch may come to: a compressed one of the broker's usual 1 MB, at a ratio that no telemetry reaches. */
const MAX_INFLATED_BYTES = 268_435_456;

const inflate: Readonly<Record<number, (bytes: Buffer) => Buffer>> = {
  1: (bytes) => gunzipSync(bytes, { maxOutputLength: MAX_INFLATED_BYTES }),
  2: (bytes) => unsnappy(bytes, MAX_INFLATED_BYTES),
  3: (bytes) => decompressFrameSync(bytes),
  4: (bytes) => zstdDecompressSync(bytes, { maxOutputLength: MAX_INFLATED_BYTES }),
};

/**
 * Records at or after `fromOffset`, without control records and without those of aborted transactions.
 *
 * The broker's list of aborted transactions comes in the order they ended, so it is sorted by first offset; a
 * transaction is active from there to its producer's next abort marker, which may lie in a later fetch.
 */
export function decodeBatches(
  bytes: Buffer,
  fromOffset: number,
  aborted: readonly AbortedTransaction[],
): DecodedBatches {
  const waiting = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset);
  const active = new Set<bigint>();
  const records: RawRecord[] = [];
  let nextOffset = fromOffset;
  let next = 0;
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const baseOffset = readInt64(bytes, at);
    const end = at + 12 + bytes.readInt32BE(at + 8);
    if (end > bytes.length) break;
    const magic = bytes[at + 16];
    if (magic !== 2) {
      throw new WeirError(
        "UNSUPPORTED_MESSAGE_FORMAT",
        "fatal",
        `A record batch has magic ${magic}.`,
        "Rewrite the topic with a client of Kafka 0.11 or later.",
      );
    }
    const attributes = bytes.readInt16BE(at + 21);
    const lastOffset = baseOffset + bytes.readInt32BE(at + 23);
    const producerId = bytes.readBigInt64BE(at + 43);
    while (next < waiting.length && waiting[next]!.firstOffset <= lastOffset) active.add(waiting[next++]!.producerId);
    if (attributes & CONTROL) {
      if (isAbortMarker(bytes, at)) active.delete(producerId);
    } else if (!(attributes & TRANSACTIONAL && active.has(producerId)) && lastOffset >= fromOffset) {
      readRecords(bytes, at, end, attributes, baseOffset, fromOffset, records);
    }
    nextOffset = Math.max(nextOffset, lastOffset + 1);
    at = end;
  }
  return { records, nextOffset };
}

function isAbortMarker(bytes: Buffer, at: number): boolean {
  if (bytes.readInt32BE(at + 57) === 0) return false;
  const cursor = new Cursor(bytes, at + HEADER_BYTES);
  cursor.varint(); // length
  cursor.skip(1); // attributes
  cursor.varint();
  cursor.varint();
  return cursor.varint() >= 4 && bytes.readInt16BE(cursor.at + 2) === ABORT_MARKER;
}

function readRecords(
  bytes: Buffer,
  at: number,
  end: number,
  attributes: number,
  baseOffset: number,
  fromOffset: number,
  into: RawRecord[],
): void {
  const count = bytes.readInt32BE(at + 57);
  const codec = attributes & COMPRESSION_MASK;
  const decompress = inflate[codec];
  if (codec !== 0 && !decompress) {
    throw new WeirError(
      "UNSUPPORTED_COMPRESSION",
      "fatal",
      `A record batch is compressed with codec ${codec}.`,
      "Produce with zstd, lz4, gzip, snappy or none.",
    );
  }
  const body = bytes.subarray(at + HEADER_BYTES, end);
  const source = decompress ? decompress(body) : body;
  const baseTimestampMs = readInt64(bytes, at + 27);
  const appendTimeMs = attributes & LOG_APPEND_TIME ? readInt64(bytes, at + 35) : undefined;
  const cursor = new Cursor(source, 0);
  for (let i = 0; i < count; i++) {
    const recordEnd = cursor.varint() + cursor.at;
    cursor.skip(1);
    const timestampMs = baseTimestampMs + cursor.varlong();
    const offset = baseOffset + cursor.varint();
    if (offset >= fromOffset) {
      const keyLength = cursor.varint();
      const keyAt = cursor.at;
      cursor.skip(Math.max(0, keyLength));
      const valueLength = cursor.varint();
      into.push(
        new FetchedRecord(offset, appendTimeMs ?? timestampMs, source, keyAt, keyLength, cursor.at, valueLength),
      );
    }
    cursor.at = recordEnd;
  }
}

/** Its key and value are views made when they are asked for: whoever reads the bytes in place does without them. */
class FetchedRecord implements RawRecord {
  readonly offset: number;
  readonly timestampMs: number;
  readonly bytes: Buffer;
  readonly keyAt: number;
  readonly keyLength: number;
  readonly valueAt: number;
  readonly valueEnd: number;

  constructor(
    offset: number,
    timestampMs: number,
    bytes: Buffer,
    keyAt: number,
    keyLength: number,
    valueAt: number,
    valueLength: number,
  ) {
    this.offset = offset;
    this.timestampMs = timestampMs;
    this.bytes = bytes;
    this.keyAt = keyAt;
    this.keyLength = keyLength;
    this.valueAt = valueAt;
    this.valueEnd = valueAt + valueLength;
  }

  get key(): Buffer | null {
    return this.keyLength < 0 ? null : this.bytes.subarray(this.keyAt, this.keyAt + this.keyLength);
  }

  get value(): Buffer | null {
    return this.valueEnd < this.valueAt ? null : this.bytes.subarray(this.valueAt, this.valueEnd);
  }
}

/** Zig-zag varints of the record format. */
class Cursor {
  at: number;
  readonly #source: Buffer;

  constructor(source: Buffer, at: number) {
    this.#source = source;
    this.at = at;
  }

  skip(count: number): void {
    this.at += count;
  }

  varint(): number {
    let value = 0;
    let shift = 0;
    let byte: number;
    do {
      byte = this.#source[this.at++]!;
      value |= (byte & 0x7f) << shift;
      shift += 7;
    } while (byte & 0x80);
    return (value >>> 1) ^ -(value & 1);
  }

  /** Exact up to 2^53, which milliseconds never reach. */
  varlong(): number {
    let value = 0;
    let factor = 1;
    let byte: number;
    do {
      byte = this.#source[this.at++]!;
      value += (byte & 0x7f) * factor;
      factor *= 128;
    } while (byte & 0x80);
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}

export const readInt64 = (bytes: Buffer, at: number): number =>
  bytes.readInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4);
