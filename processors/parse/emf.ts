import { canonicalMetricName, isComplement } from "./metric-names.ts";
import type { JsonObject, MetricSample } from "./types.ts";

/** Limits of CloudWatch's embedded metric format specification. */
const MAX_METRICS_PER_DIRECTIVE = 100;
const MAX_VALUES_PER_METRIC = 100;
const MAX_DIMENSIONS_PER_SET = 30;
const MAX_DIMENSION_LENGTH = 1024;

export interface EmbeddedMetrics {
  readonly entity: string | null;
  readonly samples: MetricSample[];
}

/** True when the document claims to be in the embedded metric format, right or wrong. */
export function claimsEmbeddedMetrics(document: JsonObject): boolean {
  const aws = document._aws;
  return isObject(aws) && "CloudWatchMetrics" in aws;
}

/**
 * Samples of a document in the embedded metric format; null if its shape is wrong anywhere.
 *
 * A metric named by several directives or dimension sets is one observation and is taken once.
 */
export function readEmbeddedMetrics(document: JsonObject): EmbeddedMetrics | null {
  const aws = document._aws as JsonObject;
  const directives = aws.CloudWatchMetrics;
  if (!isFiniteNumber(aws.Timestamp) || !Array.isArray(directives)) return null;
  const samples: MetricSample[] = [];
  const taken = new Set<string>();
  let entity: string | null = null;
  for (const directive of directives as unknown[]) {
    if (!isObject(directive) || typeof directive.Namespace !== "string") return null;
    const named = readDimensions(document, directive.Dimensions);
    if (named === null) return null;
    entity ??= named.entity;
    const metrics = directive.Metrics;
    if (!Array.isArray(metrics) || metrics.length > MAX_METRICS_PER_DIRECTIVE) return null;
    for (const metric of metrics as unknown[]) {
      if (!isObject(metric) || typeof metric.Name !== "string") return null;
      const values = readValues(document[metric.Name]);
      if (values === null) return null;
      const name = canonicalMetricName(metric.Name);
      if (taken.has(name)) continue;
      taken.add(name);
      samples.push({
        name,
        values: isComplement(metric.Name) ? values.map((v) => 100 - v) : values,
        unit: typeof metric.Unit === "string" ? metric.Unit : "None",
      });
    }
  }
  return { entity, samples };
}

/** Checks the dimension sets (arrays of root members that hold text) and picks the entity. */
function readDimensions(document: JsonObject, sets: unknown): { entity: string | null } | null {
  if (!Array.isArray(sets)) return null;
  let first: string | null = null;
  let instance: string | null = null;
  for (const set of sets as unknown[]) {
    if (!Array.isArray(set) || set.length > MAX_DIMENSIONS_PER_SET) return null;
    for (const key of set as unknown[]) {
      if (typeof key !== "string") return null;
      const value = document[key];
      if (typeof value !== "string" || value.length > MAX_DIMENSION_LENGTH) return null;
      first ??= value;
      if (key === "InstanceId") instance = value;
    }
  }
  return { entity: instance ?? first };
}

function readValues(target: unknown): number[] | null {
  if (typeof target === "number") return [target];
  if (!Array.isArray(target) || target.length > MAX_VALUES_PER_METRIC) return null;
  return target.every((v) => typeof v === "number") ? (target as number[]) : null;
}

const isFiniteNumber = (value: unknown): boolean => typeof value === "number" && Number.isFinite(value);

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
