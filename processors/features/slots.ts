/** Who holds a slot. A pane older than `sinceMinute` belongs to an earlier holder. */
export interface SlotHolder {
  readonly entity: string;
  readonly sinceMinute: number;
}

interface Slot extends SlotHolder {
  /** Newest minute with an event of this entity. */
  lastMinute: number;
}

/** The dictionary of a partition's entities: each holds a small number, its place in every minute's panes. */
export class Slots {
  #slots: (Slot | undefined)[] = [];
  #byEntity = new Map<string, number>();
  #free: number[] = [];
  #sorted: readonly (readonly [entity: string, slot: number])[] | null = null;

  of(entity: string): number | undefined {
    return this.#byEntity.get(entity);
  }

  take(entity: string, sinceMinute: number): number {
    const slot = this.#free.pop() ?? this.#slots.length;
    this.set(slot, { entity, sinceMinute });
    return slot;
  }

  /** For a restore, where holders come in any order. */
  set(slot: number, holder: SlotHolder): void {
    this.clear(slot);
    this.#slots[slot] = { ...holder, lastMinute: -1 };
    this.#byEntity.set(holder.entity, slot);
  }

  clear(slot: number): void {
    const held = this.#slots[slot];
    this.#sorted = null;
    if (!held) return;
    this.#byEntity.delete(held.entity);
    this.#slots[slot] = undefined;
  }

  holder(slot: number): Readonly<Slot> | undefined {
    return this.#slots[slot];
  }

  touch(slot: number, minute: number): void {
    const held = this.#slots[slot];
    if (held && minute > held.lastMinute) held.lastMinute = minute;
  }

  /** Frees the slots of entities without an event at or after the minute, and returns them. */
  freeOlderThan(minute: number): number[] {
    const freed: number[] = [];
    for (const [i, slot] of this.#slots.entries()) {
      if (slot && slot.lastMinute < minute) {
        this.clear(i);
        this.#free.push(i);
        freed.push(i);
      }
    }
    return freed;
  }

  /** Holes below the highest slot are free; call it once after a restore. */
  findHoles(): void {
    this.#free = [...this.#slots.keys()].filter((i) => !this.#slots[i]).reverse();
  }

  /** Entities in code unit order with their slots. */
  sorted(): readonly (readonly [entity: string, slot: number])[] {
    this.#sorted ??= [...this.#byEntity].sort(([a], [b]) => (a < b ? -1 : 1));
    return this.#sorted;
  }

  get count(): number {
    return this.#byEntity.size;
  }
}
