import { expect, test } from "vitest";
import { type ColumnDefinition, loadFeatureSet } from "../../processors/features/index.ts";
import { randomOf } from "../templates/lines.ts";
import {
  DAY_ONE,
  eventsOf,
  lineEvent,
  type Metrics,
  MINUTE,
  metricEvent,
  newProcessor,
  run,
  type SourceRecord,
  sign,
} from "./helpers.ts";

/*
 * `wide` recounted from docs/features.md: plain lists, nothing of the product's code but the definition's columns.
 */
const wide = loadFeatureSet("wide");
const units: Record<string, number> = {
  cpu: 0.1,
  memory: 0.1,
  network_in: 1e3,
  network_out: 1e3,
  disk_read: 1,
  disk_write: 1,
};
const levelsOf: Record<string, string[]> = {
  lines: ["debug", "info", "warn", "error", "fatal"],
  debug: ["debug"],
  info: ["info"],
  warnings: ["warn"],
  errors: ["error", "fatal"],
  criticals: ["fatal"],
};

interface Sample {
  readonly minute: number;
  readonly metrics: Record<string, number[]>;
  readonly level: string | null;
}

/** A machine for 27 hours: several values an event now and then, lines, missing minutes, an hour of silence. */
function history(seed: number): { records: SourceRecord[]; samples: Sample[] } {
  const random = randomOf(seed);
  const samples: Sample[] = [];
  const first = DAY_ONE + 17;
  const records = [sign("s", "open", first * MINUTE)];
  for (let minute = first; minute < first + 27 * 60; minute++) {
    if ((minute > first + 300 && minute < first + 360) || random() < 0.05) continue;
    const events = [];
    const metrics: Metrics = {};
    for (const [name, unit] of Object.entries(units)) {
      const value = () => Math.round(unit * 800 * random() * 1e3) / 1e3;
      if (random() < 0.9) metrics[name as keyof Metrics] = random() < 0.1 ? [value(), value(), value()] : value();
    }
    const stamp = () => minute * MINUTE + Math.floor(random() * MINUTE);
    events.push(metricEvent("a", stamp(), metrics));
    samples.push({
      minute,
      metrics: Object.fromEntries(Object.entries(metrics).map(([k, v]) => [k, [v].flat()])),
      level: null,
    });
    for (let n = Math.floor(random() * 4); n > 0; n--) {
      const level = levelsOf.lines![Math.floor(random() * 5)]!;
      events.push(lineEvent(stamp(), level));
      samples.push({ minute, metrics: {}, level });
    }
    records.push(eventsOf("s", "a", minute * MINUTE, events));
  }
  return { records: [...records, sign("s", "tick", (first + 27 * 60 + 1) * MINUTE)], samples };
}

const f32 = Math.fround;
const mean = (xs: readonly number[]) => xs.reduce((a, b) => a + b, 0) / xs.length;
function std(xs: readonly number[]): number {
  if (xs.length < 2) return Number.NaN;
  const m = mean(xs);
  return Math.sqrt(xs.reduce((a, x) => a + (x - m) ** 2, 0) / (xs.length - 1));
}

class Recount {
  #byMinute: Map<number, Sample[]>;

  constructor(samples: readonly Sample[]) {
    this.#byMinute = Map.groupBy(samples, (s) => s.minute);
  }

  /** Values of a signal in [from, to); of lines, one number for each minute with an event. */
  values(signal: string, from: number, to: number): number[] {
    const values: number[] = [];
    for (let m = from; m < to; m++) {
      const here = this.#byMinute.get(m) ?? [];
      const lines = levelsOf[signal];
      if (!lines) values.push(...here.flatMap((s) => s.metrics[signal] ?? []));
      else if (here.length > 0) values.push(here.filter((s) => s.level !== null && lines.includes(s.level)).length);
    }
    return values;
  }

  /** Undefined: this kind is checked elsewhere. */
  column(c: ColumnDefinition, end: number, row: Record<string, number>): number | undefined {
    const window = (minutes: number, signal: string) => this.values(signal, end - minutes, end);
    const minuteMean = (signal: string, back: number) => f32(mean(this.values(signal, end - 1 - back, end - back)));
    const minutes = ("windowMinutes" in c && c.windowMinutes) || 15;
    const known = (signal: string) => signal in units || signal in levelsOf;
    if ("statistic" in c) {
      if (!known(c.signal)) return undefined;
      const xs = window(minutes, c.signal);
      if (c.statistic === "std") return std(xs);
      if (c.statistic === "slope") {
        const points = Array.from({ length: minutes }, (_, i) => [-i, minuteMean(c.signal, i)] as const).filter(
          ([, y]) => !Number.isNaN(y),
        );
        const [mx, my] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
        if (points.length < 2) return Number.NaN;
        return (
          points.reduce((a, [x, y]) => a + (x - mx) * (y - my), 0) / points.reduce((a, [x]) => a + (x - mx) ** 2, 0)
        );
      }
      if (c.statistic === "coverage") {
        const good = Array.from({ length: minutes }, (_, i) => this.values(c.signal, end - 1 - i, end - i)).filter(
          (v) => v.length > 0,
        );
        return good.length / minutes;
      }
      if (c.statistic === "flagged") return 0;
      if (xs.length === 0) return Number.NaN;
      if (c.statistic === "min") return Math.min(...xs);
      if (c.statistic === "max") return Math.max(...xs);
      return c.statistic === "mean" ? mean(xs) : c.statistic === "sum" ? xs.reduce((a, b) => a + b, 0) : xs.length;
    }
    if ("lagMinutes" in c) return minuteMean(c.signal, c.lagMinutes);
    if ("changeRateOf" in c) {
      const sum = (back: number) => c.changeRateOf.reduce((a, s) => a + minuteMean(s, back), 0);
      const before = sum(c.overMinutes ?? 1);
      return (sum(0) - before) / Math.max(Math.abs(before), ...c.changeRateOf.map((s) => units[s] ?? 1));
    }
    if ("ratioOf" in c) return row[c.ratioOf[0]]! / Math.max(row[c.ratioOf[1]]!, 1);
    if ("differenceOf" in c)
      return known(c.name.replace("_shift", "")) ? row[c.differenceOf[0]]! - row[c.differenceOf[1]]! : undefined;
    const hour = Math.floor(end / 60);
    if ("day" in c) {
      const xs = this.values(c.signal, (hour - 24) * 60, hour * 60);
      if (c.day === "mean") return mean(xs);
      if (c.day === "std") return std(xs);
      return (f32(mean(window(minutes, c.signal))) - f32(mean(xs))) / Math.max(f32(std(xs)), units[c.signal] ?? 1);
    }
    if ("sameHour" in c) {
      const then = Math.floor((end - 1) / 60) - 24;
      const before = f32(mean(this.values(c.signal, then * 60, then * 60 + 60)));
      if (c.sameHour === "mean") return before;
      return (f32(mean(window(minutes, c.signal))) - before) / Math.max(Math.abs(before), units[c.signal] ?? 1);
    }
    if ("entity" in c) {
      const here = Array.from({ length: minutes }, (_, i) => this.#byMinute.get(end - 1 - i)?.length ?? 0);
      if (c.entity === "events") return here.reduce((a, b) => a + b, 0);
      if (c.entity === "active_minutes") return here.filter((n) => n > 0).length;
      return c.entity === "silent_minutes" ? here.findIndex((n) => n > 0) : 0;
    }
    return undefined;
  }
}

test.each([1, 2])("27 hours of a machine, recounted column by column (%i)", (seed) => {
  const { records, samples } = history(seed);
  const { rows } = run(records, newProcessor(wide));
  const recount = new Recount(samples);
  let compared = 0;
  for (const [n, { windowEndMs, values }] of rows.entries()) {
    // All of the first hour, all around whole hours, then one in seven.
    const end = windowEndMs / MINUTE;
    if (n > 65 && end % 60 > 1 && n % 7 > 0) continue;
    const row = Object.fromEntries(wide.columns.map((name, i) => [name, values[i]!]));
    for (const [i, column] of wide.definition.columns.entries()) {
      const want = recount.column(column, end, row);
      if (want === undefined) continue;
      compared++;
      const got = values[i]!;
      // Differences of means are as exact as those means.
      const floor = /slope|change|deviation|shift/.test(column.name) ? 1 : 1e-6;
      const equal = Number.isNaN(want)
        ? Number.isNaN(got)
        : Math.abs(got - want) <= 1e-6 * Math.max(Math.abs(want), floor);
      if (!equal) expect({ name: column.name, minute: n, got }).toEqual({ want });
    }
  }
  expect(compared).toBeGreaterThan(50_000);
});
