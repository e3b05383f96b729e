import { type StateStore, type StoreName, storeName } from "../../streams/index.ts";
import type { EmitterTime } from "./row-emitter.ts";
import { closedBefore } from "./time.ts";

interface Now {
  /** Newest event time, or what silence has moved it to. */
  clockMs: number;
  /** Where silence is to move the clock once this is committed; 0: nowhere. */
  advanceMs: number;
  emittedMinute: number;
}

/** Where a samples stage stands in time: a partition is one source, whose clock is its newest sample. Changelog key: `now`. */
export class SampleTime implements StateStore, EmitterTime {
  readonly name: StoreName;
  readonly #graceMs: number;
  clockMs = 0;
  emittedMinute = 0;
  closedMinute: number;
  #advanceMs = 0;
  /** Whether the changelog has the advance. */
  #advanceStands = false;
  #saved: Now;
  #merged: Now;
  #written = "";
  #flushed = "";

  constructor(name: string, graceMs: number) {
    this.name = storeName(name);
    this.#graceMs = graceMs;
    this.closedMinute = closedBefore(0, graceMs);
    this.#saved = this.#now();
    this.#merged = this.#now();
  }

  /** False: the clock is there, or on its way. */
  decideAdvance(toMs: number): boolean {
    if (toMs <= this.clockMs || toMs <= this.#advanceMs) return false;
    this.#advanceMs = toMs;
    this.#advanceStands = false;
    return true;
  }

  /** Moves the clock by what was decided and committed. False: nothing was. */
  advance(): boolean {
    if (this.#advanceMs === 0 || !this.#advanceStands) return false;
    this.clockMs = Math.max(this.clockMs, this.#advanceMs);
    this.#advanceMs = 0;
    return true;
  }

  restore(_key: string, value: Buffer | null): void {
    this.#set(value === null ? { clockMs: 0, advanceMs: 0, emittedMinute: 0 } : JSON.parse(value.toString()));
    this.#advanceStands = true;
    this.#merged = this.#now();
    this.#written = JSON.stringify(this.#merged);
  }

  flush(write: (key: string, value: Buffer | null) => void): void {
    this.#flushed = JSON.stringify(this.#now());
    if (this.#flushed !== this.#written) write("now", Buffer.from(this.#flushed));
  }

  savepoint(): void {
    this.#saved = this.#now();
  }

  rollback(): void {
    this.#set(this.#saved);
  }

  merge(): void {
    this.#written = this.#flushed;
    this.#advanceStands = true;
    this.#merged = this.#now();
  }

  drop(): void {
    this.#set(this.#merged);
    this.#advanceStands = true;
  }

  get size() {
    return { keys: 1, bytes: 100 };
  }

  #now(): Now {
    return { clockMs: this.clockMs, advanceMs: this.#advanceMs, emittedMinute: this.emittedMinute };
  }

  #set({ clockMs, advanceMs, emittedMinute }: Now): void {
    this.clockMs = clockMs;
    this.#advanceMs = advanceMs;
    this.emittedMinute = emittedMinute;
    this.closedMinute = closedBefore(clockMs, this.#graceMs);
  }
}
