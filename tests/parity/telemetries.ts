/** What is compared over: the simulated fleet and recorded machines. */
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { fleetRounds, type Injection, planFleet, planReplay, replayRounds } from "../../local/fleet/index.ts";
import {
  compileFeatureSet,
  definitionFromMetrics,
  type FeatureSetDefinition,
  readFeatureSet,
} from "../../processors/index.ts";
import { ODD_MINUTES, oddRounds } from "./odd.ts";
import type { Telemetry } from "./telemetry.ts";

export interface Compared {
  readonly telemetry: Telemetry;
  readonly definition: FeatureSetDefinition;
}

const MINUTE_MS = 60_000;

export interface FleetChoice {
  readonly instances: number;
  readonly minutes: number;
  readonly seed: number;
  readonly set: string;
  readonly endMs?: number;
  readonly inject?: Partial<Injection>;
}

/** Ends by default at noon of a fixed Monday, so that a weekend, a day's end and business hours may lie in it. */
export function fleet({ instances, minutes, seed, set, ...other }: FleetChoice): Compared {
  const endMs = other.endMs ?? Date.UTC(2026, 0, 5, 12);
  const startMs = endMs - minutes * MINUTE_MS;
  const inject = { late: 60, malformed: 10, duplicate: 120, drop: 0, ...other.inject };
  const plan = planFleet({ seed, instances, startMs, endMs, inject });
  const definition = readFeatureSet(set);
  const name = `${instances} instances of the simulated fleet over ${minutes} minutes, ${set}`;
  const rounds = () => fleetRounds(plan);
  const times = { fromMs: startMs, toMs: endMs };
  return { definition, telemetry: { name, featureSet: compileFeatureSet(definition), ...times, rounds } };
}

/** What the fleet never does. `fromHour`: of the 28, where rows begin to be compared. */
export function odd(set: string, fromHour = 0, definition = readFeatureSet(set)): Compared {
  const startMs = Date.UTC(2026, 0, 4, 6);
  const rounds = () => oddRounds(startMs);
  const featureSet = compileFeatureSet(definition);
  const times = { fromMs: startMs + fromHour * 60 * MINUTE_MS, toMs: startMs + ODD_MINUTES * MINUTE_MS };
  return { definition, telemetry: { name: `28 hours of trouble, ${set}`, featureSet, ...times, rounds } };
}

const root = fileURLToPath(new URL("../..", import.meta.url));
export const smdDir = path.join(process.env.WEIR_DATA ?? path.resolve(root, "../shared/data"), "smd");
export const hasSmd = existsSync(smdDir);

/** Recorded machines as a replay sends them: ten columns for each of their metrics. `days`: of the recording's beginning. */
export function recorded(options: { machines: readonly string[]; days: number; hopMinutes: number }): Compared {
  const { machines, days, hopMinutes } = options;
  const plan = planReplay({ dir: smdDir, machines });
  const metrics = plan.machines[0]!.metrics;
  const definition = definitionFromMetrics({ name: `smd-${metrics.length}`, metrics, hopMinutes });
  const fromMs = plan.startMs;
  const toMs = Math.min(plan.endMs, fromMs + days * 1_440 * MINUTE_MS);
  const rounds = function* () {
    for (const round of replayRounds(plan)) {
      yield round;
      if (round.clockMs >= toMs + 60 * MINUTE_MS) return;
    }
  };
  const name = `${machines.length} recorded machine(s) over ${days} days, ${definition.columns.length} columns`;
  return { definition, telemetry: { name, featureSet: compileFeatureSet(definition), fromMs, toMs, rounds } };
}
