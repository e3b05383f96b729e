import type { LogEvent } from "../../schemas/index.ts";
import { type InflateCode, type Inflated, inflate } from "./inflate.ts";

/** How a shard's clock moves: by clock records put into it (simulator, replay), or by the stamps of its records. */
export type ClockMode = "records" | "arrival";

/** An event that cannot be used although its record can. `bytes` is the event as JSON. */
export interface RejectedEvent {
  readonly code: "bad_event" | "future_timestamp" | "oversize_event";
  readonly reason: string;
  readonly eventId: string;
  readonly timestampMs: number;
  readonly message: string;
  readonly bytes: Buffer;
}

export interface DataRecord {
  readonly kind: "data";
  readonly account: string;
  readonly logGroup: string;
  readonly logStream: string;
  /** One for each of the record's logEvents, in their order. */
  readonly items: readonly EventItem[];
}

export type EventItem = LogEvent | RejectedEvent;

export type RecordRejectionCode =
  | InflateCode
  | "bad_json"
  | "bad_envelope"
  | "unknown_type"
  | "future_timestamp"
  | "bridge_error";

export type DecodedRecord =
  | DataRecord
  | { readonly kind: "control" }
  | { readonly kind: "clock"; readonly clockMs: number }
  | { readonly kind: "rejected"; readonly code: RecordRejectionCode; readonly reason: string };

export interface DecodeOptions {
  /** When the record arrived at the stream; what lies further ahead of it than `futureMs` is rejected. */
  readonly arrivalMs: number;
  readonly clockMode: ClockMode;
}

/** One event further ahead would close windows that the others still need. */
export const MAX_FUTURE_MS = 5 * 60_000;

/** Leaves room for the envelope in a Kafka message of 1 MB. */
export const MAX_EVENT_BYTES = 885_000;

/** CloudWatch's own limit of names; others may write into the stream as well. */
const MAX_NAME_LENGTH = 512;

const rejected = (code: RecordRejectionCode, reason: string): DecodedRecord => ({ kind: "rejected", code, reason });

/**
 * One Kinesis record as CloudWatch Logs writes it: gzip of one JSON object of messageType DATA_MESSAGE or
 * CONTROL_MESSAGE; with clockMode "records" also {"messageType":"WEIR_CLOCK","clockMs":n}. Pure; never throws.
 */
export const decodeRecord = (data: Uint8Array, options: DecodeOptions): DecodedRecord =>
  decodeInflated(inflate(data), options);

/** The same from the bytes inside. */
export function decodeInflated(inflated: Inflated, options: DecodeOptions): DecodedRecord {
  if ("code" in inflated) return rejected(inflated.code, inflated.reason);
  const text = inflated.toString("utf8");
  let envelope: unknown;
  try {
    envelope = JSON.parse(text);
    if (hasInexactId(envelope)) envelope = JSON.parse(text, keepIds);
  } catch (error) {
    return rejected("bad_json", (error as Error).message.slice(0, 500));
  }
  return readEnvelope(envelope, options);
}

/** Ids are opaque: two numbers beyond 2^53 must not become one. */
const hasInexactId = (envelope: unknown): boolean =>
  isObject(envelope) &&
  Array.isArray(envelope.logEvents) &&
  envelope.logEvents.some((e) => typeof e?.id === "number" && !Number.isSafeInteger(e.id));

const keepIds = (key: string, value: unknown, context?: { readonly source?: string }): unknown =>
  key === "id" && typeof value === "number" && context?.source ? context.source : value;

function readEnvelope(value: unknown, options: DecodeOptions): DecodedRecord {
  if (!isObject(value)) return rejected("bad_envelope", "The JSON is not an object.");
  const { messageType: type } = value;
  if (typeof type !== "string") return rejected("bad_envelope", "messageType is missing.");
  // The inner message of a control record is nobody's business: some are malformed.
  if (type === "CONTROL_MESSAGE") return { kind: "control" };
  if (type === "WEIR_CLOCK" && options.clockMode === "records") return readClock(value.clockMs, options.arrivalMs);
  if (type !== "DATA_MESSAGE") return rejected("unknown_type", `messageType is ${JSON.stringify(type.slice(0, 100))}.`);
  const { owner, logGroup, logStream, logEvents } = value;
  if (!isName(owner) || !isName(logGroup) || !isName(logStream))
    return rejected(
      "bad_envelope",
      `owner, logGroup and logStream must be strings up to ${MAX_NAME_LENGTH} characters.`,
    );
  if (!Array.isArray(logEvents)) return rejected("bad_envelope", "logEvents is not an array.");
  const items = logEvents.map((event) => readEvent(event, options.arrivalMs));
  return { kind: "data", account: owner, logGroup, logStream, items };
}

function readClock(clockMs: unknown, arrivalMs: number): DecodedRecord {
  if (!isTime(clockMs)) return rejected("bad_envelope", "clockMs is not a time in whole milliseconds.");
  if (clockMs > arrivalMs + MAX_FUTURE_MS)
    return rejected("future_timestamp", `The clock ${clockMs} lies ahead of its arrival at ${arrivalMs}.`);
  return { kind: "clock", clockMs };
}

function readEvent(value: unknown, arrivalMs: number): EventItem {
  const { id: rawId, timestamp, message } = isObject(value) ? value : ({} as Record<string, unknown>);
  // CloudWatch's ids are strings of 56 digits; moto's are small numbers.
  const id = typeof rawId === "number" ? String(rawId) : rawId;
  const reject = (code: RejectedEvent["code"], reason: string): RejectedEvent => ({
    code,
    reason,
    eventId: typeof id === "string" ? id : "",
    timestampMs: isTime(timestamp) ? timestamp : arrivalMs,
    message: typeof message === "string" ? message : "",
    bytes: Buffer.from(JSON.stringify(value)),
  });
  if (typeof id !== "string" || id === "" || typeof message !== "string" || !isTime(timestamp))
    return reject("bad_event", "An event needs id, message and a timestamp in whole milliseconds.");
  if (timestamp > arrivalMs + MAX_FUTURE_MS)
    return reject("future_timestamp", `The event's time ${timestamp} lies ahead of its arrival at ${arrivalMs}.`);
  // A string takes at most three bytes a UTF-16 unit, so most are settled without counting.
  const units = id.length + message.length;
  if (units * 3 > MAX_EVENT_BYTES && Buffer.byteLength(id) + Buffer.byteLength(message) > MAX_EVENT_BYTES)
    return reject("oversize_event", `The event is larger than ${MAX_EVENT_BYTES} bytes.`);
  return { id, timestampMs: timestamp, message };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isName = (value: unknown): value is string => typeof value === "string" && value.length <= MAX_NAME_LENGTH;

const isTime = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
