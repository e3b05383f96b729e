import type { Broker, RawRecord, TopicName } from "../../../streams/index.ts";

/**
 * Reads all partitions of a topic from their present ends on, read_committed, and hands over each record with the time
 * (`performance.now()`) at which its fetch came back. Resolves once every reader has its place; `stop` ends them.
 */
export async function follow(
  broker: Broker,
  topic: TopicName,
  partitions: number,
  onRecord: (record: RawRecord, atMs: number, partition: number) => void,
): Promise<{ stop(): Promise<void> }> {
  const admin = broker.admin();
  const all = Array.from({ length: partitions }, (_, p) => p);
  const ends = await Promise.all(all.map(async (p) => (await admin.offsets(topic, p, "read_committed")).endOffset));
  await admin.close();
  let stopped = false;
  const readers = all.map(async (partition) => {
    const reader = broker.reader();
    for (let offset = ends[partition]!; !stopped; ) {
      const batch = await reader.fetch(topic, partition, offset, { maxWaitMs: 250 });
      const atMs = performance.now();
      for (const record of batch.records) onRecord(record, atMs, partition);
      offset = batch.nextOffset;
    }
    await reader.close();
  });
  return {
    stop: async () => {
      stopped = true;
      await Promise.all(readers);
    },
  };
}
