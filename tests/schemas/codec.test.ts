import { expect, test } from "vitest";
import { encodeAvro, standaloneSchema, typeOf } from "../../schemas/index.ts";

const letter = typeOf(standaloneSchema("dead-letter"));
const letterOf = (bytes: number) => ({
  code: "late",
  reason: "größer",
  stage: "features",
  originTopic: "logs.raw",
  originPartition: "0",
  originOffset: "1",
  eventId: "",
  timestampMs: 1_700_000_000_000,
  entity: "web-1",
  bytes: Buffer.alloc(bytes, 7),
});

test("a value of any size is written whole, behind the bytes left free, and is not touched by the next one", () => {
  const sizes = [10, 900_000, 0, 70_000, 2_000_000];
  const written = sizes.map((size) => encodeAvro(letter, letterOf(size), 5));
  for (const [i, size] of sizes.entries()) {
    expect(written[i]!.subarray(5).equals(letter.toBuffer(letterOf(size)))).toBe(true);
  }
});
