import { countedWindows } from "./counted-windows.ts";
import { fleet } from "./fleet.ts";
import type { SimulatedPipeline } from "./pipeline.ts";

export const pipelines: readonly SimulatedPipeline[] = [countedWindows(), countedWindows("by group"), fleet()];
