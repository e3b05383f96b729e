/** From least to most urgent; a level's place in this list is its rank. */
export const levels = ["debug", "info", "warn", "error", "critical"] as const;
export type Level = (typeof levels)[number];

/** What kind of system wrote a log line. */
export type LogSource = "system" | "database" | "function" | "api" | "application" | "other";

/**
 * What is odd about an event, as a code. A reader that refuses an event leaves it a log line with the code of its
 * format, so nothing is lost; the codes after the first five, and `os_metrics_shape` on metrics, mark what was read all the same.
 */
export const parseFlaws = [
  /** A document in the embedded metric format that breaks its specification. */
  "emf_shape",
  /** A document of RDS Enhanced Monitoring without what one must hold. */
  "os_metrics_shape",
  /** A datum of a CloudWatch metric stream without what one must hold. */
  "metric_stream_shape",
  /** Begins like a JSON object and is none. */
  "json_broken",
  /** Members nested beyond what any reader after this one would bear. */
  "json_too_deep",
  /** Longer than CloudWatch lets an event be: only its head was read. */
  "too_long",
  /** A priority above 191, a header that is none, structured data that do not end. */
  "syslog_shape",
  /** A line of the server without a severity, or a duration that is none. */
  "postgres_shape",
  /** A line or event of Lambda's platform without what it must hold. */
  "lambda_shape",
  /** Holds NUL, as text in UTF-16 does that was read as UTF-8. */
  "nul_bytes",
  /** Holds U+FFFD: bytes that were not UTF-8 when the text was made of them. */
  "not_utf8",
  /** An event time that is no whole number of milliseconds or lies before 2000 or after 2099; seconds taken for milliseconds do. */
  "time_range",
] as const;
export type ParseFlaw = (typeof parseFlaws)[number];

/** Mixed into what the parser gives where something was odd. */
export interface Flawed {
  readonly flaw?: ParseFlaw;
  /** Where in the event: a member's path or a part's name. */
  readonly flawAt?: string;
}

export interface LogLine extends Flawed {
  readonly kind: "log";
  readonly timestampMs: number;
  readonly level: Level;
  readonly source: LogSource;
  readonly message: string;
  /** The JSON document the message stood in as it was parsed, or the fields of a text line's head; not to be changed. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export interface MetricSample {
  /** Name after the table of `metric-names.ts`. */
  readonly name: string;
  /** One number per observation; may hold Infinity, never NaN. */
  readonly values: readonly number[];
  /** As declared by the writer; "None" where it said nothing. */
  readonly unit: string;
}

export interface MetricSamples extends Flawed {
  readonly kind: "metrics";
  readonly timestampMs: number;
  readonly source: "metric";
  /** InstanceId (or the first dimension of the first set); null where the document names none. */
  readonly entity: string | null;
  readonly samples: readonly MetricSample[];
}

export type ParsedEvent = LogLine | MetricSamples;

export type JsonObject = Readonly<Record<string, unknown>>;

/** What a reader of metric documents found; a text instead says where the document is wrong. */
export interface FoundMetrics extends Flawed {
  readonly entity: string | null;
  readonly samples: MetricSample[];
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
