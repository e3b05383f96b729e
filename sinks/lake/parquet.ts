import { constants, zstdCompressSync } from "node:zlib";
import { type ColumnSource, parquetWriteBuffer } from "hyparquet-writer";

const rowGroupRows = 10_000;

const zstd = (bytes: Uint8Array): Uint8Array =>
  zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });

/**
 * Floats are byte-stream split: smaller than plain, and never put into a dictionary, which would take -0 for 0.
 * The type must be a Float32Array, whose bits are copied as they are.
 */
export const floatColumn = (name: string, data: Float32Array): ColumnSource => ({
  name,
  data,
  type: "FLOAT",
  nullable: false,
  encoding: "BYTE_STREAM_SPLIT",
});

/** Safe integers as int64. */
export const longColumn = (name: string, values: readonly number[]): ColumnSource => ({
  name,
  data: BigInt64Array.from(values, BigInt),
  type: "INT64",
  nullable: false,
  encoding: "DELTA_BINARY_PACKED",
});

export const intColumn = (name: string, values: readonly number[]): ColumnSource => ({
  name,
  data: Int32Array.from(values),
  type: "INT32",
  nullable: false,
});

/** `repeats`: few distinct values, worth a dictionary. */
export const textColumn = (name: string, data: string[], repeats: boolean): ColumnSource => ({
  name,
  data,
  type: "STRING",
  nullable: false,
  ...(repeats ? {} : { encoding: "PLAIN" as const }),
});

/** One Parquet file, zstd level 1, row groups of 10,000 rows. */
export function encodeParquet(columnData: ColumnSource[], metadata: Readonly<Record<string, string>>): Uint8Array {
  return new Uint8Array(
    parquetWriteBuffer({
      columnData,
      codec: "ZSTD",
      compressors: { ZSTD: zstd },
      rowGroupSize: rowGroupRows,
      createdBy: "weir",
      kvMetadata: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    }),
  );
}
