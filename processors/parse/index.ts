export { canonicalMetricName } from "./metric-names.ts";
export { MAX_MESSAGE_LENGTH, parseEvent } from "./parse-event.ts";
export type {
  Level,
  LogLine,
  LogSource,
  MetricSample,
  MetricSamples,
  ParsedEvent,
  ParseFlaw,
} from "./types.ts";
export { levels, parseFlaws } from "./types.ts";
