import { randomUUID } from "node:crypto";
import {
  DeleteObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { WeirError } from "../../streams/index.ts";
import { chainPrefix, type LakeStage, levelsOf, type ParsedKey, parseKey, rootOf } from "./layout.ts";
import { type LakeCounts, noLakeCounts, type ObjectFacts } from "./resume.ts";

/** The part of an S3 client the lake uses. */
export type S3 = Pick<S3Client, "send">;

/** What an object's metadata holds, in S3 and in the Parquet footer alike. */
export interface ObjectMetadata {
  readonly topic: string;
  readonly partition: number;
  readonly first: number;
  readonly last: number;
  readonly rows: number;
  readonly safe: number;
  readonly belowSafe: LakeCounts;
}

export const metadataText = (m: ObjectMetadata): Record<string, string> => ({
  topic: m.topic,
  partition: String(m.partition),
  first: String(m.first),
  last: String(m.last),
  rows: String(m.rows),
  safe: String(m.safe),
  "below-safe": `${m.belowSafe.accepted},${m.belowSafe.control},${m.belowSafe.dead}`,
});

/** Folders looked into, newest first, for two with objects of a partition; then the whole listing is cheaper. */
const folderLooks = 24;
/** An S3 call without an answer is given up after this. */
const requestTimeoutMs = 60_000;

/**
 * One stage's objects of one topic in the bucket. Errors of S3 become `LAKE_UNREACHABLE` (retry); a bucket that is not
 * there or may not be used, `LAKE_REFUSED` (fatal).
 */
export class LakeStore {
  #s3: S3;
  #bucket: string;
  #stage: LakeStage;
  #topic: string;

  #signal: AbortSignal;

  /** `signal` ends every call. */
  constructor(s3: S3, bucket: string, stage: LakeStage, topic: string, signal: AbortSignal) {
    this.#signal = signal;
    this.#s3 = s3;
    this.#bucket = bucket;
    this.#stage = stage;
    this.#topic = topic;
  }

  /**
   * Two creates of one new key: exactly one may win. Some S3 servers take the condition and ignore it, and there two
   * writers would overwrite each other's rows. Throws `LAKE_NO_CONDITIONAL_PUT` (fatal).
   */
  async probe(): Promise<void> {
    const key = `.weir-probe/${randomUUID()}`;
    const wins = await Promise.all([this.create(key, Buffer.from("1"), {}), this.create(key, Buffer.from("2"), {})]);
    // What stays behind where deleting is not allowed is one byte outside the folders.
    await this.#s3
      .send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: key }), this.#call())
      .catch(() => undefined);
    const won = wins.filter(Boolean).length;
    if (won !== 1)
      throw new WeirError(
        "LAKE_NO_CONDITIONAL_PUT",
        "fatal",
        `The S3 server let ${won} of 2 writers create the same object in bucket ${this.#bucket} with If-None-Match "*".`,
        "Use a server that honours conditional writes: Amazon S3, MinIO or versitygw.",
      );
  }

  /** False: an object of that name stood there already. */
  async create(key: string, body: Uint8Array, metadata: Record<string, string>): Promise<boolean> {
    try {
      await this.#s3.send(
        new PutObjectCommand({
          Bucket: this.#bucket,
          Key: key,
          Body: body,
          IfNoneMatch: "*",
          ContentType: "application/vnd.apache.parquet",
          Metadata: metadata,
        }),
        this.#call(),
      );
      return true;
    } catch (error) {
      const status = statusOf(error);
      // 409: another writer is at it this moment; who won shows when the object is looked at.
      if (status === 412 || status === 409) return false;
      throw this.#asWeirError(error);
    }
  }

  /** What the object says about itself; null if it is not there. Throws `LAKE_FOREIGN_OBJECT` (fatal). */
  async facts(key: string): Promise<ObjectFacts | null> {
    const parsed = parseKey(this.#stage, this.#topic, key);
    try {
      const head = await this.#s3.send(new HeadObjectCommand({ Bucket: this.#bucket, Key: key }), this.#call());
      const facts = parsed && readMetadata(parsed, head.Metadata ?? {});
      if (facts) return facts;
    } catch (error) {
      if (statusOf(error) === 404) return null;
      throw this.#asWeirError(error);
    }
    throw new WeirError(
      "LAKE_FOREIGN_OBJECT",
      "fatal",
      `Object ${key} in bucket ${this.#bucket} has a name of the lake but not its metadata.`,
      "Move the object out of the folder, or give the lake a bucket of its own.",
    );
  }

  /** The newest object of the partition in the folder; null if there is none. */
  async newestOfChain(folder: string, partition: number): Promise<ObjectFacts | null> {
    const keys = await this.#keys(chainPrefix(this.#stage, folder, this.#topic, partition));
    const newest = newestKeys(keys.filter((k) => k.partition === partition)).at(0);
    return newest ? await this.facts(newest.key) : null;
  }

  /**
   * The partition's newest objects in the newest folders: their highest `safe` is a place to go on from. Any object's
   * is; the newest only save reading again.
   */
  async newestObjects(partition: number): Promise<ObjectFacts[]> {
    const newest: KeyFacts[] = [];
    let folders = 0;
    for await (const keys of this.#foldersNewestFirst(rootOf(this.#stage), levelsOf(this.#stage))) {
      newest.push(...newestKeys(keys.filter((k) => k.partition === partition)));
      if (newest.length === 2) break;
      if (++folders === folderLooks) return await this.newestOfEachChain(partition);
    }
    return await this.#factsOf(newest);
  }

  /** The newest object of every chain of the partition: reads the whole listing. */
  async newestOfEachChain(partition: number): Promise<ObjectFacts[]> {
    const keys = await this.#keys(rootOf(this.#stage));
    return await this.#factsOf(newestKeys(keys.filter((k) => k.partition === partition)));
  }

  async #factsOf(keys: readonly KeyFacts[]): Promise<ObjectFacts[]> {
    const facts: ObjectFacts[] = [];
    for (const { key } of keys) {
      const found = await this.facts(key);
      if (found) facts.push(found);
    }
    return facts;
  }

  async *#foldersNewestFirst(prefix: string, levels: number): AsyncGenerator<KeyFacts[]> {
    if (levels === 0) {
      const keys = await this.#keys(prefix);
      if (keys.length > 0) yield keys;
      return;
    }
    const folders: string[] = [];
    for await (const page of this.#pages(prefix, "/"))
      folders.push(...(page.CommonPrefixes ?? []).flatMap((p) => p.Prefix ?? []));
    for (const folder of folders.sort().reverse()) yield* this.#foldersNewestFirst(folder, levels - 1);
  }

  async #keys(prefix: string): Promise<KeyFacts[]> {
    const keys: KeyFacts[] = [];
    for await (const page of this.#pages(prefix))
      for (const { Key: key } of page.Contents ?? []) {
        const parsed = key === undefined ? null : parseKey(this.#stage, this.#topic, key);
        if (key !== undefined && parsed) keys.push({ key, ...parsed });
      }
    return keys;
  }

  async *#pages(prefix: string, delimiter?: string) {
    let token: string | undefined;
    do {
      const page = await this.#s3
        .send(
          new ListObjectsV2Command({
            Bucket: this.#bucket,
            Prefix: prefix,
            ...(delimiter === undefined ? {} : { Delimiter: delimiter }),
            ...(token === undefined ? {} : { ContinuationToken: token }),
          }),
          this.#call(),
        )
        .catch((error: unknown) => {
          throw this.#asWeirError(error);
        });
      yield page;
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  #call(): { abortSignal: AbortSignal } {
    return { abortSignal: AbortSignal.any([this.#signal, AbortSignal.timeout(requestTimeoutMs)]) };
  }

  #asWeirError(error: unknown): WeirError {
    const status = statusOf(error);
    const cause = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    if (status === 404 || status === 403 || status === 401)
      return new WeirError(
        "LAKE_REFUSED",
        "fatal",
        `S3 refused bucket ${this.#bucket} (${cause}).`,
        "Check that the bucket exists and that the credentials may list, read and write it.",
        { cause: error },
      );
    return new WeirError(
      "LAKE_UNREACHABLE",
      "retry",
      `S3 did not answer for bucket ${this.#bucket} (${cause}).`,
      "Check the S3 endpoint; nothing is lost, the lake goes on from its objects.",
      { cause: error },
    );
  }
}

interface KeyFacts extends ParsedKey {
  readonly key: string;
}

const statusOf = (error: unknown): number | undefined =>
  (error as { $metadata?: { httpStatusCode?: number } } | undefined)?.$metadata?.httpStatusCode;

/** Of each chain among the keys the one with the highest first offset. */
function newestKeys(keys: readonly KeyFacts[]): KeyFacts[] {
  const newest = new Map<string, KeyFacts>();
  for (const k of keys) {
    const chain = `${k.folder}${k.partition}`;
    if (k.first >= (newest.get(chain)?.first ?? 0)) newest.set(chain, k);
  }
  return [...newest.values()];
}

function readMetadata(parsed: ParsedKey, metadata: Record<string, string>): ObjectFacts | null {
  const [last, rows, safe] = [metadata.last, metadata.rows, metadata.safe].map((v) => Number(v ?? Number.NaN));
  if (!Number.isSafeInteger(last) || !Number.isSafeInteger(rows) || !Number.isSafeInteger(safe)) return null;
  const [accepted, control, dead] = (metadata["below-safe"] ?? "").split(",").map(Number);
  const belowSafe = {
    ...noLakeCounts,
    ...(accepted ? { accepted } : {}),
    ...(control ? { control } : {}),
    ...(dead ? { dead } : {}),
  };
  return { ...parsed, last: last!, rows: rows!, safe: safe!, belowSafe };
}
