export { isOver, joinTrace, MAX_TRACE_GAP_MS, MAX_TRACE_LINES, type OpenTrace } from "./join-traces.ts";
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
