import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { GetObjectCommand, ListObjectsV2Command, type S3Client } from "@aws-sdk/client-s3";
import { folderOf } from "../../sinks/index.ts";
import type { RawFiles } from "./lake-lane.ts";
import { HOUR_MS } from "./lane.ts";

/** A copy of the lake's folders, or the folder a bucket is kept in. */
export const rawFilesOf =
  (dir: string): RawFiles =>
  async (hourMs) => {
    const folder = path.join(dir, folderOf("lake-raw", hourMs));
    try {
      const names = readdirSync(folder).filter((name) => name.endsWith(".parquet"));
      return names.sort().map((name) => path.join(folder, name));
    } catch {
      return [];
    }
  };

/** Hours behind the newest one asked for that may be asked for again. */
const KEPT_HOURS = 6;

/** The bucket's files, hour by hour in a temporary folder: DuckDB cannot reach S3 by itself. `close` removes them. */
export function rawFilesInS3(s3: Pick<S3Client, "send">, bucket: string): { files: RawFiles; close(): void } {
  const dir = mkdtempSync(path.join(tmpdir(), "weir-backfill-"));
  const hours = new Map<number, readonly string[]>();
  const download = async (hourMs: number): Promise<string[]> => {
    const prefix = folderOf("lake-raw", hourMs);
    const paths: string[] = [];
    let token: string | undefined;
    do {
      const page = await s3.send(
        new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ...(token ? { ContinuationToken: token } : {}) }),
      );
      for (const { Key: key } of page.Contents ?? []) {
        if (!key?.endsWith(".parquet")) continue;
        const object = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
        const file = path.join(dir, key);
        mkdirSync(path.dirname(file), { recursive: true });
        writeFileSync(file, await object.Body!.transformToByteArray());
        paths.push(file);
      }
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token);
    return paths.sort();
  };
  return {
    files: async (hourMs) => {
      let paths = hours.get(hourMs);
      if (!paths) {
        paths = await download(hourMs);
        hours.set(hourMs, paths);
      }
      for (const [old, stale] of hours) {
        if (old >= hourMs - KEPT_HOURS * HOUR_MS) continue;
        for (const file of stale) rmSync(file, { force: true });
        hours.delete(old);
      }
      return paths;
    },
    close: () => rmSync(dir, { recursive: true, force: true }),
  };
}
