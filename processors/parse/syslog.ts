import { failureLevel, headLevel, levelOfSeverity } from "./levels.ts";
import type { TextLine } from "./text-log.ts";
import type { Flawed, Level } from "./types.ts";

/** `Jan  2 03:04:05 host tag[pid]: text`, the same with an ISO stamp, either behind `<priority>` and an RFC 5424 version. */
const head =
  /^(?:<(\d{1,3})>(?:1 )?)?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.]{5,15}(?:Z|[+-]\d\d:?\d\d)?) (\S{1,255}) ([^\s:[]{1,64})(?:\[([^\]\s]{1,32})\])?:? /;

/** RFC 5424: priority, version, stamp, host, application, process, message id; structured data follow. */
const head5424 =
  /^<(\d{1,3})>1 (?:-|\d{4}-\d\d-\d\dT[\d:.]{8,15}(?:Z|[+-]\d\d:\d\d)) (\S{1,255}) (\S{1,48}) (\S{1,128}) (\S{1,32}) (?=\[|-(?: |$))/;

const kernelFailures =
  /^(?:\[ *\d+\.\d+\] )?(?:Out of memory|\S{1,64}\[\d+\]: segfault|Kernel panic|BUG: |EXT4-fs error)/;

/** 23 facilities of 8 severities. */
const MAX_PRIORITY = 191;
const BYTE_ORDER_MARK = 0xfeff;

export const looksLikeSyslog = (line: string): boolean => head.test(line) || head5424.test(line);

/** A line of syslog, RFC 3164 or 5424, with or without its priority, which files leave out. */
export function readSyslog(line: string): TextLine {
  const structured = line.charCodeAt(0) === 0x3c ? head5424.exec(line) : null;
  if (structured) return read5424(line, structured);
  const found = head.exec(line);
  if (!found) {
    const level = headLevel(line) ?? failureLevel(line);
    return { source: "system", level, message: line, ...headerFlaw(line) };
  }
  const [whole, priority, host, program, processId] = found;
  const message = line.slice(whole.length);
  let level: Level;
  if (priority !== undefined) level = levelOfSeverity(Number(priority) & 7);
  else if (kernelFailures.test(message)) level = "critical";
  else level = headLevel(line, whole.length) ?? failureLevel(line, whole.length);
  const metadata = processId === undefined ? { host, program } : { host, program, processId };
  return { source: "system", level, message, metadata, ...priorityFlaw(priority) };
}

function read5424(line: string, found: RegExpExecArray): TextLine {
  const [whole, priority, host, program, processId, messageId] = found;
  const level = levelOfSeverity(Number(priority) & 7);
  const metadata: Record<string, unknown> = {};
  for (const [key, value] of Object.entries({ host, program, processId, messageId })) {
    if (value !== "-") metadata[key] = value;
  }
  let at = whole.length;
  let flaw: Flawed = priorityFlaw(priority);
  if (line.charCodeAt(at) === 0x2d) at++;
  else {
    const end = structuredDataEnd(line, at);
    if (typeof end === "string") flaw = { flaw: "syslog_shape", flawAt: end };
    else {
      metadata.structuredData = line.slice(at, end);
      at = end;
    }
  }
  if (line.charCodeAt(at) === 0x20) at++;
  if (line.charCodeAt(at) === BYTE_ORDER_MARK) at++;
  return { source: "system", level, message: line.slice(at), metadata, ...flaw };
}

/** A line that begins with a priority wants to be syslog. */
const begun = /^<\d{1,9}>(\d{0,2} (?:-|\d))?/;

function headerFlaw(line: string): Flawed {
  const found = line.charCodeAt(0) === 0x3c ? begun.exec(line) : null;
  return found ? { flaw: "syslog_shape", flawAt: found[1] === undefined ? "header" : "header of RFC 5424" } : {};
}

function priorityFlaw(priority: string | undefined): Flawed {
  return priority !== undefined && Number(priority) > MAX_PRIORITY ? { flaw: "syslog_shape", flawAt: "priority" } : {};
}

/** Where the elements `[id name="value" …]` end, or what is wrong. A bracket or quote in a value stands behind a backslash. */
function structuredDataEnd(line: string, from: number): number | string {
  let at = from;
  while (line.charCodeAt(at) === 0x5b) {
    const id = line.charCodeAt(at + 1);
    if (id === 0x5d || id === 0x20 || id === 0x22) return "id of structured data";
    let quoted = false;
    for (at++; at < line.length; at++) {
      const c = line.charCodeAt(at);
      if (c === 0x5c && quoted) at++;
      else if (c === 0x22) quoted = !quoted;
      else if (c === 0x5d && !quoted) break;
    }
    if (at >= line.length) return quoted ? "value in structured data" : "structured data";
    at++;
  }
  return at;
}
