import { WeirError } from "../errors.ts";
import type { TopicName } from "../names.ts";
import type { FetchResult, Isolation, PartitionReader } from "../ports.ts";
import { encoder, type KafkaClient, type KafkaCluster, type KafkaRequest, REQUEST_TIMEOUT_MS } from "./kafkajs.ts";
import { brokerError } from "./outcome.ts";
import { type AbortedTransaction, decodeBatches, readInt64 } from "./record-batch.ts";

const FETCH = 1;
const OFFSET_OUT_OF_RANGE = 1;
/** Leadership moved or is not known yet: ask the metadata again. */
const staleLeader = new Set([3, 5, 6, 9, 74, 75, 76]);
const isolationCode = (isolation: Isolation): 0 | 1 => (isolation === "read_committed" ? 1 : 0);

interface PartitionAnswer {
  readonly errorCode: number;
  readonly highWatermark: number;
  readonly lastStableOffset: number;
  readonly logStartOffset: number;
  readonly aborted: AbortedTransaction[];
  readonly batches: Buffer;
}

/** Fetch v11 of one partition over kafkajs's connection, decoded by our own hand (its abort filter leaks). */
export class KafkaPartitionReader implements PartitionReader {
  readonly #cluster: KafkaCluster;
  #connected: Promise<void> | undefined;
  readonly #topics = new Set<string>();

  constructor(client: KafkaClient) {
    this.#cluster = client.cluster();
  }

  async fetch(
    topic: TopicName,
    partition: number,
    offset: number,
    options: { readonly maxBytes?: number; readonly maxWaitMs?: number; readonly isolation?: Isolation } = {},
  ): Promise<FetchResult> {
    const { maxBytes = 1_048_576, maxWaitMs = 500, isolation = "read_committed" } = options;
    const where = `Fetch of ${topic}/${partition} at ${offset}`;
    let answer: PartitionAnswer;
    try {
      const broker = await this.#leader(topic, partition);
      answer = await broker.connectionPool.send(fetchRequest(topic, partition, offset, maxBytes, maxWaitMs, isolation));
    } catch (error) {
      await this.#forget();
      throw brokerError(error, where);
    }
    if (answer.errorCode === OFFSET_OUT_OF_RANGE) throw await this.#outOfRange(topic, partition, offset, where);
    if (answer.errorCode !== 0) {
      if (staleLeader.has(answer.errorCode)) await this.#cluster.refreshMetadata().catch(() => undefined);
      throw new WeirError(
        "KAFKA_UNAVAILABLE",
        "retry",
        `${where}: broker error ${answer.errorCode}.`,
        "The call is repeated.",
      );
    }
    const { records, nextOffset } = decodeBatches(
      answer.batches,
      offset,
      isolation === "read_committed" ? answer.aborted : [],
    );
    const endOffset = isolation === "read_committed" ? answer.lastStableOffset : answer.highWatermark;
    return { records, nextOffset, endOffset, startOffset: answer.logStartOffset };
  }

  async close(): Promise<void> {
    if (this.#connected) await this.#cluster.disconnect().catch(() => undefined);
    this.#connected = undefined;
  }

  async #leader(topic: TopicName, partition: number) {
    this.#connected ??= this.#cluster.connect();
    await this.#connected;
    if (!this.#topics.has(topic)) {
      await this.#cluster.addTargetTopic(topic);
      this.#topics.add(topic);
    }
    const found = this.#cluster.findTopicPartitionMetadata(topic).find((p) => p.partitionId === partition);
    if (!found) {
      throw new WeirError(
        "TOPIC_MISSING",
        "fatal",
        `${topic} has no partition ${partition}.`,
        "Create the topics: `weir init`.",
      );
    }
    return await this.#cluster.findBroker({ nodeId: found.leader });
  }

  /** A broker still loading its log answers this too, for an offset that is there: only ListOffsets tells the two apart. */
  async #outOfRange(topic: TopicName, partition: number, offset: number, where: string): Promise<WeirError> {
    const broker = await this.#leader(topic, partition);
    const ask = (timestamp: number) =>
      broker.listOffsets({ isolationLevel: 0, topics: [{ topic, partitions: [{ partition, timestamp }] }] });
    const [start, end] = (await Promise.all([ask(-2), ask(-1)])).map((a) =>
      Number(a.responses[0]!.partitions[0]!.offset),
    );
    if (offset >= start! && offset <= end!) {
      return new WeirError(
        "KAFKA_UNAVAILABLE",
        "retry",
        `${where}: refused, though the log holds ${start} to ${end}.`,
        "The call is repeated.",
      );
    }
    return new WeirError(
      "OFFSET_OUT_OF_RANGE",
      "fatal",
      `${where}: the log holds ${start} to ${end}.`,
      "Records were deleted before they were read, or the topic was recreated: replay the input into new topics.",
    );
  }

  /** After a broken connection everything is asked anew. */
  async #forget(): Promise<void> {
    await this.#cluster.disconnect().catch(() => undefined);
    this.#connected = undefined;
    this.#topics.clear();
  }
}

function fetchRequest(
  topic: string,
  partition: number,
  offset: number,
  maxBytes: number,
  maxWaitMs: number,
  isolation: Isolation,
): KafkaRequest<PartitionAnswer> {
  const partitionOf = () =>
    encoder().writeInt32(partition).writeInt32(-1).writeInt64(offset).writeInt64(-1).writeInt32(maxBytes);
  return {
    request: {
      apiKey: FETCH,
      apiVersion: 11,
      apiName: "Fetch",
      encode: async () =>
        encoder()
          .writeInt32(-1)
          .writeInt32(maxWaitMs)
          .writeInt32(1)
          .writeInt32(maxBytes)
          .writeInt8(isolationCode(isolation))
          .writeInt32(0)
          .writeInt32(-1)
          .writeArray([encoder().writeString(topic).writeArray([partitionOf()])])
          .writeArray([])
          .writeString(""),
    },
    response: { decode: async (raw) => decodeAnswer(raw), parse: async (decoded) => decoded },
    requestTimeout: maxWaitMs + REQUEST_TIMEOUT_MS,
    logResponseError: false,
  };
}

/** FetchResponse v11 with one topic and one partition. */
function decodeAnswer(raw: Buffer): PartitionAnswer {
  const errorCode = raw.readInt16BE(4);
  if (errorCode !== 0 || raw.readInt32BE(10) === 0) {
    return {
      errorCode: errorCode || -1,
      highWatermark: -1,
      lastStableOffset: -1,
      logStartOffset: -1,
      aborted: [],
      batches: Buffer.alloc(0),
    };
  }
  let at = 14;
  at += 2 + raw.readInt16BE(at) + 4 + 4; // topic, count of partitions, partition
  const partitionError = raw.readInt16BE(at);
  const highWatermark = readInt64(raw, at + 2);
  const lastStableOffset = readInt64(raw, at + 10);
  const logStartOffset = readInt64(raw, at + 18);
  at += 26;
  const abortedCount = raw.readInt32BE(at);
  at += 4;
  const aborted: AbortedTransaction[] = [];
  for (let i = 0; i < abortedCount; i++, at += 16) {
    aborted.push({ producerId: raw.readBigInt64BE(at), firstOffset: readInt64(raw, at + 8) });
  }
  at += 4; // preferred read replica
  const length = raw.readInt32BE(at);
  at += 4;
  return {
    errorCode: partitionError,
    highWatermark,
    lastStableOffset,
    logStartOffset,
    aborted,
    batches: raw.subarray(at, at + Math.max(0, length)),
  };
}
