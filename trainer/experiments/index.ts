/** Statistics, ladders and verdicts of experiments between two models: pure. */
export * from "./clusters.ts";
export * from "./distributions.ts";
export * from "./guards.ts";
export * from "./sequential.ts";
export * from "./single-look.ts";
