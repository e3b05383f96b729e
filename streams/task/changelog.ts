import { WeirError } from "../errors.ts";
import type { StoreName } from "../names.ts";
import type { Standing } from "../processor.ts";
import type { Counters } from "../runnable.ts";

/**
 * What stands in a task's changelog partition, by key:
 *
 *   genesis            written once by `weir init`: from here on an empty changelog is a lost one
 *   claim              who owns the task: written right after the producer was initialised (T2)
 *   progress           how far the last commit came (T5)
 *   s/<store>/<key>    state: a byte of format (0), 7 bytes commit number, then the store's own bytes
 *
 * Version 1 kept one digest for all stores and neither epoch nor input. Version N reads N − 1, and goes on writing it
 * where it finds it until it is told otherwise (`TaskOptions.stateVersion`), so that a process of the former version
 * can still take over. Golden records of each version lie in `tests/streams/golden`.
 */
export const GENESIS = "genesis";
export const CLAIM = "claim";
export const PROGRESS = "progress";
const STATE_PREFIX = "s/";
const HEADER_BYTES = 8;
const STATE_FORMAT = 0;

export const STATE_VERSIONS = [1, 2] as const;
export type StateVersion = (typeof STATE_VERSIONS)[number];
export const NEWEST_STATE_VERSION: StateVersion = 2;

export interface Claim {
  /** Of the assignment that gave the task to this process: of two that want it the higher one wins. */
  readonly assignmentEpoch: number;
  /** One attempt of one process to own the task: `<owner>.<attempt>`. */
  readonly incarnation: string;
  /** Of the stage's code and settings: state of another fingerprint is not ours to read. */
  readonly fingerprint: string;
}

/** The input as it was when the progress was made. */
export interface InputIdentity {
  /** Null where the broker does not tell. */
  readonly topicId: string | null;
  readonly partitions: number;
}

export interface ProgressRecord {
  readonly version: StateVersion;
  readonly commit: number;
  readonly claim: Claim;
  readonly nextOffset: number;
  /** Undefined in version 1. */
  readonly input: InputIdentity | undefined;
  readonly watermarkMs: number;
  readonly counters: Counters;
  /** Over all stores. */
  readonly digest: string;
  /** By store. Undefined in version 1. */
  readonly stores: Readonly<Record<string, string>> | undefined;
  /** What the processor says of itself: clocks, cursors, versions, sizes. Undefined in version 1. */
  readonly standing: Standing | undefined;
}

export const stateKey = (store: StoreName, key: string): string => `${STATE_PREFIX}${store}/${key}`;

/** The store and its own key; undefined if the record is not state. */
export function splitStateKey(name: string): { readonly store: string; readonly key: string } | undefined {
  if (!name.startsWith(STATE_PREFIX)) return undefined;
  const slash = name.indexOf("/", STATE_PREFIX.length);
  return { store: name.slice(STATE_PREFIX.length, slash), key: name.slice(slash + 1) };
}

export function stateValue(commit: number, value: Buffer): Buffer {
  const out = Buffer.allocUnsafe(HEADER_BYTES + value.length);
  out.writeBigUInt64BE(BigInt(commit), 0);
  value.copy(out, HEADER_BYTES);
  return out;
}

/** The value is copied: a view would keep the whole fetch alive. */
export function readStateValue(name: string, value: Buffer): { readonly commit: number; readonly value: Buffer } {
  if (value.length < HEADER_BYTES || value[0] !== STATE_FORMAT) throw versionUnknown(`record ${name}`, value[0]);
  return { commit: Number(value.readBigUInt64BE(0)), value: Buffer.from(value.subarray(HEADER_BYTES)) };
}

export const genesisValue = (version: StateVersion): Buffer => Buffer.from(JSON.stringify({ version }));

export function claimValue(claim: Claim, version: StateVersion): Buffer {
  const { incarnation, fingerprint } = claim;
  return Buffer.from(JSON.stringify(version === 1 ? { incarnation, fingerprint } : { version, ...claim }));
}

export function progressValue(p: ProgressRecord): Buffer {
  const { version, commit, claim, nextOffset, watermarkMs, counters, digest } = p;
  if (version === 1) {
    const { incarnation, fingerprint } = claim;
    return Buffer.from(JSON.stringify({ commit, incarnation, fingerprint, nextOffset, watermarkMs, counters, digest }));
  }
  return Buffer.from(JSON.stringify(p));
}

export const readGenesis = (value: Buffer): StateVersion => versionOf(JSON.parse(value.toString()), GENESIS);

export function readClaim(value: Buffer): Claim {
  const { assignmentEpoch = 0, incarnation, fingerprint, ...rest } = JSON.parse(value.toString());
  versionOf(rest, CLAIM);
  return { assignmentEpoch, incarnation, fingerprint };
}

export function readProgress(value: Buffer): ProgressRecord {
  const json = JSON.parse(value.toString());
  const version = versionOf(json, PROGRESS);
  if (version !== 1) return json as ProgressRecord;
  const { incarnation, fingerprint, ...rest } = json;
  const claim = { assignmentEpoch: 0, incarnation, fingerprint };
  return { ...rest, version, claim, input: undefined, stores: undefined, standing: undefined };
}

/** Version 1 named itself in its genesis record only. */
function versionOf(json: { version?: number }, what: string): StateVersion {
  const version = (json.version ?? 1) as StateVersion;
  if (!STATE_VERSIONS.includes(version)) throw versionUnknown(`its ${what} record`, version);
  return version;
}

const versionUnknown = (what: string, version: unknown) =>
  new WeirError(
    "STATE_VERSION_UNKNOWN",
    "fatal",
    `A changelog is of a version that this Weir does not read: ${what} says ${version}, known are ${STATE_VERSIONS.join(", ")}.`,
    "Start the version of Weir that wrote it, or have that one write the former version first (WEIR_STATE_VERSION).",
  );
