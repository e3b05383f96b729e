export * from "./describe.ts";
export * from "./expand.ts";
export * from "./feature-set.ts";
export * from "./feature-set-sources.ts";
export * from "./features-processor.ts";
export * from "./memory-output.ts";
export { SILENT_AFTER_MINUTES } from "./row-builder.ts";
export * from "./samples-processor.ts";
export { closedBefore, isLate, MINUTE_MS, minuteOf } from "./time.ts";
