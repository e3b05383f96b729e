/**
 * Snappy as Kafka's producers write it: raw blocks, or several of them in the framing of snappy-java ("xerial").
 * https://github.com/google/snappy/blob/main/format_description.txt
 */
const XERIAL = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]);
const XERIAL_HEADER_BYTES = 16;

/** Throws a RangeError on bytes that are no snappy, and where the content would be larger than `maxBytes`. */
export function unsnappy(bytes: Buffer, maxBytes: number): Buffer {
  if (!bytes.subarray(0, XERIAL.length).equals(XERIAL)) return block(bytes, maxBytes);
  const blocks: Buffer[] = [];
  let left = maxBytes;
  for (let at = XERIAL_HEADER_BYTES; at < bytes.length; ) {
    const length = bytes.readInt32BE(at);
    const next = block(bytes.subarray(at + 4, at + 4 + length), left);
    left -= next.length;
    blocks.push(next);
    at += 4 + length;
  }
  return Buffer.concat(blocks);
}

function block(source: Buffer, maxBytes: number): Buffer {
  const [length, start] = uncompressedLength(source);
  if (length > maxBytes) throw new RangeError(`snappy: ${length} bytes, more than ${maxBytes}.`);
  const out = Buffer.allocUnsafe(length);
  let to = 0;
  for (let at = start; at < source.length; ) {
    const tag = source[at++]!;
    const kind = tag & 3;
    if (kind === 0) {
      let count = tag >>> 2;
      if (count >= 60) {
        const width = count - 59;
        count = source.readUIntLE(at, width);
        at += width;
      }
      count++;
      if (at + count > source.length || to + count > length) throw new RangeError("snappy: a literal is cut.");
      source.copy(out, to, at, at + count);
      at += count;
      to += count;
      continue;
    }
    const count = kind === 1 ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1;
    const back =
      kind === 1
        ? ((tag >>> 5) << 8) | source.readUInt8(at)
        : kind === 2
          ? source.readUInt16LE(at)
          : source.readUInt32LE(at);
    at += kind === 1 ? 1 : kind === 2 ? 2 : 4;
    if (back === 0 || back > to || to + count > length) throw new RangeError("snappy: a copy points outside.");
    // Source and target may overlap: a copy of what it has just written itself is a run.
    for (const end = to + count; to < end; to++) out[to] = out[to - back]!;
  }
  if (to !== length) throw new RangeError(`snappy: ${to} bytes instead of ${length}.`);
  return out;
}

/** Varint at the head of a block, and where the block goes on. */
function uncompressedLength(source: Buffer): [length: number, start: number] {
  let length = 0;
  for (let at = 0, factor = 1; at < 5; at++, factor *= 128) {
    const byte = source.readUInt8(at);
    length += (byte & 0x7f) * factor;
    if (byte < 0x80) return [length, at + 1];
  }
  throw new RangeError("snappy: no length.");
}
