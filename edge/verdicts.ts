import type { PredictionBatch } from "../schemas/index.ts";

export interface SeenVerdict {
  readonly windowEnd: string;
  readonly score: number;
  readonly verdict: "anomaly" | "normal";
  readonly model: string;
  readonly version: string;
  readonly routingVersion: number;
}

const KEPT_PER_ENTITY = 15;
const MAX_ENTITIES = 20_000;

/**
 * The newest verdicts of each entity, for looking up: the last 15 of the 20,000 entities heard of last. It is a view
 * that begins shortly before its process does; the topic holds the truth.
 */
export class VerdictView {
  readonly #byEntity = new Map<string, SeenVerdict[]>();
  readonly #thresholdOf: (model: string, version: string) => number;
  readonly #maxEntities: number;

  constructor(thresholdOf: (model: string, version: string) => number, maxEntities = MAX_ENTITIES) {
    this.#thresholdOf = thresholdOf;
    this.#maxEntities = maxEntities;
  }

  take(batch: PredictionBatch): void {
    const { models, entities, arm, score, routingVersion } = batch;
    const thresholds = models.map((m) => Math.fround(this.#thresholdOf(m.name, m.version)));
    const windowEnd = new Date(batch.windowEndMs).toISOString();
    entities.forEach((entity, row) => {
      const index = arm[row]!;
      const value = score.readFloatLE(row * 4);
      const before = this.#byEntity.get(entity) ?? [];
      if (before.at(-1) !== undefined && before.at(-1)!.windowEnd >= windowEnd) return;
      // To be the last of the map is to be the one heard of last.
      this.#byEntity.delete(entity);
      const verdict = value >= thresholds[index]! ? "anomaly" : "normal";
      const { name: model, version } = models[index]!;
      const seen = { windowEnd, score: value, verdict, model, version, routingVersion } as const;
      this.#byEntity.set(entity, [...before.slice(1 - KEPT_PER_ENTITY), seen]);
      if (this.#byEntity.size > this.#maxEntities) this.#byEntity.delete(this.#byEntity.keys().next().value!);
    });
  }

  /** Newest first; empty for an entity that is not known. */
  of(entity: string): readonly SeenVerdict[] {
    return [...(this.#byEntity.get(entity) ?? [])].reverse();
  }

  get size(): number {
    return this.#byEntity.size;
  }
}
