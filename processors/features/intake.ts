import type { LogLine, MetricSample, ParsedEvent } from "../parse/index.ts";
import { maskedText } from "../templates/index.ts";
import { countsLine, type FeatureSet, hasValues, type Rule } from "./feature-set.ts";
import { addOrdered, addValue } from "./pane-cells.ts";
import { COUNT, EVENTS, FIRST_OFFSET, FLAGGED, IMPUTED, LAST_OFFSET, type PaneLayout, REFUSED } from "./pane-layout.ts";
import type { PaneStore } from "./pane-store.ts";
import type { TemplateStore } from "./template-store.ts";

/** Beyond float32, which rows are made of, a value is no number. */
const MAX_MAGNITUDE = 3.4028234663852886e38;

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
    const { slot, minute, offset } = place;
    const values = this.#panes.openToWrite(minute, slot);
    const base = this.#panes.baseOf(slot);
    this.#countEvent(values, base, offset);
    if (parsed.kind === "metrics") {
      for (const sample of parsed.samples) this.#addSample(values, base, place, parsed.timestampMs, sample);
    } else if (!continues) this.#addLine(values, base, place, parsed);
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
    const values = this.#panes.openToWrite(minute, slot);
    const base = this.#panes.baseOf(slot);
    this.#countEvent(values, base, offset);
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

  #countEvent(values: Float64Array, base: number, offset: number): void {
    const own = base + this.#layout.slotFields;
    const first = values[own + EVENTS]! === 0;
    if (first || offset < values[own + FIRST_OFFSET]!) values[own + FIRST_OFFSET] = offset;
    if (first || offset > values[own + LAST_OFFSET]!) values[own + LAST_OFFSET] = offset;
    values[own + EVENTS]! += 1;
  }

  #addSample(values: Float64Array, base: number, place: EventPlace, timestampMs: number, sample: MetricSample): void {
    const signal = this.#set.metricSignals.get(sample.name);
    if (signal === undefined) return;
    for (const value of sample.values) this.#addValue(values, base, place.tie, timestampMs, signal, value);
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
    const verdict = this.#judge(signal, value);
    if (verdict === "missing" || !(Math.abs(value) <= MAX_MAGNITUDE)) {
      values[base + this.#layout.slotFields + IMPUTED]! += 1;
      return;
    }
    const cell = base + this.#layout.cellAt[signal]!;
    addValue(values, cell, value, this.#layout.centres[signal]!);
    if (this.#layout.ordered) addOrdered(values, cell, value, timestampMs, tie);
    if (verdict !== "ok") values[cell + FLAGGED]! += 1;
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
