import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { GetObjectCommand, ListObjectsV2Command, type S3Client } from "@aws-sdk/client-s3";
import { type DuckDBConnection, DuckDBInstance } from "@duckdb/node-api";
import type { FeatureBatch } from "../schemas/index.ts";
import type { Broker, TopicName } from "../streams/index.ts";
import { decodeValue, readTopic, type TopicCodecs } from "./read-topic.ts";

/** Where the lake's folders lie: on disk, or in a bucket, which is copied to a temporary folder for the query. */
export type LakeSource = { readonly dir: string } | { readonly s3: Pick<S3Client, "send">; readonly bucket: string };

export interface LakeRowCounts {
  /** Rows by the files' own footers. */
  readonly features: number;
  readonly raw: number;
  readonly files: number;
}

const featureFiles = "processed-logs/**/*.parquet";
const rawFiles = "raw-logs/**/*.parquet";

/** Runs queries over the lake's files; DuckDB cannot reach S3 by itself. `dir` holds `processed-logs` and `raw-logs`. */
export async function withLake<T>(
  source: LakeSource,
  query: (db: DuckDBConnection, dir: string) => Promise<T>,
): Promise<T> {
  const copy = "dir" in source ? null : mkdtempSync(path.join(tmpdir(), "weir-lake-"));
  const dir = "dir" in source ? source.dir : copy!;
  const instance = await DuckDBInstance.create(":memory:");
  const db = await instance.connect();
  try {
    if (!("dir" in source))
      for (const root of ["processed-logs/", "raw-logs/"]) await download(source.s3, source.bucket, root, dir);
    return await query(db, dir);
  } finally {
    db.closeSync();
    instance.closeSync();
    if (copy) rmSync(copy, { recursive: true, force: true });
  }
}

async function download(s3: Pick<S3Client, "send">, bucket: string, prefix: string, dir: string): Promise<void> {
  let token: string | undefined;
  do {
    const page = await s3.send(
      new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ...(token ? { ContinuationToken: token } : {}) }),
    );
    for (const { Key: key } of page.Contents ?? []) {
      if (!key?.endsWith(".parquet")) continue;
      const object = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
      const file = path.join(dir, key);
      await mkdir(path.dirname(file), { recursive: true });
      await writeFile(file, await object.Body!.transformToByteArray());
    }
    token = page.IsTruncated ? page.NextContinuationToken : undefined;
  } while (token);
}

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** `FROM` clause over the files, or null if there is none: DuckDB takes a pattern without a file for an error. */
async function filesOf(db: DuckDBConnection, dir: string, pattern: string): Promise<string | null> {
  const glob = quoted(path.join(dir, pattern));
  const found = await db.runAndReadAll(`SELECT count(*) FROM glob(${glob})`);
  return Number(found.getRows()[0]?.[0]) > 0 ? glob : null;
}

/** The files of feature rows, as a text for `read_parquet`; null if there are none. */
export const featureFilesIn = (db: DuckDBConnection, dir: string): Promise<string | null> =>
  filesOf(db, dir, featureFiles);

export async function lakeRowCounts(source: LakeSource): Promise<LakeRowCounts> {
  return await withLake(source, async (db, dir) => {
    const count = async (pattern: string) => {
      const glob = await filesOf(db, dir, pattern);
      if (!glob) return { rows: 0, files: 0 };
      const sums = await db.runAndReadAll(`SELECT sum(num_rows), count(*) FROM parquet_file_metadata(${glob})`);
      return { rows: Number(sums.getRows()[0]?.[0]), files: Number(sums.getRows()[0]?.[1]) };
    };
    const features = await count(featureFiles);
    const raw = await count(rawFiles);
    return { features: features.rows, raw: raw.rows, files: features.files + raw.files };
  });
}

export interface LakeComparison {
  /** Rows of the topic. */
  readonly rows: number;
  readonly equal: number;
  /** Rows of the topic that lie in no file, and rows of files that the topic does not have at that place. */
  readonly missing: number;
  readonly extra: number;
  readonly different: number;
  /** The first ten faults in words. */
  readonly faults: readonly string[];
}

/**
 * Compares the feature files with the features topic row by row: entity, window end, quality and every column, each
 * float32 bit (any NaN equals any other). Faults are counted, never thrown.
 */
export async function compareLakeWithTopic(options: {
  readonly source: LakeSource;
  readonly broker: Broker;
  readonly codecs: TopicCodecs;
  readonly topic: TopicName;
  readonly columns: (featureSet: string, hash: string) => readonly string[];
}): Promise<LakeComparison> {
  const { broker, codecs, topic } = options;
  return await withLake(options.source, async (db, dir) => {
    const sum = { rows: 0, equal: 0, missing: 0, extra: 0, different: 0, faults: [] as string[] };
    const fault = (kind: "missing" | "extra" | "different", text: string) => {
      sum[kind]++;
      if (sum.faults.length < 10) sum.faults.push(text);
    };
    const lake = lakeRows(db, await filesOf(db, dir, `processed-logs/**/features-${topic}-*.parquet`));
    let row = await lake.next();
    for await (const record of readTopic(broker, topic)) {
      const batch = record.value && (await decodeValue<FeatureBatch>(codecs, topic, record.value));
      if (!batch) continue;
      const names = options.columns(batch.featureSet, batch.featureSetHash);
      for (const [i, entity] of batch.entities.entries()) {
        sum.rows++;
        const place = { partition: record.partition, offset: record.offset, index: i };
        const where = `${topic}/${place.partition}@${place.offset} row ${i} (${entity})`;
        while (!row.done && before(row.value, place)) {
          fault("extra", `In a file only: ${topic}/${row.value.partition}@${row.value.offset} row ${row.value.index}`);
          row = await lake.next();
        }
        if (row.done || before(place, row.value)) {
          fault("missing", `In no file: ${where}`);
          continue;
        }
        const wrong = differences(row.value, batch, i, names);
        if (wrong.length === 0) sum.equal++;
        else fault("different", `${where}: ${wrong.slice(0, 5).join(", ")}`);
        row = await lake.next();
      }
    }
    for (; !row.done; row = await lake.next())
      fault("extra", `In a file only: ${topic}/${row.value.partition}@${row.value.offset} row ${row.value.index}`);
    return sum;
  });
}

interface Place {
  readonly partition: number;
  readonly offset: number;
  readonly index: number;
}

interface LakeRow extends Place {
  readonly value: (column: string) => unknown;
}

const before = (a: Place, b: Place): boolean =>
  a.partition - b.partition < 0 ||
  (a.partition === b.partition && (a.offset < b.offset || (a.offset === b.offset && a.index < b.index)));

async function* lakeRows(db: DuckDBConnection, glob: string | null): AsyncGenerator<LakeRow, undefined> {
  if (!glob) return;
  const result = await db.stream(
    `SELECT * FROM read_parquet(${glob}, union_by_name = true, hive_partitioning = false)
     ORDER BY kafka_partition, kafka_offset, row_index`,
  );
  const places = new Map(result.columnNames().map((name, i) => [name, i]));
  for await (const rows of result.yieldRowsJs())
    for (const cells of rows) {
      const value = (column: string): unknown => cells[places.get(column) ?? -1];
      const at = (column: string): number => Number(value(column));
      yield { partition: at("kafka_partition"), offset: at("kafka_offset"), index: at("row_index"), value };
    }
}

function differences(row: LakeRow, batch: FeatureBatch, i: number, names: readonly string[]): string[] {
  const wrong: string[] = [];
  const check = (column: string, want: unknown) => {
    const got = row.value(column);
    if (!Object.is(typeof got === "bigint" ? Number(got) : got, want)) wrong.push(`${column} ${got} is not ${want}`);
  };
  check("entity", batch.entities[i]);
  check("window_end_ms", batch.windowEndMs);
  check("quality", batch.quality.readFloatLE(i * 4));
  for (const [c, name] of names.entries()) check(name, batch.matrix.readFloatLE((i * batch.columns + c) * 4));
  return wrong;
}
