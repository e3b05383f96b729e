export * from "./kinesis/index.ts";
export * from "./samples/index.ts";
