import type { Codecs, DeadLetter, LogBatch, ShardCheckpoint, SourceSign } from "../../schemas/index.ts";
import { type ProducerRecord, partitionFor, type TopicName } from "../../streams/index.ts";
import { logBatchEncoder } from "./log-batch-encoder.ts";
import { sourceIdOf } from "./names.ts";
import type { Piece } from "./to-log-batches.ts";

export interface BridgeTopics {
  readonly logsRaw: TopicName;
  readonly checkpoints: TopicName;
  readonly dead: TopicName;
}

export type BridgeCodecs = Pick<Codecs, "encode" | "decode" | "unknownId" | "learn">;

/** A sign of life of a source, which goes to every partition of logs.raw. */
export interface Sign {
  readonly kind: Exclude<SourceSign, "events">;
  readonly source: string;
  readonly clockMs: number;
  readonly arrivalMs: number;
  readonly sequence: string;
}

export interface Notice {
  readonly code: "source_excluded" | "source_gap";
  readonly reason: string;
}

/** Turns what the bridge says into records of Kafka. */
export class Wire {
  readonly topics: BridgeTopics;
  /** All that a producer of the bridge writes to. */
  readonly written: readonly TopicName[];
  readonly partitions: { readonly logsRaw: number; readonly checkpoints: number; readonly dead: number };
  #codecs: BridgeCodecs;
  #encodeLog: (batch: LogBatch) => Buffer;

  constructor(codecs: BridgeCodecs, topics: BridgeTopics, partitions: Wire["partitions"]) {
    this.#codecs = codecs;
    this.#encodeLog = logBatchEncoder((batch) => codecs.encode(topics.logsRaw, batch));
    this.topics = topics;
    this.written = [topics.checkpoints, topics.logsRaw, topics.dead];
    this.partitions = partitions;
  }

  piece(piece: Piece): ProducerRecord {
    return piece.kind === "log" ? this.#log(piece.value, piece.partition) : this.#dead(piece.value, piece.arrivalMs);
  }

  sign(sign: Sign): ProducerRecord[] {
    const value: LogBatch = { ...sign, account: "", logGroup: "", logStream: "", entity: "", events: [] };
    const bytes = this.#encodeLog(value);
    return Array.from({ length: this.partitions.logsRaw }, (_, partition) => ({
      topic: this.topics.logsRaw,
      partition,
      key: sign.source,
      value: bytes,
      timestampMs: sign.clockMs,
    }));
  }

  row(row: ShardCheckpoint): ProducerRecord {
    const key = rowKey(row);
    return {
      topic: this.topics.checkpoints,
      partition: partitionFor(key, this.partitions.checkpoints),
      key,
      value: this.#codecs.encode(this.topics.checkpoints, row),
      timestampMs: row.arrivalMs || row.streamCreatedMs,
    };
  }

  tombstone(row: ShardCheckpoint): ProducerRecord {
    return { ...this.row(row), value: null };
  }

  /** What an operator, or the bridge by itself, has decided about a whole source: for the record. */
  notice(row: ShardCheckpoint, notice: Notice, nowMs: number): ProducerRecord {
    return this.#dead(
      {
        ...notice,
        stage: "bridge",
        originTopic: `kinesis:${row.stream}`,
        originPartition: row.shard,
        originOffset: row.sequence,
        eventId: "",
        timestampMs: row.clockMs,
        entity: "",
        bytes: Buffer.alloc(0),
      },
      nowMs,
    );
  }

  #log(batch: LogBatch, partition: number): ProducerRecord {
    const newest = batch.events.reduce((max, e) => Math.max(max, e.timestampMs), 0);
    const value = this.#encodeLog(batch);
    return { topic: this.topics.logsRaw, partition, key: batch.entity, value, timestampMs: newest };
  }

  #dead(letter: DeadLetter, arrivalMs: number): ProducerRecord {
    const key = `${letter.originPartition}/${letter.originOffset}`;
    const partition = partitionFor(key, this.partitions.dead);
    const value = this.#codecs.encode(this.topics.dead, letter);
    // Not the event's own time: the broker refuses records from the future, and that may be why the letter is dead.
    return { topic: this.topics.dead, partition, key, value, timestampMs: arrivalMs };
  }
}

export const rowKey = (row: ShardCheckpoint): string =>
  sourceIdOf({ name: row.stream, createdMs: row.streamCreatedMs }, row.shard);
