import type { FeatureBatch, LogBatch } from "../../schemas/index.ts";
import { SourceClocks, WeirError } from "../../streams/index.ts";
import { folderOf, hourEndMs } from "./layout.ts";
import { FeatureRows, type RawPart, RawRows, type RowBuffer } from "./rows.ts";

/** The rows of one input record that belong into one folder. */
export interface FolderPart {
  readonly folder: string;
  readonly hourEndMs: number;
  readonly rows: number;
  /** Rows of different layouts cannot share a file. */
  readonly layout: string;
  readonly part: unknown;
}

/**
 * How records of one stage become rows. One instance a partition: it carries the partition's clock.
 *
 * `read` is called once per record in offset order and throws on a record whose parts contradict each other.
 */
export interface LakeFormat {
  read(value: unknown): readonly FolderPart[];
  readonly watermarkMs: number;
  /** For the next file with this layout. */
  buffer(layout: string): RowBuffer<unknown>;
}

/** Names of a feature set's columns, in the order of the matrix. Throws if there is no such set with that hash. */
export type ColumnsOf = (featureSet: string, hash: string) => readonly string[];

export class FeatureFormat implements LakeFormat {
  watermarkMs = 0;
  #columns: ColumnsOf;
  #names = new Map<string, readonly string[]>();

  constructor(columns: ColumnsOf) {
    this.#columns = columns;
  }

  read(value: unknown): FolderPart[] {
    const batch = value as FeatureBatch;
    const rows = batch.entities.length;
    if (batch.matrix.length !== rows * batch.columns * 4 || batch.quality.length !== rows * 4)
      throw new Error(`${rows} rows of ${batch.columns} columns do not fill a matrix of ${batch.matrix.length} bytes.`);
    this.watermarkMs = Math.max(this.watermarkMs, batch.watermarkMs);
    if (rows === 0) return [];
    const layout = `${batch.featureSet}/${batch.featureSetHash}`;
    let names = this.#names.get(layout);
    if (!names) {
      names = this.#namesOf(batch);
      this.#names.set(layout, names);
    }
    const { windowEndMs } = batch;
    return [
      { folder: folderOf("lake-features", windowEndMs), hourEndMs: hourEndMs(windowEndMs), rows, layout, part: batch },
    ];
  }

  /** A set this process does not know is no fault of the record: nothing may be skipped for it. */
  #namesOf(batch: FeatureBatch): readonly string[] {
    const where = `feature set ${batch.featureSet} (${batch.featureSetHash})`;
    const next = "Start the lake with the feature sets that the features stage was started with.";
    let names: readonly string[];
    try {
      names = this.#columns(batch.featureSet, batch.featureSetHash);
    } catch (error) {
      throw new WeirError("LAKE_FEATURE_SET", "fatal", `The columns of ${where} are not known.`, next, {
        cause: error,
      });
    }
    if (names.length !== batch.columns) {
      const counts = `has ${names.length} columns here and ${batch.columns} in the topic`;
      throw new WeirError("LAKE_FEATURE_SET", "fatal", `${where} ${counts}.`, next);
    }
    return names;
  }

  buffer(layout: string): RowBuffer<unknown> {
    return new FeatureRows(this.#names.get(layout)!) as RowBuffer<unknown>;
  }
}

export class RawFormat implements LakeFormat {
  #clocks = new SourceClocks();

  get watermarkMs(): number {
    return this.#clocks.watermarkMs;
  }

  read(value: unknown): FolderPart[] {
    const batch = value as LogBatch;
    if (batch.kind === "open") this.#clocks.open(batch.source, batch.clockMs);
    else if (batch.kind === "close") this.#clocks.close(batch.source);
    else if (batch.kind === "idle") this.#clocks.idle(batch.source);
    else this.#clocks.advance(batch.source, batch.clockMs);
    const byFolder = new Map<string, number[]>();
    for (const [i, event] of batch.events.entries()) {
      const folder = folderOf("lake-raw", event.timestampMs);
      const indexes = byFolder.get(folder);
      if (indexes) indexes.push(i);
      else byFolder.set(folder, [i]);
    }
    return [...byFolder].map(([folder, indexes]) => ({
      folder,
      hourEndMs: hourEndMs(batch.events[indexes[0]!]!.timestampMs),
      rows: indexes.length,
      layout: "raw",
      part: { batch, indexes } satisfies RawPart,
    }));
  }

  buffer(): RowBuffer<unknown> {
    return new RawRows() as RowBuffer<unknown>;
  }
}
