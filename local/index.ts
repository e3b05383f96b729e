export { type ComponentName, componentNames, defaultComponents } from "./components/index.ts";
export { type Check, doctor, doctorReport } from "./doctor.ts";
export type { AiEndpoint, Endpoints, KinesisEndpoint, S3Endpoint, TritonEndpoint } from "./endpoints.ts";
export { createProgress, type Progress, silentProgress } from "./progress.ts";
export { defaultCacheDir, type SetUpOptions, setUp, setUpOldKafka } from "./setup/index.ts";
export {
  endpointsFileOf,
  type RecordedComponent,
  type Stack,
  type StackOptions,
  startStack,
  statusByRunDir,
  stopByRunDir,
} from "./stack.ts";
export type { ComponentStatus } from "./supervisor.ts";
