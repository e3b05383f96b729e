import { createRequire } from "node:module";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { topicName } from "../../streams/index.ts";
import { encodeBatch, sequenceAfter } from "../../streams/kafka/batch-encoder.ts";
import { decodeProduced, encodeProduce, produceRequest } from "../../streams/kafka/produce-request.ts";
import { decodeBatches } from "../../streams/kafka/record-batch.ts";
import type { ProducerRecord } from "../../streams/ports.ts";

const require = createRequire(import.meta.url);
/** kafkajs's own encoder: what ours is measured by. */
const theirs = require("kafkajs/src/protocol/requests/produce/v7/request") as (data: object) => {
  encode(): Promise<{ buffer: Buffer }>;
};

const owner = { producerId: 7n, producerEpoch: 3, sequence: 2 ** 31 - 2 };
const theirRequest = async (transactionalId: string, batches: Map<string, ProducerRecord[]>) => {
  const partitions = [...batches].map(([, records]) => ({
    partition: records[0]!.partition,
    firstSequence: owner.sequence,
    messages: records.map((r) => ({ key: r.key, value: r.value, timestamp: String(r.timestampMs) })),
  }));
  const { producerId, producerEpoch } = owner;
  const topicData = [{ topic: "t", partitions }];
  const data = { acks: -1, timeout: 10_000, transactionalId, producerId: String(producerId), producerEpoch, topicData };
  return (await theirs(data).encode()).buffer;
};
const ours = (transactionalId: string, batches: Map<string, ProducerRecord[]>, headroom: number) =>
  encodeProduce(
    transactionalId,
    [...batches.values()].map((records) => ({
      topic: "t",
      partition: records[0]!.partition,
      bytes: encodeBatch(records, owner, "none"),
    })),
    headroom,
  );

const bytes = fc.uint8Array({ maxLength: 300 }).map((b) => Buffer.from(b));
const record = fc.record({
  topic: fc.constant(topicName("t")),
  partition: fc.nat(3),
  key: fc.option(fc.string()),
  value: fc.option(bytes),
  timestampMs: fc.integer({ min: 1_600_000_000_000, max: 1_900_000_000_000 }),
});
const records = fc.array(record, { minLength: 1, maxLength: 12 });
const byPartition = (all: readonly ProducerRecord[]) => Map.groupBy(all, (r) => String(r.partition));

describe("a Produce request", () => {
  test("is byte for byte what kafkajs's own encoder makes of it, behind the room asked for", async () => {
    await fc.assert(
      fc.asyncProperty(records, fc.string({ minLength: 1 }), fc.nat(20), async (all, id, headroom) => {
        const batches = byPartition(all);
        const expected = await theirRequest(id, batches);
        expect(ours(id, batches, headroom).subarray(headroom).equals(expected)).toBe(true);
      }),
    );
  });

  test("a record larger than a kilobyte and one without a key or value are the same too", async () => {
    const base = { topic: topicName("t"), partition: 0 };
    const batches = byPartition([
      { ...base, key: null, value: Buffer.alloc(800_000, "x"), timestampMs: 1_700_000_000_000 },
      { ...base, key: "ü", value: null, timestampMs: 1_600_000_000_000 },
    ]);
    expect(ours("id", batches, 0).equals(await theirRequest("id", batches))).toBe(true);
  });

  test("goes out in kafkajs's frame, without being copied", async () => {
    const frame = require("kafkajs/src/protocol/request") as (context: object) => Promise<{ buffer: Buffer }>;
    const batch = { topic: "t", partition: 0, bytes: Buffer.alloc(100, 1) };
    const { request } = produceRequest("id", [batch]);
    const body = (await request.encode()) as unknown as { buffer: Buffer };
    const made = { ...request, encode: async () => body };
    const framed = (await frame({ correlationId: 5, clientId: "client", request: made })).buffer;
    expect(framed.readInt32BE(0)).toBe(framed.length - 4);
    expect([framed.readInt16BE(4), framed.readInt16BE(6), framed.readInt32BE(8)]).toEqual([0, 7, 5]);
    expect(framed.subarray(12, 20)).toEqual(Buffer.from("\0\u0006client"));
    expect(framed.subarray(20).equals(body.buffer)).toBe(true);
    expect(framed.buffer).toBe(body.buffer.buffer);
  });

  test("the answer is read topic by topic, partition by partition", () => {
    const partition = (number: number, errorCode: number) => {
      const part = Buffer.alloc(30);
      part.writeInt32BE(number, 0);
      part.writeInt16BE(errorCode, 4);
      return part;
    };
    const topic = (name: string, ...partitions: Buffer[]) =>
      Buffer.concat([
        Buffer.from([0, name.length]),
        Buffer.from(name),
        Buffer.from([0, 0, 0, partitions.length]),
        ...partitions,
      ]);
    const answer = Buffer.concat([
      Buffer.from([0, 0, 0, 2]),
      topic("one", partition(0, 0), partition(7, 51)),
      topic("three", partition(1, 6)),
      Buffer.alloc(4),
    ]);
    expect(decodeProduced(answer)).toEqual([
      { topic: "one", partition: 0, errorCode: 0 },
      { topic: "one", partition: 7, errorCode: 51 },
      { topic: "three", partition: 1, errorCode: 6 },
    ]);
  });
});

describe("a batch", () => {
  test("is read back as it was written, compressed or not", () => {
    const seen = (all: readonly { key: Buffer | string | null; value: Buffer | null; timestampMs: number }[]) =>
      all.map((r) => [r.key?.toString() ?? null, r.value?.toString("hex") ?? null, r.timestampMs]);
    fc.assert(
      fc.property(records, fc.boolean(), fc.nat(30), (few, zstd, times) => {
        const all = Array.from({ length: times + 1 }, () => few).flat();
        const batch = encodeBatch(all, owner, zstd ? "zstd" : "none");
        expect(seen(decodeBatches(batch, 0, []).records)).toEqual(seen(all));
      }),
    );
  });

  test("many alike shrink with zstd, few do not get larger", () => {
    const one = { topic: topicName("t"), partition: 0, key: "k", value: Buffer.from("alike"), timestampMs: 1 };
    const many = Array.from({ length: 500 }, () => one);
    expect(encodeBatch(many, owner, "zstd").length).toBeLessThan(encodeBatch(many, owner, "none").length / 5);
    expect(encodeBatch([one], owner, "zstd")).toEqual(encodeBatch([one], owner, "none"));
  });

  test("after the highest sequence number comes 0", () => {
    expect([sequenceAfter(0, 5), sequenceAfter(2 ** 31 - 1, 1), sequenceAfter(2 ** 31 - 3, 10)]).toEqual([5, 0, 7]);
  });
});
