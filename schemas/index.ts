export { Codecs, encodeAvro, standaloneSchema, typeOf } from "./codec.ts";
export * from "./model/manifest.ts";
export * from "./model/serving.ts";
export type * from "./types.ts";
