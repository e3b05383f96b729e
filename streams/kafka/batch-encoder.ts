import { constants, zstdCompressSync } from "node:zlib";
import { crc32c } from "@node-rs/crc32";
import type { ProducerRecord } from "../ports.ts";

const HEADER_BYTES = 61;
const TRANSACTIONAL = 0x10;
const ZSTD = 4;
/** Below this a batch is not compressed: little is won, and each batch costs a context. */
const MIN_COMPRESSED_BYTES = 1_024;
const fast = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

export interface BatchOwner {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  /** Sequence number of the first record. */
  readonly sequence: number;
}

export type Compression = "none" | "zstd";

/**
 * One transactional record batch (magic 2) of at least one record, all of one partition, in their order:
 * https://kafka.apache.org/documentation/#recordbatch
 */
export function encodeBatch(
  records: readonly ProducerRecord[],
  { producerId, producerEpoch, sequence }: BatchOwner,
  compression: Compression,
): Buffer {
  let baseMs = Number.POSITIVE_INFINITY;
  let maxMs = 0;
  for (const { timestampMs } of records) {
    if (timestampMs < baseMs) baseMs = timestampMs;
    if (timestampMs > maxMs) maxMs = timestampMs;
  }
  let total = HEADER_BYTES;
  const sizes = new Array<number>(records.length);
  for (let i = 0; i < records.length; i++) {
    const { key, value, timestampMs } = records[i]!;
    const size =
      2 + // attributes, count of headers
      varintBytes(timestampMs - baseMs) +
      varintBytes(i) +
      sizedBytes(key === null ? -1 : Buffer.byteLength(key)) +
      sizedBytes(value === null ? -1 : value.length);
    sizes[i] = size;
    total += varintBytes(size) + size;
  }
  let out = Buffer.allocUnsafe(total);
  let at = HEADER_BYTES;
  for (let i = 0; i < records.length; i++) {
    const { key, value, timestampMs } = records[i]!;
    at = writeVarint(out, at, sizes[i]!);
    out[at++] = 0;
    at = writeVarint(out, at, timestampMs - baseMs);
    at = writeVarint(out, at, i);
    if (key === null) at = writeVarint(out, at, -1);
    else {
      // The length stands before the text, and has as many bytes as counted above.
      at = writeVarint(out, at, Buffer.byteLength(key));
      at += out.write(key, at);
    }
    if (value === null) at = writeVarint(out, at, -1);
    else {
      at = writeVarint(out, at, value.length);
      at += value.copy(out, at);
    }
    out[at++] = 0;
  }
  let attributes = TRANSACTIONAL;
  if (compression === "zstd" && total >= MIN_COMPRESSED_BYTES) {
    const packed = zstdCompressSync(out.subarray(HEADER_BYTES), fast);
    if (packed.length < total - HEADER_BYTES) {
      // A buffer of its own: a part of the large one would keep it alive for as long as the batch is under way.
      out = Buffer.allocUnsafe(HEADER_BYTES + packed.length);
      packed.copy(out, HEADER_BYTES);
      attributes |= ZSTD;
    }
  }
  out.writeBigInt64BE(0n, 0); // base offset: the broker's to give
  out.writeInt32BE(out.length - 12, 8);
  out.writeInt32BE(0, 12); // leader epoch: the broker's too
  out[16] = 2; // magic
  out.writeInt16BE(attributes, 21);
  out.writeInt32BE(records.length - 1, 23);
  out.writeBigInt64BE(BigInt(baseMs), 27);
  out.writeBigInt64BE(BigInt(maxMs), 35);
  out.writeBigInt64BE(producerId, 43);
  out.writeInt16BE(producerEpoch, 51);
  out.writeInt32BE(sequence, 53);
  out.writeInt32BE(records.length, 57);
  out.writeUInt32BE(crc32c(out.subarray(21)), 17);
  return out;
}

/** The sequence number that many records later: after 2³¹ − 1 comes 0, as the broker counts. */
export const sequenceAfter = (sequence: number, records: number): number => (sequence + records) % 0x8000_0000;

const sizedBytes = (length: number): number => varintBytes(length) + Math.max(0, length);

/** Bytes of a zig-zag varint; exact up to 2^52. */
function varintBytes(value: number): number {
  let left = value >= 0 ? value * 2 : -value * 2 - 1;
  let bytes = 1;
  for (; left >= 128; bytes++) left = Math.floor(left / 128);
  return bytes;
}

function writeVarint(out: Buffer, at: number, value: number): number {
  let left = value >= 0 ? value * 2 : -value * 2 - 1;
  let to = at;
  // Numbers beyond 31 bits are rare: only they pay for the division.
  for (; left > 0x7fffffff; left = Math.floor(left / 128)) out[to++] = (left % 128) | 0x80;
  for (; left >= 128; left >>>= 7) out[to++] = (left & 0x7f) | 0x80;
  out[to++] = left;
  return to;
}
