import type { FeatureBatch, LogBatch } from "../../schemas/index.ts";
import type { InputRecord, Output, Processor, Rejection, TopicName } from "../../streams/index.ts";

export interface SentRecord {
  readonly topic: TopicName;
  readonly key: string;
  readonly value: unknown;
  readonly timestampMs: number;
  /** Undefined: the processor's own. */
  readonly partition: number | undefined;
}

/** Gathers what a processor puts out: for tests, and for the trainer, which runs the feature code over its history. */
export class MemoryOutput implements Output {
  readonly sent: SentRecord[] = [];
  readonly rejected: Rejection[] = [];
  readonly tooLate: Rejection[] = [];
  readonly counts = { accepted: 0, late: 0, dead: 0, duplicate: 0, control: 0 };

  send(topic: TopicName, key: string, value: unknown, timestampMs: number, partition?: number): void {
    this.sent.push({ topic, key, value, timestampMs, partition });
  }

  reject(rejection: Rejection): void {
    this.rejected.push(rejection);
    this.counts.dead++;
  }

  late(rejection: Rejection): void {
    this.tooLate.push(rejection);
    this.counts.late++;
  }

  count(outcome: "accepted" | "duplicate" | "control", events: number): void {
    this.counts[outcome] += events;
  }
}

/** One entity's features at one window end. */
export interface FeatureRow {
  readonly entity: string;
  readonly windowEndMs: number;
  /** In the order of the feature set's columns; missing is NaN. */
  readonly values: Float32Array;
  readonly quality: number;
  readonly firstOffset: number;
  readonly lastOffset: number;
}

/** float32 values of a little-endian buffer, at whatever address it lies. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  const copy = new Uint8Array(bytes);
  return new Float32Array(copy.buffer, 0, Math.floor(copy.length / 4));
}

/** Takes a FeatureBatch apart into rows. */
export function rowsOf(batch: FeatureBatch): FeatureRow[] {
  const matrix = floatsOf(batch.matrix);
  const quality = floatsOf(batch.quality);
  return batch.entities.map((entity, row) => ({
    entity,
    windowEndMs: batch.windowEndMs,
    values: matrix.subarray(row * batch.columns, (row + 1) * batch.columns),
    quality: quality[row]!,
    firstOffset: batch.firstOffset[row]!,
    lastOffset: batch.lastOffset[row]!,
  }));
}

/** Records between two flushes: what a task does at each commit, here only to keep the lists of changes short. */
const FLUSH_EVERY_RECORDS = 1000;

/** Runs records through a features processor and yields its rows as their windows close. `output` gathers the rest. */
export function* collectFeatureRows(
  processor: Processor<LogBatch>,
  records: Iterable<InputRecord<LogBatch>>,
  output = new MemoryOutput(),
): Generator<FeatureRow> {
  const flush = () => {
    for (const store of processor.stores) {
      store.flush(() => {});
      store.merge?.();
    }
  };
  let sinceFlush = 0;
  for (const record of records) {
    processor.process(record, output);
    for (const { value } of output.sent.splice(0)) yield* rowsOf(value as FeatureBatch);
    if (++sinceFlush % FLUSH_EVERY_RECORDS === 0) flush();
  }
  flush();
}
