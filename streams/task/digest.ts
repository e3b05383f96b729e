/**
 * A sum over the live keys of a store's state: each key counts with the commit that wrote it last. It does not depend on
 * order, so it is kept up to date key by key, and tells after a restore whether every live record was there (step T5).
 */
export class StateDigest {
  #live = new Map<string, number>();
  high = 0;
  low = 0;

  set(key: string, commit: number): void {
    this.delete(key);
    this.#live.set(key, commit);
    this.#toggle(key, commit);
  }

  delete(key: string): void {
    const commit = this.#live.get(key);
    if (commit === undefined) return;
    this.#live.delete(key);
    this.#toggle(key, commit);
  }

  get keys(): number {
    return this.#live.size;
  }

  /** `<keys>:<16 hex digits>`. */
  get text(): string {
    return textOf(this.keys, this.high, this.low);
  }

  #toggle(key: string, commit: number): void {
    let a = 0x811c9dc5 ^ commit;
    let b = 0x9747b28c ^ Math.floor(commit / 0x1_0000_0000);
    for (let i = 0; i < key.length; i++) {
      const code = key.charCodeAt(i);
      a = Math.imul(a ^ code, 0x01000193);
      b = Math.imul(b ^ code, 0x5bd1e995);
      b ^= b >>> 15;
    }
    this.high ^= Math.imul(a ^ (a >>> 16), 0x85ebca6b);
    this.low ^= Math.imul(b ^ (b >>> 13), 0xc2b2ae35);
  }
}

const hex = (n: number) => (n >>> 0).toString(16).padStart(8, "0");
const textOf = (keys: number, high: number, low: number) => `${keys}:${hex(high)}${hex(low)}`;

/** The digests of a task's stores. Keys are whole changelog keys. */
export class StateDigests {
  readonly #stores = new Map<string, StateDigest>();

  set(store: string, key: string, commit: number): void {
    this.#of(store).set(key, commit);
  }

  delete(store: string, key: string): void {
    this.#of(store).delete(key);
  }

  /** Over all stores: how version 1 wrote it. */
  get text(): string {
    let [keys, high, low] = [0, 0, 0];
    for (const digest of this.#stores.values()) {
      keys += digest.keys;
      high ^= digest.high;
      low ^= digest.low;
    }
    return textOf(keys, high, low);
  }

  /** Stores without a live key are left out. */
  get byStore(): Readonly<Record<string, string>> {
    const full = [...this.#stores].filter(([, digest]) => digest.keys > 0);
    return Object.fromEntries(full.map(([store, digest]) => [store, digest.text] as const).sort());
  }

  #of(store: string): StateDigest {
    let digest = this.#stores.get(store);
    if (!digest) {
      digest = new StateDigest();
      this.#stores.set(store, digest);
    }
    return digest;
  }
}
