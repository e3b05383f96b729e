import { expect, test } from "vitest";
import { topicName } from "../../streams/index.ts";
import { slices } from "../../streams/kafka/producer.ts";

const record = (partition: number, bytes: number, n: number) => ({
  topic: topicName("t"),
  partition,
  key: String(n),
  value: Buffer.alloc(bytes),
  timestampMs: 0,
});

test("no request holds more than 500 records or 900 KB of one partition, and order is kept", () => {
  const records = Array.from({ length: 3_000 }, (_, n) => record(n % 2, n % 7 === 0 ? 20_000 : 10, n));
  const cut = [...slices(records)];
  expect(cut.flat()).toEqual(records);
  for (const slice of cut) {
    for (const partition of [0, 1]) {
      const own = slice.filter((r) => r.partition === partition);
      expect(own.length).toBeLessThanOrEqual(500);
      expect(own.reduce((sum, r) => sum + r.value!.length, 0)).toBeLessThanOrEqual(900_000);
    }
  }
});

test("a record over the limit still goes out, alone in its request's partition", () => {
  expect([...slices([record(0, 950_000, 1), record(0, 10, 2)])].map((s) => s.length)).toEqual([1, 1]);
});
