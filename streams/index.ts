export * from "./clocks.ts";
export * from "./errors.ts";
export * from "./key-value-store.ts";
export * from "./names.ts";
export * from "./partitioner.ts";
export * from "./ports.ts";
export * from "./processor.ts";
export * from "./runnable.ts";
