/** CRC-32C (Castagnoli), eight bytes a step: table k holds the CRC of a byte followed by k zero bytes. */
const POLYNOMIAL = 0x82f63b78;
const [T0, T1, T2, T3, T4, T5, T6, T7] = tables();

function tables(): Int32Array[] {
  const all = Array.from({ length: 8 }, () => new Int32Array(256));
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ POLYNOMIAL : c >>> 1;
    all[0]![n] = c;
  }
  for (let k = 1; k < 8; k++)
    for (let n = 0; n < 256; n++) {
      const before = all[k - 1]![n]!;
      all[k]![n] = all[0]![before & 0xff]! ^ (before >>> 8);
    }
  return all;
}

/** Of `bytes` from `start` up to `end`, as an unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array, start: number, end: number): number {
  let crc = -1;
  let i = start;
  for (const last = end - 7; i < last; i += 8) {
    const low = crc ^ (bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24));
    crc =
      T7![low & 0xff]! ^
      T6![(low >>> 8) & 0xff]! ^
      T5![(low >>> 16) & 0xff]! ^
      T4![low >>> 24]! ^
      T3![bytes[i + 4]!]! ^
      T2![bytes[i + 5]!]! ^
      T1![bytes[i + 6]!]! ^
      T0![bytes[i + 7]!]!;
  }
  for (; i < end; i++) crc = T0![(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
