import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import path from "node:path";
import {
  dayMs,
  type FleetPlan,
  type Injection,
  minuteMs,
  planFleet,
  planReplay,
  type ReplayPlan,
  readFleetState,
  replayHistory,
  type Topology,
  type TruthIncident,
  truthBetween,
} from "../local/fleet/index.ts";
import { type FeatureSet, featureSetFromMetrics, loadFeatureSet } from "../processors/index.ts";
import { WeirError } from "../streams/index.ts";

export interface ScenarioOptions {
  readonly seed: number;
  readonly instances: number;
  readonly minutes: number;
  readonly inject: Injection;
  /** End of simulated time; default: the last midnight UTC. */
  readonly endMs?: number;
  readonly replay?: string;
  readonly machines?: readonly string[];
}

interface Common {
  readonly title: string;
  readonly startMs: number;
  readonly endMs: number;
  /** Windows that end before it are not scored. */
  readonly scoreFromMs: number;
  /** What is known to have happened in the scored time. */
  readonly truth: readonly TruthIncident[];
  readonly topology: Topology;
  readonly topologyFile: string;
  readonly featureSet: FeatureSet;
  /** For WEIR_FEATURE_SET. */
  readonly featureSetName: string;
  readonly machineDays: number;
  readonly inject: Injection | undefined;
  /** What identifies the telemetry. */
  readonly origin: Readonly<Record<string, string | number>>;
  /** Folder of the trained models: equal for scenarios that share them. */
  readonly modelsKey: string;
}

/** What a run watches: a simulated fleet, or recorded machines. */
export type Scenario = Common &
  ({ readonly kind: "fleet"; readonly plan: FleetPlan } | { readonly kind: "replay"; readonly plan: ReplayPlan });

/** A replay's machines were recorded minute by minute and are judged by quarters of an hour. */
const REPLAY_HOP_MINUTES = 15;

export function prepareScenario(options: ScenarioOptions, runDir: string): Scenario {
  return options.replay === undefined
    ? fleetScenario(options, runDir)
    : replayScenario(options, options.replay, runDir);
}

function fleetScenario(options: ScenarioOptions, runDir: string): Scenario {
  const { seed, instances, minutes, inject } = options;
  // Up to midnight, not to the minute: hour and weekday are features, and the same seed shall give the same bytes all day.
  // A folder that was begun goes on with its own time, whatever the day.
  const begun = readFleetState(path.join(runDir, "fleet.json"))?.origin;
  const same = begun?.seed === seed && begun.instances === instances && begun.minutes === minutes;
  const endMs = options.endMs ?? (same ? Number(begun.endMs) : Math.floor(Date.now() / dayMs) * dayMs);
  const startMs = endMs - minutes * minuteMs;
  const plan = planFleet({ seed, instances, startMs, endMs, inject });
  const featureSet = loadFeatureSet("core-37");
  return {
    kind: "fleet",
    plan,
    title: `${instances} instances, ${minutes} simulated minutes`,
    startMs,
    endMs,
    scoreFromMs: 0,
    truth: plan.truth,
    topology: plan.topology,
    topologyFile: path.join(runDir, "topology.json"),
    featureSet,
    featureSetName: featureSet.name,
    machineDays: (instances * minutes * minuteMs) / dayMs,
    inject,
    origin: { kind: "fleet", seed, instances, minutes, startMs, endMs, ...inject },
    modelsKey: `fleet-${featureSet.hash}`,
  };
}

function replayScenario(options: ScenarioOptions, dir: string, runDir: string): Scenario {
  const plan = planReplay({ dir, ...(options.machines && { machines: options.machines }) });
  const { examFromMs } = replayHistory(plan);
  const [first, ...others] = plan.machines;
  const odd = others.find((m) => m.metrics.join() !== first!.metrics.join());
  if (odd) {
    throw new WeirError(
      "REPLAY_COLUMNS",
      "fatal",
      `${odd.name} has other columns than ${first!.name}.`,
      "Replay machines of one layout together: --machines a,b.",
    );
  }
  const definition = {
    name: `replay-${first!.metrics.length}`,
    metrics: first!.metrics,
    hopMinutes: REPLAY_HOP_MINUTES,
  };
  const featureSet = featureSetFromMetrics(definition);
  const featureSetFile = path.join(runDir, "feature-set.json");
  writeFileSync(featureSetFile, `${JSON.stringify(definition, null, 1)}\n`);
  const names = plan.machines.map((m) => m.name);
  const machines = names.join(",");
  return {
    kind: "replay",
    plan,
    title: `${names.length} recorded machine(s) from ${path.basename(path.resolve(dir))}`,
    startMs: plan.startMs,
    endMs: plan.endMs,
    scoreFromMs: examFromMs,
    truth: truthBetween(plan.truth, examFromMs, plan.endMs),
    topology: plan.topology,
    topologyFile: path.join(runDir, "topology.json"),
    featureSet,
    featureSetName: featureSetFile,
    machineDays: plan.machines.reduce((days, m) => days + Math.max(0, m.endMs - examFromMs) / dayMs, 0),
    inject: undefined,
    origin: { kind: "replay", machines, startMs: plan.startMs, endMs: plan.endMs },
    modelsKey: `replay-${featureSet.hash}-${createHash("sha256").update(machines).digest("hex").slice(0, 12)}`,
  };
}
