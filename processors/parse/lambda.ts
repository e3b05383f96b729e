import { failureLevel, headLevel, levelOfWord } from "./levels.ts";
import type { TextLine } from "./text-log.ts";
import type { Level } from "./types.ts";

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
  for (const part of line.split("\t", MAX_REPORT_FIELDS)) {
    const colon = part.indexOf(": ");
    const label = part.slice(0, colon).replace(/^(?:INIT_)?REPORT /, "");
    const value = part.slice(colon + 2).trim();
    const field = reportFields.get(label);
    if (field) {
      const number = Number.parseFloat(value);
      if (Number.isFinite(number)) metadata[field] = number;
    } else if (label === "RequestId") metadata.requestId = value;
    else if (label === "Error Type") metadata.errorType = value;
    else if (label === "Status") {
      metadata.status = value;
      if (value === "error" || value === "timeout" || value === "failure") level = "error";
    }
  }
  return { source: "function", level, message: line, metadata };
}
