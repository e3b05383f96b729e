import { isObject } from "./emf.ts";
import { levelOfNumber, levelOfWord } from "./levels.ts";
import type { JsonObject, Level } from "./types.ts";

const levelKeys = ["level", "severity", "log.level", "levelname", "lvl", "loglevel", "@level"] as const;
const messageKeys = ["message", "msg", "event", "@message", "log", "text"] as const;
const failureKeys = ["errorType", "stackTrace", "exc_info", "exception"] as const;

/** Level of a JSON log document: its level member as a word or number, else what the failure it reports stands for. */
export function jsonLevel(document: JsonObject): Level {
  for (const key of levelKeys) {
    const level = levelOfValue(document[key]);
    if (level) return level;
  }
  if (isObject(document.log)) {
    const level = levelOfValue(document.log.level);
    if (level) return level;
  }
  const record = document.record;
  if (isObject(record) && (record.status === "error" || record.status === "timeout" || record.status === "failure")) {
    return "error";
  }
  return failureKeys.some((key) => document[key] !== undefined && document[key] !== null) ? "error" : "info";
}

/** The text of a JSON log document; the whole message where no member holds one. */
export function jsonMessage(document: JsonObject, whole: string): string {
  for (const key of messageKeys) {
    const text = document[key];
    if (typeof text === "string") return text;
  }
  return whole;
}

function levelOfValue(value: unknown): Level | undefined {
  if (typeof value === "string") return levelOfWord(value) ?? (value === "" ? undefined : levelOfNumber(Number(value)));
  return typeof value === "number" ? levelOfNumber(value) : undefined;
}
