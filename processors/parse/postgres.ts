import { headLevel } from "./levels.ts";
import type { TextLine } from "./text-log.ts";
import type { Level } from "./types.ts";

/**
 * A stamp, at most one bounded run of prefix, then the severity with its colon: both prefixes of RDS and the default
 * one. The documentation of RDS prints a `t` behind the prefix, so one is let through.
 */
const head =
  /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[^\n]{0,240}?[:\s]t?(DEBUG[1-5]?|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|CONTEXT|STATEMENT|QUERY|LOCATION): {1,2}/;

/** `%t:%r:%u@%d:[%p]:` and, after it, `%l:%e:` of the long prefix. Background workers have neither host nor user. */
const prefix =
  /^[^:]{13}:\d\d:\d\d(?:\.\d{1,6})? [A-Z+\-\d]{1,10}:([^\s(:]{0,255})(?:\(\d{1,5}\))?:([^@:]{0,63})@([^:]{0,63}):\[(\d{1,10})\]:(?:\d{1,10}:([\dA-Z]{5}):)?/;

/** The stamp that every line of the server begins with, and a zone: other logs of a database have a `T` or none. */
const stamped = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})? [A-Z+-]/;

const duration = /^duration: (\d{1,12}(?:\.\d{1,6})?) ms\b/;

export const looksLikePostgres = (line: string): boolean =>
  line.charCodeAt(4) === 0x2d && line.charCodeAt(7) === 0x2d && line.charCodeAt(10) === 0x20 && head.test(line);

/**
 * A line of PostgreSQL's stderr log. Lines that carry on another state no failure of their own: DETAIL, HINT, CONTEXT
 * and STATEMENT, and the further lines of a statement, which begin with a tab.
 */
export function readPostgres(line: string): TextLine {
  if (line.charCodeAt(0) === 0x09) return { source: "database", level: "info", message: line };
  const found = head.exec(line);
  if (!found) {
    const flaw = stamped.test(line) ? ({ flaw: "postgres_shape", flawAt: "severity" } as const) : {};
    return { source: "database", level: headLevel(line) ?? "info", message: line, ...flaw };
  }
  const severity = found[1]!;
  const message = line.slice(found[0].length);
  const metadata: Record<string, unknown> = { severity };
  const fields = prefix.exec(line);
  if (fields) {
    const [, host, user, database, processId, sqlState] = fields;
    if (host) metadata.host = host;
    if (user) metadata.user = user;
    if (database) metadata.database = database;
    metadata.processId = Number(processId);
    if (sqlState) metadata.sqlState = sqlState;
  }
  const level = levelOf(severity);
  if (severity === "LOG" && message.startsWith("duration: ")) {
    const took = duration.exec(message);
    if (!took) return { source: "database", level, message, metadata, flaw: "postgres_shape", flawAt: "duration" };
    metadata.durationMs = Number(took[1]);
  }
  return { source: "database", level, message, metadata };
}

function levelOf(severity: string): Level {
  if (severity === "ERROR") return "error";
  if (severity === "WARNING") return "warn";
  if (severity === "FATAL" || severity === "PANIC") return "critical";
  return severity.startsWith("DEBUG") ? "debug" : "info";
}
