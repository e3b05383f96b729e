import type { LogLine, MetricSamples, ParsedEvent } from "../parse/index.ts";
import { maskedText } from "../templates/index.ts";
import { countsLine, type FeatureSet, hasValues, type Rule } from "./feature-set.ts";
import { addOrdered, addValue } from "./pane-cells.ts";
import { COUNT, EVENTS, FIRST_OFFSET, FLAGGED, IMPUTED, LAST_OFFSET, type PaneLayout, REFUSED } from "./pane-layout.ts";
import type { PaneStore } from "./pane-store.ts";
import type { TemplateStore } from "./template-store.ts";

/** Beyond float32, which rows are made of, a value is no number. */
const MAX_MAGNITUDE = 3.4028234663852886e38;

/** Of one event's. */
const MAX_REMEMBERED_NAMES = 64;

type Verdict = "ok" | Rule["outcome"];

/** Where an event stands: its entity's slot, its minute, its record, and a number that orders events of equal time. */
export interface EventPlace {
  readonly slot: number;
  readonly minute: number;
  readonly offset: number;
  readonly tie: number;
}

/** Counts parsed events into the panes of their minute, by the signals of a feature set and their rules. */
export class Intake {
  readonly #set: FeatureSet;
  readonly #panes: PaneStore;
  readonly #templates: TemplateStore | null;
  readonly #layout: PaneLayout;
  /** For each signal the bounds of its rules, by outcome. */
  readonly #bounds: readonly Readonly<Record<Rule["outcome"], readonly [low: number, high: number]>>[];
  readonly #mayRefuse: boolean;
  /** For each signal what no rule speaks of. */
  readonly #lowest: Float64Array;
  readonly #highest: Float64Array;
  readonly #lastNames: string[] = [];
  readonly #lastSignals: (number | undefined)[] = [];

  constructor(set: FeatureSet, panes: PaneStore, templates: TemplateStore | null) {
    this.#set = set;
    this.#panes = panes;
    this.#templates = templates;
    this.#layout = panes.layout;
    this.#bounds = set.signals.map((signal) => {
      const rules: Rule[] = hasValues(signal) ? [...(signal.rules ?? [])] : [];
      if (hasValues(signal) && signal.range) rules.push({ outside: signal.range, outcome: "flagged" });
      const of = (outcome: Rule["outcome"]) => {
        const mine = rules.filter((rule) => rule.outcome === outcome).map((rule) => rule.outside);
        return [Math.max(...mine.map(([low]) => low)), Math.min(...mine.map(([, high]) => high))] as const;
      };
      return { flagged: of("flagged"), missing: of("missing"), refused: of("refused") };
    });
    const bounds = this.#bounds.map((of) => Object.values(of));
    this.#lowest = Float64Array.from(bounds, (of) => Math.max(-MAX_MAGNITUDE, ...of.map(([low]) => low)));
    this.#highest = Float64Array.from(bounds, (of) => Math.min(MAX_MAGNITUDE, ...of.map(([, high]) => high)));
    this.#mayRefuse = this.#bounds.some(({ refused }) => refused[1] !== Number.POSITIVE_INFINITY);
  }

  /** Why the event must not count, by a rule of one of its signals; undefined if it may. */
  refusal(parsed: ParsedEvent): string | undefined {
    if (!this.#mayRefuse) return undefined;
    let why: string | undefined;
    this.#forEachValue(parsed, (signal, value) => {
      if (this.#judge(signal, value) !== "refused") return;
      why ??= this.#refusedText(signal, value);
    });
    return why;
  }

  /** `continues`: the line goes on with the one before it, which was counted already. */
  add(place: EventPlace, parsed: ParsedEvent, continues: boolean): void {
    const values = this.#begin(place.slot, place.minute, place.offset);
    const base = this.#panes.baseOf(place.slot);
    if (parsed.kind === "metrics") {
      for (let i = 0; i < parsed.samples.length; i++) this.#addSample(values, base, place, parsed, i);
    } else if (!continues) this.#addLine(values, base, place, parsed);
  }

  /** An event whose values lie in columns: the first `count` of them, each of the signal beside it. */
  addValues(
    place: EventPlace,
    timestampMs: number,
    signals: ArrayLike<number>,
    of: ArrayLike<number>,
    count: number,
  ): void {
    const values = this.#begin(place.slot, place.minute, place.offset);
    const base = this.#panes.baseOf(place.slot);
    for (let i = 0; i < count; i++) this.#addValue(values, base, place.tie, timestampMs, signals[i]!, of[i]!);
  }

  /** Counts the event itself. */
  #begin(slot: number, minute: number, offset: number): Float64Array {
    const values = this.#panes.openToWrite(minute, slot);
    const own = this.#panes.baseOf(slot) + this.#layout.slotFields;
    const first = values[own + EVENTS]! === 0;
    if (first || offset < values[own + FIRST_OFFSET]!) values[own + FIRST_OFFSET] = offset;
    if (first || offset > values[own + LAST_OFFSET]!) values[own + LAST_OFFSET] = offset;
    values[own + EVENTS]! += 1;
    return values;
  }

  /** Why the sample must not count; the same rule. `values`: by signal, NaN where it has none. */
  refusalOf(values: Float64Array): string | undefined {
    if (!this.#mayRefuse) return undefined;
    for (let signal = 0; signal < values.length; signal++) {
      if (this.#judge(signal, values[signal]!) === "refused") return this.#refusedText(signal, values[signal]!);
    }
    return undefined;
  }

  /** Counts a sample: of a signal with values its value, of one that counts lines how many there were. */
  addSample(slot: number, minute: number, offset: number, timestampMs: number, sample: Float64Array): void {
    const values = this.#begin(slot, minute, offset);
    const base = this.#panes.baseOf(slot);
    const { counted, cellAt } = this.#layout;
    for (let signal = 0; signal < sample.length; signal++) {
      const value = sample[signal]!;
      if (Number.isNaN(value)) continue;
      if (counted[signal]) values[base + cellAt[signal]! + COUNT]! += value;
      // Values of one entity and time are told apart by themselves: nothing else of them is independent of their order.
      else this.#addValue(values, base, value, timestampMs, signal, value);
    }
  }

  /** An event that was refused, in the minute of its source's clock. */
  countRefused(slot: number, minute: number): void {
    this.#panes.openToWrite(minute, slot)[this.#panes.baseOf(slot) + this.#layout.slotFields + REFUSED]! += 1;
  }

  #addSample(values: Float64Array, base: number, place: EventPlace, parsed: MetricSamples, index: number): void {
    const sample = parsed.samples[index]!;
    const signal = this.#signalOf(sample.name, index);
    if (signal === undefined) return;
    const of = sample.values;
    for (let i = 0; i < of.length; i++) this.#addValue(values, base, place.tie, parsed.timestampMs, signal, of[i]!);
  }

  /** Most events name the same metrics in the same order: a name is looked for where it stood in the last one. */
  #signalOf(name: string, index: number): number | undefined {
    if (this.#lastNames[index] === name) return this.#lastSignals[index];
    const signal = this.#set.metricSignals.get(name);
    if (index < MAX_REMEMBERED_NAMES) {
      this.#lastNames[index] = name;
      this.#lastSignals[index] = signal;
    }
    return signal;
  }

  #addLine(values: Float64Array, base: number, place: EventPlace, line: LogLine): void {
    for (const index of this.#set.lineSignals[line.level]) {
      const signal = this.#set.signals[index]!;
      if (hasValues(signal)) {
        const value = valueIn(line, signal);
        if (value !== undefined) this.#addValue(values, base, place.tie, line.timestampMs, index, value);
      } else if (countsLine(signal, line.source, signal.field && line.metadata?.[signal.field])) {
        values[base + this.#layout.cellAt[index]! + COUNT]! += 1;
      }
    }
    this.#templates?.add(place.minute, place.slot, maskedText(line.message));
  }

  #addValue(values: Float64Array, base: number, tie: number, timestampMs: number, signal: number, value: number): void {
    const good = value >= this.#lowest[signal]! && value <= this.#highest[signal]!;
    if (!good && (this.#judge(signal, value) === "missing" || !(Math.abs(value) <= MAX_MAGNITUDE))) {
      values[base + this.#layout.slotFields + IMPUTED]! += 1;
      return;
    }
    const cell = base + this.#layout.cellAt[signal]!;
    addValue(values, cell, value, this.#layout.centres[signal]!);
    if (this.#layout.ordered) addOrdered(values, cell, value, timestampMs, tie);
    if (!good) values[cell + FLAGGED]! += 1;
  }

  #refusedText(signal: number, value: number): string {
    const [low, high] = this.#bounds[signal]!.refused;
    return `${this.#set.signals[signal]!.name} is ${value}: outside of ${low} to ${high} it cannot be true.`;
  }

  #judge(signal: number, value: number): Verdict {
    const { flagged, missing, refused } = this.#bounds[signal]!;
    if (value < refused[0] || value > refused[1]) return "refused";
    if (value < missing[0] || value > missing[1]) return "missing";
    return value < flagged[0] || value > flagged[1] ? "flagged" : "ok";
  }

  #forEachValue(parsed: ParsedEvent, call: (signal: number, value: number) => void): void {
    if (parsed.kind === "metrics") {
      for (const { name, values } of parsed.samples) {
        const signal = this.#set.metricSignals.get(name);
        if (signal !== undefined) for (const value of values) call(signal, value);
      }
      return;
    }
    for (const index of this.#set.lineSignals[parsed.level]) {
      const signal = this.#set.signals[index]!;
      const value = hasValues(signal) ? valueIn(parsed, signal) : undefined;
      if (value !== undefined) call(index, value);
    }
  }
}

/** The number that the line carries for the signal, if it does. */
function valueIn(line: LogLine, signal: FeatureSet["signals"][number]): number | undefined {
  if (!("field" in signal) || signal.field === undefined || (signal.of && signal.of !== line.source)) return undefined;
  const value = line.metadata?.[signal.field];
  return typeof value === "number" ? value : undefined;
}
