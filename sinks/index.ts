export type { ColumnsOf } from "./lake/format.ts";
export { createLake, type Lake, type LakeOptions } from "./lake/lake.ts";
export type { LakeStage } from "./lake/layout.ts";
export { defaultLimits, type LakeLimits } from "./lake/rotate.ts";
export type { S3 } from "./lake/store.ts";
