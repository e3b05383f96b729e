import {
  SourceClocks,
  type SourceClocksSnapshot,
  type StateStore,
  type StoreName,
  storeName,
} from "../../streams/index.ts";
import { closedBefore } from "./time.ts";

interface TimeState {
  readonly clocks: SourceClocksSnapshot;
  /** Last window end that was emitted, in minutes since the epoch. */
  readonly emittedMinute: number;
}

/** Where the stage stands in time: the clocks of its sources and what it has emitted. Changelog key: `now` (JSON). */
export class StageTime implements StateStore {
  readonly name: StoreName;
  readonly #graceMs: number;
  clocks = new SourceClocks();
  emittedMinute = 0;
  /** Minutes below are closed. */
  closedMinute: number;
  #saved: TimeState | undefined;
  #merged: TimeState;
  #dirty = false;

  constructor(name: string, graceMs: number) {
    this.name = storeName(name);
    this.#graceMs = graceMs;
    this.closedMinute = closedBefore(0, graceMs);
    this.#merged = this.#now();
  }

  /** To be called after each record. */
  changed(): void {
    this.#dirty = true;
  }

  restore(_key: string, value: Buffer | null): void {
    this.#set(
      value === null ? { clocks: new SourceClocks().snapshot(), emittedMinute: 0 } : JSON.parse(value.toString()),
    );
    this.#merged = this.#now();
  }

  flush(write: (key: string, value: Buffer | null) => void): void {
    if (this.#dirty) write("now", Buffer.from(JSON.stringify(this.#now())));
    this.#dirty = false;
  }

  savepoint(): void {
    this.#saved = this.#now();
  }

  rollback(): void {
    if (this.#saved) this.#set(this.#saved);
  }

  merge(): void {
    this.#merged = this.#now();
  }

  drop(): void {
    this.#set(this.#merged);
    this.#dirty = false;
  }

  get size() {
    return { keys: 1, bytes: 100 };
  }

  #now(): TimeState {
    return { clocks: this.clocks.snapshot(), emittedMinute: this.emittedMinute };
  }

  #set(state: TimeState): void {
    this.clocks = new SourceClocks(state.clocks);
    this.emittedMinute = state.emittedMinute;
    this.closedMinute = closedBefore(this.clocks.watermarkMs, this.#graceMs);
  }
}
