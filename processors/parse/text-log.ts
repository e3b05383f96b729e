import { headLevel, levelOfSeverity } from "./levels.ts";
import type { Level, LogSource } from "./types.ts";

export interface TextLine {
  readonly source: LogSource;
  readonly level: Level;
  readonly message: string;
}

/** Marks of a failure at the head of a line that states no level. */
const failureHeads =
  /^(?:Traceback \(most recent call last\)|panic: |Exception in thread |Uncaught |Unhandled |(?:[\w$]+\.)*[A-Z][\w$]*(?:Error|Exception)\b[:\s])/;

/** A text line, read by the grammar of its source. `source` other: the line's own shape decides. */
export function readText(source: LogSource, line: string): TextLine {
  if (source === "function") return readLambda(line);
  if (source === "database" || (source === "other" && looksLikePostgres(line))) return readPostgres(line);
  if (source === "system" || (source === "other" && looksLikeSyslog(line))) return readSyslog(line);
  return { source, level: headLevel(line) ?? failureLevel(line), message: line };
}

function failureLevel(line: string, from = 0): Level {
  return failureHeads.test(from === 0 ? line.slice(0, 200) : line.slice(from, from + 200)) ? "error" : "info";
}

/** A stamp, at most one bounded run of prefix, then the severity with its colon: both prefixes of RDS and the default one. */
const postgresHead =
  /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[^\n]{0,240}?[:\s](DEBUG[1-5]?|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|CONTEXT|STATEMENT|QUERY|LOCATION): {1,2}/;

const looksLikePostgres = (line: string): boolean => startsWithDate(line) && postgresHead.test(line);

function readPostgres(line: string): TextLine {
  const head = postgresHead.exec(line);
  if (!head) return { source: "database", level: headLevel(line) ?? "info", message: line };
  const word = head[1]!;
  let level: Level = "info";
  if (word === "ERROR") level = "error";
  else if (word === "WARNING") level = "warn";
  else if (word === "FATAL" || word === "PANIC") level = "critical";
  else if (word.startsWith("DEBUG")) level = "debug";
  return { source: "database", level, message: line.slice(head[0].length) };
}

/** `Jan  2 03:04:05 host tag[pid]: text`, the same with an ISO stamp, either behind `<priority>` and an RFC 5424 version. */
const syslogHead =
  /^(?:<(\d{1,3})>(?:1 )?)?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.]{5,15}(?:Z|[+-]\d\d:?\d\d)?) \S{1,255} [^\s:[]{1,64}(?:\[[^\]\s]{1,32}\])?:? /;

const looksLikeSyslog = (line: string): boolean => syslogHead.test(line);

const kernelFailures =
  /^(?:\[ *\d+\.\d+\] )?(?:Out of memory|\S{1,64}\[\d+\]: segfault|Kernel panic|BUG: |EXT4-fs error)/;

function readSyslog(line: string): TextLine {
  const head = syslogHead.exec(line);
  if (!head) return { source: "system", level: headLevel(line) ?? failureLevel(line), message: line };
  const from = head[0].length;
  const message = line.slice(from);
  let level: Level;
  if (head[1] !== undefined) level = levelOfSeverity(Number(head[1]) & 7);
  else if (kernelFailures.test(message)) level = "critical";
  else level = headLevel(line, from) ?? failureLevel(line, from);
  return { source: "system", level, message };
}

const lambdaText = /^\S{10,40}\t\S{1,64}\t([A-Z]{3,8})\t/;
const lambdaTimeout = /^(?:\S{10,40} )?[0-9a-f-]{36} Task timed out after /;

function readLambda(line: string): TextLine {
  if (/^(?:START|END|REPORT) RequestId: |^INIT_START /.test(line)) {
    const failed = line.startsWith("REPORT") && /\tStatus: (?:error|timeout)/.test(line);
    return { source: "function", level: failed ? "error" : "info", message: line };
  }
  const text = lambdaText.exec(line);
  if (text) {
    return { source: "function", level: headLevel(text[1]!) ?? "info", message: line.slice(text[0].length) };
  }
  if (lambdaTimeout.test(line)) return { source: "function", level: "error", message: line };
  return { source: "function", level: headLevel(line) ?? failureLevel(line), message: line };
}

function startsWithDate(line: string): boolean {
  return line.charCodeAt(4) === 0x2d && line.charCodeAt(7) === 0x2d && line.charCodeAt(10) === 0x20;
}
