import type { Codecs } from "../schemas/index.ts";
import type { Broker, RawRecord, TopicName } from "../streams/index.ts";

export type TopicCodecs = Pick<Codecs, "unknownId" | "learn" | "decode">;

export interface TopicRecord extends RawRecord {
  readonly partition: number;
}

/**
 * Every committed record of a topic, partition by partition, from its first offset to the end as it stood when the
 * partition was begun. With a reader of its own and no group, so it depends on nothing a stage keeps.
 */
export async function* readTopic(broker: Broker, topic: TopicName): AsyncGenerator<TopicRecord> {
  const admin = broker.admin();
  const reader = broker.reader();
  try {
    const partitions = await admin.partitionsOf(topic);
    for (let partition = 0; partition < partitions; partition++) {
      const { startOffset, endOffset } = await admin.offsets(topic, partition, "read_committed");
      let next = startOffset;
      while (next < endOffset) {
        const fetched = await reader.fetch(topic, partition, next, { maxWaitMs: 100 });
        for (const { offset, timestampMs, key, value } of fetched.records)
          if (offset < endOffset) yield { offset, timestampMs, key, value, partition };
        next = fetched.nextOffset;
      }
    }
  } finally {
    await Promise.all([reader.close(), admin.close()]);
  }
}

/** Decodes a value, fetching its schema first if it is met for the first time. Throws on bytes that are no such value. */
export async function decodeValue<T>(codecs: TopicCodecs, topic: string, value: Buffer): Promise<T> {
  const id = codecs.unknownId(value);
  if (id !== null) await codecs.learn(id);
  return codecs.decode<T>(topic, value);
}

/** The same, but null where the bytes are to blame. A registry that does not answer still throws: it proves nothing. */
export async function tryDecode<T>(codecs: TopicCodecs, topic: string, value: Buffer | null): Promise<T | null> {
  if (value === null) return null;
  try {
    return await decodeValue<T>(codecs, topic, value);
  } catch (error) {
    const { name, status = 0 } = error as { name?: string; status?: number };
    if (name === "ResponseError" && (status < 400 || status >= 500)) throw error;
    return null;
  }
}
