import { topics } from "../../pipeline.ts";
import { createFeaturesProcessor, type FeatureSet } from "../../processors/index.ts";
import type { FeatureBatch, LogBatch } from "../../schemas/index.ts";
import type { InputRecord, Output, StateStore } from "../../streams/index.ts";
import type { BackfillFolder } from "./folder.ts";

export const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** An hour of few entities is not worth a file and a saved state; a day always is. */
const MIN_CELLS_A_FILE = 10_000;

/** What is to be recomputed: rows whose windows end from `fromMs` (inclusive) to `toMs` (exclusive). */
export interface BackfillJob {
  readonly featureSet: FeatureSet;
  readonly graceMs: number;
  readonly fromMs: number;
  readonly toMs: number;
  /** Input from this event time on is read, so that the first row has its past. */
  readonly warmUpFromMs: number;
}

/** Input of the features stage, in its order, with the place to go on from after each record. */
export interface LaneRecord {
  readonly record: InputRecord<LogBatch>;
  readonly next: number;
}

/** A part of the input that is computed by itself: what one partition of the features stage would have read. */
export interface Lane {
  readonly name: string;
  readonly partition: number;
  readonly partitions: number;
  /** From `next` of an earlier run on; undefined: from the beginning. */
  records(next: number | undefined): AsyncIterable<LaneRecord>;
  /** Events that the lane itself could tell to be late or unusable, up to now. */
  readonly passedOver: { late: number; dead: number };
}

export interface LaneCounts {
  readonly rows: number;
  readonly files: number;
  readonly accepted: number;
  readonly duplicate: number;
  readonly late: number;
  readonly dead: number;
}

/** Where a lane stands. */
export interface LaneState {
  readonly next: number;
  /** The last window end. */
  readonly endMs: number;
  readonly done: boolean;
  readonly counts: LaneCounts;
  /** By store, then by key: what its changelog would hold. */
  readonly stores: ReadonlyMap<string, ReadonlyMap<string, Buffer>>;
}

export interface LaneProgress {
  readonly lane: string;
  /** The last window end. */
  readonly endMs: number;
  readonly counts: LaneCounts;
}

const nothing: LaneCounts = { rows: 0, files: 0, accepted: 0, duplicate: 0, late: 0, dead: 0 };

/**
 * Runs one lane through the features stage's own processor and writes its rows, an hour of window ends a file, or more where an hour has few.
 *
 * Whenever window ends have passed into another hour and there are rows enough, or into another day, the rows so far
 * become files and the state is saved with the place in the input. Interrupted, a second run goes on there, and writes what it repeats with the same bytes.
 */
export async function runLane(
  lane: Lane,
  job: BackfillJob,
  folder: BackfillFolder,
  onHour: (progress: LaneProgress) => void,
  signal: AbortSignal,
): Promise<LaneCounts> {
  const { partition, partitions } = lane;
  const { featureSet, graceMs, fromMs, toMs } = job;
  const saved = folder.loadState(lane.name);
  if (saved?.done) return saved.counts;
  const processor = createFeaturesProcessor({ featureSet, topic: topics.features, partition, partitions, graceMs });
  const snapshot = new Snapshot(processor.stores, saved?.stores);
  const out = new LaneOutput();
  const before = saved?.counts ?? nothing;
  let [rows, files, endMs, next] = [
    before.rows,
    before.files,
    saved?.endMs ?? Number.NEGATIVE_INFINITY,
    saved?.next ?? 0,
  ];
  let pending: FeatureBatch[] = [];
  const counts = (): LaneCounts => ({
    rows,
    files,
    accepted: before.accepted + out.accepted,
    duplicate: before.duplicate + out.duplicate,
    late: before.late + out.tooLate + lane.passedOver.late,
    dead: before.dead + out.dead + lane.passedOver.dead,
  });
  const save = (done: boolean) => {
    for (const day of Map.groupBy(pending, (b) => new Date(b.windowEndMs).toISOString().slice(0, 10)).values()) {
      folder.writeRows(lane.name, day);
      files++;
    }
    rows += pending.reduce((sum, b) => sum + b.entities.length, 0);
    pending = [];
    folder.saveState(lane.name, { next, endMs, done, counts: counts(), stores: snapshot.take() });
  };
  for await (const step of lane.records(saved?.next)) {
    signal.throwIfAborted();
    processor.process(step.record, out);
    next = step.next;
    const hourBefore = Math.floor(endMs / HOUR_MS);
    for (const batch of out.batches.splice(0)) {
      endMs = batch.windowEndMs;
      if (endMs >= fromMs && endMs < toMs && batch.entities.length > 0) pending.push(batch);
    }
    snapshot.follow();
    if (endMs >= toMs) break;
    if (Math.floor(endMs / HOUR_MS) === hourBefore) continue;
    const cells = pending.reduce((sum, b) => sum + b.entities.length, 0) * featureSet.columns.length;
    if (cells >= MIN_CELLS_A_FILE || Math.floor(endMs / DAY_MS) !== Math.floor((hourBefore * HOUR_MS) / DAY_MS))
      save(false);
    onHour({ lane: lane.name, endMs, counts: counts() });
  }
  save(true);
  onHour({ lane: lane.name, endMs: Math.min(endMs, toMs), counts: counts() });
  return counts();
}

/** Records between two looks at what the stores changed, so that their lists of changes stay short. */
const FOLLOW_EVERY_RECORDS = 1_000;

/** What the changelog would hold of the stores. */
class Snapshot {
  readonly #stores: readonly StateStore[];
  readonly #values = new Map<string, Map<string, Buffer>>();
  #since = 0;

  constructor(stores: readonly StateStore[], saved: LaneState["stores"] | undefined) {
    this.#stores = stores;
    for (const store of stores) {
      const values = new Map(saved?.get(store.name));
      this.#values.set(store.name, values);
      for (const [key, value] of values) store.restore(key, value);
    }
  }

  follow(): void {
    if (++this.#since >= FOLLOW_EVERY_RECORDS) this.take();
  }

  take(): LaneState["stores"] {
    this.#since = 0;
    for (const store of this.#stores) {
      const values = this.#values.get(store.name)!;
      store.flush((key, value) => {
        // Copied: a store may hand over a view into memory that it goes on writing.
        if (value === null) values.delete(key);
        else values.set(key, Buffer.from(value));
      });
      store.merge?.();
    }
    return this.#values;
  }
}

/** Keeps the rows, counts the rest: dead letters and late events were written when they came. */
class LaneOutput implements Output {
  readonly batches: FeatureBatch[] = [];
  accepted = 0;
  duplicate = 0;
  tooLate = 0;
  dead = 0;

  send(_topic: string, _key: string, value: unknown): void {
    this.batches.push(value as FeatureBatch);
  }

  reject(): void {
    this.dead++;
  }

  late(): void {
    this.tooLate++;
  }

  count(outcome: "accepted" | "duplicate" | "control", events: number): void {
    if (outcome !== "control") this[outcome] += events;
  }
}
