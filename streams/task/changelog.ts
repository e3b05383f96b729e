import { WeirError } from "../errors.ts";
import type { StoreName } from "../names.ts";
import type { RawRecord } from "../ports.ts";
import type { Counters } from "../runnable.ts";
import { StateDigest } from "./digest.ts";

/**
 * What stands in a task's changelog partition, by key:
 *
 *   genesis            written once by `weir init`: from here on an empty changelog is a lost one
 *   claim              who owns the task: written right after the producer was initialised (T2)
 *   progress           how far the last commit came (T5)
 *   s/<store>/<key>    state: 8 bytes commit number, then the store's own bytes
 */
export const GENESIS = "genesis";
export const CLAIM = "claim";
export const PROGRESS = "progress";
const STATE_PREFIX = "s/";
const COMMIT_BYTES = 8;

export interface Claim {
  /** Identifies one attempt of one process to own the task. */
  readonly incarnation: string;
  /** Of the stage's code and settings: state of another fingerprint is not ours to read. */
  readonly fingerprint: string;
}

export interface ProgressRecord {
  readonly fingerprint: string;
  readonly commit: number;
  readonly incarnation: string;
  readonly nextOffset: number;
  readonly watermarkMs: number;
  readonly counters: Counters;
  readonly digest: string;
}

export const stateKey = (store: StoreName, key: string): string => `${STATE_PREFIX}${store}/${key}`;

export function stateValue(commit: number, value: Buffer): Buffer {
  const out = Buffer.allocUnsafe(COMMIT_BYTES + value.length);
  out.writeBigUInt64BE(BigInt(commit), 0);
  value.copy(out, COMMIT_BYTES);
  return out;
}

export interface RestoredState {
  readonly claim: Claim | undefined;
  readonly progress: ProgressRecord | undefined;
  readonly genesis: boolean;
  readonly digest: StateDigest;
  /** Live records by store, in log order. */
  readonly stores: ReadonlyMap<string, ReadonlyMap<string, Buffer>>;
}

/** Folds changelog records, in log order, into what is live. Pure; call `add` for each fetched batch. */
export class ChangelogFold {
  #claim: Claim | undefined;
  #progress: ProgressRecord | undefined;
  #genesis = false;
  readonly #digest = new StateDigest();
  readonly #stores = new Map<string, Map<string, Buffer>>();

  add(records: readonly RawRecord[]): void {
    for (const { key, value } of records) {
      const name = key?.toString() ?? "";
      if (name.startsWith(STATE_PREFIX)) this.#addState(name, value);
      else if (name === GENESIS) this.#genesis = value !== null;
      else if (name === CLAIM && value) this.#claim = JSON.parse(value.toString()) as Claim;
      else if (name === PROGRESS && value) this.#progress = JSON.parse(value.toString()) as ProgressRecord;
    }
  }

  get result(): RestoredState {
    return {
      claim: this.#claim,
      progress: this.#progress,
      genesis: this.#genesis,
      digest: this.#digest,
      stores: this.#stores,
    };
  }

  #addState(name: string, value: Buffer | null): void {
    const slash = name.indexOf("/", STATE_PREFIX.length);
    const store = name.slice(STATE_PREFIX.length, slash);
    const key = name.slice(slash + 1);
    let live = this.#stores.get(store);
    if (!live) {
      live = new Map();
      this.#stores.set(store, live);
    }
    live.delete(key); // a key written again moves to the end: restore sees log order
    if (value === null) this.#digest.delete(name);
    else {
      live.set(key, value.subarray(COMMIT_BYTES));
      this.#digest.set(name, Number(value.readBigUInt64BE(0)));
    }
  }
}

export type RecoveryDecision =
  | { readonly action: "resume"; readonly progress: ProgressRecord | undefined }
  | { readonly action: "refuse"; readonly error: WeirError };

/**
 * Step T5: may this task go on from what was restored? Facts in, decision out.
 *
 * `log` is the input partition's range, for an input whose records were deleted before they were read.
 */
export function decideRecovery(
  where: string,
  restored: RestoredState,
  fingerprint: string,
  log: { readonly startOffset: number; readonly endOffset: number },
): RecoveryDecision {
  const refuse = (code: string, message: string, nextStep: string): RecoveryDecision => ({
    action: "refuse",
    error: new WeirError(code, "fatal", `${where}: ${message}`, nextStep),
  });
  const { progress, genesis, digest } = restored;
  if (!genesis) {
    return refuse(
      "STATE_INCOMPLETE",
      "its changelog is empty and was never initialised, or was lost.",
      "Run `weir init` for a new environment; if this one had state, restore the topic or replay its input into new topics.",
    );
  }
  if (progress && progress.fingerprint !== fingerprint) {
    return refuse(
      "FINGERPRINT_CHANGED",
      `its state was written by pipeline ${progress.fingerprint}, this is ${fingerprint}.`,
      "Start the version that wrote the state, or replay into new topics.",
    );
  }
  if (progress && digest.text !== progress.digest) {
    return refuse(
      "STATE_INCOMPLETE",
      `state records are missing: found ${digest.text}, commit ${progress.commit} left ${progress.digest}.`,
      "Restore the changelog topic, or replay the input into new topics.",
    );
  }
  if (progress && (progress.nextOffset < log.startOffset || progress.nextOffset > log.endOffset)) {
    return refuse(
      "STATE_INCOMPLETE",
      `its progress stands at offset ${progress.nextOffset}, but the input holds ${log.startOffset} to ${log.endOffset}.`,
      "The input was cut or recreated: replay it into new topics.",
    );
  }
  return { action: "resume", progress };
}
