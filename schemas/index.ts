export { Codecs, standaloneSchema, typeOf } from "./codec.ts";
export type * from "./types.ts";
