import type { Level } from "./types.ts";

const words: ReadonlyMap<string, Level> = new Map<string, Level>([
  ...(["trace", "trce", "debug", "dbug", "verbose", "silly", "fine", "finer", "finest"] as const).map(
    (w) => [w, "debug"] as const,
  ),
  ...(["info", "information", "informational", "notice", "log"] as const).map((w) => [w, "info"] as const),
  ...(["warn", "warning"] as const).map((w) => [w, "warn"] as const),
  ...(["error", "err", "severe", "fail"] as const).map((w) => [w, "error"] as const),
  ...(["critical", "crit", "fatal", "panic", "alert", "emerg", "emergency"] as const).map(
    (w) => [w, "critical"] as const,
  ),
]);

const LONGEST_WORD = 13;

export const levelOfWord = (word: string): Level | undefined =>
  word.length > LONGEST_WORD ? undefined : words.get(word.toLowerCase());

/** Severity of syslog, 0 (emergency) to 7 (debug). */
export function levelOfSeverity(severity: number): Level {
  if (severity <= 2) return "critical";
  if (severity === 3) return "error";
  if (severity === 4) return "warn";
  return severity <= 6 ? "info" : "debug";
}

/** Scale of logback, in thousands: 5,000 (trace) to 40,000 (error). */
export function levelOfLogback(level: unknown): Level | undefined {
  if (typeof level !== "number" || !(level >= 5_000)) return undefined;
  if (level >= 40_000) return "error";
  if (level >= 30_000) return "warn";
  return level >= 20_000 ? "info" : "debug";
}

/** Scale of Python's logging, which has its errors where pino has its warnings: only under names of its own. */
export function levelOfPython(level: unknown): Level | undefined {
  if (typeof level !== "number" || !(level >= 1)) return undefined;
  if (level >= 50) return "critical";
  if (level >= 40) return "error";
  if (level >= 30) return "warn";
  return level >= 20 ? "info" : "debug";
}

/** Loggers meant for a terminal paint their level. */
export const withoutColour = (text: string): string =>
  text.charCodeAt(0) === ESCAPE ? text.slice(0, MAX_PAINTED).replace(colour, "") : text;

const ESCAPE = 0x1b;
const MAX_PAINTED = 64;
const colour = new RegExp(`${String.fromCharCode(ESCAPE)}\\[[\\d;]{0,12}m`, "g");

/**
 * pino and bunyan count in tens from 10 (trace) to 60 (fatal); below ten it is a syslog severity, as in GELF; from
 * 5,000 on it is logback's.
 */
export function levelOfNumber(level: number): Level | undefined {
  if (!(level >= 0)) return undefined;
  if (level < 10) return levelOfSeverity(level);
  if (level >= 5_000) return levelOfLogback(level);
  if (level >= 60) return "critical";
  if (level >= 50) return "error";
  if (level >= 40) return "warn";
  return level >= 30 ? "info" : "debug";
}

/** How far into a line its level may stand, and behind how many fields (time, thread, logger). */
const HEAD_LENGTH = 80;
const HEAD_FIELDS = 8;

/**
 * The level a line states at its head, before its text begins.
 *
 * The head is read token by token. A level counts in capitals, in brackets, before a colon, or as `level=…`. Tokens
 * that cannot be text yet are passed over: those with a digit, in brackets, single signs, and names that a dash or bar
 * sets off as a field. The first other word ends the head, so "0 errors" or "Error rate fine" state nothing.
 */
export function headLevel(line: string, from = 0): Level | undefined {
  const end = Math.min(line.length, from + HEAD_LENGTH);
  let at = from;
  for (let field = 0; field < HEAD_FIELDS; field++) {
    while (at < end && isBlank(line.charCodeAt(at))) at++;
    if (at >= end) return undefined;
    const start = at;
    while (at < end && !isBlank(line.charCodeAt(at))) at++;
    const token = line.slice(start, at);
    const level = tokenLevel(withoutColour(token));
    if (level) return level;
    if (!isPassedOver(token) && !isSetOff(line, at, end)) return undefined;
  }
  return undefined;
}

function tokenLevel(token: string): Level | undefined {
  const open = token.charCodeAt(0);
  if (open === 0x5b || open === 0x28 || open === 0x3c) {
    const close = token.search(/[\])>]/);
    return close > 1 ? levelOfWord(token.slice(1, close)) : undefined;
  }
  if (token.startsWith("level=") || token.startsWith("lvl=") || token.startsWith("severity=")) {
    return levelOfWord(token.slice(token.indexOf("=") + 1).replaceAll('"', ""));
  }
  const colon = token.indexOf(":");
  const word = colon > 0 ? token.slice(0, colon) : token;
  const level = levelOfWord(word);
  return level && (colon > 0 || word === word.toUpperCase()) ? level : undefined;
}

function isPassedOver(token: string): boolean {
  const first = token.charCodeAt(0);
  if (first === 0x5b || first === 0x28 || token.length === 1) return true;
  if (token.includes("=")) return true;
  for (let i = 0; i < token.length; i++) {
    const c = token.charCodeAt(i);
    if (c >= 0x30 && c <= 0x39) return true;
  }
  return false;
}

/** True when the next token is a lone dash or bar: the one before it was a field, such as a logger's name. */
function isSetOff(line: string, at: number, end: number): boolean {
  const next = line.charCodeAt(at + 1);
  return (next === 0x2d || next === 0x7c) && at + 2 < end && isBlank(line.charCodeAt(at + 2));
}

const isBlank = (code: number): boolean => code === 0x20 || code === 0x09;

/** Marks of a failure at the head of a line that states no level. */
const failureHeads =
  /^(?:Traceback \(most recent call last\)|panic: |Exception in thread |Uncaught |Unhandled |(?:[\w$]+\.)*[A-Z][\w$]*(?:Error|Exception)\b[:\s])/;

/** The level of a line that states none. */
export function failureLevel(line: string, from = 0): Level {
  return failureHeads.test(from === 0 && line.length <= 200 ? line : line.slice(from, from + 200)) ? "error" : "info";
}
