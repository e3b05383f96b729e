import { deadTopicFor, lateTopicFor, type StageName, type TopicName } from "../names.ts";
import type { ProducerRecord } from "../ports.ts";
import type { InputRecord, Output, Rejection } from "../processor.ts";
import type { Counters } from "../runnable.ts";

export interface Encoder {
  encode(topic: string, value: unknown): Buffer;
}

type Position = Pick<InputRecord<unknown>, "offset" | "timestampMs">;

const DEAD_LETTER_BYTES = 900_000;

/** Gathers what processing gives until the commit sends it (C1). */
export class TaskOutput implements Output {
  readonly records: ProducerRecord[] = [];
  readonly counters: Counters;
  bytes = 0;
  readonly #stage: StageName;
  readonly #input: TopicName;
  readonly #partition: number;
  readonly #encoder: Encoder;
  #current: Position = { offset: -1, timestampMs: 0 };
  readonly #saved: Counters;
  #savedRecords = 0;
  #savedBytes = 0;

  constructor(stage: StageName, input: TopicName, partition: number, encoder: Encoder, counters: Counters) {
    this.#stage = stage;
    this.#input = input;
    this.#partition = partition;
    this.#encoder = encoder;
    this.counters = { ...counters };
    this.#saved = { ...counters };
  }

  savepoint(): void {
    Object.assign(this.#saved, this.counters);
    this.#savedRecords = this.records.length;
    this.#savedBytes = this.bytes;
  }

  /** Takes back what came since the savepoint. */
  rollback(): void {
    Object.assign(this.counters, this.#saved);
    this.records.length = this.#savedRecords;
    this.bytes = this.#savedBytes;
  }

  /** The record that what follows belongs to. */
  at(record: Position): void {
    this.#current = record;
  }

  send(topic: TopicName, key: string, value: unknown, timestampMs: number, partition = this.#partition): void {
    const bytes = value === null ? null : this.#encoder.encode(topic, value);
    this.records.push({ topic, partition, key, value: bytes, timestampMs });
    this.bytes += bytes?.length ?? 0;
    this.counters.out++;
  }

  reject(rejection: Rejection): void {
    this.#letter(deadTopicFor(this.#input), rejection);
    this.counters.dead++;
    this.counters.in++;
  }

  late(rejection: Rejection): void {
    this.#letter(lateTopicFor(this.#input), rejection);
    this.counters.late++;
    this.counters.in++;
  }

  count(outcome: "accepted" | "duplicate" | "control", events: number): void {
    this.counters[outcome] += events;
    this.counters.in += events;
  }

  /** State and progress travel in the same transaction, but are nobody's output. */
  internal(record: ProducerRecord): void {
    this.records.push(record);
    this.bytes += record.value?.length ?? 0;
  }

  #letter(topic: TopicName, rejection: Rejection): void {
    const origin = `${this.#partition}/${this.#current.offset}`;
    const value = {
      ...rejection,
      stage: this.#stage,
      originTopic: this.#input,
      originPartition: String(this.#partition),
      originOffset: String(this.#current.offset),
      bytes: Buffer.from(rejection.bytes.subarray(0, DEAD_LETTER_BYTES)),
    };
    const bytes = this.#encoder.encode(topic, value);
    // The record time is the input's: the rejected event's own may be what is wrong with it.
    this.records.push({
      topic,
      partition: this.#partition,
      key: origin,
      value: bytes,
      timestampMs: rejection.timestampMs,
    });
    this.bytes += bytes.length;
  }
}
