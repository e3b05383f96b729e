export * from "./commands.ts";
export { type ControlOptions, ControlProcessor } from "./control.ts";
export { armsText } from "./experiment.ts";
export { type Explained, explainDecisions } from "./explain.ts";
export { type MeasureOptions, MeasureProcessor } from "./measure.ts";
