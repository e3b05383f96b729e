import { crc32c } from "@node-rs/crc32";
import { expect, test } from "vitest";
import { topicName } from "../../../streams/index.ts";
import { encodeBatch } from "../../../streams/kafka/batch-encoder.ts";
import { decodeBatches } from "../../../streams/kafka/record-batch.ts";
import { plain } from "./at-least-once.ts";

const owner = { producerId: 7n, producerEpoch: 0, sequence: 3 };
const records = [{ topic: topicName("t"), partition: 0, key: "k", value: Buffer.alloc(5_000, "x"), timestampMs: 1 }];

test.each(["none", "zstd"] as const)("a batch taken out of its transaction is the same but for that (%s)", (codec) => {
  const batch = plain(encodeBatch(records, owner, codec));
  expect(batch.readUInt32BE(17)).toBe(crc32c(batch.subarray(21)));
  // No aborted transaction takes it away: it is in none.
  const read = decodeBatches(batch, 0, [{ producerId: 7n, firstOffset: 0 }]).records;
  expect(read.map((r) => r.value)).toEqual([records[0]!.value]);
  expect(decodeBatches(encodeBatch(records, owner, codec), 0, [{ producerId: 7n, firstOffset: 0 }]).records).toEqual(
    [],
  );
});
