import type { Config } from "../config.ts";
import { tryDecode } from "../ops/index.ts";
import type { Codecs } from "../schemas/index.ts";
import type { Broker, TopicName } from "../streams/index.ts";

/** Writes one record of a topic that commands write to, in a transaction of its own. */
export async function publishRecord(
  broker: Broker,
  codecs: Codecs,
  config: Pick<Config, "env">,
  record: { topic: TopicName; partition: number; key: string; value: object; timestampMs: number },
): Promise<void> {
  const producer = broker.producer(`${config.env}.command.${record.topic}`);
  try {
    await producer.init();
    await producer.send([{ ...record, value: codecs.encode(record.topic, record.value) }]);
    await producer.commit();
  } finally {
    await producer.close();
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
