/**
 * A sum over the live keys of a task's state: each key counts with the commit that wrote it last. It does not depend on
 * order, so it is kept up to date key by key, and tells after a restore whether every live record was there (step T5).
 */
export class StateDigest {
  #live = new Map<string, number>();
  #high = 0;
  #low = 0;

  set(key: string, commit: number): void {
    this.delete(key);
    this.#live.set(key, commit);
    this.#toggle(key, commit);
  }

  /** The commit that wrote a live key; undefined if it is not live. */
  commitOf(key: string): number | undefined {
    return this.#live.get(key);
  }

  delete(key: string): void {
    const commit = this.#live.get(key);
    if (commit === undefined) return;
    this.#live.delete(key);
    this.#toggle(key, commit);
  }

  get text(): string {
    const hex = (n: number) => (n >>> 0).toString(16).padStart(8, "0");
    return `${this.#live.size}:${hex(this.#high)}${hex(this.#low)}`;
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
    this.#high ^= Math.imul(a ^ (a >>> 16), 0x85ebca6b);
    this.#low ^= Math.imul(b ^ (b >>> 13), 0xc2b2ae35);
  }
}
