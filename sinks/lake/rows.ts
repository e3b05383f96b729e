import type { ColumnSource } from "hyparquet-writer";
import type { FeatureBatch, LogBatch } from "../../schemas/index.ts";
import { encodeParquet, floatColumn, intColumn, longColumn, textColumn } from "./parquet.ts";

/** Rows of one open file, kept as columns until they are encoded. `Part` is what one input record adds to the file. */
export interface RowBuffer<Part> {
  readonly rows: number;
  /** Estimated memory. */
  readonly bytes: number;
  append(offset: number, part: Part): void;
  columns(partition: number): ColumnSource[];
}

/** All rows of one FeatureBatch: one window end, so one folder. */
export class FeatureRows implements RowBuffer<FeatureBatch> {
  readonly names: readonly string[];
  #batches: { offset: number; batch: FeatureBatch }[] = [];
  rows = 0;
  bytes = 0;

  /** `names`: the columns of the matrix, in its order. */
  constructor(names: readonly string[]) {
    this.names = names;
  }

  append(offset: number, batch: FeatureBatch): void {
    // The decoder's buffers are views into the whole fetch; a copy keeps that from living as long as the file.
    const matrix = Buffer.from(batch.matrix);
    const quality = Buffer.from(batch.quality);
    this.#batches.push({ offset, batch: { ...batch, matrix, quality } });
    this.rows += batch.entities.length;
    this.bytes += matrix.length + quality.length + batch.entities.reduce((n, e) => n + e.length + 48, 0);
  }

  columns(partition: number): ColumnSource[] {
    const [entity, windowEnd, quality, ...values] = featureColumns(
      this.names,
      this.#batches.map((b) => b.batch),
    );
    const offsets: number[] = [];
    const indexes: number[] = [];
    for (const { offset, batch } of this.#batches) {
      for (let i = 0; i < batch.entities.length; i++) {
        offsets.push(offset);
        indexes.push(i);
      }
    }
    return [
      entity!,
      windowEnd!,
      quality!,
      intColumn("kafka_partition", new Array<number>(this.rows).fill(partition)),
      longColumn("kafka_offset", offsets),
      intColumn("row_index", indexes),
      ...values,
    ];
  }
}

/** Entity, window end, quality and the columns of the matrix. */
function featureColumns(names: readonly string[], batches: readonly FeatureBatch[]): ColumnSource[] {
  const rows = batches.reduce((sum, b) => sum + b.entities.length, 0);
  const entities: string[] = [];
  const windowEnds: number[] = [];
  const quality = new Uint32Array(rows);
  const columns = names.map(() => new Uint32Array(rows));
  for (const batch of batches) {
    for (let i = 0; i < batch.entities.length; i++) {
      const row = entities.length;
      entities.push(batch.entities[i]!);
      windowEnds.push(batch.windowEndMs);
      quality[row] = batch.quality.readUInt32LE(i * 4);
      // Bits, not numbers: a number's way through a register may change the payload of a NaN.
      let at = i * batch.columns * 4;
      for (const column of columns) {
        column[row] = batch.matrix.readUInt32LE(at);
        at += 4;
      }
    }
  }
  const floats = (bits: Uint32Array): Float32Array => new Float32Array(bits.buffer);
  return [
    textColumn("entity", entities, true),
    longColumn("window_end_ms", windowEnds),
    floatColumn("quality", floats(quality)),
    ...names.map((name, c) => floatColumn(name, floats(columns[c]!))),
  ];
}

/** A file of rows that stand in no topic: the lake's columns without the place in Kafka. */
export const encodeFeatureFile = (
  names: readonly string[],
  batches: readonly FeatureBatch[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array => encodeParquet(featureColumns(names, batches), metadata);

/** The events of one LogBatch that lie in one folder: their places in the batch. */
export interface RawPart {
  readonly batch: LogBatch;
  readonly indexes: readonly number[];
}

export class RawRows implements RowBuffer<RawPart> {
  #parts: { offset: number; part: RawPart }[] = [];
  rows = 0;
  bytes = 0;

  append(offset: number, part: RawPart): void {
    this.#parts.push({ offset, part });
    this.rows += part.indexes.length;
    for (const i of part.indexes) {
      const event = part.batch.events[i]!;
      this.bytes += event.id.length + event.message.length + 96;
    }
  }

  columns(partition: number): ColumnSource[] {
    const rows = this.#parts.flatMap(({ offset, part }) =>
      part.indexes.map((index) => ({ offset, index, batch: part.batch, event: part.batch.events[index]! })),
    );
    return [
      textColumn(
        "event_id",
        rows.map((r) => r.event.id),
        false,
      ),
      textColumn(
        "entity",
        rows.map((r) => r.batch.entity),
        true,
      ),
      longColumn(
        "timestamp_ms",
        rows.map((r) => r.event.timestampMs),
      ),
      textColumn(
        "account",
        rows.map((r) => r.batch.account),
        true,
      ),
      textColumn(
        "log_group",
        rows.map((r) => r.batch.logGroup),
        true,
      ),
      textColumn(
        "log_stream",
        rows.map((r) => r.batch.logStream),
        true,
      ),
      textColumn(
        "message",
        rows.map((r) => r.event.message),
        false,
      ),
      longColumn(
        "arrival_ms",
        rows.map((r) => r.batch.arrivalMs),
      ),
      textColumn(
        "source",
        rows.map((r) => r.batch.source),
        true,
      ),
      // With it, lateness can be judged again as it was.
      longColumn(
        "clock_ms",
        rows.map((r) => r.batch.clockMs),
      ),
      intColumn("kafka_partition", new Array<number>(this.rows).fill(partition)),
      longColumn(
        "kafka_offset",
        rows.map((r) => r.offset),
      ),
      intColumn(
        "event_index",
        rows.map((r) => r.index),
      ),
    ];
  }
}
