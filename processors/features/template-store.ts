import { type StateStore, type StoreName, storeName } from "../../streams/index.ts";
import {
  mineMinute,
  snapshotOf,
  type Template,
  TemplateMiner,
  type TemplateSignals,
  type TemplateSnapshot,
} from "../templates/index.ts";
import { DeltaKeys } from "./delta-keys.ts";
import { hashText } from "./seen-events.ts";
import { UndoLog } from "./undo-log.ts";

/** Different masked texts of one entity in one minute; four times what a tree holds. */
const MAX_TEXTS = 512;
/** Of one changelog value; a character may take three bytes. */
const MAX_VALUE_CHARS = 20_000;

/** How many lines there were of each masked text, of one entity in one open minute. */
interface OpenTexts {
  readonly counts: Map<string, number>;
  /** Changed since the last flush. */
  dirty: Set<string>;
  /** The one that would give way, once it is known. */
  last?: string | undefined;
}

/**
 * The templates of each entity's log lines, and the masked lines of the open minutes, which are mined when their minute
 * closes.
 *
 * Of more than 512 different texts of one entity in one minute those with the lowest hashes count: which they are does
 * not depend on their order. Changelog keys: `line/<minute mod 256>/<n>` (JSON: minute, then [slot, text, lines] of what
 * changed with one commit; deleted at the close) and `tree/<slot>/<number of the template>`.
 */
export class TemplateStore implements StateStore {
  readonly name: StoreName;
  readonly #keptMinutes: number;
  #open = new Map<number, Map<number, OpenTexts>>();
  #trees = new Map<number, TemplateMiner>();
  #restoring = new Map<number, Map<number, TemplateSnapshot>>();
  #lines = new DeltaKeys("line");
  #dirtyMinutes = new Set<number>();
  #closed = new Set<number>();
  /** Numbers of the templates that are not as the changelog has them, by slot; some twice. */
  #dirtyTemplates = new Map<number, number[]>();
  #undo = new UndoLog();
  /** Texts left out for that limit since this instance was made. */
  cutTexts = 0;

  /** After a longer silence of an entity's lines its templates count for nothing. */
  constructor(name: string, keptMinutes: number) {
    this.name = storeName(name);
    this.#keptMinutes = keptMinutes;
  }

  /** Counts a line of an open minute. */
  add(minute: number, slot: number, text: string): void {
    let slots = this.#open.get(minute);
    if (!slots) {
      slots = new Map();
      this.#open.set(minute, slots);
      this.#undo.add(() => this.#open.delete(minute));
    }
    let texts = slots.get(slot);
    if (!texts) {
      texts = { counts: new Map(), dirty: new Set() };
      const [minutes, mine] = [slots, texts];
      minutes.set(slot, mine);
      this.#undo.add(() => minutes.delete(slot));
    }
    const { counts } = texts;
    const before = counts.get(text);
    this.#dirtyMinutes.add(minute);
    if (before === undefined && counts.size >= MAX_TEXTS) {
      this.#takeBeyondLimit(texts, text);
      return;
    }
    counts.set(text, (before ?? 0) + 1);
    texts.dirty.add(text);
    if (before === undefined) texts.last = undefined;
    this.#undo.add(() => (before === undefined ? counts.delete(text) : counts.set(text, before)));
  }

  /** Mines the lines of a minute that has closed, entity by entity. */
  close(minute: number, found: (slot: number, signals: TemplateSignals) => void): void {
    const slots = this.#open.get(minute);
    this.#restoreTrees();
    if (!slots) return;
    this.#closed.add(minute);
    this.#undo.add(() => this.#closed.delete(minute));
    this.#open.delete(minute);
    this.#undo.add(() => this.#open.set(minute, slots));
    for (const [slot, { counts }] of slots) {
      const held = this.#trees.get(slot);
      if (held && minute - newestOf(held.templates()) > this.#keptMinutes) this.forget(slot);
      const tree = this.#trees.get(slot) ?? this.#plant(slot);
      const { signals, changes } = mineMinute(tree, counts, minute);
      this.#undo.add(() => tree.undo(changes));
      for (const { template } of changes) this.#mark(slot, template);
      found(slot, signals);
    }
  }

  /** The entity that held the slot is gone. */
  forget(slot: number): void {
    this.#restoreTrees();
    const tree = this.#trees.get(slot);
    if (!tree) return;
    this.#trees.delete(slot);
    this.#undo.add(() => this.#trees.set(slot, tree));
    for (const template of tree.templates()) this.#mark(slot, template);
  }

  restore(key: string, value: Buffer | null): void {
    const [kind, first, second] = key.split("/");
    if (kind === "line") {
      if (value === null) return; // deleted together, at the minute's close
      const [minute, ...lines] = JSON.parse(value.toString()) as [number, ...[number, string, number][]];
      this.#lines.hold(minute, key);
      const slots = this.#open.get(minute) ?? new Map<number, OpenTexts>();
      this.#open.set(minute, slots);
      for (const [slot, text, count] of lines) {
        const texts = slots.get(slot) ?? { counts: new Map<string, number>(), dirty: new Set<string>() };
        slots.set(slot, texts);
        if (count === 0) texts.counts.delete(text);
        else texts.counts.set(text, count);
      }
      return;
    }
    const [slot, made] = [Number(first), Number(second)];
    const templates = this.#restoring.get(slot) ?? new Map<number, TemplateSnapshot>();
    this.#restoring.set(slot, templates);
    if (value === null) templates.delete(made);
    else templates.set(made, { ...(JSON.parse(value.toString()) as Omit<TemplateSnapshot, "made">), made });
  }

  flush(write: (key: string, value: Buffer | null) => void): void {
    this.#undo.add(this.#lines.undo());
    for (const minute of this.#closed) for (const key of this.#lines.clear(minute)) write(key, null);
    this.#closed.clear();
    for (const minute of this.#dirtyMinutes) this.#flushMinute(minute, write);
    this.#dirtyMinutes.clear();
    for (const [slot, numbers] of this.#dirtyTemplates) {
      const held = new Map([...(this.#trees.get(slot)?.templates() ?? [])].map((t) => [t.made, t]));
      for (const made of new Set(numbers)) {
        const template = held.get(made);
        const { made: _, ...rest } = template ? snapshotOf(template) : { made };
        write(`tree/${slot}/${made}`, template ? Buffer.from(JSON.stringify(rest)) : null);
      }
    }
    this.#dirtyTemplates.clear();
  }

  savepoint(): void {
    this.#undo.savepoint();
  }

  rollback(): void {
    this.#undo.rollback();
  }

  merge(): void {
    this.#undo.merge();
  }

  drop(): void {
    this.#undo.drop();
    this.#dirtyMinutes.clear();
    this.#closed.clear();
    this.#dirtyTemplates.clear();
    for (const slots of this.#open.values()) for (const texts of slots.values()) texts.dirty.clear();
  }

  get size() {
    let templates = 0;
    for (const tree of this.#trees.values()) templates += tree.size;
    for (const tree of this.#restoring.values()) templates += tree.size;
    // A template's words, path and places in its tree; an estimate.
    return { keys: templates + this.#lines.count, bytes: templates * 600 };
  }

  #flushMinute(minute: number, write: (key: string, value: Buffer | null) => void): void {
    const slots = this.#open.get(minute);
    if (!slots) return; // closed within the same commit
    const changed: string[] = [];
    for (const [slot, texts] of slots) {
      for (const text of texts.dirty) changed.push(JSON.stringify([slot, text, texts.counts.get(text) ?? 0]));
      texts.dirty = new Set();
    }
    if (changed.length === 0) return;
    const values = valuesOf(minute, changed);
    if (this.#lines.hasRoom(minute, values.length)) {
      for (const value of values) write(this.#lines.next(minute), value);
      return;
    }
    const stale = new Set(this.#lines.clear(minute));
    const all: string[] = [];
    for (const [slot, { counts }] of slots) {
      for (const [text, count] of counts) all.push(JSON.stringify([slot, text, count]));
    }
    for (const value of valuesOf(minute, all)) {
      const key = this.#lines.next(minute);
      stale.delete(key);
      write(key, value);
    }
    for (const key of stale) write(key, null);
  }

  /** Takes in a text beyond the limit, or leaves it out: those with the lowest hashes stay. */
  #takeBeyondLimit(texts: OpenTexts, text: string): void {
    const { counts } = texts;
    texts.last ??= [...counts.keys()].reduce((a, b) => (isBehind(a, b) ? a : b));
    const lost = isBehind(text, texts.last) ? text : texts.last;
    this.cutTexts++;
    if (lost === text) return;
    const count = counts.get(lost)!;
    counts.delete(lost);
    counts.set(text, 1);
    texts.dirty.add(text).add(lost);
    texts.last = undefined;
    this.#undo.add(() => {
      counts.delete(text);
      counts.set(lost, count);
      texts.last = undefined;
    });
  }

  #plant(slot: number): TemplateMiner {
    const tree = new TemplateMiner();
    this.#trees.set(slot, tree);
    this.#undo.add(() => this.#trees.delete(slot));
    return tree;
  }

  #mark(slot: number, template: Template): void {
    const numbers = this.#dirtyTemplates.get(slot);
    if (numbers) numbers.push(template.made);
    else this.#dirtyTemplates.set(slot, [template.made]);
  }

  #restoreTrees(): void {
    for (const [slot, templates] of this.#restoring) {
      if (templates.size > 0) this.#trees.set(slot, new TemplateMiner({}, [...templates.values()]));
    }
    this.#restoring.clear();
  }
}

function newestOf(templates: readonly Template[]): number {
  let newest = Number.NEGATIVE_INFINITY;
  for (const { weightMinute } of templates) if (weightMinute > newest) newest = weightMinute;
  return newest;
}

function isBehind(a: string, b: string): boolean {
  const [x, y] = [hashText(a).high >>> 0, hashText(b).high >>> 0];
  return x > y || (x === y && a > b);
}

function valuesOf(minute: number, entries: readonly string[]): Buffer[] {
  const values: Buffer[] = [];
  let part = `[${minute}`;
  for (const entry of entries) {
    if (part.length + entry.length > MAX_VALUE_CHARS) {
      values.push(Buffer.from(`${part}]`));
      part = `[${minute}`;
    }
    part += `,${entry}`;
  }
  values.push(Buffer.from(`${part}]`));
  return values;
}
