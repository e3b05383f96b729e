import { expect, test } from "vitest";
import { topicName } from "../../streams/index.ts";
import { slices } from "../../streams/kafka/slices.ts";

const record = (partition: number, bytes: number, n: number) => ({
  topic: topicName("t"),
  partition,
  key: String(n),
  value: Buffer.alloc(bytes),
  timestampMs: 0,
});

test("no request holds more than 900 KB of one partition or 8 MB in all, and order is kept", () => {
  const records = Array.from({ length: 6_000 }, (_, n) => record(n % 20, n % 7 === 0 ? 30_000 : 10, n));
  const cut = [...slices(records)];
  expect(cut.flat()).toEqual(records);
  const bytes = (some: readonly { value: Buffer }[]) => some.reduce((sum, r) => sum + r.value.length, 0);
  for (const slice of cut) {
    const own = slice as ReturnType<typeof record>[];
    expect(bytes(own)).toBeLessThanOrEqual(8_000_000);
    for (const one of Map.groupBy(own, (r) => r.partition).values()) expect(bytes(one)).toBeLessThanOrEqual(900_000);
  }
});

test("a record over the limit still goes out, alone in its request's partition", () => {
  expect([...slices([record(0, 950_000, 1), record(0, 10, 2)])].map((s) => s.length)).toEqual([1, 1]);
});
