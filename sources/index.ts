export * from "./kinesis/index.ts";
