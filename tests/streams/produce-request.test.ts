import { createRequire } from "node:module";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { crc32c } from "../../streams/kafka/crc32c.ts";
import { encodeProduce, type ProduceRequest } from "../../streams/kafka/produce-request.ts";

const require = createRequire(import.meta.url);
/** kafkajs's own checksum and encoder, from modules of their own: those that it uses itself are ours by now. */
const theirCrc = require("kafkajs/src/protocol/recordBatch/crc32C") as (bytes: Buffer) => number;
const request = require.resolve("kafkajs/src/protocol/requests/produce/v3/request");
const kept = require.cache[request];
delete require.cache[request];
const theirs = require(request) as (data: ProduceRequest) => { encode(): Promise<{ buffer: Buffer }> };
require.cache[request] = kept;

const bytes = fc.uint8Array({ maxLength: 300 }).map((b) => Buffer.from(b));
const message = fc.record({
  key: fc.option(fc.string()),
  value: fc.option(bytes),
  timestamp: fc.integer({ min: 1_600_000_000_000, max: 1_900_000_000_000 }).map(String),
});
const partition = fc.record({
  partition: fc.nat(300),
  firstSequence: fc.nat(),
  messages: fc.array(message, { minLength: 1, maxLength: 5 }),
});
const produce = fc.record({
  acks: fc.constant(-1),
  timeout: fc.nat(),
  transactionalId: fc.option(fc.string({ minLength: 1 })),
  producerId: fc.bigInt({ min: -1n, max: 2n ** 62n }).map(String),
  producerEpoch: fc.nat(32_767),
  topicData: fc.array(fc.record({ topic: fc.string(), partitions: fc.array(partition, { maxLength: 3 }) })),
});

test("a request is byte for byte what kafkajs's own encoder makes of it, behind the room asked for", async () => {
  await fc.assert(
    fc.asyncProperty(produce, fc.nat(20), async (data, headroom) => {
      const expected = (await theirs(data).encode()).buffer;
      expect(encodeProduce(data, headroom).subarray(headroom).equals(expected)).toBe(true);
    }),
  );
});

test("a record larger than a kilobyte and one without a key are the same too", async () => {
  const messages = [
    { key: null, value: Buffer.alloc(900_000, "x"), timestamp: "1700000000000" },
    { key: "ü", value: null, timestamp: "1600000000000" },
  ];
  const topicData = [{ topic: "t", partitions: [{ partition: 0, firstSequence: 2 ** 31 - 1, messages }] }];
  const data = { acks: -1, timeout: 30_000, transactionalId: "id", producerId: "7", producerEpoch: 1, topicData };
  expect(encodeProduce(data, 0).equals((await theirs(data).encode()).buffer)).toBe(true);
});

describe("the checksum", () => {
  test("of the digits 1 to 9 is the one that the polynomial is known by", () => {
    expect(crc32c(Buffer.from("123456789"), 0, 9)).toBe(0xe3069283);
  });

  test("is kafkajs's, of any stretch of bytes", () => {
    fc.assert(
      fc.property(bytes, fc.nat(10), (all, start) => {
        const from = Math.min(start, all.length);
        expect(crc32c(all, from, all.length)).toBe(theirCrc(all.subarray(from)));
      }),
    );
  });
});

test("kafkajs sends requests that were written here", async () => {
  const loaded = require.cache[require.resolve("kafkajs/src/protocol/request")]!.exports as (
    context: object,
  ) => Promise<{
    buffer: Buffer;
  }>;
  const create = kept!.exports as (data: ProduceRequest) => object;
  const data = { acks: -1, timeout: 1, transactionalId: "id", producerId: "7", topicData: [] };
  const made = { ...create(data), apiVersion: 7 };
  const framed = (await loaded({ correlationId: 5, clientId: "client", request: made })).buffer;
  const expected = (await theirs(data).encode()).buffer;
  expect(framed.readInt32BE(0)).toBe(framed.length - 4);
  expect([framed.readInt16BE(4), framed.readInt16BE(6), framed.readInt32BE(8)]).toEqual([0, 7, 5]);
  expect(framed.subarray(12, 20)).toEqual(Buffer.from("\0\u0006client"));
  expect(framed.subarray(20).equals(expected)).toBe(true);
});
