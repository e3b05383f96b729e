import { readFileSync } from "node:fs";
import { WeirError } from "../../streams/index.ts";
import { expandDefinition, type StoredDefinition } from "./expand.ts";
import {
  type ColumnDefinition,
  compileFeatureSet,
  type FeatureSet,
  type FeatureSetDefinition,
  type Statistic,
} from "./feature-set.ts";

type StoredFile = StoredDefinition | { name: string; extends: string; without: readonly string[] };

/** The definition in `schemas/feature-sets/<name>.json`, with what it extends written in. Throws `FEATURE_SET_UNKNOWN`. */
export function readFeatureSet(name: string): FeatureSetDefinition {
  let text: string;
  try {
    if (!/^[a-z0-9-]+$/.test(name)) throw new RangeError(name);
    text = readFileSync(new URL(`../../schemas/feature-sets/${name}.json`, import.meta.url), "utf8");
  } catch (cause) {
    throw new WeirError(
      "FEATURE_SET_UNKNOWN",
      "fatal",
      `There is no feature set named ${name}.`,
      "Name a file of schemas/feature-sets without its ending.",
      { cause },
    );
  }
  const stored = JSON.parse(text) as StoredFile;
  if (!("extends" in stored)) return expandDefinition(stored);
  const base = readFeatureSet(stored.extends);
  return { ...base, name: stored.name, columns: base.columns.filter((c) => !stored.without.includes(c.name)) };
}

export const loadFeatureSet = (name: string): FeatureSet => compileFeatureSet(readFeatureSet(name));

const perMetric: readonly Statistic[] = ["last", "mean", "std", "min", "max", "slope"];
const perMetricLags = [1, 5, 15] as const;

/**
 * A feature set for any metrics a minute, ten columns each: last value, mean, std, min, max and slope of 15 minutes,
 * lags 1, 5 and 15, change rate. Nothing is known of their units: every finite value is in range.
 */
export const featureSetFromMetrics = (of: NamedMetrics): FeatureSet => compileFeatureSet(definitionFromMetrics(of));

export interface NamedMetrics {
  readonly name: string;
  readonly metrics: readonly string[];
  readonly hopMinutes: number;
}

export function definitionFromMetrics(of: NamedMetrics): FeatureSetDefinition {
  return {
    name: of.name,
    hopMinutes: of.hopMinutes,
    windowMinutes: 15,
    timezone: "UTC",
    // Scaled metrics lie in 0..1; a hundredth keeps the change rate of a metric at rest from exploding.
    signals: of.metrics.map((metric) => ({ name: metric, metric, unit: "None", centre: 0, smallestUnit: 0.01 })),
    columns: of.metrics.flatMap((metric): ColumnDefinition[] => [
      ...perMetric.map((statistic) => ({ name: `${metric}_${statistic}`, signal: metric, statistic })),
      ...perMetricLags.map((lagMinutes) => ({ name: `${metric}_lag_${lagMinutes}`, signal: metric, lagMinutes })),
      { name: `${metric}_change_rate`, changeRateOf: [metric] },
    ]),
  };
}
