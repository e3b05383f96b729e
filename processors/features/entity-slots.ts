import { type PaneChunk, placeOf } from "./pane-chunk.ts";
import type { Words } from "./pane-codec.ts";
import { EVENTS, type PaneLayout } from "./pane-layout.ts";
import { type SlotHolder, Slots, withSignals } from "./slots.ts";
import type { UndoLog } from "./undo-log.ts";

export interface EntityLimits {
  readonly entities: number;
  /** An entity's silence is told in steps of so many minutes: what is left of it after a restart tells no finer. */
  readonly silenceStepMinutes: number;
  /** After a longer silence nothing is known of an entity, whether or not its slot has been freed meanwhile. */
  readonly keptMinutes: number;
}

/** Entities, their slots, and what is known of them: part of the pane store. Changelog keys: `slot/<n>` (JSON). */
export class EntitySlots {
  readonly #layout: PaneLayout;
  readonly #limits: EntityLimits;
  readonly #undo: UndoLog;
  readonly #slots = new Slots();
  /** By slot: the newest closed minute with an event, rounded up to the step. */
  #closedAt: (number | undefined)[] = [];
  #dirty = new Set<number>();

  constructor(layout: PaneLayout, limits: EntityLimits, undo: UndoLog) {
    this.#layout = layout;
    this.#limits = limits;
    this.#undo = undo;
  }

  of(entity: string): number | undefined {
    return this.#slots.of(entity);
  }

  sinceOf(slot: number): number {
    return this.#slots.holder(slot)?.sinceMinute ?? Number.POSITIVE_INFINITY;
  }

  signalsOf(slot: number): readonly number[] {
    return this.#slots.holder(slot)?.signals ?? [];
  }

  sorted(): readonly (readonly [entity: string, slot: number])[] {
    return this.#slots.sorted();
  }

  get count(): number {
    return this.#slots.count;
  }

  take(entity: string, sinceMinute: number): number | undefined {
    if (this.#slots.count >= this.#limits.entities) return undefined;
    const wasFree = this.#slots.hasFree;
    const slot = this.#slots.take(entity, sinceMinute);
    const closedAt = this.#closedAt[slot];
    this.#closedAt[slot] = undefined;
    this.#undo.add(() => {
      this.#closedAt[slot] = closedAt;
      this.#slots.untake(slot, wasFree);
    });
    this.#mark(slot);
    return slot;
  }

  /** The entity has an event in the minute. */
  touch(slot: number, minute: number): void {
    const rounded = this.#rounded(minute);
    const holder = this.#slots.holder(slot);
    if (!holder || holder.lastMinute >= rounded) return;
    this.#undo.add(this.#untouch, slot, holder.lastMinute);
    this.#slots.touch(slot, rounded);
  }

  readonly #untouch = (slot: number, before: number): void => this.#slots.untouch(slot, before);

  /** After a restore: the entity is known to have had an event in a minute that is closed. */
  wasThere(slot: number, minute: number): void {
    this.touch(slot, minute);
    this.#noteClosed(slot, minute);
  }

  /**
   * At a chunk's close: whatever has a value now is what its entity is known to send. When a slot is freed depends on
   * how sources interleave, what is known here must not: so it is forgotten by the length of the silence.
   */
  noteSignals(chunk: PaneChunk, words: Words): void {
    const { slotsPerChunk, headerWords } = this.#layout;
    const first = chunk.index * slotsPerChunk;
    const before = this.#closedAt.slice(first, first + slotsPerChunk);
    this.#undo.add(() => {
      for (let i = 0; i < slotsPerChunk; i++) this.#closedAt[first + i] = before[i];
    });
    for (let i = 0; i < slotsPerChunk; i++) {
      const at = placeOf(words, i);
      if (at === 0 || words.f[at + headerWords + EVENTS] === 0) continue;
      const silence = chunk.minute - (this.#closedAt[first + i] ?? Number.NEGATIVE_INFINITY);
      this.#noteClosed(first + i, chunk.minute);
      this.#addSignals(first + i, words, at, silence > this.#limits.keptMinutes);
    }
  }

  #addSignals(slot: number, words: Words, at: number, anew: boolean): void {
    const holder = this.#slots.holder(slot);
    if (!holder) return;
    const { signals } = this.#layout;
    let news = anew;
    for (let w = 0; w * 16 < signals; w++) {
      const codes = words.u[at * 2 + w]!;
      news ||= ((codes | (codes >>> 1)) & 0x5555_5555 & ~(holder.known[w] ?? 0)) !== 0;
    }
    if (!news) return;
    const has = (s: number) => ((words.u[at * 2 + (s >> 4)]! >>> ((s & 15) * 2)) & 3) !== 0;
    const old = anew ? [] : holder.signals;
    const now = Array.from({ length: signals }, (_, s) => s).filter((s) => old.includes(s) || has(s));
    if (now.length === holder.signals.length && now.every((s, i) => s === holder.signals[i])) return;
    this.#slots.replace(slot, withSignals({ ...holder }, now));
    this.#undo.add(() => this.#slots.replace(slot, holder));
    this.#mark(slot);
  }

  /** Frees the slots of entities without an event at or after the minute, and returns them. */
  freeOlderThan(minute: number): number[] {
    const freed = this.#slots.freeOlderThan(minute);
    if (freed.length > 0) this.#undo.add(() => this.#slots.unfree(freed));
    for (const { slot } of freed) this.#mark(slot);
    return freed.map(({ slot }) => slot);
  }

  restore(slot: number, value: Buffer | null): void {
    if (value === null) this.#slots.clear(slot);
    else this.#slots.set(slot, JSON.parse(value.toString()) as SlotHolder);
  }

  restored(): void {
    this.#slots.findHoles();
  }

  flush(write: (key: string, value: Buffer | null) => void): void {
    for (const slot of this.#dirty) {
      const holder = this.#slots.holder(slot);
      const json = holder && { entity: holder.entity, sinceMinute: holder.sinceMinute, signals: holder.signals };
      write(`slot/${slot}`, json === undefined ? null : Buffer.from(JSON.stringify(json)));
    }
    this.#dirty.clear();
  }

  drop(): void {
    this.#dirty.clear();
  }

  #mark(slot: number): void {
    if (this.#dirty.has(slot)) return;
    this.#dirty.add(slot);
    this.#undo.add(() => this.#dirty.delete(slot));
  }

  #noteClosed(slot: number, minute: number): void {
    this.#closedAt[slot] = Math.max(this.#closedAt[slot] ?? Number.NEGATIVE_INFINITY, this.#rounded(minute));
  }

  #rounded(minute: number): number {
    const step = this.#limits.silenceStepMinutes;
    return Math.floor(minute / step) * step + step - 1;
  }
}
