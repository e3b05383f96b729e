import { failureLevel, headLevel, levelOfWord } from "./levels.ts";
import type { TextLine } from "./text-log.ts";
import { type Flawed, isObject, type JsonObject, type Level } from "./types.ts";

/** Node.js and .NET: stamp, request id, level, text; Python: level in brackets, stamp, request id, text. */
const tabbed = /^\S{10,40}\t\S{1,64}\t([A-Za-z]{3,11})\t/;
const bracketed = /^\[([A-Z]{3,8})\]\t\S{10,40}\t\S{1,64}\t/;
const timeout = /^(?:\S{10,40} )?[0-9a-f-]{36} Task timed out after (\d{1,6}(?:\.\d{1,6})?) seconds/;
const platformLine = /^(?:START|END|REPORT|XRAY|EXTENSION|INIT_START|INIT_REPORT|RESTORE_START|RESTORE_REPORT)\b[ \t]/;
/** What the runtime says of a process that died: out of memory, killed, or gone by itself. */
const runtimeFailure = /^RequestId: [0-9a-f-]{36} (?:Error: |Process exited before completing request)/;

/** Fields of a REPORT line, by their label. */
const reportFields: ReadonlyMap<string, string> = new Map([
  ["Duration", "durationMs"],
  ["Billed Duration", "billedDurationMs"],
  ["Init Duration", "initDurationMs"],
  ["Restore Duration", "restoreDurationMs"],
  ["Memory Size", "memorySizeMb"],
  ["Max Memory Used", "maxMemoryUsedMb"],
]);
const MAX_REPORT_FIELDS = 16;

/** A text line of a Lambda function: of the platform, of a runtime, or the function's own. */
export function readLambda(line: string): TextLine {
  if (platformLine.test(line)) return readPlatformLine(line);
  const text = tabbed.exec(line) ?? bracketed.exec(line);
  if (text) {
    const level = levelOfWord(text[1]!) ?? "info";
    return { source: "function", level, message: line.slice(text[0].length) };
  }
  const late = timeout.exec(line);
  if (late) {
    const metadata = { timedOutAfterMs: Math.round(Number(late[1]) * 1_000) };
    return { source: "function", level: "error", message: line, metadata };
  }
  if (runtimeFailure.test(line)) return { source: "function", level: "error", message: line };
  return { source: "function", level: headLevel(line) ?? failureLevel(line), message: line };
}

function readPlatformLine(line: string): TextLine {
  const reports = line.startsWith("REPORT ") || line.startsWith("INIT_REPORT ");
  if (!reports) return { source: "function", level: "info", message: line };
  const metadata: Record<string, unknown> = {};
  let level: Level = "info";
  let flaw: Flawed = {};
  for (const part of line.split("\t", MAX_REPORT_FIELDS)) {
    const colon = part.indexOf(": ");
    const label = part.slice(0, colon).replace(/^(?:INIT_)?REPORT /, "");
    const value = part.slice(colon + 2).trim();
    const field = reportFields.get(label);
    if (field) {
      const number = Number.parseFloat(value);
      if (number >= 0) metadata[field] = number;
      else flaw = { flaw: "lambda_shape", flawAt: label };
    } else if (label === "RequestId") metadata.requestId = value;
    else if (label === "Error Type") metadata.errorType = value;
    else if (label === "Status") {
      metadata.status = value;
      if (value === "error" || value === "timeout" || value === "failure") level = "error";
    }
  }
  // A report that reports nothing was cut off.
  if (Object.keys(metadata).length === 0 && !flaw.flaw) flaw = { flaw: "lambda_shape", flawAt: "report" };
  return { source: "function", level, message: line, metadata, ...flaw };
}

/** Members of a platform event's metrics, in milliseconds or megabytes. */
const platformMetrics = [
  "durationMs",
  "billedDurationMs",
  "initDurationMs",
  "restoreDurationMs",
  "memorySizeMB",
  "maxMemoryUsedMB",
] as const;

/** Where an event of Lambda's platform is not as its API describes it; undefined: nowhere, or it is none. */
export function platformFault({ type, record }: JsonObject): string | undefined {
  if (typeof type !== "string" || !type.startsWith("platform.")) return undefined;
  if (type === "platform.fault" && typeof record === "string") return undefined;
  if (!isObject(record)) return "record";
  const { requestId, status, metrics } = record;
  if (requestId !== undefined && typeof requestId !== "string") return "record.requestId";
  if (status !== undefined && typeof status !== "string") return "record.status";
  if (type === "platform.logsDropped" && typeof record.droppedRecords !== "number") return "record.droppedRecords";
  if (metrics === undefined) return type === "platform.report" && status === "success" ? "record.metrics" : undefined;
  if (!isObject(metrics)) return "record.metrics";
  const odd = platformMetrics.find((name) => {
    const value = metrics[name];
    return value !== undefined && !(typeof value === "number" && value >= 0);
  });
  return odd === undefined ? undefined : `record.metrics.${odd}`;
}
