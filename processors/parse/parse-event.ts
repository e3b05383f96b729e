import { claimsEmbeddedMetrics, isObject, readEmbeddedMetrics } from "./emf.ts";
import { jsonLevel, jsonMessage } from "./json-log.ts";
import { readText } from "./text-log.ts";
import type { JsonObject, LogSource, ParsedEvent, ParseFlaw } from "./types.ts";

/**
 * What one log event says: metric samples, or a log line with its level.
 *
 * Pure, and total: no input makes it throw. The source follows from the group by ordered rules, then from the content.
 * `timestampMs` is the event's own and is passed through; stamps inside the text are not trusted (syslog has no year).
 */
export function parseEvent(group: string, stream: string, message: string, timestampMs: number): ParsedEvent {
  const source = sourceOf(group, stream);
  const documentAt = jsonStart(source, message);
  const document = documentAt < 0 ? null : parseObject(documentAt === 0 ? message : message.slice(documentAt));
  if (document === null) return { kind: "log", timestampMs, ...readText(source, message) };
  let flaw: ParseFlaw | undefined;
  if (claimsEmbeddedMetrics(document)) {
    const metrics = readEmbeddedMetrics(document);
    if (metrics) return { kind: "metrics", timestampMs, source: "metric", ...metrics };
    flaw = "emf_shape";
  }
  return {
    kind: "log",
    timestampMs,
    level: jsonLevel(document),
    source: source === "other" ? "application" : source,
    message: jsonMessage(document, message),
    metadata: document,
    ...(flaw && { flaw }),
  };
}

/** Ordered: the first rule that fits wins. Asked-for group names and the ones AWS really gives. */
export function sourceOf(group: string, stream: string): LogSource {
  if (group.startsWith("/aws/lambda/")) return "function";
  if (group.startsWith("/aws/rds/") || group.includes("postgres")) return "database";
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

function parseObject(text: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}
