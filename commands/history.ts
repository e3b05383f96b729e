import { createHash } from "node:crypto";
import type { TelemetryRound, TruthIncident } from "../local/fleet/index.ts";
import { topics } from "../pipeline.ts";
import { collectFeatureRows, createFeaturesProcessor, type FeatureSet } from "../processors/index.ts";
import type { LogBatch } from "../schemas/index.ts";
import { decodeRecord, toPieces } from "../sources/index.ts";
import type { InputRecord } from "../streams/index.ts";
import type { TrainingData } from "../trainer/index.ts";

/** 1 anomaly, 0 normal, -1 unknown. */
export type LabelOf = (entity: string, windowEndMs: number) => -1 | 0 | 1;

export interface HistoryRange {
  /** Rows that end behind it are left out. */
  readonly toMs: number;
  /** After so much event time the features start anew, so that models meet entities seen for the first time. */
  readonly coldStartEveryMs: number;
}

/**
 * Telemetry through the very code of the bridge and the features stage, in this process: what a model learns from is
 * computed as what it will score.
 */
export async function historyRows(
  featureSet: FeatureSet,
  rounds: Iterable<TelemetryRound>,
  labelOf: LabelOf,
  range: HistoryRange,
): Promise<TrainingData> {
  const matrix = new Floats();
  const ends: number[] = [];
  const entities: number[] = [];
  const labels: number[] = [];
  const index = new Map<string, number>();
  const digest = createHash("sha256").update(featureSet.hash);
  const fresh = () => createFeaturesProcessor({ featureSet, topic: topics.features, partition: 0, partitions: 1 });
  let processor = fresh();
  let coldStartMs = Number.POSITIVE_INFINITY;
  for (const round of rounds) {
    if (coldStartMs === Number.POSITIVE_INFINITY) coldStartMs = round.clockMs + range.coldStartEveryMs;
    if (round.clockMs >= coldStartMs) {
      processor = fresh();
      coldStartMs += range.coldStartEveryMs;
    }
    for (const row of collectFeatureRows(processor, logBatches(round))) {
      if (row.windowEndMs > range.toMs) continue;
      matrix.push(row.values);
      ends.push(row.windowEndMs);
      if (!index.has(row.entity)) index.set(row.entity, index.size);
      entities.push(index.get(row.entity)!);
      labels.push(labelOf(row.entity, row.windowEndMs));
    }
    if (round.clockMs > range.toMs) break;
    await new Promise(setImmediate); // the page and Ctrl-C stay alive
  }
  const label = Int8Array.from(labels);
  const values = matrix.take();
  digest.update(Buffer.from(values.buffer, values.byteOffset, values.byteLength)).update(Buffer.from(label.buffer));
  return {
    columns: featureSet.columns,
    matrix: values,
    entity: Int32Array.from(entities),
    windowEndMs: Float64Array.from(ends),
    label,
    digest: digest.digest("hex"),
  };
}

const SOURCE = "history";

/** What the bridge would write for one round, with its closing tick. */
function* logBatches(round: TelemetryRound): Generator<InputRecord<LogBatch>> {
  let offset = 0;
  const record = (value: LogBatch): InputRecord<LogBatch> => ({
    topic: topics.logsRaw,
    partition: 0,
    offset: offset++,
    timestampMs: round.clockMs,
    key: value.entity,
    value,
  });
  const context = { stream: SOURCE, shard: "0", source: SOURCE, clockMs: 0, partitions: 1 };
  for (const { data } of round.records) {
    const arrivalMs = round.clockMs;
    const decoded = decodeRecord(data, { arrivalMs, clockMode: "records" });
    for (const piece of toPieces({ sequence: "0", arrivalMs, data }, decoded, context)) {
      if (piece.kind === "log") yield record(piece.value);
    }
  }
  const sign = {
    source: SOURCE,
    clockMs: round.clockMs,
    arrivalMs: round.clockMs,
    sequence: "",
    account: "",
    logGroup: "",
    logStream: "",
    entity: "",
    events: [],
  };
  yield record({ kind: "tick", ...sign });
}

/** A row is anomalous if trouble overlaps its last `windowMs`. */
export function labelsFromTruth(truth: readonly TruthIncident[], windowMs: number): LabelOf {
  const byEntity = Map.groupBy(truth, (t) => t.entity);
  return (entity, windowEndMs) =>
    byEntity.get(entity)?.some((t) => t.startMs < windowEndMs && t.endMs > windowEndMs - windowMs) ? 1 : 0;
}

/** Appends float32 rows without keeping one array each. */
class Floats {
  #values = new Float32Array(1 << 16);
  #length = 0;

  push(row: Float32Array): void {
    if (this.#length + row.length > this.#values.length) {
      const larger = new Float32Array(Math.max(this.#values.length * 2, this.#length + row.length));
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values.set(row, this.#length);
    this.#length += row.length;
  }

  take(): Float32Array {
    return this.#values.slice(0, this.#length);
  }
}
