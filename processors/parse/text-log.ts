import { readLambda } from "./lambda.ts";
import { failureLevel, headLevel } from "./levels.ts";
import { looksLikePostgres, readPostgres } from "./postgres.ts";
import { looksLikeSyslog, readSyslog } from "./syslog.ts";
import type { Flawed, Level, LogSource } from "./types.ts";

export interface TextLine extends Flawed {
  readonly source: LogSource;
  readonly level: Level;
  readonly message: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** A text line, read by the grammar of its source. `source` other: the line's own shape decides. */
export function readText(source: LogSource, line: string): TextLine {
  if (source === "function") return readLambda(line);
  if (source === "database" || (source === "other" && looksLikePostgres(line))) return readPostgres(line);
  if (source === "system" || (source === "other" && looksLikeSyslog(line))) return readSyslog(line);
  return { source, level: headLevel(line) ?? failureLevel(line), message: line };
}
