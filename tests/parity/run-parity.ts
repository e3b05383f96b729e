/** Every way to a feature row over one telemetry, compared cell by cell. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { withDuckDb } from "../../commands/backfill/index.ts";
import { rawFilesInS3, rawFilesOf } from "../../commands/backfill/raw-files.ts";
import { topicLanes } from "../../commands/backfill/topic-lanes.ts";
import { decodeValue, readTopic } from "../../ops/index.ts";
import { topics } from "../../pipeline.ts";
import type { FeatureSetDefinition } from "../../processors/index.ts";
import type { FeatureBatch } from "../../schemas/index.ts";
import type { Opened } from "../e2e/support.ts";
import { type Comparison, compare, type Equal, nothingCompared, type Rows, sameFloat32, within } from "./rows.ts";
import { loadSamples } from "./samples.ts";
import { bySql } from "./sql.ts";
import type { Compared } from "./telemetries.ts";
import { GRACE_MS, type Telemetry } from "./telemetry.ts";
import { fromLake, fromTopic, lanesInMemory, online, takeRows, trainer, writeRawFiles } from "./ways.ts";

/** In process: the stage's processor restarted now and then, files as the lake writes them. */
export async function parityOf({ telemetry, definition }: Compared, into = nothingCompared()): Promise<Comparison> {
  const dir = mkdtempSync(path.join(tmpdir(), "weir-parity-"));
  try {
    writeRawFiles(telemetry, dir);
    const rows = {
      "the stage": online(telemetry),
      "backfill from raw files": await fromLake(telemetry, rawFilesOf(dir), path.join(dir, "lake")),
      "backfill from the topic": await fromTopic(telemetry, lanesInMemory(telemetry), path.join(dir, "topic")),
    };
    return await compareAll(telemetry, definition, rows, into);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Over what a run on real components left: the stage's rows from its topic, raw files from S3, logs.raw from Kafka. */
export async function parityOfRun(
  { telemetry, definition }: Compared,
  run: Opened,
  into = nothingCompared(),
): Promise<Comparison> {
  const dir = mkdtempSync(path.join(tmpdir(), "weir-parity-"));
  const raw = rawFilesInS3(run.s3, run.bucket);
  try {
    const stage: Rows = new Map();
    for await (const { value } of readTopic(run.broker, topics.features))
      takeRows(stage, await decodeValue<FeatureBatch>(run.codecs, topics.features, value!), telemetry);
    const lanes = await topicLanes(run.broker, run.codecs, topics.logsRaw);
    const rows = {
      "the stage": stage,
      "backfill from raw files": await fromLake(telemetry, raw.files, path.join(dir, "lake")),
      "backfill from the topic": await fromTopic(telemetry, lanes, path.join(dir, "topic")),
    };
    return await compareAll(telemetry, definition, rows, into);
  } finally {
    raw.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function compareAll(
  telemetry: Telemetry,
  definition: FeatureSetDefinition,
  rows: Readonly<Record<string, Rows>>,
  into: Comparison,
): Promise<Comparison> {
  const ours = { ...rows, "the trainer's data set": await trainer(telemetry) };
  const span = { fromMs: telemetry.fromMs, toMs: telemetry.toMs, graceMs: GRACE_MS };
  const sql = await withDuckDb(async (db) => {
    await loadSamples(db, telemetry);
    return await bySql(db, definition, span);
  });
  const ways = Object.entries(ours).map(([name, of]) => ({ name, rows: of, equal: sameFloat32 }));
  for (const column of sql.leftOut) into.leftOut.add(`${definition.name}.${column}`);
  const close = within(sql.sizes);
  const { columns } = telemetry.featureSet;
  const equal: Equal = (a, b, column) => sql.leftOut.has(columns[column]!) || close(a, b, column);
  compare([...ways, { name: "SQL", rows: sql.rows, equal }], telemetry.featureSet, into);
  return into;
}
