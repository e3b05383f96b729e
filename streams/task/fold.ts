import type { RawRecord } from "../ports.ts";
import {
  CLAIM,
  type Claim,
  GENESIS,
  PROGRESS,
  type ProgressRecord,
  readClaim,
  readGenesis,
  readProgress,
  readStateValue,
  type StateVersion,
  splitStateKey,
} from "./changelog.ts";
import { StateDigests } from "./digest.ts";

/** What the end of a changelog says about its owner, without the state. */
export interface ChangelogTail {
  /** Of the last claim or progress, whichever stands later. */
  readonly owner: Claim | undefined;
  readonly progress: ProgressRecord | undefined;
  /** Version that `weir init` wrote; undefined without a genesis record. */
  readonly genesis: StateVersion | undefined;
  /** Records seen, whatever they were. */
  readonly records: number;
}

export interface RestoredState extends ChangelogTail {
  readonly digests: StateDigests;
  /** Live records by store, in log order. */
  readonly stores: ReadonlyMap<string, ReadonlyMap<string, Buffer>>;
}

/** Folds changelog records, in log order, into what is live. Pure; call `add` for each fetched batch. */
export class ChangelogFold {
  #owner: Claim | undefined;
  #progress: ProgressRecord | undefined;
  #genesis: StateVersion | undefined;
  #records = 0;
  readonly #withState: boolean;
  readonly #digests = new StateDigests();
  readonly #stores = new Map<string, Map<string, Buffer>>();

  /** Without state only the tail's members are filled. */
  constructor(withState = true) {
    this.#withState = withState;
  }

  /** Throws `STATE_VERSION_UNKNOWN` (fatal). */
  add(records: readonly RawRecord[]): void {
    this.#records += records.length;
    for (const { key, value } of records) {
      const name = key?.toString() ?? "";
      if (name.startsWith("s/")) {
        if (this.#withState) this.#addState(name, value);
      } else if (name === GENESIS) this.#genesis = value ? readGenesis(value) : undefined;
      else if (name === CLAIM && value) this.#owner = readClaim(value);
      else if (name === PROGRESS && value) {
        this.#progress = readProgress(value);
        this.#owner = this.#progress.claim;
      }
    }
  }

  get result(): RestoredState {
    return {
      owner: this.#owner,
      progress: this.#progress,
      genesis: this.#genesis,
      records: this.#records,
      digests: this.#digests,
      stores: this.#stores,
    };
  }

  #addState(name: string, value: Buffer | null): void {
    const { store, key } = splitStateKey(name)!;
    let live = this.#stores.get(store);
    if (!live) {
      live = new Map();
      this.#stores.set(store, live);
    }
    live.delete(key); // a key written again moves to the end: restore sees log order
    if (value === null) this.#digests.delete(store, name);
    else {
      const read = readStateValue(name, value);
      live.set(key, read.value);
      this.#digests.set(store, name, read.commit);
    }
  }
}
