import { OWN_EVENTS, OWN_REFUSED } from "./chunk-sums.ts";
import { type CompiledColumn, HOUR_MINUTES } from "./compile-columns.ts";
import type { FeatureSet } from "./feature-set.ts";
import { closeHour } from "./hour-close.ts";
import type { HourStore } from "./hour-store.ts";
import type { PaneStore } from "./pane-store.ts";
import { PaneSums } from "./pane-sums.ts";
import { type Column, checkOf, columnOf, type RowState, shown } from "./row-columns.ts";
import { MINUTE_MS } from "./time.ts";
import { figureOf, WindowFigures } from "./window-figures.ts";

/** An entity without an event for so long stops emitting. */
export const SILENT_AFTER_MINUTES = 15;

/** Whether an entity has a row at a window end. `silent` is said once; `absent` is before its first event or long silent. */
export type Activity = "alive" | "silent" | "absent";

const GOOD = figureOf("good");

/**
 * Turns entities' panes into their rows at one window end, a chunk of slots at a time and in it column by column. One
 * instance serves a partition: `atEnd` once for each window end, then `activityOf` of each entity and `build` of those
 * alive.
 */
export class RowBuilder {
  readonly #state: RowState;
  readonly #panes: PaneStore;
  readonly #sums: PaneSums;
  /** Columns that are a figure times a factor: where it stands, and where it goes. */
  readonly #figureAt: Int32Array;
  readonly #factor: Float64Array;
  readonly #figureColumn: Int32Array;
  /** All others, in their order. */
  readonly #columns: readonly Column[];
  readonly #checks: readonly (() => void)[];
  /** By signal: 1 for a metric, and the outcomes of the checks on it. */
  readonly #isMetric: Uint8Array;
  readonly #failed: readonly (readonly Uint8Array[])[];
  readonly #reach: number;
  readonly #mainWindow: number;

  constructor(set: FeatureSet, panes: PaneStore, hours: HourStore | null) {
    const slots = panes.layout.slotsPerChunk;
    this.#panes = panes;
    this.#reach = reachMinutes(set);
    this.#sums = new PaneSums(set, panes, this.#reach);
    this.#mainWindow = set.windows.indexOf(set.windowMinutes);
    const metrics = new Set(set.metricSignals.values());
    this.#isMetric = Uint8Array.from(set.signals, (_, s) => (metrics.has(s) ? 1 : 0));
    const state: RowState = {
      set,
      figures: new WindowFigures(set, this.#sums.fields, slots),
      fields: this.#sums.fields,
      hours,
      slots,
      own: set.windows.map(() => new Float64Array(4 * slots)),
      end: 0,
      calendar: [],
      chunk: 0,
      sums: undefined,
      count: 0,
      slotOf: new Int32Array(slots),
      rowAt: new Int32Array(slots),
      newest: new Float64Array(slots),
      quality: new Float64Array(slots),
      days: undefined,
    };
    this.#state = state;
    const read = set.plan.flatMap((column, c) =>
      column.kind === "statistic" ? [{ ...state.figures.placeOf(column, set.windows[column.window]!), c }] : [],
    );
    this.#figureAt = Int32Array.from(read, ({ at }) => at);
    this.#factor = Float64Array.from(read, ({ factor }) => factor);
    this.#figureColumn = Int32Array.from(read, ({ c }) => c);
    const results = new Map(set.plan.flatMap((c, at) => (c.kind === "check" ? [[at, new Uint8Array(slots)]] : [])));
    this.#checks = set.plan.flatMap((c, at) => (c.kind === "check" ? [checkOf(c, results.get(at)!, state)] : []));
    this.#failed = set.signals.map((_, signal) =>
      set.plan.flatMap((c, at) => (c.kind === "check" && c.signal === signal ? [results.get(at)!] : [])),
    );
    this.#columns = set.plan.flatMap((c, at) => (isFigure(c) ? [] : [columnOf(c, at, state, results)]));
  }

  /** `endMinute` is the first minute after the windows; all before it are closed. */
  atEnd(endMinute: number): void {
    this.#state.end = endMinute;
    this.#sums.advanceTo(endMinute);
    this.#state.calendar = this.#state.set.calendar(endMinute * MINUTE_MS);
    if (this.#state.hours && endMinute % HOUR_MINUTES === 0) this.#closeHour(this.#state.hours);
  }

  activityOf(slot: number): Activity {
    const minutes = this.#newestOf(slot);
    if (minutes < SILENT_AFTER_MINUTES) return "alive";
    return minutes < SILENT_AFTER_MINUTES + this.#state.set.hopMinutes ? "silent" : "absent";
  }

  /** Lowest and highest input offset of the newest minute with an event. */
  evidenceOf(slot: number): readonly [first: number, last: number] {
    if (this.#newestOf(slot) === this.#reach) return [-1, -1];
    const { slots } = this.#state;
    const chunk = this.#sums.chunk(Math.floor(slot / slots))!;
    return [chunk.firstOffset[slot & (slots - 1)]!, chunk.lastOffset[slot & (slots - 1)]!];
  }

  /** Writes the rows of the slots into `target`, one behind the other, and the quality of each, 0 to 1. */
  build(slots: ArrayLike<number>, target: Float32Array, quality: Float32Array): void {
    const state = this.#state;
    const columns = state.set.columns.length;
    for (const [chunk, rows] of this.#byChunk(slots)) {
      state.count = rows.length;
      for (let r = 0; r < rows.length; r++) {
        const row = rows[r]!;
        state.slotOf[r] = slots[row]! & (state.slots - 1);
        state.rowAt[r] = row * columns;
        state.newest[r] = this.#newestOf(slots[row]!);
      }
      this.#describe(chunk, state.set.windows.length);
      this.#lookBack(chunk);
      for (const check of this.#checks) check();
      this.#judge(chunk);
      this.#writeFigures(target);
      for (const write of this.#columns) write(target);
      for (let r = 0; r < rows.length; r++) quality[rows[r]!] = state.quality[r]!;
    }
  }

  /** Rows by the chunk of their slots. */
  #byChunk(slots: ArrayLike<number>): Map<number, number[]> {
    const byChunk = new Map<number, number[]>();
    for (let row = 0; row < slots.length; row++) {
      const chunk = Math.floor(slots[row]! / this.#state.slots);
      const rows = byChunk.get(chunk);
      if (rows) rows.push(row);
      else byChunk.set(chunk, [row]);
    }
    return byChunk;
  }

  /** The first `count` windows. */
  #describe(chunk: number, count: number): void {
    const { figures, own, end, slots } = this.#state;
    const sums = this.#sums.chunk(chunk)!;
    this.#state.chunk = chunk;
    this.#state.sums = sums;
    for (let w = 0; w < count; w++) {
      const [older, newer] = this.#sums.placesOf(w, end);
      figures.describe(w, sums, older, newer);
      const [a, b] = [sums.ownAt(older), sums.ownAt(newer)];
      for (let i = 0; i < 4 * slots; i++) own[w]![i] = sums.own[a + i]! + sums.own[b + i]!;
    }
  }

  #lookBack(chunk: number): void {
    const { hours, end, count, slotOf } = this.#state;
    this.#state.days = hours?.dayBefore(Math.floor(end / HOUR_MINUTES), chunk, slotOf.subarray(0, count));
  }

  #writeFigures(target: Float32Array): void {
    const { figures, count, slotOf, rowAt } = this.#state;
    const { values } = figures;
    for (let k = 0; k < this.#figureAt.length; k++) {
      const [from, factor, column] = [this.#figureAt[k]!, this.#factor[k]!, this.#figureColumn[k]!];
      for (let r = 0; r < count; r++) target[rowAt[r]! + column] = shown(values[from + slotOf[r]!]! * factor);
    }
  }

  /** Minutes back to the newest pane with an event; the reach if there is none. */
  #newestOf(slot: number): number {
    const { end, slots } = this.#state;
    const minute = this.#sums.chunk(Math.floor(slot / slots))?.newest[slot & (slots - 1)];
    if (minute === undefined || minute < this.#panes.sinceOf(slot)) return this.#reach;
    return Math.min(end - 1 - minute, this.#reach);
  }

  /**
   * Share of the minutes that have a good value, over the metrics that the entity sends; times the share of its events
   * that were accepted. A signal in which a fault is recognised has no good value.
   */
  #judge(chunk: number): void {
    const { figures, own, set, count, slotOf, slots, quality } = this.#state;
    const mine = own[this.#mainWindow]!;
    for (let r = 0; r < count; r++) {
      const slot = slotOf[r]!;
      let expected = 0;
      let good = 0;
      const sent = this.#panes.signalsOf(chunk * slots + slot);
      for (let i = 0; i < sent.length; i++) {
        const signal = sent[i]!;
        if (this.#isMetric[signal] === 0) continue;
        expected += set.windowMinutes;
        if (this.#checks.length > 0 && this.#failed[signal]!.some((failed) => failed[r] === 1)) continue;
        good += figures.values[figures.at(this.#mainWindow, signal, GOOD) + slot]!;
      }
      const events = mine[OWN_EVENTS * slots + slot]!;
      const refused = mine[OWN_REFUSED * slots + slot]!;
      quality[r] = (expected === 0 ? 1 : good / expected) * (refused === 0 ? 1 : events / (events + refused));
    }
  }

  /** Makes hourly panes of the hour that ends here, for all entities that spoke in it. */
  #closeHour(hours: HourStore): void {
    const window = this.#state.set.windows.indexOf(HOUR_MINUTES);
    const slots = this.#panes.entities().map(([, slot]) => slot);
    for (const [chunk, rows] of this.#byChunk(slots)) {
      if (!this.#sums.chunk(chunk)) continue;
      this.#describe(chunk, window + 1);
      closeHour(
        this.#state,
        hours,
        rows.map((row) => slots[row]!),
        {
          window,
          places: this.#sums.placesOf(window, this.#state.end),
          metricsOf: (slot) => this.#panes.signalsOf(slot).filter((signal) => this.#isMetric[signal] === 1),
        },
      );
    }
  }
}

/** Whether a column is a figure as it is. */
const isFigure = (column: CompiledColumn): boolean => column.kind === "statistic" && column.ofOne === undefined;

/** Minutes before a window end whose panes must be kept: for its row, and to see who has just fallen silent. */
export const reachMinutes = (set: FeatureSet): number =>
  Math.max(set.lookbackMinutes, SILENT_AFTER_MINUTES + set.hopMinutes);
