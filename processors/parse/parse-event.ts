import { claimsEmbeddedMetrics, readEmbeddedMetrics } from "./emf.ts";
import { jsonFault } from "./json-fault.ts";
import { jsonLevel, jsonMessage } from "./json-log.ts";
import { platformFault } from "./lambda.ts";
import { claimsMetricStream, readMetricStream } from "./metric-stream.ts";
import { claimsOsMetrics, readOsMetrics } from "./os-metrics.ts";
import { readText } from "./text-log.ts";
import type { Flawed, FoundMetrics, JsonObject, LogLine, LogSource, ParsedEvent, ParseFlaw } from "./types.ts";

/** CloudWatch takes events of at most 1 MiB. What is longer is not looked into beyond its head. */
export const MAX_MESSAGE_LENGTH = 1_048_576;
/** Of a longer text, what is kept as its message. */
const KEPT_OF_TOO_LONG = 65_536;
/** Recursive readers, such as JSON.stringify, bear a few thousand levels. */
const MAX_DEPTH = 500;
const MIN_TIME_MS = Date.UTC(2000, 0);
const MAX_TIME_MS = Date.UTC(2100, 0);

/**
 * What one log event says: metric samples, or a log line with its level.
 *
 * Pure, and total: no input makes it throw, and time and memory are linear in the message. The source follows from the
 * group by ordered rules, then from the content. `timestampMs` is the event's own and is passed through; stamps inside
 * the text are not trusted (syslog has no year). An event that its format's reader refuses stays a log line, and
 * `flaw` says why.
 */
export function parseEvent(group: string, stream: string, message: string, timestampMs: number): ParsedEvent {
  const parsed = read(group, stream, message, timestampMs);
  if (parsed.flaw) return parsed;
  const flaw = flawOf(message, timestampMs);
  return flaw ? { ...parsed, ...flaw } : parsed;
}

function read(group: string, stream: string, message: string, timestampMs: number): ParsedEvent {
  const source = sourceOf(group, stream);
  if (message.length > MAX_MESSAGE_LENGTH) {
    const text = readText(source, message.slice(0, KEPT_OF_TOO_LONG));
    return { kind: "log", timestampMs, ...text, flaw: "too_long" };
  }
  const documentAt = jsonStart(source, message);
  if (documentAt < 0) return { kind: "log", timestampMs, ...readText(source, message) };
  const document = parseObject(documentAt === 0 ? message : message.slice(documentAt));
  if (document instanceof Refused) {
    // A text before the brace makes it no document's fault that there is none.
    const flaw: Flawed = beginsWithBrace(message, documentAt) ? document.why : {};
    return { kind: "log", timestampMs, ...readText(source, message), ...flaw };
  }
  const found = readMetrics(document, stream);
  if (found && "samples" in found) return { kind: "metrics", timestampMs, source: "metric", ...found };
  return readDocument(source, document, message, timestampMs, found);
}

/** Samples of a document in any of the metric formats, what is wrong with it, or undefined: it claims none of them. */
function readMetrics(document: JsonObject, stream: string): FoundMetrics | Flawed | undefined {
  let found: FoundMetrics | string;
  let flaw: ParseFlaw;
  if (claimsEmbeddedMetrics(document)) {
    found = readEmbeddedMetrics(document);
    flaw = "emf_shape";
  } else if (claimsOsMetrics(document)) {
    found = readOsMetrics(document, stream);
    flaw = "os_metrics_shape";
  } else if (claimsMetricStream(document)) {
    found = readMetricStream(document);
    flaw = "metric_stream_shape";
  } else return undefined;
  return typeof found === "string" ? { flaw, flawAt: found } : found;
}

function readDocument(
  source: LogSource,
  document: JsonObject,
  message: string,
  timestampMs: number,
  flaw: Flawed | undefined,
): LogLine {
  const oddAt = source === "function" && !flaw ? platformFault(document) : undefined;
  return {
    kind: "log",
    timestampMs,
    level: jsonLevel(document),
    source: source === "other" ? "application" : source,
    message: jsonMessage(document, message),
    metadata: document,
    ...flaw,
    ...(oddAt !== undefined && { flaw: "lambda_shape" as const, flawAt: oddAt }),
  };
}

/** Ordered: the first rule that fits wins. Asked-for group names and the ones AWS really gives. */
export function sourceOf(group: string, stream: string): LogSource {
  if (group.startsWith("/aws/lambda/")) return "function";
  if (group.startsWith("/aws/rds/") || group === "RDSOSMetrics" || group.includes("postgres")) return "database";
  if (group.startsWith("/aws/apigateway/") || group.startsWith("API-Gateway") || group.includes("/api")) return "api";
  if (group.startsWith("/aws/ec2/") || group.startsWith("/var/log/") || stream.endsWith("/var/log/messages")) {
    return "system";
  }
  if (group.startsWith("/application/") || group.startsWith("/app/") || group.startsWith("/ecs/")) return "application";
  return "other";
}

/**
 * Where a JSON object may begin, or −1. Text before it is only allowed on Lambda, whose runtimes put stamp and request
 * id before a metric document.
 */
function jsonStart(source: LogSource, message: string): number {
  let at = 0;
  while (message.charCodeAt(at) === 0x20 || message.charCodeAt(at) === 0x0a) at++;
  if (message.charCodeAt(at) === 0x7b) return at;
  return source === "function" && message.includes('"_aws"') ? message.indexOf("{") : -1;
}

function beginsWithBrace(message: string, documentAt: number): boolean {
  for (let i = 0; i < documentAt; i++) {
    const c = message.charCodeAt(i);
    if (c !== 0x20 && c !== 0x0a) return false;
  }
  return true;
}

/** A class, for a document may have any member. */
class Refused {
  readonly why: Flawed;
  constructor(why: Flawed) {
    this.why = why;
  }
}

function parseObject(text: string): JsonObject | Refused {
  // Each level takes two characters at least.
  if (text.length > 2 * MAX_DEPTH && isTooDeep(text)) return new Refused({ flaw: "json_too_deep" });
  try {
    // It begins with a brace.
    return JSON.parse(text) as JsonObject;
  } catch (error) {
    return new Refused({ flaw: "json_broken", flawAt: jsonFault((error as Error).message) });
  }
}

/** Brackets within strings do not count. In a text that is no JSON the answer means nothing and harms nothing. */
function isTooDeep(text: string): boolean {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const c = text.charCodeAt(at);
    if (c === 0x22) {
      for (at++; at < text.length && text.charCodeAt(at) !== 0x22; at++) if (text.charCodeAt(at) === 0x5c) at++;
    } else if (c === 0x7b || c === 0x5b) {
      if (++depth > MAX_DEPTH) return true;
    } else if (c === 0x7d || c === 0x5d) depth--;
  }
  return false;
}

/** What is odd about an event whatever its format. */
function flawOf(message: string, timestampMs: number): Flawed | undefined {
  if (!isTime(timestampMs)) return { flaw: "time_range", flawAt: timeFault(timestampMs) };
  if (message.includes("\u0000")) return { flaw: "nul_bytes" };
  return message.includes("\ufffd") ? { flaw: "not_utf8" } : undefined;
}

const isTime = (ms: number): boolean => Number.isInteger(ms) && ms >= MIN_TIME_MS && ms < MAX_TIME_MS;

/** The likeliest reason first: another unit. */
function timeFault(ms: number): string {
  if (!Number.isFinite(ms)) return "no number";
  if (isTime(ms * 1_000)) return "seconds";
  if (isTime(Math.floor(ms / 1_000))) return "microseconds";
  if (isTime(Math.floor(ms / 1_000_000))) return "nanoseconds";
  if (!Number.isInteger(ms)) return "fraction";
  if (ms < 0) return "negative";
  return ms < MIN_TIME_MS ? "before 2000" : "after 2099";
}
