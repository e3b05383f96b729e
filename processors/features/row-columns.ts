import type { ChunkSums } from "./chunk-sums.ts";
import { type CompiledColumn, HOUR_MINUTES } from "./compile-columns.ts";
import { type FeatureSet, hasValues } from "./feature-set.ts";
import { DAY_HOURS, type Days, HOUR_COUNT, HOUR_MEAN, HOUR_SIGNAL, type HourStore } from "./hour-store.ts";
import type { SignalFields } from "./signal-sums.ts";
import { MINUTE_MS } from "./time.ts";
import { figureOf, type WindowFigures } from "./window-figures.ts";

/** What the columns of some rows are computed from: entities of one chunk at one window end. */
export interface RowState {
  readonly set: FeatureSet;
  readonly figures: WindowFigures;
  readonly fields: readonly SignalFields[];
  readonly hours: HourStore | null;
  /** Slots of a chunk, and with them the distance between two fields. */
  readonly slots: number;
  /** The entities' own figures in each window. */
  readonly own: readonly Float64Array[];
  end: number;
  /** Of the window's end. */
  calendar: readonly number[];
  chunk: number;
  sums: ChunkSums | undefined;
  /** So many rows; for each its slot in the chunk, and where it begins in the target. */
  count: number;
  readonly slotOf: Int32Array;
  readonly rowAt: Int32Array;
  /** For each row minutes back to the newest pane with an event, and the row's quality. */
  readonly newest: Float64Array;
  readonly quality: Float64Array;
  /** The trailing day; undefined where no column looks at it. */
  days: Days | undefined;
}

/**
 * Writes one column of all rows, given those before it. Derived ones are taken from float32-rounded figures. A value past
 * float32 is as good as unknown: the row builder makes it missing when all columns are written.
 */
export type Column = (target: Float32Array) => void;

const COUNT = figureOf("count");
const MEAN = figureOf("mean");
const MIN = figureOf("min");
const MAX = figureOf("max");
const GOOD = figureOf("good");

/** `fails`: of each check, by its column, whether it fails in each row. */
export function columnOf(column: CompiledColumn, at: number, state: RowState, fails: CheckResults): Column {
  const put = (target: Float32Array, of: (row: number) => number) => {
    for (let r = 0; r < state.count; r++) target[state.rowAt[r]! + at] = shown(of(r));
  };
  switch (column.kind) {
    case "calendar":
      return calendarColumn(column, at, state);
    case "statistic":
      return ofOneColumn(column, at, state);
    case "lag":
      return lagColumn(column, at, state);
    case "changeRate":
      return changeRateColumn(column, at, state);
    case "ratio":
    case "difference":
      return pairColumn(column, at, state);
    case "day":
      return dayColumn(column, at, state);
    case "sameHour":
      return sameHourColumn(column, at, state);
    case "entity":
      return entityColumn(column, at, state);
    case "check": {
      const mean = state.figures.at(column.window, column.signal, MEAN);
      const { values } = state.figures;
      const failed = fails.get(at)!;
      return (target) => put(target, (r) => (Number.isNaN(values[mean + state.slotOf[r]!]!) ? Number.NaN : failed[r]!));
    }
    case "quality":
      return column.of === "row"
        ? (target) => put(target, (r) => state.quality[r]!)
        : (target) => put(target, (r) => state.days!.quality[state.slotOf[r]!]!);
  }
}

/** As a row shows it. */
export function shown(value: number): number {
  const rounded = Math.fround(value);
  return rounded - rounded === 0 ? rounded : Number.NaN;
}

/** The minute's means of a signal begin at the second; undefined: no slot of the chunk has any. */
function meansOf(state: RowState, signal: number, back: number): readonly [Float32Array | undefined, number] {
  const ring = state.sums?.means[signal];
  return [ring, ((state.end - 1 - back) % state.fields[signal]!.meanMinutes) * state.slots];
}

function calendarColumn({ field, before }: CompiledColumn & { kind: "calendar" }, at: number, state: RowState): Column {
  return (target) => {
    const of = before === 0 ? state.calendar : state.set.calendar((state.end - before) * MINUTE_MS);
    for (let r = 0; r < state.count; r++) target[state.rowAt[r]! + at] = of[field]!;
  };
}

/** Behind the figures, which stand there already: what a spread is where there is one value only. */
function ofOneColumn(column: CompiledColumn & { kind: "statistic" }, at: number, state: RowState): Column {
  const { values } = state.figures;
  const count = state.figures.at(column.window, column.signal, COUNT);
  return (target) => {
    for (let r = 0; r < state.count; r++)
      if (values[count + state.slotOf[r]!] === 1) target[state.rowAt[r]! + at] = column.ofOne!;
  };
}

function lagColumn({ signal, minutes }: CompiledColumn & { kind: "lag" }, at: number, state: RowState): Column {
  return (target) => {
    const [means, from] = meansOf(state, signal, minutes);
    const { count, rowAt, slotOf } = state;
    if (!means) for (let r = 0; r < count; r++) target[rowAt[r]! + at] = Number.NaN;
    else for (let r = 0; r < count; r++) target[rowAt[r]! + at] = shown(means[from + slotOf[r]!]!);
  };
}

function changeRateColumn(
  { signals, minutes, smallestUnit }: CompiledColumn & { kind: "changeRate" },
  at: number,
  state: RowState,
): Column {
  const now = new Float64Array(state.slots);
  const before = new Float64Array(state.slots);
  return (target) => {
    const { count, rowAt, slotOf } = state;
    now.fill(0);
    before.fill(0);
    for (const signal of signals) {
      const [means, from] = meansOf(state, signal, 0);
      const [, then] = meansOf(state, signal, minutes);
      for (let r = 0; r < count; r++) {
        now[r]! += means ? means[from + slotOf[r]!]! : Number.NaN;
        before[r]! += means ? means[then + slotOf[r]!]! : Number.NaN;
      }
    }
    for (let r = 0; r < count; r++) {
      const then = before[r]!;
      target[rowAt[r]! + at] = shown((now[r]! - then) / Math.max(Math.abs(then), smallestUnit));
    }
  };
}

function pairColumn(
  { kind, first, second }: CompiledColumn & { kind: "ratio" | "difference" },
  at: number,
  state: RowState,
): Column {
  return (target) => {
    const { count, rowAt } = state;
    for (let r = 0; r < count; r++) {
      const row = rowAt[r]!;
      const [a, b] = [target[row + first]!, target[row + second]!];
      target[row + at] = shown(kind === "ratio" ? a / Math.max(b, 1) : a - b);
    }
  };
}

function smallestUnitOf(set: FeatureSet, index: number): number {
  const signal = set.signals[index]!;
  return hasValues(signal) ? signal.smallestUnit : 1;
}

function dayColumn(column: CompiledColumn & { kind: "day" }, at: number, state: RowState): Column {
  const { figure, signal, window } = column;
  const { figures, rowAt, slotOf } = state;
  const mean = figures.at(window, signal, MEAN);
  const place = state.set.daySignals.indexOf(signal) * state.slots;
  const floor = smallestUnitOf(state.set, signal);
  if (figure !== "deviation")
    return (target) => {
      const of = state.days![figure];
      for (let r = 0; r < state.count; r++) target[rowAt[r]! + at] = shown(of[place + slotOf[r]!]!);
    };
  return (target) => {
    const { mean: usualMean, std } = state.days!;
    for (let r = 0; r < state.count; r++) {
      const slot = slotOf[r]!;
      const now = Math.fround(figures.values[mean + slot]!);
      const usual = Math.fround(usualMean[place + slot]!);
      target[rowAt[r]! + at] = shown((now - usual) / Math.max(Math.fround(std[place + slot]!), floor));
    }
  };
}

function sameHourColumn(column: CompiledColumn & { kind: "sameHour" }, at: number, state: RowState): Column {
  const { figure, signal, window } = column;
  const mean = state.figures.at(window, signal, MEAN);
  const place = state.set.daySignals.indexOf(signal) * HOUR_SIGNAL;
  const floor = smallestUnitOf(state.set, signal);
  return (target) => {
    const hour = state.hours?.chunkAt(Math.floor((state.end - 1) / HOUR_MINUTES) - DAY_HOURS, state.chunk);
    for (let r = 0; r < state.count; r++) {
      const slot = state.slotOf[r]!;
      const held = hour?.placeOf(slot) ?? -1;
      let then = Number.NaN;
      if (hour && held >= 0 && hour.values[held + place + HOUR_COUNT] !== 0)
        then = Math.fround(hour.values[held + place + HOUR_MEAN]!);
      const now = Math.fround(state.figures.values[mean + slot]!);
      target[state.rowAt[r]! + at] = shown(figure === "mean" ? then : (now - then) / Math.max(Math.abs(then), floor));
    }
  };
}

function entityColumn({ figure, window }: CompiledColumn & { kind: "entity" }, at: number, state: RowState): Column {
  const { rowAt, slotOf, newest } = state;
  if (figure === "silent_minutes") {
    return (target) => {
      for (let r = 0; r < state.count; r++) target[rowAt[r]! + at] = newest[r]!;
    };
  }
  const own = state.own[window]!;
  const field = { events: 0, refused: 1, imputed: 2, active_minutes: 3 }[figure] * state.slots;
  return (target) => {
    for (let r = 0; r < state.count; r++) target[rowAt[r]! + at] = own[field + slotOf[r]!]!;
  };
}

/** By the check's column: 1 for each row in which the fault is recognised, 0 where it cannot be told. */
export type CheckResults = ReadonlyMap<number, Uint8Array>;

/** Looks for a fault in the signal's window, in all rows. */
export function checkOf(column: CompiledColumn & { kind: "check" }, failed: Uint8Array, state: RowState): () => void {
  const { check, signal, window } = column;
  const { values } = state.figures;
  const [mean, min, max, good] = [MEAN, MIN, MAX, GOOD].map((f) => state.figures.at(window, signal, f)) as [
    number,
    number,
    number,
    number,
  ];
  const minutes = state.set.windows[window]!;
  const place = state.set.daySignals.indexOf(signal) * state.slots;
  const fails: Readonly<Record<typeof check, (slot: number) => boolean>> = {
    frozen: (slot) => values[good + slot]! >= minutes / 2 && values[min + slot] === values[max + slot],
    unit_slip: (slot) => {
      const usual = state.days!.mean[place + slot]!;
      const spread = Math.max(state.days!.std[place + slot]!, 1);
      return usual >= 2 && values[max + slot]! <= 1 && Math.abs(100 * values[mean + slot]! - usual) <= 3 * spread;
    },
    counter_reset: (slot) => {
      let later = Number.POSITIVE_INFINITY;
      for (let back = 0; back < minutes; back++) {
        const [means, from] = meansOf(state, signal, back);
        const now = means ? means[from + slot]! : Number.NaN;
        if (now > later) return true;
        if (!Number.isNaN(now)) later = now;
      }
      return false;
    },
  };
  const one = fails[check];
  return () => {
    for (let r = 0; r < state.count; r++) failed[r] = one(state.slotOf[r]!) ? 1 : 0;
  };
}
