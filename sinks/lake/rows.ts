import type { ColumnSource } from "hyparquet-writer";
import type { FeatureBatch, LogBatch } from "../../schemas/index.ts";
import { encodeParquet, floatColumn, intColumn, longColumn, textColumn } from "./parquet.ts";
import { type PiledTexts, TextPile, textsOf } from "./text-pile.ts";

/** Rows of one open file until they are encoded. `Part` is what one input record adds to the file. */
export interface RowBuffer<Part> {
  readonly rows: number;
  /** Estimated memory. */
  readonly bytes: number;
  append(offset: number, part: Part): void;
  /** What the file is made of, fit for another thread. The buffer must not be used afterwards. */
  take(partition: number): FileRows;
}

export type FileRows = FeatureFile | RawFile;

interface FeatureFile {
  readonly kind: "features";
  readonly partition: number;
  readonly names: readonly string[];
  readonly offsets: readonly number[];
  readonly batches: readonly FeatureRowsOf[];
}

type FeatureRowsOf = Pick<FeatureBatch, "windowEndMs" | "columns" | "entities"> & {
  readonly matrix: Uint8Array;
  readonly quality: Uint8Array;
};

interface RawFile {
  readonly kind: "raw";
  readonly partition: number;
  readonly ids: PiledTexts;
  readonly messages: PiledTexts;
  readonly batches: readonly RawRowsOf[];
}

type RawRowsOf = Omit<LogBatch, "events" | "kind" | "sequence"> & {
  readonly offset: number;
  readonly indexes: readonly number[];
  readonly timestampsMs: readonly number[];
};

/** Memory that goes over to the other thread instead of being copied. */
export const transferOf = (file: FileRows): ArrayBuffer[] =>
  (file.kind === "raw"
    ? [...file.ids.chunks, ...file.messages.chunks, file.ids.lengths, file.messages.lengths]
    : file.batches.flatMap(({ matrix, quality }) => [matrix, quality])
  ).map((bytes) => bytes.buffer as ArrayBuffer);

export const columnsOf = (file: FileRows): ColumnSource[] =>
  file.kind === "raw" ? rawFileColumns(file) : featureFileColumns(file);

/** All rows of one FeatureBatch: one window end, so one folder. */
export class FeatureRows implements RowBuffer<FeatureBatch> {
  readonly names: readonly string[];
  #batches: FeatureRowsOf[] = [];
  #offsets: number[] = [];
  rows = 0;
  bytes = 0;

  /** `names`: the columns of the matrix, in its order. */
  constructor(names: readonly string[]) {
    this.names = names;
  }

  append(offset: number, { windowEndMs, columns, entities, matrix, quality }: FeatureBatch): void {
    // The decoder's buffers are views into the whole fetch; a copy keeps that from living as long as the file.
    this.#batches.push({ windowEndMs, columns, entities, matrix: owned(matrix), quality: owned(quality) });
    this.#offsets.push(offset);
    this.rows += entities.length;
    this.bytes += matrix.length + quality.length + entities.reduce((n, e) => n + e.length + 48, 0);
  }

  take(partition: number): FileRows {
    return { kind: "features", partition, names: this.names, offsets: this.#offsets, batches: this.#batches };
  }
}

/** A copy with memory of its own: Node's pool for small ones cannot be handed over. */
function owned(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}

function featureFileColumns({ names, batches, offsets: ofBatch, partition }: FeatureFile): ColumnSource[] {
  const [entity, windowEnd, quality, ...values] = featureColumns(names, batches);
  const offsets: number[] = [];
  const indexes: number[] = [];
  for (const [b, { entities }] of batches.entries()) {
    for (let i = 0; i < entities.length; i++) {
      offsets.push(ofBatch[b]!);
      indexes.push(i);
    }
  }
  return [
    entity!,
    windowEnd!,
    quality!,
    intColumn("kafka_partition", new Array<number>(offsets.length).fill(partition)),
    longColumn("kafka_offset", offsets),
    intColumn("row_index", indexes),
    ...values,
  ];
}

/** Entity, window end, quality and the columns of the matrix. */
function featureColumns(names: readonly string[], batches: readonly FeatureRowsOf[]): ColumnSource[] {
  const rows = batches.reduce((sum, b) => sum + b.entities.length, 0);
  const entities: string[] = [];
  const windowEnds: number[] = [];
  const quality = new Uint32Array(rows);
  const columns = names.map(() => new Uint32Array(rows));
  for (const batch of batches) {
    const cells = new DataView(batch.matrix.buffer, batch.matrix.byteOffset, batch.matrix.byteLength);
    const qualities = new DataView(batch.quality.buffer, batch.quality.byteOffset, batch.quality.byteLength);
    for (let i = 0; i < batch.entities.length; i++) {
      const row = entities.length;
      entities.push(batch.entities[i]!);
      windowEnds.push(batch.windowEndMs);
      quality[row] = qualities.getUint32(i * 4, true);
      // Bits, not numbers: a number's way through a register may change the payload of a NaN.
      let at = i * batch.columns * 4;
      for (const column of columns) {
        column[row] = cells.getUint32(at, true);
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
  #ids = new TextPile();
  #messages = new TextPile();
  #batches: RawRowsOf[] = [];
  rows = 0;
  bytes = 0;

  append(offset: number, { batch, indexes }: RawPart): void {
    const { events, kind: _, sequence: __, ...rest } = batch;
    const timestampsMs = indexes.map((i) => events[i]!.timestampMs);
    this.#batches.push({ ...rest, offset, indexes, timestampsMs });
    this.rows += indexes.length;
    this.bytes += BATCH_BYTES;
    for (const i of indexes) {
      const { id, message } = events[i]!;
      this.bytes += this.#ids.append(id) + this.#messages.append(message) + 16;
    }
  }

  take(partition: number): FileRows {
    const [ids, messages] = [this.#ids.take(), this.#messages.take()];
    return { kind: "raw", partition, ids, messages, batches: this.#batches };
  }
}

/** Of a batch's names and its places in lists, roughly. */
const BATCH_BYTES = 400;

function rawFileColumns({ ids, messages, batches, partition }: RawFile): ColumnSource[] {
  const ofEach = <T>(of: (batch: RawRowsOf, i: number) => T): T[] =>
    batches.flatMap((batch) => batch.indexes.map((_, i) => of(batch, i)));
  const text = (name: string, of: (batch: RawRowsOf) => string) => textColumn(name, ofEach(of), true);
  const long = (name: string, of: (batch: RawRowsOf, i: number) => number) => longColumn(name, ofEach(of));
  return [
    textColumn("event_id", textsOf(ids), false),
    text("entity", (b) => b.entity),
    long("timestamp_ms", (b, i) => b.timestampsMs[i]!),
    text("account", (b) => b.account),
    text("log_group", (b) => b.logGroup),
    text("log_stream", (b) => b.logStream),
    textColumn("message", textsOf(messages), false),
    long("arrival_ms", (b) => b.arrivalMs),
    text("source", (b) => b.source),
    // With it, lateness can be judged again as it was.
    long("clock_ms", (b) => b.clockMs),
    intColumn(
      "kafka_partition",
      ofEach(() => partition),
    ),
    long("kafka_offset", (b) => b.offset),
    intColumn(
      "event_index",
      ofEach((b, i) => b.indexes[i]!),
    ),
  ];
}
