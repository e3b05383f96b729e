export { calibrate } from "./calibration.ts";
export * from "./experiments/index.ts";
export type { ModelJob, ModelReport, TrainingData, TrainingJob, TrainingReport } from "./job.ts";
export type { ModelKind } from "./models.ts";
export type { PythonOptions, TrainingProgress } from "./python.ts";
export { latestVersion, modelsUpToDate, publish } from "./repository.ts";
export { splitInTime, type TimeSplit } from "./split.ts";
export { trainModels } from "./train.ts";
