export { readTruth, truthBetween, writeTopology, writeTruth } from "./ground-truth.ts";
export { type IncidentKind, incidentKinds } from "./incidents.ts";
export { lateByMs } from "./inject.ts";
export { eventIdHash, readLedger } from "./ledger.ts";
export { type PaceClock, pace } from "./pace.ts";
export { type FleetPlan, type Instance, type LogSource, planFleet } from "./plan.ts";
export {
  type HistoryBounds,
  type MachineLabels,
  planReplay,
  type ReplayHistory,
  type ReplayMachine,
  type ReplayPlan,
  replayHistory,
  replayRounds,
} from "./replay.ts";
export { fleetRounds, roundMs } from "./rounds.ts";
export * from "./types.ts";
export { recordId } from "./wire.ts";
export { type FleetOrigin, type FleetState, FleetWriter, type FleetWriterOptions, readFleetState } from "./writer.ts";
