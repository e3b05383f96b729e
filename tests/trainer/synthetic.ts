import type { TrainingData } from "../../trainer/index.ts";

/** A repeatable source of uniform numbers (mulberry32). */
export function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export interface Shape {
  readonly entities: number;
  readonly minutes: number;
  readonly columns: number;
  /** One outage of 20 minutes per entity and this many minutes. */
  readonly outageEveryMinutes?: number;
}

/** Noise with 3 % holes; while an entity has an outage its first three columns are raised, or one falls silent. */
export function syntheticRows(shape: Shape, seed = 1): TrainingData {
  const { entities, minutes, columns } = shape;
  const random = uniform(seed);
  const rows = entities * minutes;
  const data = {
    columns: Array.from({ length: columns }, (_, index) => `metric_${index}`),
    matrix: new Float32Array(rows * columns),
    entity: new Int32Array(rows),
    windowEndMs: new Float64Array(rows),
    label: new Int8Array(rows),
    digest: `synthetic-${seed}`,
  };
  const every = shape.outageEveryMinutes ?? 200;
  for (let row = 0; row < rows; row++) {
    const minute = Math.floor(row / entities);
    const entity = row % entities;
    const anomalous = (minute + entity * 37) % every < 20;
    data.entity[row] = entity;
    data.windowEndMs[row] = Date.UTC(2024, 0, 1) + (minute + 1) * 60_000;
    data.label[row] = anomalous ? 1 : 0;
    for (let column = 0; column < columns; column++) {
      const noise = random() + random() + random();
      const value = noise + (anomalous && column < 3 ? 1.2 : 0);
      data.matrix[row * columns + column] = random() < 0.03 ? Number.NaN : value;
    }
  }
  return data;
}
