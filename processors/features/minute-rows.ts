import type { FeatureBatch } from "../../schemas/index.ts";
import type { FeatureSet } from "./feature-set.ts";
import { MINUTE_MS } from "./time.ts";

export interface MeanAndLowest {
  readonly mean: number;
  readonly lowest: number;
}

/** All rows of one window end, in the order of their entities, and the batches that they leave in. */
export class MinuteRows {
  readonly matrix: Float32Array<ArrayBuffer>;
  readonly quality: Float32Array<ArrayBuffer>;
  readonly #set: FeatureSet;
  readonly #end: number;
  readonly #entities: readonly string[];

  constructor(set: FeatureSet, endMinute: number, entities: readonly string[]) {
    this.#set = set;
    this.#end = endMinute;
    this.#entities = entities;
    this.matrix = new Float32Array(entities.length * set.columns.length);
    this.quality = new Float32Array(entities.length);
  }

  /** Undefined without a row. */
  meanAndLowestQuality(): MeanAndLowest | undefined {
    if (this.quality.length === 0) return undefined;
    let [sum, lowest] = [0, 1];
    for (const quality of this.quality) {
      sum += quality;
      if (quality < lowest) lowest = quality;
    }
    return { mean: sum / this.quality.length, lowest };
  }

  /** One at least, so that each window end is told of. `evidenceOf`: first and last offset behind a row. */
  batches(
    evidenceOf: (row: number) => readonly [first: number, last: number],
    silent: string[],
    maxRows: number,
  ): FeatureBatch[] {
    const chunks = Math.max(1, Math.ceil(this.#entities.length / maxRows));
    return Array.from({ length: chunks }, (_, chunk) => {
      const from = chunk * maxRows;
      const entities = this.#entities.slice(from, from + maxRows);
      const evidence = entities.map((_, row) => evidenceOf(from + row));
      const columns = this.#set.columns.length;
      return {
        featureSet: this.#set.name,
        featureSetHash: this.#set.hash,
        windowEndMs: this.#end * MINUTE_MS,
        // Not the input's watermark: later windows end below that by as much as the grace.
        watermarkMs: this.#end * MINUTE_MS,
        chunk,
        chunks,
        entities,
        columns,
        matrix: Buffer.from(this.matrix.buffer, from * columns * 4, entities.length * columns * 4),
        quality: Buffer.from(this.quality.buffer, from * 4, entities.length * 4),
        firstOffset: evidence.map(([first]) => first),
        lastOffset: evidence.map(([, last]) => last),
        silent: chunk === 0 ? silent : [],
      };
    });
  }
}
