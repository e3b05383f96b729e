import path from "node:path";
import {
  dayMs,
  type FleetOptions,
  fleetRounds,
  noInjection,
  planFleet,
  type ReplayPlan,
  replayHistory,
  replayRounds,
  type TelemetryRound,
} from "../local/fleet/index.ts";
import type { Progress } from "../local/index.ts";
import type { FeatureSet } from "../processors/index.ts";
import { type ModelJob, modelsUpToDate, trainModels } from "../trainer/index.ts";
import { type HistoryRange, historyRows, type LabelOf, labelsFromTruth } from "./history.ts";
import type { Scenario } from "./scenario.ts";

const MINUTE_MS = 60_000;
/** A row describes this much time; trouble in any of it makes the row anomalous. */
const WINDOW_MS = 15 * MINUTE_MS;
/** No divisor of a day: cold starts at all hours, so that the hour is no sign of one. */
const COLD_START_MS = 130 * MINUTE_MS;
/** Counts up when the rows change though what they are made from does not: models are then trained anew. */
const HISTORY_VERSION = 4;
/** A replay has few machines and few labels; somebody who looks at recorded trouble would rather see more of it. */
const REPLAY_FALSE_EPISODES_PER_DAY = 1.0;
/** What the fleet's models learn from: two simulated days of another fleet than the one they will watch. */
const HISTORY = { seed: 1_009, instances: 40, days: 2 } as const;

/** Forest and XGBoost take every column, CatBoost all but the last. */
export function modelJobs(featureSet: FeatureSet): ModelJob[] {
  const { name, hash, columns } = featureSet;
  const job = (kind: ModelJob["kind"], of: readonly string[]): ModelJob => ({
    name: kind,
    kind,
    featureSet: name,
    featureSetHash: hash,
    columns: of,
  });
  return [
    job("isolation_forest", columns),
    job("xgboost_anomaly", columns),
    job("catboost_anomaly", columns.slice(0, -1)),
  ];
}

/**
 * Trains on history unless the repository already holds models of it. The fleet's history is another simulated fleet's
 * two days; a replay's is what may be learnt from: the unlabelled half and the labels before the exam.
 */
export async function ensureModels(
  scenario: Scenario,
  repository: string,
  cacheDir: string,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const { featureSet } = scenario;
  const models = modelJobs(featureSet);
  const history = scenario.kind === "fleet" ? fleetHistory() : replayHistoryOf(scenario.plan);
  const digest = `${HISTORY_VERSION}/${history.key}/${featureSet.hash}`;
  if (await modelsUpToDate(repository, models, digest)) return;
  progress.begin("history");
  const data = await historyRows(featureSet, history.rounds(), history.labelOf, history.range);
  progress.done("history", `${data.entity.length} rows of ${featureSet.columns.length} features, by the online code`);
  progress.begin("training");
  const report = await trainModels(
    {
      folder: `${repository}.job`,
      repository,
      // Named by what it was made from: the rows need not be computed again to know that the models are up to date.
      data: { ...data, digest },
      models,
      embargoMs: featureSet.lookbackMinutes * MINUTE_MS,
      hopMs: featureSet.hopMinutes * MINUTE_MS,
      ...(scenario.kind === "replay" && { maxFalseEpisodesPerMachineDay: REPLAY_FALSE_EPISODES_PER_DAY }),
    },
    { python: path.join(cacheDir, "tools", "bin", "python"), progress: () => undefined, signal },
  );
  const quality = report.models.map(
    (m) => `${m.name} ${m.quality ? `F1 ${m.quality.f1?.toFixed(2) ?? "none"}` : "unlabelled"}`,
  );
  progress.done("training", quality.join(", "));
}

interface History {
  readonly key: string;
  readonly rounds: () => Iterable<TelemetryRound>;
  readonly labelOf: LabelOf;
  readonly range: HistoryRange;
}

function fleetHistory(): History {
  const { seed, instances, days } = HISTORY;
  // Ends at a fixed Monday, so that its rows, and with them the models, are the same on every machine and day.
  const endMs = Date.UTC(2026, 0, 5);
  const fleet: FleetOptions = { seed, instances, startMs: endMs - days * dayMs, endMs, inject: noInjection };
  const plan = planFleet(fleet);
  return {
    key: `fleet/${JSON.stringify(fleet)}`,
    rounds: () => fleetRounds(plan),
    labelOf: labelsFromTruth(plan.truth, WINDOW_MS),
    range: { toMs: endMs, coldStartEveryMs: COLD_START_MS },
  };
}

function replayHistoryOf(plan: ReplayPlan): History {
  const history = replayHistory(plan);
  const byMachine = new Map(history.machines.map((m) => [m.machine, m]));
  const labelOf: LabelOf = (entity, windowEndMs) => {
    const machine = byMachine.get(entity);
    // Unknown is fitted as normal, but the operating point is chosen on what people have labelled.
    if (!machine || windowEndMs <= machine.labelledFromMs) return -1;
    for (let at = windowEndMs - WINDOW_MS; at < windowEndMs; at += MINUTE_MS) {
      if (machine.labels[(at - machine.fromMs) / MINUTE_MS] === 1) return 1;
    }
    return 0;
  };
  const key = `replay/${plan.machines.map((m) => `${m.name}:${m.csv.length}`).join(",")}`;
  return {
    key,
    rounds: () => replayRounds(plan),
    labelOf,
    range: { toMs: history.examFromMs, coldStartEveryMs: Number.POSITIVE_INFINITY },
  };
}
