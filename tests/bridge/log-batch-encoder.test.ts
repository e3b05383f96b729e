import fc from "fast-check";
import { expect, test } from "vitest";
import type { LogBatch } from "../../schemas/index.ts";
import { logBatchEncoder } from "../../sources/kinesis/log-batch-encoder.ts";
import { codecs, topics } from "./harness.ts";

const text = fc.oneof(fc.string(), fc.string({ unit: "grapheme" }), fc.string({ unit: "binary" }));
const time = fc.oneof(fc.nat(), fc.integer({ min: 0, max: 2 ** 52 }));
const event = fc.record({ id: text, timestampMs: time, message: text });
const batch: fc.Arbitrary<LogBatch> = fc.record({
  kind: fc.constantFrom("events", "tick", "open", "close", "idle"),
  source: text,
  clockMs: time,
  arrivalMs: time,
  sequence: text,
  account: text,
  logGroup: text,
  logStream: text,
  entity: text,
  events: fc.array(event),
});
const theirs = (value: LogBatch) => codecs.encode(topics.logsRaw, value);

test("every batch is encoded as the Avro library does it, behind the registry's header", () => {
  const withHeader = (value: LogBatch) => Buffer.concat([Buffer.from([0, 0, 0, 1, 2]), theirs(value)]);
  const ours = logBatchEncoder(withHeader);
  expect(ours).not.toBe(withHeader);
  fc.assert(
    fc.property(batch, (value) => {
      expect(ours(value).equals(withHeader(value))).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test("half a surrogate pair, which UTF-8 cannot hold, becomes U+FFFD", () => {
  const message = "\ud800 a\udc00";
  const value = { ...fc.sample(batch, 1)[0]!, events: [{ id: "1", timestampMs: 0, message }] };
  const read = codecs.decode<LogBatch>(topics.logsRaw, logBatchEncoder(theirs)(value));
  expect(read.events[0]!.message).toBe("\ufffd a\ufffd");
});

test("where the library makes other bytes, as with a schema of more fields, its own are used", () => {
  const other = (value: LogBatch) => Buffer.concat([theirs(value), Buffer.from([0])]);
  expect(logBatchEncoder(other)).toBe(other);
});
