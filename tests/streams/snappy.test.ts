import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { unsnappy } from "../../streams/kafka/snappy.ts";

const block = (length: number, ...parts: (number[] | string | Buffer)[]) =>
  Buffer.concat([Buffer.from([length]), ...parts.map((p) => Buffer.from(p as string))]);
const literal = (text: string) => Buffer.concat([Buffer.from([(text.length - 1) << 2]), Buffer.from(text)]);

/** A whole text as literals of at most 60 bytes. */
function stored(text: Buffer): Buffer {
  const length = [];
  for (let n = text.length; ; n = Math.floor(n / 128)) {
    length.push((n & 0x7f) | (n > 127 ? 0x80 : 0));
    if (n < 128) break;
  }
  const pieces = Array.from({ length: Math.ceil(text.length / 60) }, (_, i) => text.subarray(i * 60, i * 60 + 60));
  return Buffer.concat([Buffer.from(length), ...pieces.flatMap((p) => [Buffer.from([(p.length - 1) << 2]), p])]);
}

describe("snappy", () => {
  test("literals and copies of all three kinds, a copy of what it writes itself too", () => {
    const kind1 = [1 | (0 << 2), 4]; // 4 bytes from 4 back
    const kind2 = [2 | (2 << 2), 8, 0]; // 3 bytes from 8 back
    const kind3 = [3 | (5 << 2), 1, 0, 0, 0]; // 6 bytes from 1 back: a run
    const bytes = Buffer.concat([Buffer.from([17]), literal("abcd"), Buffer.from([...kind1, ...kind2, ...kind3])]);
    expect(unsnappy(bytes, 100).toString()).toBe("abcdabcdabccccccc");
  });

  test("a literal longer than 60 bytes says its length in bytes of its own", () => {
    const text = "x".repeat(300);
    expect(unsnappy(block(0xac, [0x02], [61 << 2, 299 & 0xff, 299 >> 8], text), 1_000).toString()).toBe(text);
  });

  test("any bytes come back, raw and in the framing of snappy-java, of one block or many", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 500 }), { minLength: 1, maxLength: 4 }), (chunks) => {
        const framed = Buffer.concat([
          Buffer.from([0x82, ...Buffer.from("SNAPPY"), 0, 0, 0, 0, 1, 0, 0, 0, 1]),
          ...chunks.flatMap((chunk) => {
            const packed = stored(Buffer.from(chunk));
            const length = Buffer.alloc(4);
            length.writeInt32BE(packed.length);
            return [length, packed];
          }),
        ]);
        const whole = Buffer.concat(chunks);
        expect(unsnappy(framed, 10_000).equals(whole)).toBe(true);
        expect(unsnappy(stored(whole), 10_000).equals(whole)).toBe(true);
      }),
    );
  });

  test("what is damaged or too large is refused, never read past its end", () => {
    expect(() => unsnappy(block(5, literal("abc")), 100)).toThrow(RangeError); // shorter than it says
    expect(() => unsnappy(block(8, literal("abcd"), [1, 9]), 100)).toThrow(RangeError); // before its beginning
    expect(() => unsnappy(block(4, [3 << 2], "ab"), 100)).toThrow(RangeError); // a literal that is cut
    expect(() => unsnappy(block(4, literal("abcd")), 3)).toThrow(RangeError); // more than allowed
  });
});
