import { type StoreName, storeName } from "./names.ts";
import type { StateStore } from "./processor.ts";

interface Entry<T> {
  readonly value: T;
  /** Of its last JSON; 0 before the first flush. */
  readonly bytes: number;
}

/** What a key was before a change: enough to take the change back. */
interface Undo<T> {
  readonly key: string;
  readonly before: Entry<T> | undefined;
  readonly wasDirty: boolean;
}

/**
 * Small keyed state as JSON values, held in memory behind the task's changelog. Results must not depend on the order
 * of `entries`: a restore brings keys back in the order of their last writes.
 */
export class KeyValueStore<T> implements StateStore {
  readonly name: StoreName;
  #entries = new Map<string, Entry<T>>();
  #dirty = new Set<string>();
  #bytes = 0;
  /** Changes since the savepoint, oldest first. */
  #undo: Undo<T>[] = [];
  /** Of the keys changed between the last merge and the savepoint: what they were at the merge. */
  #merged = new Map<string, Entry<T> | undefined>();

  constructor(name: string) {
    this.name = storeName(name);
  }

  get(key: string): T | undefined {
    return this.#entries.get(key)?.value;
  }

  /** The value belongs to the store from here on: to change it, put another one. */
  put(key: string, value: T): void {
    const before = this.#remember(key);
    this.#entries.set(key, { value, bytes: before?.bytes ?? 0 });
    this.#dirty.add(key);
  }

  delete(key: string): void {
    if (!this.#entries.has(key)) return;
    this.#bytes -= this.#remember(key)!.bytes;
    this.#entries.delete(key);
    this.#dirty.add(key);
  }

  *entries(): IterableIterator<[string, T]> {
    for (const [key, { value }] of this.#entries) yield [key, value];
  }

  restore(key: string, value: Buffer | null): void {
    this.#bytes += (value?.length ?? 0) - (this.#entries.get(key)?.bytes ?? 0);
    if (value === null) this.#entries.delete(key);
    else this.#entries.set(key, { value: JSON.parse(value.toString(), fromJson) as T, bytes: value.length });
  }

  flush(write: (key: string, value: Buffer | null) => void): void {
    for (const key of this.#dirty) {
      const entry = this.#entries.get(key);
      if (!entry) {
        write(key, null);
        continue;
      }
      const json = Buffer.from(JSON.stringify(entry.value, toJson));
      this.#bytes += json.length - entry.bytes;
      this.#entries.set(key, { value: entry.value, bytes: json.length });
      write(key, json);
    }
    this.#dirty.clear();
  }

  savepoint(): void {
    for (const { key, before } of this.#undo) if (!this.#merged.has(key)) this.#merged.set(key, before);
    this.#undo.length = 0;
  }

  rollback(): void {
    for (let last = this.#undo.pop(); last; last = this.#undo.pop()) {
      this.#putBack(last.key, last.before);
      if (!last.wasDirty) this.#dirty.delete(last.key);
    }
  }

  merge(): void {
    this.#undo.length = 0;
    this.#merged.clear();
  }

  drop(): void {
    this.savepoint();
    for (const [key, before] of this.#merged) this.#putBack(key, before);
    this.#merged.clear();
    this.#dirty.clear();
  }

  get size() {
    return { keys: this.#entries.size, bytes: this.#bytes };
  }

  #putBack(key: string, before: Entry<T> | undefined): void {
    this.#bytes += (before?.bytes ?? 0) - (this.#entries.get(key)?.bytes ?? 0);
    if (before) this.#entries.set(key, before);
    else this.#entries.delete(key);
  }

  #remember(key: string): Entry<T> | undefined {
    const before = this.#entries.get(key);
    this.#undo.push({ key, before, wasDirty: this.#dirty.has(key) });
    return before;
  }
}

/** JSON has no word for these three, and state must come back as it went. */
const notFinite: Readonly<Record<string, number>> = {
  "\u0000NaN": Number.NaN,
  "\u0000Infinity": Number.POSITIVE_INFINITY,
  "\u0000-Infinity": Number.NEGATIVE_INFINITY,
};

const toJson = (_key: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isFinite(value) ? `\u0000${value}` : value;

const fromJson = (_key: string, value: unknown): unknown =>
  typeof value === "string" && value.startsWith("\u0000") ? (notFinite[value] ?? value) : value;
