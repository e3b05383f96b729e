import { join } from "node:path";
import {
  dayMs,
  type FleetOptions,
  fleetRounds,
  noInjection,
  planFleet,
  type ReplayPlan,
  replayHistory,
  replayRounds,
} from "../local/fleet/index.ts";
import type { FeatureSet } from "../processors/index.ts";
import { type ModelJob, modelsUpToDate, type TrainingData, trainModels } from "../trainer/index.ts";
import { historyRows, labelsFromTruth } from "./history.ts";

const MINUTE_MS = 60_000;
/** What the fleet's models learn from: two simulated days of another fleet than the one they will watch. */
const HISTORY = { seed: 1_009, instances: 40, days: 2 } as const;

export interface ModelsOptions {
  readonly featureSet: FeatureSet;
  readonly repository: string;
  readonly folder: string;
  /** Interpreter of the tools environment. */
  readonly python: string;
  readonly progress: (line: string) => void;
}

/** The models of issue: forest and XGBoost take every column, CatBoost all but the last. */
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

/** Trains on simulated history unless the repository already holds models of it. Returns whether it trained. */
export async function ensureFleetModels(options: ModelsOptions): Promise<boolean> {
  // History ends at a fixed Monday, so that its rows, and with them the models, are the same on every machine.
  const endMs = Date.UTC(2026, 0, 5);
  const fleet: FleetOptions = {
    seed: HISTORY.seed,
    instances: HISTORY.instances,
    startMs: endMs - HISTORY.days * dayMs,
    endMs,
    inject: noInjection,
  };
  const key = `fleet/${JSON.stringify(fleet)}`;
  return await ensure(options, key, (progress) => {
    const plan = planFleet(fleet);
    const labels = labelsFromTruth(plan.truth, 15 * MINUTE_MS);
    return historyRows(options.featureSet, fleetRounds(plan), labels, { fromMs: fleet.startMs, toMs: endMs }, progress);
  });
}

/** Trains on what may be learnt from of a replay: the unlabelled half, taken as normal, and the labels before the exam. */
export async function ensureReplayModels(options: ModelsOptions, plan: ReplayPlan): Promise<boolean> {
  const history = replayHistory(plan);
  const byMachine = new Map(history.machines.map((m) => [m.machine, m]));
  const labelOf = (entity: string, windowEndMs: number): -1 | 0 | 1 => {
    const machine = byMachine.get(entity);
    if (!machine || windowEndMs <= machine.labelledFromMs) return 0;
    for (let at = windowEndMs - 15 * MINUTE_MS; at < windowEndMs; at += MINUTE_MS) {
      if (machine.labels[(at - machine.fromMs) / MINUTE_MS] === 1) return 1;
    }
    return 0;
  };
  const key = `replay/${plan.machines.map((m) => `${m.name}:${m.csv.length}`).join(",")}`;
  return await ensure(options, key, (progress) =>
    historyRows(
      options.featureSet,
      replayRounds(plan),
      labelOf,
      { fromMs: history.startMs, toMs: history.examFromMs },
      progress,
    ),
  );
}

async function ensure(
  options: ModelsOptions,
  key: string,
  rows: (progress: (share: number) => void) => Promise<TrainingData>,
): Promise<boolean> {
  const { featureSet, repository, folder, python, progress } = options;
  const models = modelJobs(featureSet);
  const digest = `${key}/${featureSet.hash}`;
  if (await modelsUpToDate(repository, models, digest)) return false;
  let shown = -1;
  const data = await rows((share) => {
    const percent = Math.floor(share * 10) * 10;
    if (percent > shown) progress(`computing history features: ${percent} %`);
    shown = Math.max(shown, percent);
  });
  progress(`training on ${data.entity.length} rows of ${featureSet.columns.length} features`);
  await trainModels(
    {
      folder: join(folder, "job"),
      repository,
      // Named by what it was made from: the same rows need not be computed to know that the models are up to date.
      data: { ...data, digest },
      models,
      embargoMs: featureSet.lookbackMinutes * MINUTE_MS,
      hopMs: featureSet.hopMinutes * MINUTE_MS,
    },
    { python, progress: ({ step, model, detail }) => progress(`${step}${model ? ` ${model}` : ""}: ${detail}`) },
  );
  return true;
}
