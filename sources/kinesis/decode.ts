import { gunzipSync } from "node:zlib";
import type { LogEvent } from "../../schemas/index.ts";

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
  readonly events: readonly LogEvent[];
  readonly rejected: readonly RejectedEvent[];
}

export type RecordRejectionCode =
  | "not_gzip"
  | "truncated_gzip"
  | "corrupt_gzip"
  | "inflate_limit"
  | "bad_json"
  | "bad_envelope"
  | "unknown_type"
  | "kpl_aggregate"
  | "future_timestamp";

export type DecodedRecord =
  | DataRecord
  | { readonly kind: "control" }
  | { readonly kind: "clock"; readonly clockMs: number }
  | { readonly kind: "rejected"; readonly code: RecordRejectionCode; readonly reason: string };

export interface DecodeOptions {
  /** When the record arrived at the stream; what lies further ahead of it than `futureMs` is rejected. */
  readonly arrivalMs: number;
  readonly clockMode: ClockMode;
  readonly maxInflatedBytes?: number;
}

/** A record holds at most 10 MiB of gzip, which could inflate to 10 GiB; CloudWatch's own stay far below this. */
const MAX_INFLATED_BYTES = 64 * 1024 * 1024;

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
export function decodeRecord(data: Uint8Array, options: DecodeOptions): DecodedRecord {
  if (data[0] === 0xf3 && data[1] === 0x89 && data[2] === 0x9a && data[3] === 0xc2)
    return rejected("kpl_aggregate", "The record is an aggregate of the Kinesis Producer Library.");
  if (data[0] !== 0x1f || data[1] !== 0x8b) return rejected("not_gzip", "The record does not begin with 1f 8b.");
  let text: string;
  try {
    text = gunzipSync(data, { maxOutputLength: options.maxInflatedBytes ?? MAX_INFLATED_BYTES }).toString("utf8");
  } catch (error) {
    return rejected(gzipCode(error), (error as Error).message);
  }
  let envelope: unknown;
  try {
    envelope = JSON.parse(text);
  } catch (error) {
    return rejected("bad_json", (error as Error).message.slice(0, 500));
  }
  return readEnvelope(envelope, options);
}

function gzipCode(error: unknown): RecordRejectionCode {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ERR_BUFFER_TOO_LARGE") return "inflate_limit";
  return code === "Z_BUF_ERROR" ? "truncated_gzip" : "corrupt_gzip";
}

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
  const events: LogEvent[] = [];
  const bad: RejectedEvent[] = [];
  for (const event of logEvents) {
    const read = readEvent(event, options.arrivalMs);
    if ("code" in read) bad.push(read);
    else events.push(read);
  }
  return { kind: "data", account: owner, logGroup, logStream, events, rejected: bad };
}

function readClock(clockMs: unknown, arrivalMs: number): DecodedRecord {
  if (!isTime(clockMs)) return rejected("bad_envelope", "clockMs is not a time in whole milliseconds.");
  if (clockMs > arrivalMs + MAX_FUTURE_MS)
    return rejected("future_timestamp", `The clock ${clockMs} lies ahead of its arrival at ${arrivalMs}.`);
  return { kind: "clock", clockMs };
}

function readEvent(value: unknown, arrivalMs: number): LogEvent | RejectedEvent {
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
