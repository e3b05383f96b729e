export * from "./explain/index.ts";
export * from "./features/index.ts";
export * from "./incidents/index.ts";
export * from "./parse/index.ts";
export * from "./score/index.ts";
export * from "./templates/index.ts";
