const C1 = 0xcc9e2d51;
const C2 = 0x1b873593;

/**
 * MurmurHash3 (x86, 32 bits) of the text's UTF-8 bytes, 0 to 2^32 - 1. A standard hash, so that an arm can be
 * recomputed in any language.
 */
export function murmur3(text: string, seed: number): number {
  let h = seed | 0;
  let k = 0;
  const length = text.length;
  for (let i = 0; i < length; i++) {
    const byte = text.charCodeAt(i);
    // Entities are ASCII nearly always, and reading them where they are is much faster than encoding them.
    if (byte > 127) return ofBytes(Buffer.from(text), seed);
    k |= byte << ((i & 3) << 3);
    if ((i & 3) === 3) {
      h = mix(h, k);
      k = 0;
    }
  }
  return finish(h, k, length);
}

function ofBytes(bytes: Buffer, seed: number): number {
  let h = seed | 0;
  let k = 0;
  for (let i = 0; i < bytes.length; i++) {
    k |= bytes[i]! << ((i & 3) << 3);
    if ((i & 3) === 3) {
      h = mix(h, k);
      k = 0;
    }
  }
  return finish(h, k, bytes.length);
}

function scramble(k: number): number {
  const a = Math.imul(k, C1);
  return Math.imul((a << 15) | (a >>> 17), C2);
}

function mix(h: number, k: number): number {
  const a = h ^ scramble(k);
  return (Math.imul((a << 13) | (a >>> 19), 5) + 0xe6546b64) | 0;
}

/** `rest`: the last bytes that did not fill a word. */
function finish(h: number, rest: number, length: number): number {
  let a = h ^ scramble(rest) ^ length;
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b);
  a = Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
  return (a ^ (a >>> 16)) >>> 0;
}
