/** Statistics, ladders and verdicts of experiments between two models: pure. */
export * from "./clusters.ts";
export * from "./distributions.ts";
export * from "./guards.ts";
export * from "./ladder.ts";
export * from "./outcomes.ts";
export * from "./record.ts";
export * from "./sequential.ts";
export * from "./single-look.ts";
export * from "./verdict.ts";
