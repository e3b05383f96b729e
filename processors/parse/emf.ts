import { canonicalMetricName, isComplement } from "./metric-names.ts";
import { readObservations } from "./statistics.ts";
import { type FoundMetrics, isObject, type JsonObject, type MetricSample } from "./types.ts";

/** Limits of CloudWatch's embedded metric format specification. */
const MAX_METRICS_PER_DIRECTIVE = 100;
const MAX_VALUES_PER_METRIC = 100;
const MAX_DIMENSIONS_PER_SET = 30;
const MAX_DIMENSION_NAME_LENGTH = 250;
const MAX_NAME_LENGTH = 1024;

/** True when the document claims to be in the embedded metric format, right or wrong. */
export function claimsEmbeddedMetrics(document: JsonObject): boolean {
  const aws = document._aws;
  return isObject(aws) && "CloudWatchMetrics" in aws;
}

/**
 * Samples of a document in the embedded metric format, or where it is wrong: one wrong place spoils it all.
 *
 * A metric named by several directives or dimension sets is one observation and is taken once. Besides numbers and
 * arrays of them, a target may be a statistic set, as collectors write them.
 */
export function readEmbeddedMetrics(document: JsonObject): FoundMetrics | string {
  const aws = document._aws as JsonObject;
  const directives = aws.CloudWatchMetrics;
  if (!Number.isInteger(aws.Timestamp) || (aws.Timestamp as number) < 0) return "_aws.Timestamp";
  if (!Array.isArray(directives)) return "_aws.CloudWatchMetrics";
  const samples: MetricSample[] = [];
  const taken = new Set<string>();
  let entity: string | null = null;
  for (const directive of directives as unknown[]) {
    if (!isObject(directive)) return "_aws.CloudWatchMetrics[]";
    const { Namespace: namespace, Metrics: metrics } = directive;
    if (!isName(namespace)) return "Namespace";
    const named = readDimensions(document, directive.Dimensions);
    if (typeof named === "string") return named;
    entity ??= named.entity;
    if (!Array.isArray(metrics) || metrics.length > MAX_METRICS_PER_DIRECTIVE) return "Metrics";
    for (const metric of metrics as unknown[]) {
      if (!isObject(metric)) return "Metrics[]";
      const { Name: own, Unit: unit, StorageResolution: resolution } = metric;
      if (!isName(own)) return "Metrics[].Name";
      if (unit !== undefined && typeof unit !== "string") return "Metrics[].Unit";
      if (resolution !== undefined && resolution !== 1 && resolution !== 60) return "Metrics[].StorageResolution";
      const values = readObservations(document[own], MAX_VALUES_PER_METRIC);
      if (typeof values === "string") return `value of ${own.slice(0, 64)}${values}`;
      const name = canonicalMetricName(own, namespace);
      if (taken.has(name)) continue;
      taken.add(name);
      samples.push({
        name,
        values: isComplement(own) ? values.map((v) => 100 - v) : values,
        unit: unit ?? "None",
      });
    }
  }
  return { entity, samples };
}

const isName = (value: unknown): value is string =>
  typeof value === "string" && value !== "" && value.length <= MAX_NAME_LENGTH;

/** Checks the dimension sets (arrays of root members that hold text) and picks the entity; a text says what is wrong. */
function readDimensions(document: JsonObject, sets: unknown): { entity: string | null } | string {
  if (!Array.isArray(sets)) return "Dimensions";
  let first: string | null = null;
  let instance: string | null = null;
  for (const set of sets as unknown[]) {
    if (!Array.isArray(set) || set.length > MAX_DIMENSIONS_PER_SET) return "Dimensions[]";
    for (const key of set as unknown[]) {
      if (typeof key !== "string" || key === "" || key.length > MAX_DIMENSION_NAME_LENGTH) return "Dimensions[][]";
      const value = document[key];
      if (typeof value !== "string" || value.length > MAX_NAME_LENGTH) return `dimension ${key.slice(0, 64)}`;
      first ??= value;
      if (key === "InstanceId") instance = value;
    }
  }
  return { entity: instance ?? first };
}
