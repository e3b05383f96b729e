import { levelOfLogback, levelOfNumber, levelOfPython, levelOfWord, withoutColour } from "./levels.ts";
import { isObject, type JsonObject, type Level } from "./types.ts";

const levelKeys = ["level", "severity", "log.level", "levelname", "lvl", "loglevel", "log_level", "@level"] as const;
const messageKeys = ["message", "msg", "event", "@message", "log", "text"] as const;
const failureKeys = ["errorType", "stackTrace", "exc_info", "exception", "stack_trace"] as const;

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
  const scaled = levelOfLogback(document.level_value) ?? levelOfPython(document.levelno ?? document.level_number);
  if (scaled) return scaled;
  const record = document.record;
  if (isObject(record) && (record.status === "error" || record.status === "timeout" || record.status === "failure")) {
    return "error";
  }
  if (document.type === "platform.fault") return "error";
  if (document.type === "platform.logsDropped") return "warn";
  if (failureKeys.some((key) => document[key] !== undefined && document[key] !== null)) return "error";
  return isObject(document.err) ? "error" : "info";
}

/** The text of a JSON log document; that of the error it carries; the whole message where no member holds one. */
export function jsonMessage(document: JsonObject, whole: string): string {
  for (const key of messageKeys) {
    const text = document[key];
    if (typeof text === "string") return text;
  }
  for (const error of [document.err, document.error]) {
    if (isObject(error) && typeof error.message === "string") return error.message;
  }
  return typeof document.errorMessage === "string" ? document.errorMessage : whole;
}

function levelOfValue(value: unknown): Level | undefined {
  if (typeof value === "number") return levelOfNumber(value);
  if (typeof value !== "string" || value === "") return undefined;
  return levelOfWord(withoutColour(value)) ?? levelOfNumber(Number(value));
}
