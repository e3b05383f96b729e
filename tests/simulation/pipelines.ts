import { countedWindows } from "./counted-windows.ts";
import { fleet } from "./fleet.ts";
import type { SimulatedPipeline } from "./pipeline.ts";
import { samples } from "./samples.ts";

export const pipelines: readonly SimulatedPipeline[] = [
  countedWindows(),
  countedWindows("by group"),
  fleet(),
  samples(),
];
