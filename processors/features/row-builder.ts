import type { CompiledColumn, FeatureSet, SignalDefinition } from "./feature-set.ts";
import {
  COUNT,
  EVENTS,
  FIRST,
  FIRST_OFFSET,
  FLAGGED,
  LAST,
  LAST_OFFSET,
  MAX,
  MIN,
  SQUARES,
  SQUARES_LOW,
  SUM,
  SUM_LOW,
  squaresAboutMean,
} from "./pane-layout.ts";
import type { MinutePanes, PaneStore } from "./pane-store.ts";
import { MINUTE_MS } from "./time.ts";

/** An entity without an event for so long stops emitting. */
export const SILENT_AFTER_MINUTES = 15;

/** Whether an entity has a row at a window end. `silent` is said once; `absent` is before its first event or long silent. */
export type Activity = "alive" | "silent" | "absent";

/** What a window has gathered of one signal, already rounded to float32 where a row shows it. */
interface SignalWindow {
  count: number;
  sum: number;
  mean: number;
  std: number;
  min: number;
  max: number;
  first: number;
  last: number;
}

/** Sums over the panes of a growing window, of one signal. */
interface Gathered {
  count: number;
  sum: number;
  sumLow: number;
  squares: number;
  squaresLow: number;
  min: number;
  max: number;
  first: number;
  last: number;
}

const nothing = (): Gathered => ({
  count: 0,
  sum: 0,
  sumLow: 0,
  squares: 0,
  squaresLow: 0,
  min: Number.NaN,
  max: Number.NaN,
  first: Number.NaN,
  last: Number.NaN,
});

function reset(g: Gathered): void {
  g.count = 0;
  g.sum = 0;
  g.sumLow = 0;
  g.squares = 0;
  g.squaresLow = 0;
  g.min = Number.NaN;
  g.max = Number.NaN;
  g.first = Number.NaN;
  g.last = Number.NaN;
}

/**
 * Turns an entity's panes into its row at one window end. One instance serves a partition: `atEnd` once for each window
 * end, then `activityOf` and `build` for each entity. Allocates nothing per row.
 */
export class RowBuilder {
  #set: FeatureSet;
  #panes: PaneStore;
  #centres: number[];
  #metricSignals: number[];
  #reach: number;
  #end = 0;
  /** Panes from the newest minute backwards. */
  #back: (MinutePanes | undefined)[] = [];
  #calendar: readonly number[] = [];
  #gathered: Gathered[];
  /** [window][signal] */
  #windows: SignalWindow[][];
  /** Events of the entity per window. */
  #events: number[];
  /** float32 means of the one-minute panes, [minutes back × signals + signal]; NaN where there is none. */
  #means: Float32Array;

  constructor(set: FeatureSet, panes: PaneStore) {
    this.#set = set;
    this.#panes = panes;
    this.#reach = reachMinutes(set);
    this.#centres = set.signals.map((s) => ("centre" in s ? s.centre : 0));
    this.#metricSignals = [...set.metricSignals.values()];
    this.#gathered = set.signals.map(nothing);
    this.#windows = set.windows.map(() =>
      set.signals.map(() => ({ count: 0, sum: 0, mean: 0, std: 0, min: 0, max: 0, first: 0, last: 0 })),
    );
    this.#events = set.windows.map(() => 0);
    this.#means = new Float32Array(set.lookbackMinutes * set.signals.length);
  }

  /** `endMinute` is the first minute after the windows. */
  atEnd(endMinute: number): void {
    this.#end = endMinute;
    for (let i = 0; i < this.#reach; i++) this.#back[i] = this.#panes.panesOf(endMinute - 1 - i);
    this.#calendar = this.#set.calendar(endMinute * MINUTE_MS);
  }

  activityOf(slot: number): Activity {
    const minutes = this.#newest(slot);
    if (minutes < SILENT_AFTER_MINUTES) return "alive";
    return minutes < SILENT_AFTER_MINUTES + this.#set.hopMinutes ? "silent" : "absent";
  }

  /** Lowest and highest input offset of the newest minute with an event. */
  evidenceOf(slot: number): readonly [first: number, last: number] {
    const minutes = this.#newest(slot);
    const values = this.#chunkValues(minutes, slot);
    if (!values) return [-1, -1];
    const at = this.#panes.baseOf(slot) + this.#panes.layout.slotFields;
    return [values[at + FIRST_OFFSET]!, values[at + LAST_OFFSET]!];
  }

  /** Writes the row into `target` from `at` on and returns its quality, 0 to 1. */
  build(slot: number, target: Float32Array, at: number): number {
    const quality = this.#gather(slot);
    const { plan } = this.#set;
    for (let c = 0; c < plan.length; c++) {
      const value = Math.fround(this.#column(plan[c]!, target, at));
      // A sum past float32 is as good as unknown.
      target[at + c] = value - value === 0 ? value : Number.NaN;
    }
    return quality;
  }

  /** Minutes back to the newest pane with an event; the reach if there is none. */
  #newest(slot: number): number {
    const at = this.#panes.baseOf(slot) + this.#panes.layout.slotFields + EVENTS;
    for (let i = 0; i < this.#reach; i++) {
      const values = this.#chunkValues(i, slot);
      if (values && values[at]! > 0) return i;
    }
    return this.#reach;
  }

  #chunkValues(minutesBack: number, slot: number): Float64Array | undefined {
    if (this.#end - 1 - minutesBack < this.#panes.sinceOf(slot)) return undefined;
    return this.#back[minutesBack]?.[Math.floor(slot / this.#panes.layout.slotsPerChunk)]?.values;
  }

  /** Fills windows and pane means, newest pane first; returns the share of good cells. */
  #gather(slot: number): number {
    const { windows, lookbackMinutes, windowMinutes } = this.#set;
    const signals = this.#set.signals.length;
    const { cell, ordered } = this.#panes.layout;
    const base = this.#panes.baseOf(slot);
    const eventsAt = base + this.#panes.layout.slotFields + EVENTS;
    const longest = windows.at(-1)!;
    const index = Math.floor(slot / this.#panes.layout.slotsPerChunk);
    const minutesOfSlot = this.#end - this.#panes.sinceOf(slot);
    const means = this.#means;
    const centres = this.#centres;
    const gathered = this.#gathered;
    for (const g of gathered) reset(g);
    let events = 0;
    let good = 0;
    let window = 0;
    for (let i = 0; i < lookbackMinutes; i++) {
      const values = i < minutesOfSlot ? this.#back[i]?.[index]?.values : undefined;
      if (!values) means.fill(Number.NaN, i * signals, (i + 1) * signals);
      else {
        events += values[eventsAt]!;
        for (let s = 0; s < signals; s++) {
          const c = base + s * cell;
          const count = values[c + COUNT]!;
          if (count === 0) {
            means[i * signals + s] = Number.NaN;
            continue;
          }
          means[i * signals + s] = centres[s]! + (values[c + SUM]! + values[c + SUM_LOW]!) / count;
          if (i < longest) addPane(gathered[s]!, values, c, ordered);
        }
        if (i < windowMinutes) {
          for (const s of this.#metricSignals) {
            const c = base + s * cell;
            if (values[c + COUNT]! > 0 && values[c + FLAGGED] === 0) good++;
          }
        }
      }
      if (i + 1 === windows[window]) {
        this.#events[window] = events;
        for (let s = 0; s < signals; s++) describe(gathered[s]!, this.#centres[s]!, this.#windows[window]![s]!);
        window++;
      }
    }
    const expected = this.#metricSignals.length * windowMinutes;
    return expected === 0 ? 1 : good / expected;
  }

  #column(column: CompiledColumn, row: Float32Array, at: number): number {
    switch (column.kind) {
      case "calendar":
        return this.#calendar[column.field]!;
      case "lag":
        return this.#means[column.minutes * this.#set.signals.length + column.signal]!;
      case "changeRate": {
        let now = 0;
        let before = 0;
        for (const s of column.signals) {
          now += this.#means[s]!;
          before += this.#means[this.#set.signals.length + s]!;
        }
        return (now - before) / Math.max(Math.abs(before), column.smallestUnit);
      }
      case "ratio":
        return row[at + column.numerator]! / Math.max(row[at + column.denominator]!, 1);
      case "statistic":
        return this.#statistic(column);
    }
  }

  #statistic(column: CompiledColumn & { kind: "statistic" }): number {
    const w = this.#windows[column.window]![column.signal]!;
    const lines = isCounted(this.#set.signals[column.signal]!);
    switch (column.statistic) {
      case "slope":
        return this.#slope(column.signal, this.#set.windows[column.window]!);
      case "count":
      case "sum":
        // No such line is a zero where the entity spoke at all; no sample of a metric is a gap.
        if (lines) return this.#events[column.window]! > 0 ? w.count : Number.NaN;
        return w.count === 0 ? Number.NaN : column.statistic === "sum" ? w.sum : w.count;
      default:
        return w[column.statistic];
    }
  }

  /** Least squares through the float32 pane means, per minute; NaN below two panes. */
  #slope(signal: number, minutes: number): number {
    const signals = this.#set.signals.length;
    let n = 0;
    let sumX = 0;
    let sumY = 0;
    for (let i = 0; i < minutes; i++) {
      const y = this.#means[i * signals + signal]!;
      if (Number.isNaN(y)) continue;
      n++;
      sumX -= i;
      sumY += y;
    }
    if (n < 2) return Number.NaN;
    const meanX = sumX / n;
    const meanY = sumY / n;
    let xy = 0;
    let xx = 0;
    for (let i = 0; i < minutes; i++) {
      const y = this.#means[i * signals + signal]!;
      if (Number.isNaN(y)) continue;
      const x = -i - meanX;
      xy += x * (y - meanY);
      xx += x * x;
    }
    return xy / xx;
  }
}

/** Minutes before a window end whose panes must be kept: for its row, and to see who has just fallen silent. */
export const reachMinutes = (set: FeatureSet): number =>
  Math.max(set.lookbackMinutes, SILENT_AFTER_MINUTES + set.hopMinutes);

const isCounted = (signal: SignalDefinition): boolean => "levels" in signal;

/** Panes come newest first, so the first pane met holds the last value. */
function addPane(g: Gathered, v: Float64Array, c: number, ordered: boolean): void {
  const sum = v[c + SUM]!;
  const newSum = g.sum + sum;
  const sumPart = newSum - g.sum;
  g.sumLow += g.sum - (newSum - sumPart) + (sum - sumPart) + v[c + SUM_LOW]!;
  g.sum = newSum;
  const squares = v[c + SQUARES]!;
  const newSquares = g.squares + squares;
  const squaresPart = newSquares - g.squares;
  g.squaresLow += g.squares - (newSquares - squaresPart) + (squares - squaresPart) + v[c + SQUARES_LOW]!;
  g.squares = newSquares;
  const min = v[c + MIN]!;
  const max = v[c + MAX]!;
  if (!(g.min <= min)) g.min = min;
  if (!(g.max >= max)) g.max = max;
  if (ordered) {
    if (g.count === 0) g.last = v[c + LAST]!;
    g.first = v[c + FIRST]!;
  }
  g.count += v[c + COUNT]!;
}

function describe(g: Gathered, centre: number, into: SignalWindow): void {
  const n = g.count;
  const sum = g.sum + g.sumLow;
  into.count = n;
  into.sum = sum + centre * n;
  into.mean = centre + sum / n;
  into.std = n < 2 ? Number.NaN : Math.sqrt(squaresAboutMean(n, g.sum, g.sumLow, g.squares, g.squaresLow) / (n - 1));
  into.min = g.min;
  into.max = g.max;
  into.first = g.first;
  into.last = g.last;
}
