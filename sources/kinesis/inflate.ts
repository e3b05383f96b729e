import { gunzip, gunzipSync } from "node:zlib";

export type InflateCode = "kpl_aggregate" | "not_gzip" | "truncated_gzip" | "corrupt_gzip" | "inflate_limit";
/** The bytes inside a record, or why there are none. */
export type Inflated = Buffer | { readonly code: InflateCode; readonly reason: string };

/** A record holds at most 10 MiB of gzip, which could inflate to 10 GiB; CloudWatch's own stay far below this. */
export const MAX_INFLATED_BYTES = 64 * 1024 * 1024;

/** Below it the way to another thread and back costs more than the work. */
const SMALL_BYTES = 4_096;
/** zlib fills one buffer after another, with a way to the thread and back for each. */
const MAX_CHUNK_BYTES = 4 * 1024 * 1024;
const MIN_CHUNK_BYTES = 2 * 1024;
/** Header and trailer. */
const EMPTY_GZIP_BYTES = 18;

/** Never throws. */
export function inflate(data: Uint8Array, maxBytes = MAX_INFLATED_BYTES): Inflated {
  const foreign = notGzip(data);
  if (foreign) return foreign;
  try {
    return gunzipSync(data, { maxOutputLength: maxBytes, chunkSize: chunkSizeOf(data) });
  } catch (error) {
    return refusal(error);
  }
}

/** The same in the thread pool. Never rejects. */
export function inflateAside(data: Uint8Array, maxBytes = MAX_INFLATED_BYTES): Promise<Inflated> {
  if (data.length < SMALL_BYTES || notGzip(data)) return Promise.resolve(inflate(data, maxBytes));
  const options = { maxOutputLength: maxBytes, chunkSize: chunkSizeOf(data) };
  return new Promise((resolve) => gunzip(data, options, (error, bytes) => resolve(error ? refusal(error) : bytes)));
}

/** gzip ends with the length of what is in it: one buffer of that size and a little more takes everything at once. */
function chunkSizeOf(data: Uint8Array): number {
  if (data.length < EMPTY_GZIP_BYTES) return MIN_CHUNK_BYTES;
  const claimed = Buffer.from(data.buffer, data.byteOffset, data.byteLength).readUInt32LE(data.length - 4);
  return Math.min(MAX_CHUNK_BYTES, Math.max(MIN_CHUNK_BYTES, claimed + 1));
}

function notGzip(data: Uint8Array): Inflated | null {
  if (data[0] === 0xf3 && data[1] === 0x89 && data[2] === 0x9a && data[3] === 0xc2)
    return { code: "kpl_aggregate", reason: "The record is an aggregate of the Kinesis Producer Library." };
  if (data[0] !== 0x1f || data[1] !== 0x8b)
    return { code: "not_gzip", reason: "The record does not begin with 1f 8b." };
  return null;
}

function refusal(error: unknown): Inflated {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ERR_BUFFER_TOO_LARGE") return { code: "inflate_limit", reason: message };
  if (code === "Z_BUF_ERROR") return { code: "truncated_gzip", reason: message };
  return { code: "corrupt_gzip", reason: message };
}
