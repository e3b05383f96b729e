import { type CompiledColumn, HOUR_MINUTES } from "./compile-columns.ts";
import type { FeatureSet } from "./feature-set.ts";
import {
  HOUR_COUNT,
  HOUR_EVENTS,
  HOUR_EXPECTED,
  HOUR_GOOD,
  HOUR_MEAN,
  HOUR_REFUSED,
  HOUR_SIGNAL,
  HOUR_SQUARES,
  type HourStore,
} from "./hour-store.ts";
import { placeOf } from "./pane-chunk.ts";
import { COUNT, EVENTS, FIRST_OFFSET, LAST_OFFSET, REFUSED, SUM, SUM_LOW } from "./pane-layout.ts";
import type { PaneStore } from "./pane-store.ts";
import { PaneSums } from "./pane-sums.ts";
import { type Column, checkOf, columnOf, type RowState } from "./row-columns.ts";
import { MINUTE_MS } from "./time.ts";
import { figureOf, type Slopes, squaresIn, WindowFigures, writeSlopes } from "./window-figures.ts";

/** An entity without an event for so long stops emitting. */
export const SILENT_AFTER_MINUTES = 15;

/** Whether an entity has a row at a window end. `silent` is said once; `absent` is before its first event or long silent. */
export type Activity = "alive" | "silent" | "absent";

const GOOD = figureOf("good");
const NO_DAY = { mean: new Float64Array(0), std: new Float64Array(0), quality: Number.NaN };

/**
 * Turns an entity's panes into its row at one window end. One instance serves a partition: `atEnd` once for each window
 * end, then `activityOf` and `build` for each entity.
 */
export class RowBuilder {
  readonly #state: RowState;
  readonly #panes: PaneStore;
  /** Columns that are a figure times a factor: where it stands, and where it goes. */
  readonly #figureAt: Int32Array;
  readonly #factor: Float64Array;
  readonly #figureColumn: Int32Array;
  readonly #slopes: readonly Slopes[];
  /** All others, in their order. */
  readonly #columns: readonly { readonly column: number; readonly compute: Column }[];
  readonly #checks: readonly { readonly signal: number; readonly fails: () => boolean }[];
  readonly #metricSignals: ReadonlySet<number>;
  readonly #reach: number;
  readonly #mainWindow: number;
  /** What the windows have gathered so far. */
  readonly #gathered: Float64Array;

  constructor(set: FeatureSet, panes: PaneStore, hours: HourStore | null) {
    const { layout } = panes;
    this.#panes = panes;
    this.#reach = reachMinutes(set);
    this.#metricSignals = new Set(set.metricSignals.values());
    this.#mainWindow = set.windows.indexOf(set.windowMinutes);
    this.#gathered = new Float64Array(layout.slot);
    const state: RowState = {
      set,
      figures: new WindowFigures(set, layout),
      sums: new PaneSums(panes, set.windows.at(-1)!, set.lookbackMinutes),
      hours,
      own: set.windows.map(() => new Float64Array(layout.slot - layout.slotFields)),
      end: 0,
      slot: 0,
      calendar: [],
      newest: 0,
      means: new Float32Array(0),
      day: NO_DAY,
      quality: 1,
    };
    this.#state = state;
    const read = set.plan.flatMap((column, c) => {
      const place = isFigure(column) ? state.figures.placeOf(column, set.windows[column.window]!) : null;
      return place ? [{ ...place, c }] : [];
    });
    this.#figureAt = Int32Array.from(read, ({ at }) => at);
    this.#factor = Float64Array.from(read, ({ factor }) => factor);
    this.#figureColumn = Int32Array.from(read, ({ c }) => c);
    this.#slopes = slopesOf(set);
    this.#columns = set.plan.flatMap((column, c) =>
      column.kind === "statistic" && (isFigure(column) || column.statistic === "slope")
        ? []
        : [{ column: c, compute: columnOf(column, state) }],
    );
    this.#checks = set.plan.flatMap((c) =>
      c.kind === "check" ? [{ signal: c.signal, fails: checkOf(c, state) }] : [],
    );
  }

  /** `endMinute` is the first minute after the windows; all before it are closed. */
  atEnd(endMinute: number): void {
    this.#state.end = endMinute;
    this.#state.sums.advanceTo(endMinute);
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
    const place = this.#closedAt(this.#newestOf(slot), slot);
    return place ? [place.f[place.own + FIRST_OFFSET]!, place.f[place.own + LAST_OFFSET]!] : [-1, -1];
  }

  /** Writes the row into `target` from `at` on and returns its quality, 0 to 1. */
  build(slot: number, target: Float32Array, at: number): number {
    const state = this.#state;
    this.#gather(slot, state.set.windows.length);
    state.newest = this.#newestOf(slot);
    if (state.hours) state.day = state.hours.dayBefore(Math.floor(state.end / HOUR_MINUTES), slot);
    state.quality = this.#qualityOf(slot);
    const { values } = state.figures;
    for (let k = 0; k < this.#figureAt.length; k++) {
      target[at + this.#figureColumn[k]!] = shown(values[this.#figureAt[k]!]! * this.#factor[k]!);
    }
    this.#buildSlopes(target, at);
    for (const { column, compute } of this.#columns) target[at + column] = shown(compute(target, at));
    return state.quality;
  }

  #buildSlopes(target: Float32Array, at: number): void {
    if (this.#slopes.length === 0) return;
    const { sums, slot, end, means } = this.#state;
    const { signals } = this.#panes.layout;
    const [newest, ring, length] = [sums.meansAt(slot, end - 1), sums.ringAt(slot), sums.ringLength];
    const write = (column: number, value: number) => {
      target[at + column] = shown(value);
    };
    for (const slopes of this.#slopes) {
      writeSlopes(slopes, means, newest + slopes.signal, signals, ring, length, write);
    }
  }

  /** Minutes back to the newest pane with an event; the reach if there is none. */
  #newestOf(slot: number): number {
    for (let i = 0; i < this.#reach; i++) {
      const place = this.#closedAt(i, slot);
      if (place && place.f[place.own + EVENTS]! > 0) return i;
    }
    return this.#reach;
  }

  /** The entity's own fields in a minute. */
  #closedAt(minutesBack: number, slot: number): { readonly f: Float64Array; readonly own: number } | undefined {
    const { slotsPerChunk, headerWords } = this.#panes.layout;
    const minute = this.#state.end - 1 - minutesBack;
    if (minute < this.#panes.sinceOf(slot)) return undefined;
    const closed = this.#panes.chunksOf(minute)?.[Math.floor(slot / slotsPerChunk)]?.closed;
    const at = closed ? placeOf(closed, slot & (slotsPerChunk - 1)) : 0;
    return at > 0 ? { f: closed!.f, own: at + headerWords } : undefined;
  }

  /** The first `count` windows; each goes on from where the shorter one ended. */
  #gather(slot: number, count: number): void {
    const { set, sums, end, figures, own } = this.#state;
    const g = this.#gathered.fill(0);
    let to = end;
    for (let w = 0; w < count; w++) {
      const from = end - set.windows[w]!;
      sums.gather(slot, from, to, end, w, g);
      figures.describe(w, g);
      own[w]!.set(g.subarray(this.#panes.layout.slotFields));
      to = from;
    }
    this.#state.slot = slot;
    this.#state.means = sums.meansOf(slot) ?? this.#state.means;
  }

  /**
   * Share of the minutes that have a good value, over the metrics that the entity sends; times the share of its events
   * that were accepted. A signal in which a fault is recognised has no good value.
   */
  #qualityOf(slot: number): number {
    const { figures, own, set } = this.#state;
    let expected = 0;
    let good = 0;
    for (const signal of this.#panes.signalsOf(slot)) {
      if (!this.#metricSignals.has(signal)) continue;
      expected += set.windowMinutes;
      if (this.#checks.some((check) => check.signal === signal && check.fails())) continue;
      good += figures.values[figures.at(this.#mainWindow, signal, GOOD)]!;
    }
    const events = own[this.#mainWindow]![EVENTS]!;
    const refused = own[this.#mainWindow]![REFUSED]!;
    return (expected === 0 ? 1 : good / expected) * (refused === 0 ? 1 : events / (events + refused));
  }

  /** Makes hourly panes of the hour that ends here, for all entities that spoke in it. */
  #closeHour(hours: HourStore): void {
    const { set, figures, own, end } = this.#state;
    const { cellAt, counted, centres } = this.#panes.layout;
    const g = this.#gathered;
    const window = set.windows.indexOf(HOUR_MINUTES);
    for (const [, slot] of this.#panes.entities()) {
      this.#gather(slot, window + 1);
      if (own[window]![EVENTS] === 0) continue;
      const [values, at] = hours.open(end / HOUR_MINUTES - 1, slot);
      for (const [place, signal] of set.daySignals.entries()) {
        const c = cellAt[signal]!;
        const into = at + place * HOUR_SIGNAL;
        if (counted[signal]) this.#closeCounts(signal, values, into);
        else if (g[c + COUNT]! > 0) {
          values[into + HOUR_COUNT] = g[c + COUNT]!;
          values[into + HOUR_MEAN] = centres[signal]! + (g[c + SUM]! + g[c + SUM_LOW]!) / g[c + COUNT]!;
          values[into + HOUR_SQUARES] = squaresIn(g, c);
        }
      }
      values[at + hours.figures + HOUR_EVENTS] = own[window]![EVENTS]!;
      values[at + hours.figures + HOUR_REFUSED] = own[window]![REFUSED]!;
      for (const signal of this.#panes.signalsOf(slot)) {
        if (!this.#metricSignals.has(signal)) continue;
        values[at + hours.figures + HOUR_EXPECTED]! += HOUR_MINUTES;
        values[at + hours.figures + HOUR_GOOD]! += figures.values[figures.at(window, signal, GOOD)]!;
      }
    }
  }

  /** Of lines, each minute in which the entity spoke is one value: how many there were. */
  #closeCounts(signal: number, values: Float64Array, into: number): void {
    const { sums, slot, end, means } = this.#state;
    for (let back = HOUR_MINUTES - 1; back >= 0; back--) {
      const count = means[sums.meansAt(slot, end - 1 - back) + signal]!;
      if (Number.isNaN(count)) continue;
      // Welford: mean and squares about it, value by value.
      const n = ++values[into + HOUR_COUNT]!;
      const delta = count - values[into + HOUR_MEAN]!;
      values[into + HOUR_MEAN]! += delta / n;
      values[into + HOUR_SQUARES]! += delta * (count - values[into + HOUR_MEAN]!);
    }
  }
}

/** As a row shows it. A sum past float32 is as good as unknown. */
function shown(value: number): number {
  const rounded = Math.fround(value);
  return rounded - rounded === 0 ? rounded : Number.NaN;
}

/** Whether a column is read from the figures as it is. */
const isFigure = (column: CompiledColumn): column is CompiledColumn & { kind: "statistic" } =>
  column.kind === "statistic" && column.ofOne === undefined;

function slopesOf(set: FeatureSet): Slopes[] {
  const slopes = set.plan.flatMap((c, column) =>
    c.kind === "statistic" && c.statistic === "slope"
      ? [{ signal: c.signal, minutes: set.windows[c.window]!, column }]
      : [],
  );
  return [...Map.groupBy(slopes, (s) => s.signal)].map(([signal, mine]) => ({
    signal,
    windows: mine.sort((a, b) => a.minutes - b.minutes),
  }));
}

/** Minutes before a window end whose panes must be kept: for its row, and to see who has just fallen silent. */
export const reachMinutes = (set: FeatureSet): number =>
  Math.max(set.lookbackMinutes, SILENT_AFTER_MINUTES + set.hopMinutes);
