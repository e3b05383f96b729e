/** The ways to a feature row: the online stage, backfills, the trainer's data set. */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { jobOf, runLanes, withDuckDb } from "../../commands/backfill/index.ts";
import { lakeLane, type RawFiles } from "../../commands/backfill/lake-lane.ts";
import type { Lane, LaneRecord } from "../../commands/backfill/lane.ts";
import { historyRows } from "../../commands/history.ts";
import { topics } from "../../pipeline.ts";
import { createFeaturesProcessor, type FeatureSet, MemoryOutput, rowsOf } from "../../processors/index.ts";
import type { FeatureBatch } from "../../schemas/index.ts";
import { RawFormat } from "../../sinks/lake/format.ts";
import { encodeParquet } from "../../sinks/lake/parquet.ts";
import { columnsOf, type RowBuffer } from "../../sinks/lake/rows.ts";
import { keyOf, type Rows } from "./rows.ts";
import { GRACE_MS, logsRaw, PARTITIONS, type Telemetry } from "./telemetry.ts";

/** The stage's processor per partition, in process; each is thrown away and restored from its changelog every so often. */
export function online(telemetry: Telemetry, restartEvery = 5_000): Rows {
  const rows: Rows = new Map();
  const { featureSet } = telemetry;
  const create = (partition: number) =>
    createFeaturesProcessor({
      featureSet,
      topic: topics.features,
      partition,
      partitions: PARTITIONS,
      graceMs: GRACE_MS,
    });
  const tasks = Array.from({ length: PARTITIONS }, (_, p) => ({
    processor: create(p),
    changelog: new Map<string, Map<string, Buffer>>(),
    records: 0,
  }));
  const output = new MemoryOutput();
  for (const record of logsRaw(telemetry.rounds())) {
    const task = tasks[record.partition]!;
    task.processor.process(record, output);
    for (const { value } of output.sent.splice(0)) takeRows(rows, value as FeatureBatch, telemetry);
    if (++task.records % restartEvery !== 0) continue;
    const fresh = create(record.partition);
    for (const [i, store] of task.processor.stores.entries()) {
      const log = task.changelog.get(store.name) ?? new Map<string, Buffer>();
      task.changelog.set(store.name, log);
      store.flush((key, value) => {
        if (value === null) log.delete(key);
        else log.set(key, Buffer.from(value));
      });
      for (const [key, value] of log) fresh.stores[i]!.restore(key, value);
    }
    task.processor = fresh;
  }
  return rows;
}

export function takeRows(rows: Rows, batch: FeatureBatch, { fromMs, toMs }: Telemetry): void {
  if (batch.windowEndMs < fromMs || batch.windowEndMs >= toMs) return;
  for (const row of rowsOf(batch)) rows.set(keyOf(row.entity, row.windowEndMs), row.values);
}

/** Raw files as the lake writes them: a file per partition and hour of event time. */
export function writeRawFiles(telemetry: Telemetry, dir: string): void {
  const formats = Array.from({ length: PARTITIONS }, () => new RawFormat());
  const open = new Map<string, { partition: number; buffer: RowBuffer<unknown> }>();
  for (const { partition, offset, value } of logsRaw(telemetry.rounds())) {
    const format = formats[partition]!;
    for (const part of format.read(value)) {
      const name = `${part.folder}data-${partition}.parquet`;
      const file = open.get(name) ?? { partition, buffer: format.buffer() };
      open.set(name, file);
      file.buffer.append(offset, part.part);
    }
  }
  for (const [name, { partition, buffer }] of open) {
    const file = path.join(dir, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, encodeParquet(columnsOf(buffer.take(partition)), {}));
  }
}

const job = (t: Telemetry) => jobOf(t.featureSet, GRACE_MS, t.fromMs, t.toMs);
const never = new AbortController().signal;

/** `weir backfill` from the lake. */
export const fromLake = async (t: Telemetry, files: RawFiles, out: string): Promise<Rows> =>
  await withDuckDb(async (db) => {
    await runLanes([lakeLane(db, files, job(t))], job(t), "lake", out, () => undefined, never);
    return await rowsIn(out, t.featureSet);
  });

/** `weir backfill --source topic`. */
export async function fromTopic(t: Telemetry, lanes: readonly Lane[], out: string): Promise<Rows> {
  await runLanes(lanes, job(t), "topic", out, () => undefined, never);
  return await rowsIn(out, t.featureSet);
}

/** The topic as lanes, without a broker. */
export const lanesInMemory = (t: Telemetry): Lane[] =>
  Array.from({ length: PARTITIONS }, (_, partition) => {
    const records = async function* (next = 0): AsyncGenerator<LaneRecord> {
      for (const record of logsRaw(t.rounds()))
        if (record.partition === partition && record.offset >= next) yield { record, next: record.offset + 1 };
    };
    return { name: `topic-${partition}`, partition, partitions: PARTITIONS, passedOver: { late: 0, dead: 0 }, records };
  });

/** What a model would learn from. */
export async function trainer({ featureSet, rounds, fromMs, toMs }: Telemetry): Promise<Rows> {
  const entities: string[] = [];
  const labelOf = (entity: string) => {
    entities.push(entity);
    return 0 as const;
  };
  const range = { toMs: toMs - 1, coldStartEveryMs: Number.POSITIVE_INFINITY };
  const data = await historyRows(featureSet, rounds(), labelOf, range);
  const columns = featureSet.columns.length;
  const rows: Rows = new Map();
  for (const [i, entity] of entities.entries()) {
    const windowEndMs = data.windowEndMs[i]!;
    if (windowEndMs >= fromMs)
      rows.set(keyOf(entity, windowEndMs), data.matrix.subarray(i * columns, (i + 1) * columns));
  }
  return rows;
}

/** The rows of a backfill's files, read by DuckDB. */
export const rowsIn = async (dir: string, set: FeatureSet): Promise<Rows> =>
  await withDuckDb(async (db) => {
    const rows: Rows = new Map();
    const columns = set.columns.map((name) => `"${name}"::DOUBLE`).join(", ");
    const result = await db.stream(
      `SELECT entity, window_end_ms::DOUBLE, ${columns} FROM read_parquet('${dir}/processed-logs/**/*.parquet', hive_partitioning = false)`,
    );
    for await (const chunk of result.yieldRowsJs()) {
      for (const [entity, windowEndMs, ...values] of chunk as [string, number, ...number[]][])
        rows.set(keyOf(entity, windowEndMs), Float32Array.from(values));
    }
    return rows;
  });
