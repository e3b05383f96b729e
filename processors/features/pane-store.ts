import { type StateStore, type StoreName, storeName, WeirError } from "../../streams/index.ts";
import { CHUNK_HEADER_BYTES, EVENTS, type PaneLayout } from "./pane-layout.ts";
import { type SlotHolder, Slots } from "./slots.ts";

/** Panes of one minute for a run of slots: the unit of memory and of the changelog. */
export interface PaneChunk {
  readonly minute: number;
  readonly index: number;
  readonly values: Float64Array;
  dirty: boolean;
  /** Whether the changelog holds it, so that its end must be written there too. */
  logged: boolean;
}

export type MinutePanes = readonly (PaneChunk | undefined)[];

export interface PaneStoreLimits {
  /** Minutes with data held at once. Panes a row looks at + grace + the skew between sources must fit in. */
  readonly minutes: number;
  readonly entities: number;
}

/**
 * One-minute panes by entity and signal, with the dictionary of entities.
 *
 * A minute takes memory when its first event comes and gives it back in `evictBelow`, so no minute is ever written over
 * another. Changelog keys: `slot/<n>` (JSON: entity, sinceMinute) and `pane/<minute>/<chunk>` (float64 minute, float64
 * slots, then the slots' values as they lie in memory, little-endian), whole at each flush that follows a change.
 */
export class PaneStore implements StateStore {
  readonly name: StoreName;
  readonly layout: PaneLayout;
  #limits: PaneStoreLimits;
  #slots = new Slots();
  #minutes = new Map<number, (PaneChunk | undefined)[]>();
  #oldest = Number.POSITIVE_INFINITY;
  #chunks = 0;
  #pool: Float64Array[] = [];
  #dirtyChunks: PaneChunk[] = [];
  #dirtySlots = new Set<number>();
  #deletedChunks: string[] = [];
  #restored = false;

  constructor(name: string, layout: PaneLayout, limits: PaneStoreLimits) {
    this.name = storeName(name);
    this.layout = layout;
    this.#limits = limits;
  }

  slotOf(entity: string): number | undefined {
    this.#settle();
    return this.#slots.of(entity);
  }

  /** Undefined when the limit of entities is reached. */
  takeSlot(entity: string, sinceMinute: number): number | undefined {
    this.#settle();
    if (this.#slots.count >= this.#limits.entities) return undefined;
    const slot = this.#slots.take(entity, sinceMinute);
    this.#dirtySlots.add(slot);
    return slot;
  }

  /** The chunk to write an event of this slot and minute into. Throws `PANES_FULL` (fatal) at the limit of minutes. */
  chunkToWrite(minute: number, slot: number): PaneChunk {
    let panes = this.#minutes.get(minute);
    if (!panes) {
      if (this.#minutes.size >= this.#limits.minutes) throw panesFull(this.#limits.minutes, minute, this.#oldest);
      panes = [];
      this.#minutes.set(minute, panes);
      if (minute < this.#oldest) this.#oldest = minute;
    }
    const index = Math.floor(slot / this.layout.slotsPerChunk);
    let chunk = panes[index];
    if (!chunk) {
      chunk = this.#newChunk(minute, index);
      panes[index] = chunk;
    }
    if (!chunk.dirty) {
      chunk.dirty = true;
      this.#dirtyChunks.push(chunk);
    }
    this.#slots.touch(slot, minute);
    return chunk;
  }

  /** Where the slot's values begin in its chunk. */
  baseOf(slot: number): number {
    return (slot & (this.layout.slotsPerChunk - 1)) * this.layout.slot;
  }

  panesOf(minute: number): MinutePanes | undefined {
    return this.#minutes.get(minute);
  }

  /** First minute whose panes may count for the slot. */
  sinceOf(slot: number): number {
    return this.#slots.holder(slot)?.sinceMinute ?? Number.POSITIVE_INFINITY;
  }

  entities(): readonly (readonly [entity: string, slot: number])[] {
    this.#settle();
    return this.#slots.sorted();
  }

  /** The lowest minute at or after `from` that holds an event. */
  nextMinute(from: number): number | undefined {
    let next: number | undefined;
    for (const minute of this.#minutes.keys())
      if (minute >= from && (next === undefined || minute < next)) next = minute;
    return next;
  }

  /** Forgets the minutes below, and the entities that have no event since. */
  evictBelow(minute: number): void {
    this.#settle();
    if (this.#oldest >= minute) return;
    this.#oldest = Number.POSITIVE_INFINITY;
    for (const [m, panes] of this.#minutes) {
      if (m < minute) {
        for (const chunk of panes) if (chunk) this.#drop(chunk);
        this.#minutes.delete(m);
      } else if (m < this.#oldest) this.#oldest = m;
    }
    for (const slot of this.#slots.freeOlderThan(minute)) this.#dirtySlots.add(slot);
  }

  restore(key: string, value: Buffer | null): void {
    this.#restored = true;
    const [kind, first, second] = key.split("/");
    if (kind === "slot") {
      if (value === null) this.#slots.clear(Number(first));
      else this.#slots.set(Number(first), JSON.parse(value.toString()) as SlotHolder);
    } else if (kind === "pane") this.#restoreChunk(Number(first), Number(second), value);
    else throw stateUnreadable(this.name, key);
  }

  flush(write: (key: string, value: Buffer | null) => void): void {
    for (const key of this.#deletedChunks) write(key, null);
    this.#deletedChunks = [];
    for (const slot of this.#dirtySlots) {
      const holder = this.#slots.holder(slot);
      const json = holder && JSON.stringify({ entity: holder.entity, sinceMinute: holder.sinceMinute });
      write(`slot/${slot}`, json === undefined ? null : Buffer.from(json));
    }
    this.#dirtySlots.clear();
    for (const chunk of this.#dirtyChunks) {
      if (!chunk.dirty) continue;
      write(keyOf(chunk), this.#encode(chunk));
      chunk.dirty = false;
      chunk.logged = true;
    }
    this.#dirtyChunks = [];
  }

  get size() {
    const bytes = this.#chunks * this.#chunkLength * 8;
    return { keys: this.#chunks + this.#slots.count, bytes };
  }

  get #chunkLength(): number {
    return this.layout.slotsPerChunk * this.layout.slot;
  }

  #newChunk(minute: number, index: number): PaneChunk {
    this.#chunks++;
    const values = this.#pool.pop() ?? new Float64Array(this.#chunkLength);
    return { minute, index, values, dirty: false, logged: false };
  }

  #drop(chunk: PaneChunk): void {
    if (chunk.logged) this.#deletedChunks.push(keyOf(chunk));
    chunk.dirty = false;
    this.#chunks--;
    if (this.#pool.length < this.#chunks) this.#pool.push(chunk.values.fill(0));
  }

  /** Slots behind the last one with an event are all zero and are left out. */
  #encode(chunk: PaneChunk): Buffer {
    const { slot, slotFields, slotsPerChunk } = this.layout;
    let slots = slotsPerChunk;
    while (slots > 0 && chunk.values[(slots - 1) * slot + slotFields + EVENTS] === 0) slots--;
    const out = Buffer.allocUnsafe(CHUNK_HEADER_BYTES + slots * slot * 8);
    out.writeDoubleLE(chunk.minute, 0);
    out.writeDoubleLE(slots, 8);
    Buffer.from(chunk.values.buffer, chunk.values.byteOffset, slots * slot * 8).copy(out, CHUNK_HEADER_BYTES);
    return out;
  }

  #restoreChunk(minute: number, index: number, value: Buffer | null): void {
    let panes = this.#minutes.get(minute);
    if (value === null) {
      if (panes?.[index]) {
        this.#chunks--;
        panes[index] = undefined;
        if (panes.every((c) => !c)) this.#minutes.delete(minute);
      }
      return;
    }
    const slots = value.length >= CHUNK_HEADER_BYTES ? value.readDoubleLE(8) : -1;
    if (
      value.length !== CHUNK_HEADER_BYTES + slots * this.layout.slot * 8 ||
      slots > this.layout.slotsPerChunk ||
      value.readDoubleLE(0) !== minute
    ) {
      throw stateUnreadable(this.name, `pane/${minute}/${index}`);
    }
    if (!panes) {
      panes = [];
      this.#minutes.set(minute, panes);
    }
    const chunk = panes[index] ?? this.#newChunk(minute, index);
    panes[index] = chunk;
    chunk.values.fill(0);
    value.copy(Buffer.from(chunk.values.buffer, chunk.values.byteOffset), 0, CHUNK_HEADER_BYTES);
    chunk.logged = true;
  }

  /** After a restore, before the first use: what is derived from the records, whatever order they came in. */
  #settle(): void {
    if (!this.#restored) return;
    this.#restored = false;
    this.#slots.findHoles();
    const { slot: stride, slotFields, slotsPerChunk } = this.layout;
    for (const [minute, panes] of this.#minutes) {
      if (minute < this.#oldest) this.#oldest = minute;
      for (const chunk of panes) {
        for (let i = 0; chunk && i < slotsPerChunk; i++) {
          if (chunk.values[i * stride + slotFields + EVENTS]! === 0) continue;
          const slot = chunk.index * slotsPerChunk + i;
          if (minute >= this.sinceOf(slot)) this.#slots.touch(slot, minute);
        }
      }
    }
  }
}

const keyOf = (chunk: PaneChunk): string => `pane/${chunk.minute}/${chunk.index}`;

const panesFull = (limit: number, minute: number, oldest: number) =>
  new WeirError(
    "PANES_FULL",
    "fatal",
    `An event of minute ${minute} needs a new minute of panes, but ${limit} are held, from minute ${oldest} on.`,
    "One source lags far behind the others or has stalled: let it catch up, or leave it out by an operator's command.",
  );

const stateUnreadable = (store: string, key: string) =>
  new WeirError(
    "STATE_UNREADABLE",
    "fatal",
    `Changelog key ${key} of store ${store} does not fit the feature set in use.`,
    "Run the version and feature set that wrote this state, or reset the stage and replay its input.",
  );
