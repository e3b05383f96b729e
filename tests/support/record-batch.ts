import { gzipSync, zstdCompressSync } from "node:zlib";
import { compressFrameSync } from "lz4-napi";

/** Builds record batches as a broker stores them, for the decoder's tests. */
export interface BatchShape {
  readonly base: number;
  readonly producerId?: number;
  readonly transactional?: boolean;
  /** A marker: true for commit, false for abort. */
  readonly marker?: boolean;
  readonly records?: readonly {
    readonly key?: Buffer | null;
    readonly value?: Buffer | null;
    readonly delta?: number;
  }[];
  /** Of the batch, larger than its records where the cleaner took the last ones. */
  readonly lastDelta?: number;
  readonly codec?: 0 | 1 | 3 | 4;
}

const varint = (value: number): Buffer => {
  let n = value >= 0 ? value * 2 : -value * 2 - 1;
  const bytes: number[] = [];
  do {
    bytes.push((n & 0x7f) | (n > 127 ? 0x80 : 0));
    n = Math.floor(n / 128);
  } while (n > 0);
  return Buffer.from(bytes);
};

const sized = (bytes: Buffer | null | undefined): Buffer =>
  bytes ? Buffer.concat([varint(bytes.length), bytes]) : varint(-1);

export function recordBatch(shape: BatchShape): Buffer {
  const control = shape.marker !== undefined;
  const marker = Buffer.from([0, 0, 0, shape.marker ? 1 : 0]);
  const records = control ? [{ key: marker, value: Buffer.alloc(6) }] : (shape.records ?? []);
  const body = Buffer.concat(
    records.map((record, i) => {
      const delta = "delta" in record && record.delta !== undefined ? record.delta : i;
      const inside = Buffer.concat([
        Buffer.from([0]),
        varint(delta * 10),
        varint(delta),
        sized(record.key),
        sized(record.value),
        varint(0),
      ]);
      return Buffer.concat([varint(inside.length), inside]);
    }),
  );
  const packed = { 0: (b: Buffer) => b, 1: gzipSync, 3: compressFrameSync, 4: zstdCompressSync }[shape.codec ?? 0](
    body,
  ) as Buffer;
  const header = Buffer.alloc(61);
  header.writeBigInt64BE(BigInt(shape.base), 0);
  header.writeInt32BE(49 + packed.length, 8);
  header[16] = 2;
  header.writeInt16BE((shape.codec ?? 0) | (shape.transactional || control ? 0x10 : 0) | (control ? 0x20 : 0), 21);
  header.writeInt32BE(shape.lastDelta ?? Math.max(0, records.length - 1), 23);
  header.writeBigInt64BE(1_000n, 27);
  header.writeBigInt64BE(2_000n, 35);
  header.writeBigInt64BE(BigInt(shape.producerId ?? -1), 43);
  header.writeInt32BE(records.length, 57);
  return Buffer.concat([header, packed]);
}
