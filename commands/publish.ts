import type { Config } from "../config.ts";
import { tryDecode } from "../ops/index.ts";
import type { Codecs } from "../schemas/index.ts";
import type { Broker, TopicName } from "../streams/index.ts";

/** A transaction that a dead process left open holds readers of its partitions back for about as long. */
const READABLE_WITHIN_MS = 20_000;

/**
 * Writes one record of a topic that commands write to, in a transaction of its own, and waits until it can be read:
 * the broker answers a commit before its marker stands in the partition, and whoever looks right behind the command
 * would miss the record.
 */
export async function publishRecord(
  broker: Broker,
  codecs: Codecs,
  config: Pick<Config, "env">,
  record: { topic: TopicName; partition: number; key: string; value: object; timestampMs: number },
): Promise<void> {
  const { topic, partition } = record;
  const [producer, admin] = [broker.producer(`${config.env}.command.${topic}`), broker.admin()];
  try {
    await producer.init([topic]);
    await producer.send([{ ...record, value: codecs.encode(topic, record.value) }]);
    await producer.commit();
    await producer.settle();
    const { endOffset } = await admin.offsets(topic, partition, "read_uncommitted");
    const deadline = performance.now() + READABLE_WITHIN_MS;
    while ((await admin.offsets(topic, partition, "read_committed")).endOffset < endOffset) {
      if (performance.now() > deadline) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  } finally {
    await Promise.all([producer.close(), admin.close()]);
  }
}

/** The event time that a topic has come to: the latest `timeOf` among the last records of each partition; null: none. */
export async function newestTime<T>(
  broker: Broker,
  codecs: Codecs,
  topic: TopicName,
  partitions: number,
  timeOf: (value: T) => number,
): Promise<number | null> {
  const [admin, reader] = [broker.admin(), broker.reader()];
  let newest: number | null = null;
  try {
    for (let partition = 0; partition < partitions; partition++) {
      const { startOffset, endOffset } = await admin.offsets(topic, partition, "read_committed");
      // The very last offsets may be a transaction's marks, which hold no record.
      const from = Math.max(startOffset, endOffset - LAST_OFFSETS);
      if (from >= endOffset) continue;
      const { records } = await reader.fetch(topic, partition, from, { maxWaitMs: 100 });
      for (const { value } of records) {
        const decoded = await tryDecode<T>(codecs, topic, value);
        if (decoded !== null) newest = Math.max(newest ?? 0, timeOf(decoded));
      }
    }
  } finally {
    await Promise.all([reader.close(), admin.close()]);
  }
  return newest;
}

const LAST_OFFSETS = 20;
