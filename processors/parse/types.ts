/** From least to most urgent; a level's place in this list is its rank. */
export const levels = ["debug", "info", "warn", "error", "critical"] as const;
export type Level = (typeof levels)[number];

/** What kind of system wrote a log line. */
export type LogSource = "system" | "database" | "function" | "api" | "application" | "other";

/** What is odd about an event that was kept as a log line all the same. */
export type ParseFlaw = "emf_shape";

export interface LogLine {
  readonly kind: "log";
  readonly timestampMs: number;
  readonly level: Level;
  readonly source: LogSource;
  readonly message: string;
  /** The JSON document the message stood in, as it was parsed; shared, not to be changed. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly flaw?: ParseFlaw;
}

export interface MetricSample {
  /** Name after the table of `metric-names.ts`. */
  readonly name: string;
  /** One number per observation; may hold Infinity, never NaN. */
  readonly values: readonly number[];
  /** As declared by the writer; "None" where it said nothing. */
  readonly unit: string;
}

export interface MetricSamples {
  readonly kind: "metrics";
  readonly timestampMs: number;
  readonly source: "metric";
  /** InstanceId (or the first dimension of the first set); null where the document names none. */
  readonly entity: string | null;
  readonly samples: readonly MetricSample[];
}

export type ParsedEvent = LogLine | MetricSamples;

export type JsonObject = Readonly<Record<string, unknown>>;
