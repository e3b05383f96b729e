/** Who holds a slot. A pane older than `sinceMinute` belongs to an earlier holder. */
export interface SlotHolder {
  readonly entity: string;
  readonly sinceMinute: number;
  /** Signals that the entity has ever sent a value of. */
  readonly signals: readonly number[];
}

export interface Slot extends SlotHolder {
  /** `signals` as bits, as the codes of sparse panes have them: the even ones of 32, 16 signals a number. */
  readonly known: readonly number[];
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

  /** Whether the next new entity gets the slot of one that is gone. */
  get hasFree(): boolean {
    return this.#free.length > 0;
  }

  take(entity: string, sinceMinute: number): number {
    const slot = this.#free.pop() ?? this.#slots.length;
    this.set(slot, { entity, sinceMinute, signals: [] });
    return slot;
  }

  /** Takes a `take` back, if it was the last change. */
  untake(slot: number, wasFree: boolean): void {
    this.clear(slot);
    if (wasFree) this.#free.push(slot);
    else this.#slots.length = slot;
  }

  /** For a restore, where holders come in any order. */
  set(slot: number, holder: SlotHolder): void {
    this.clear(slot);
    this.#slots[slot] = withSignals({ ...holder, known: [], lastMinute: Number.NEGATIVE_INFINITY }, holder.signals);
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

  /** Takes a `touch` back, if it was the last change. */
  untouch(slot: number, before: number): void {
    const held = this.#slots[slot];
    if (held) held.lastMinute = before;
  }

  /** Replaces the holder as it is, its newest minute too. */
  replace(slot: number, holder: Slot): void {
    this.#slots[slot] = holder;
  }

  /** Frees the slots of entities without an event at or after the minute, and returns them with their holders. */
  freeOlderThan(minute: number): { slot: number; holder: Slot }[] {
    const freed: { slot: number; holder: Slot }[] = [];
    for (const [i, slot] of this.#slots.entries()) {
      if (slot && slot.lastMinute < minute) {
        this.clear(i);
        this.#free.push(i);
        freed.push({ slot: i, holder: slot });
      }
    }
    return freed;
  }

  /** Takes a freeing back, if it was the last change. */
  unfree(freed: readonly { slot: number; holder: Slot }[]): void {
    for (const { slot, holder } of freed.toReversed()) {
      this.#free.pop();
      this.#slots[slot] = holder;
      this.#byEntity.set(holder.entity, slot);
    }
    this.#sorted = null;
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

export function withSignals(holder: Slot, signals: readonly number[]): Slot {
  const known: number[] = [];
  for (const s of signals) known[s >> 4] = (known[s >> 4] ?? 0) | (1 << ((s & 15) * 2));
  return { ...holder, signals, known: Array.from(known, (word) => word ?? 0) };
}
