import type { Level, LogSource } from "../parse/index.ts";
import type { TemplateSignal } from "../templates/index.ts";
import type { CalendarField } from "./calendar.ts";

/** What becomes of a value outside of `[low, high]`: kept and flagged, taken as missing, or its event refused. */
export interface Rule {
  readonly outside: readonly [low: number, high: number];
  readonly outcome: "flagged" | "missing" | "refused";
}

/** A signal with values: those of a metric, of a field that log lines carry, or of the templates of a minute's lines. */
export type ValueSignal = {
  readonly name: string;
  readonly unit: string;
  /** Inclusive. A value outside is kept and flagged; without a range every finite value is in range. */
  readonly range?: readonly [number, number];
  /** Further rules. Of those that a value breaks the gravest counts. */
  readonly rules?: readonly Rule[];
  /** Squares are summed about it: a typical level. */
  readonly centre: number;
  /** Smallest change that means something; the floor of a change rate's divisor. */
  readonly smallestUnit: number;
  /** Never falls but by a reset. */
  readonly counter?: true;
} & (
  | { readonly metric: string }
  | { readonly field: string; readonly of?: LogSource }
  | { readonly template: TemplateSignal }
);

/** A signal that counts log lines: of some levels (all if absent), of a source, with a number in a field. */
export interface CountSignal {
  readonly name: string;
  readonly levels?: readonly Level[];
  readonly of?: LogSource;
  readonly field?: string;
  /** The field's least value. */
  readonly atLeast?: number;
}

export type SignalDefinition = ValueSignal | CountSignal;
export const hasValues = (signal: SignalDefinition): signal is ValueSignal => "centre" in signal;

export const statistics = [
  ...(["count", "sum", "mean", "std", "min", "max", "first", "last", "slope", "rate", "flagged", "coverage"] as const),
] as const;
export type Statistic = (typeof statistics)[number];
export const dayFigures = ["mean", "std", "deviation"] as const;
export const sameHourFigures = ["mean", "change"] as const;
export const entityFigures = ["silent_minutes", "events", "active_minutes", "refused", "imputed"] as const;
export const checks = ["frozen", "unit_slip", "counter_reset"] as const;
export const qualities = ["row", "day"] as const;

/** `windowMinutes` is the set's own where absent. What each kind means stands in docs/features.md. */
export type ColumnDefinition =
  /** Of the window's end, or of so many minutes before it. */
  | { readonly name: string; readonly calendar: CalendarField; readonly beforeMinutes?: number }
  | {
      readonly name: string;
      readonly signal: string;
      readonly statistic: Statistic;
      readonly windowMinutes?: number;
      /** Of a std: what it is where there is one value only; else it is missing there. */
      readonly ofOne?: number;
    }
  /** Mean of the one-minute pane that many minutes before the newest. */
  | { readonly name: string; readonly signal: string; readonly lagMinutes: number }
  /** (now − before) / max(|before|, smallest unit), of the sum of the signals' one-minute means. */
  | { readonly name: string; readonly changeRateOf: readonly string[]; readonly overMinutes?: number }
  /** First column over the second, which counts as at least 1. Both stand further up. */
  | { readonly name: string; readonly ratioOf: readonly [string, string] }
  /** First column minus the second. Both stand further up. */
  | { readonly name: string; readonly differenceOf: readonly [string, string] }
  | {
      readonly name: string;
      readonly signal: string;
      readonly day: (typeof dayFigures)[number];
      readonly windowMinutes?: number;
    }
  | {
      readonly name: string;
      readonly signal: string;
      readonly sameHour: (typeof sameHourFigures)[number];
      readonly windowMinutes?: number;
    }
  | { readonly name: string; readonly entity: (typeof entityFigures)[number]; readonly windowMinutes?: number }
  | {
      readonly name: string;
      readonly signal: string;
      readonly check: (typeof checks)[number];
      readonly windowMinutes?: number;
    }
  | { readonly name: string; readonly quality: (typeof qualities)[number] };

/** A feature set as it stands in `schemas/feature-sets/<name>.json`, its lists of columns written out. */
export interface FeatureSetDefinition {
  readonly name: string;
  /** Rows are emitted at window ends that are multiples of it. */
  readonly hopMinutes: number;
  readonly windowMinutes: number;
  /** IANA name, for the calendar columns. */
  readonly timezone: string;
  readonly signals: readonly SignalDefinition[];
  readonly columns: readonly ColumnDefinition[];
}
