import { decodeValue, type TopicCodecs } from "../../ops/index.ts";
import type { LogBatch } from "../../schemas/index.ts";
import type { Broker, TopicName } from "../../streams/index.ts";
import type { Lane, LaneRecord } from "./lane.ts";

/** One lane per partition of logs.raw, record by record as the stage reads them, ticks included. */
export async function topicLanes(broker: Broker, codecs: TopicCodecs, topic: TopicName): Promise<Lane[]> {
  const admin = broker.admin();
  try {
    const partitions = await admin.partitionsOf(topic);
    return Array.from({ length: partitions }, (_, partition) => {
      const passedOver = { late: 0, dead: 0 };
      return {
        name: `topic-${partition}`,
        partition,
        partitions,
        passedOver,
        records: (next) => read(broker, codecs, topic, partition, next, passedOver),
      };
    });
  } finally {
    await admin.close();
  }
}

/** To the end as it stands when the reading begins. */
async function* read(
  broker: Broker,
  codecs: TopicCodecs,
  topic: TopicName,
  partition: number,
  from: number | undefined,
  passedOver: { dead: number },
): AsyncGenerator<LaneRecord> {
  const admin = broker.admin();
  const reader = broker.reader();
  try {
    const { startOffset, endOffset } = await admin.offsets(topic, partition, "read_committed");
    let next = Math.max(from ?? 0, startOffset);
    while (next < endOffset) {
      const fetched = await reader.fetch(topic, partition, next, { maxWaitMs: 100 });
      for (const { offset, timestampMs, key, value } of fetched.records) {
        if (offset >= endOffset || value === null) continue;
        let batch: LogBatch;
        try {
          batch = await decodeValue<LogBatch>(codecs, topic, value);
        } catch (error) {
          // A registry that does not answer is no fault of the record.
          if ((error as { name?: string }).name === "ResponseError") throw error;
          passedOver.dead++;
          continue;
        }
        const record = { topic, partition, offset, timestampMs, key: key?.toString() ?? null, value: batch };
        yield { record, next: offset + 1 };
      }
      next = fetched.nextOffset;
    }
  } finally {
    await Promise.all([reader.close(), admin.close()]);
  }
}
