import type { Level } from "./types.ts";

const words: ReadonlyMap<string, Level> = new Map<string, Level>([
  ...(["trace", "debug", "verbose", "silly", "fine", "finer", "finest"] as const).map((w) => [w, "debug"] as const),
  ...(["info", "information", "informational", "notice", "log"] as const).map((w) => [w, "info"] as const),
  ...(["warn", "warning"] as const).map((w) => [w, "warn"] as const),
  ...(["error", "err", "severe"] as const).map((w) => [w, "error"] as const),
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

/** pino and bunyan count in tens from 10 (trace) to 60 (fatal); below ten it is a syslog severity, as in GELF. */
export function levelOfNumber(level: number): Level | undefined {
  if (!(level >= 0)) return undefined;
  if (level < 10) return levelOfSeverity(level);
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
    const level = tokenLevel(token);
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
