import { expect, test } from "vitest";
import type { ShardCheckpoint } from "../../schemas/index.ts";
import { CheckpointTable } from "../../sources/kinesis/checkpoint-table.ts";
import { freshCursor, rowOf } from "../../sources/kinesis/shard-cursor.ts";
import type { ProducerRecord } from "../../streams/index.ts";
import { FakeBroker } from "./fake-broker.ts";
import { codecs, fastTime, T0, topics } from "./harness.ts";

const rowRecord = (shard: string, sequence: string): ProducerRecord => {
  const row = rowOf({ name: "logs", createdMs: 1 }, shard, { ...freshCursor(0), sequence }, []);
  const value = codecs.encode(topics.checkpoints, row);
  return { topic: topics.checkpoints, partition: 0, key: `logs@1/${shard}`, value, timestampMs: T0 };
};

const write = async (broker: FakeBroker, id: string, records: ProducerRecord[]) => {
  const producer = broker.producer(id);
  await producer.init();
  await producer.send(records);
  return producer;
};

test("refresh reads to the true end: a row committed behind another's open transaction is not missed", async () => {
  //  offset 0: "other", open          offset 1: "mine", committed
  //  last stable offset = 0           true end = 2
  const broker = new FakeBroker({ [topics.checkpoints]: 1 });
  const table = new CheckpointTable({ broker, codecs, topic: topics.checkpoints, partitions: 1, time: fastTime });
  const other = await write(broker, "other", [rowRecord("other", "5")]);
  await (await write(broker, "mine", [rowRecord("mine", "7")])).commit();

  let isDone = false;
  const refreshed = table.refresh().then(() => {
    isDone = true;
  });
  await table.peek();
  await table.peek();
  expect(isDone).toBe(false);
  expect(table.get("logs@1/mine")).toBeUndefined();

  await other.abort();
  await refreshed;
  expect(table.get("logs@1/mine")).toMatchObject<Partial<ShardCheckpoint>>({ sequence: "7" });
  expect(table.get("logs@1/other")).toBeUndefined();
});

test("a later row replaces the earlier one, and a tombstone takes it away", async () => {
  const broker = new FakeBroker({ [topics.checkpoints]: 1 });
  const table = new CheckpointTable({ broker, codecs, topic: topics.checkpoints, partitions: 1, time: fastTime });
  await (await write(broker, "a", [rowRecord("s", "1"), rowRecord("s", "2")])).commit();
  await table.refresh();
  expect(table.ofStream("logs").map((r) => r.sequence)).toEqual(["2"]);
  await (await write(broker, "a", [{ ...rowRecord("s", "3"), value: null }])).commit();
  await table.refresh();
  expect(table.ofStream("logs")).toEqual([]);
});

test("a transaction that hangs is reported after a minute, not waited for without end", async () => {
  const broker = new FakeBroker({ [topics.checkpoints]: 1 });
  const table = new CheckpointTable({ broker, codecs, topic: topics.checkpoints, partitions: 1, time: fastTime });
  await write(broker, "other", [rowRecord("other", "5")]);
  await expect(table.refresh()).rejects.toMatchObject({ code: "CHECKPOINTS_UNREADABLE", disposition: "retry" });
});
