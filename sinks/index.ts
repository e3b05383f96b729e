export type { ColumnsOf } from "./lake/format.ts";
export { createLake, type Lake, type LakeOptions } from "./lake/lake.ts";
export { folderOf, type LakeStage } from "./lake/layout.ts";
export type { LakeStep } from "./lake/partition.ts";
export { defaultLimits, type LakeLimits } from "./lake/rotate.ts";
export { encodeFeatureFile } from "./lake/rows.ts";
export type { S3 } from "./lake/store.ts";
