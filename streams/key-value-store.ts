import { type StoreName, storeName } from "./names.ts";
import type { StateStore } from "./processor.ts";

/** Small keyed state as JSON values, held in memory behind the task's changelog. Keys come back in insertion order. */
export class KeyValueStore<T> implements StateStore {
  readonly name: StoreName;
  #values = new Map<string, T>();
  #dirty = new Set<string>();
  #bytes = 0;

  constructor(name: string) {
    this.name = storeName(name);
  }

  get(key: string): T | undefined {
    return this.#values.get(key);
  }

  /** The value belongs to the store from here on: to change it, put it again. */
  put(key: string, value: T): void {
    this.#values.set(key, value);
    this.#dirty.add(key);
  }

  delete(key: string): void {
    if (this.#values.delete(key)) this.#dirty.add(key);
  }

  entries(): IterableIterator<[string, T]> {
    return this.#values.entries();
  }

  restore(key: string, value: Buffer | null): void {
    if (value === null) this.#values.delete(key);
    else {
      this.#values.set(key, JSON.parse(value.toString(), fromJson) as T);
      this.#bytes += value.length;
    }
  }

  flush(write: (key: string, value: Buffer | null) => void): void {
    for (const key of this.#dirty) {
      const value = this.#values.get(key);
      const bytes = value === undefined ? null : Buffer.from(JSON.stringify(value, toJson));
      this.#bytes += bytes?.length ?? 0;
      write(key, bytes);
    }
    this.#dirty.clear();
  }

  get size() {
    return { keys: this.#values.size, bytes: this.#bytes };
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
