import { hash as digest } from "node:crypto";
import { appendFileSync, existsSync, readFileSync, statSync, truncateSync } from "node:fs";

const entryBytes = 8;

/** The first eight bytes of the SHA-256 of an event id, big-endian. */
export const eventIdHash = (id: string): bigint => digest("sha256", id, "buffer").readBigUInt64BE(0);

/**
 * The ids of everything the fleet has written, as 64-bit hashes, eight bytes an entry, in the order of writing; an id may
 * stand more than once.
 */
export class Ledger {
  readonly #file: string;

  /** A last entry cut short by a crash is taken off. */
  constructor(file: string) {
    this.#file = file;
    const size = existsSync(file) ? statSync(file).size : 0;
    if (size % entryBytes !== 0) truncateSync(file, size - (size % entryBytes));
  }

  append(ids: readonly string[]): void {
    const bytes = Buffer.allocUnsafe(ids.length * entryBytes);
    ids.forEach((id, i) => {
      digest("sha256", id, "buffer").copy(bytes, i * entryBytes, 0, entryBytes);
    });
    appendFileSync(this.#file, bytes);
  }
}

/** The distinct hashes of a ledger, ascending. No file is an empty ledger. */
export function readLedger(file: string): BigUint64Array {
  if (!existsSync(file)) return new BigUint64Array(0);
  const bytes = readFileSync(file);
  const entries = new BigUint64Array(Math.floor(bytes.length / entryBytes));
  for (let i = 0; i < entries.length; i++) entries[i] = bytes.readBigUInt64BE(i * entryBytes);
  entries.sort();
  return entries.filter((entry, i) => i === 0 || entry !== entries[i - 1]);
}
