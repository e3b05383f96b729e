export { canonicalMetricName } from "./metric-names.ts";
export { parseEvent } from "./parse-event.ts";
export * from "./types.ts";
