/**
 * Where rows lie in the bucket.
 *
 * Folder: the event time of a row, in UTC, cut to the day (features) or the hour (raw logs).
 * Chain: the objects of one topic partition in one folder. Ordered by first offset they never overlap and leave no row
 * out up to the last offset of the newest one. The unit is the input record: all rows that one record has in a folder
 * lie in one object.
 */
export type LakeStage = "lake-features" | "lake-raw";

export const rootOf = (stage: LakeStage): string => (stage === "lake-features" ? "processed-logs/" : "raw-logs/");

/** Folder levels below the root: a date, or year, month, day and hour. */
export const levelsOf = (stage: LakeStage): number => (stage === "lake-features" ? 1 : 4);

const hourMs = 3_600_000;

/** Times that no calendar holds go to the epoch's folder, so that their rows are kept all the same. */
const dated = (ms: number): Date => new Date(ms >= 0 && ms < 253_402_300_800_000 ? ms : 0);

export function folderOf(stage: LakeStage, eventMs: number): string {
  const iso = dated(eventMs).toISOString();
  const date = iso.slice(0, 10);
  return stage === "lake-features"
    ? `${rootOf(stage)}${date}/`
    : `${rootOf(stage)}${date.replaceAll("-", "/")}/${iso.slice(11, 13)}/`;
}

/** End (exclusive) of the hour a row lies in: an object covers about an hour, whatever its folder's length. */
export const hourEndMs = (eventMs: number): number => (Math.floor(dated(eventMs).getTime() / hourMs) + 1) * hourMs;

/** First part of the names of one chain, to list it by. Another topic's names may begin alike: parse what comes back. */
export function chainPrefix(stage: LakeStage, folder: string, topic: string, partition: number): string {
  const name =
    stage === "lake-features" ? "features" : `data_${folder.slice(rootOf(stage).length, -4).replaceAll("/", "")}`;
  return `${folder}${name}-${topic}-${partition}-`;
}

/** Offsets are padded to 20 digits, so that names sort as their offsets do. */
export const objectKey = (stage: LakeStage, folder: string, topic: string, partition: number, first: number): string =>
  `${chainPrefix(stage, folder, topic, partition)}${String(first).padStart(20, "0")}.parquet`;

export interface ParsedKey {
  readonly folder: string;
  readonly partition: number;
  readonly first: number;
}

/** Null for a key that is not one of this stage's and topic's objects. */
export function parseKey(stage: LakeStage, topic: string, key: string): ParsedKey | null {
  const numbers = /-(\d+)-(\d{20})\.parquet$/.exec(key);
  if (!numbers) return null;
  const folder = key.slice(0, key.lastIndexOf("/") + 1);
  const parsed = { folder, partition: Number(numbers[1]), first: Number(numbers[2]) };
  return objectKey(stage, folder, topic, parsed.partition, parsed.first) === key ? parsed : null;
}
