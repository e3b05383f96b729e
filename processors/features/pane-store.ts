import { type StateStore, type StoreName, storeName, WeirError } from "../../streams/index.ts";
import { DeltaKeys } from "./delta-keys.ts";
import { type EntityLimits, EntitySlots } from "./entity-slots.ts";
import {
  bytesOf,
  type ChangedSlot,
  encodeChunk,
  encodeDeltas,
  isUsed,
  type PaneChunk,
  placeOf,
  readChunk,
  readDeltas,
} from "./pane-chunk.ts";
import { overwriteSlot, type Words } from "./pane-codec.ts";
import { EVENTS, type PaneLayout } from "./pane-layout.ts";
import { type MinuteChunks, PaneMinutes } from "./pane-minutes.ts";
import { UndoLog } from "./undo-log.ts";
import { ValueLogs } from "./value-log.ts";

type Write = (key: string, value: Buffer | null) => void;

export interface PaneStoreLimits extends EntityLimits {
  /** Minutes with data held at once. Panes a row looks at + grace + the skew between sources must fit in. */
  readonly minutes: number;
}

/**
 * One-minute panes by entity and signal, with the dictionary of entities.
 *
 * A minute takes memory when its first event comes and gives it back in `evictBelow`, so no minute is ever written over
 * another. Changelog keys: `slot/<n>` (JSON: entity, sinceMinute, signals), `pane/<minute>/<chunk>` (a sparse chunk,
 * written once when its minute closes) and `open/<minute mod 256>/<n>` (what changed in an open minute with one commit;
 * deleted when it closes, or folded into its chunks when they have become many).
 */
export class PaneStore implements StateStore {
  readonly name: StoreName;
  readonly layout: PaneLayout;
  /** Rises when the store goes back: whatever was derived from its panes is void then. */
  generation = 0;
  readonly #undo = new UndoLog();
  readonly #values: ValueLogs;
  readonly #minutes: PaneMinutes;
  readonly #entities: EntitySlots;
  readonly #deltas = new DeltaKeys("open");
  #closed: PaneChunk[] = [];
  #deleted: string[] = [];
  #restored = false;

  constructor(name: string, layout: PaneLayout, limits: PaneStoreLimits) {
    this.name = storeName(name);
    this.layout = layout;
    this.#values = new ValueLogs(layout);
    this.#minutes = new PaneMinutes(layout, limits.minutes, this.#undo);
    this.#entities = new EntitySlots(layout, limits, this.#undo);
  }

  slotOf(entity: string): number | undefined {
    this.#settle();
    return this.#entities.of(entity);
  }

  /** Undefined when the limit of entities is reached. */
  takeSlot(entity: string, sinceMinute: number): number | undefined {
    this.#settle();
    return this.#entities.take(entity, sinceMinute);
  }

  /**
   * The open panes to write an event of this slot and minute into, at `baseOf(slot)`. Throws `PANES_FULL` (fatal) at
   * the limit of minutes.
   */
  openToWrite(minute: number, slot: number): Float64Array {
    const { slotsPerChunk } = this.layout;
    const chunk = this.#minutes.open(minute, Math.floor(slot / slotsPerChunk));
    if (this.#values.touch(chunk, slot & (slotsPerChunk - 1))) {
      chunk.unfolded = true;
      this.#entities.touch(slot, minute);
    }
    return chunk.open!;
  }

  /** Where the slot's values begin in its chunk. */
  baseOf(slot: number): number {
    return (slot & (this.layout.slotsPerChunk - 1)) * this.layout.slot;
  }

  /** Chunks of a minute by their index; those of a closed minute are sparse. */
  chunksOf(minute: number): MinuteChunks | undefined {
    this.#settle();
    return this.#minutes.get(minute);
  }

  /** After a restore: the entity is known to have had an event in a minute that is closed and gone. */
  wasThere(slot: number, minute: number): void {
    this.#entities.wasThere(slot, minute);
  }

  /** First minute whose panes may count for the slot. */
  sinceOf(slot: number): number {
    return this.#entities.sinceOf(slot);
  }

  /** The signals that the entity has sent in minutes now closed. */
  signalsOf(slot: number): readonly number[] {
    return this.#entities.signalsOf(slot);
  }

  entities(): readonly (readonly [entity: string, slot: number])[] {
    this.#settle();
    return this.#entities.sorted();
  }

  /** The lowest minute at or after `from` that holds an event. */
  nextMinute(from: number): number | undefined {
    this.#settle();
    return this.#minutes.next(from);
  }

  /** The open minutes below, ascending: what `closeBelow` would close. */
  openBelow(minute: number): number[] {
    this.#settle();
    return this.#minutes.openBelow(minute);
  }

  /** Nothing is written any more to the minutes below. */
  closeBelow(minute: number): void {
    for (const m of this.openBelow(minute)) {
      this.#minutes.close(m, (chunk, words) => {
        this.#closed.push(chunk);
        this.#undo.add(() => this.#closed.pop());
        this.#entities.noteSignals(chunk, words);
      });
    }
  }

  /** Forgets the minutes below, and the entities that have had no event since `entitiesBelow`: their slots come back. */
  evictBelow(minute: number, entitiesBelow: number): number[] {
    this.#settle();
    const before = this.#deleted.length;
    for (const chunk of this.#minutes.evictBelow(minute)) if (chunk.logged) this.#deleted.push(keyOf(chunk));
    this.#undo.add(() => {
      this.#deleted.length = before;
    });
    return this.#entities.freeOlderThan(entitiesBelow);
  }

  restore(key: string, value: Buffer | null): void {
    this.#restored = true;
    const [kind, first, second] = key.split("/");
    if (kind === "slot") this.#entities.restore(Number(first), value);
    else if (kind === "pane") {
      const read = value && readChunk(this.layout, Number(first), value);
      if (value && !read) throw stateUnreadable(this.name, key);
      this.#minutes.restore(Number(first), Number(second), read);
    } else if (kind === "open") this.#restoreDeltas(key, value);
    else throw stateUnreadable(this.name, key);
  }

  flush(write: Write): void {
    this.#settle();
    this.#undo.add(this.#deltas.undo());
    for (const key of this.#deleted) write(key, null);
    this.#deleted = [];
    this.#entities.flush(write);
    const minutes = new Set(this.#closed.map((chunk) => chunk.minute));
    for (const chunk of this.#closed) {
      // One that was evicted within the same commit leaves no trace.
      if (chunk.closed && chunk.unfolded && this.#minutes.holds(chunk)) this.#fold(chunk, chunk.closed, write);
    }
    this.#closed = [];
    for (const minute of minutes) for (const key of this.#deltas.clear(minute)) write(key, null);
    this.#flushOpen(write);
    this.#values.flushed();
  }

  savepoint(): void {
    this.#undo.savepoint();
    this.#values.savepoint();
  }

  rollback(): void {
    this.#undo.rollback();
    this.#values.rollback();
    this.generation++;
  }

  merge(): void {
    this.#undo.merge();
    this.#values.merge();
    this.#minutes.merge();
  }

  drop(): void {
    this.#undo.drop();
    this.#values.drop();
    this.#entities.drop();
    this.#deleted = [];
    this.#closed = [];
    this.generation++;
  }

  get size() {
    return { keys: this.#minutes.count + this.#entities.count + this.#deltas.count, bytes: this.#minutes.bytes };
  }

  #fold(chunk: PaneChunk, words: Words, write: Write): void {
    const { logged, unfolded } = chunk;
    write(keyOf(chunk), bytesOf(words));
    chunk.logged = true;
    chunk.unfolded = false;
    this.#undo.add(() => Object.assign(chunk, { logged, unfolded }));
  }

  #flushOpen(write: Write): void {
    const { chunks, slots, oldAt, old } = this.#values.changed;
    const byMinute = new Map<number, ChangedSlot[]>();
    for (const [n, chunk] of chunks.entries()) {
      if (!chunk.open || !this.#minutes.holds(chunk)) continue;
      const changed = byMinute.get(chunk.minute) ?? [];
      byMinute.set(chunk.minute, changed);
      changed.push({ chunk, slotInChunk: slots[n]!, oldAt: oldAt[n]! });
    }
    for (const [minute, changed] of byMinute) {
      const deltas = encodeDeltas(this.layout, minute, changed, old);
      if (this.#deltas.hasRoom(minute, deltas.length)) {
        for (const delta of deltas) write(this.#deltas.next(minute), delta);
        continue;
      }
      for (const chunk of this.#minutes.get(minute)!) {
        if (chunk?.open && chunk.unfolded) this.#fold(chunk, encodeChunk(this.layout, minute, chunk.open, true), write);
      }
      for (const key of this.#deltas.clear(minute)) write(key, null);
    }
  }

  #restoreDeltas(key: string, value: Buffer | null): void {
    // A minute's deltas are only deleted together, after what replaces them was written.
    if (value === null) return;
    const deltas = readDeltas(this.layout, value);
    if (!deltas) throw stateUnreadable(this.name, key);
    const { minute, words } = deltas;
    this.#deltas.hold(minute, key);
    for (let at = deltas.at; at < words.f.length; ) {
      const chunk = this.#minutes.open(minute, words.u[at * 2]!);
      chunk.unfolded = true;
      at = overwriteSlot(this.layout, words, at + 1, chunk.open!, words.u[at * 2 + 1]! * this.layout.slot);
    }
    this.#undo.merge(); // what was committed is not taken back
  }

  /** After a restore, before the first use: what is derived from the records, whatever order they came in. */
  #settle(): void {
    if (!this.#restored) return;
    this.#restored = false;
    this.#entities.restored();
    const { slotsPerChunk, headerWords } = this.layout;
    for (const [minute, chunks] of this.#minutes.entries()) {
      for (const chunk of chunks) {
        for (let i = 0; chunk && i < slotsPerChunk; i++) {
          const slot = chunk.index * slotsPerChunk + i;
          if (minute < this.sinceOf(slot)) continue;
          const at = chunk.closed ? placeOf(chunk.closed, i) : 0;
          if (at > 0 || (chunk.open && isUsed(this.layout, chunk.open, i * this.layout.slot)))
            this.#entities.touch(slot, minute);
          if (at > 0 && chunk.closed!.f[at + headerWords + EVENTS]! > 0) this.wasThere(slot, minute);
        }
      }
    }
    this.#undo.merge();
  }
}

const keyOf = (chunk: PaneChunk): string => `pane/${chunk.minute}/${chunk.index}`;

const stateUnreadable = (store: string, key: string) =>
  new WeirError(
    "STATE_UNREADABLE",
    "fatal",
    `Changelog key ${key} of store ${store} does not fit the feature set in use.`,
    "Run the version and feature set that wrote this state, or reset the stage and replay its input.",
  );
