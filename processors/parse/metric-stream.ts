import { canonicalMetricName, isComplement } from "./metric-names.ts";
import { fromSummary } from "./statistics.ts";
import { type FoundMetrics, isObject, type JsonObject } from "./types.ts";

/** Dimensions that name what a metric of AWS is about, most telling first. */
const entityDimensions = ["InstanceId", "DBInstanceIdentifier", "FunctionName", "LoadBalancer", "LoadBalancerName"];

/** True for the JSON form of a CloudWatch metric stream's datum, which is how load balancers' metrics come. */
export const claimsMetricStream = (document: JsonObject): boolean =>
  "metric_stream_name" in document && "metric_name" in document;

/** The one metric of a metric stream's datum, as observations with its minimum, maximum, sum and count. */
export function readMetricStream(document: JsonObject): FoundMetrics | string {
  const { metric_name: name, namespace, dimensions, value, unit } = document;
  if (typeof name !== "string") return "metric_name";
  if (typeof namespace !== "string") return "namespace";
  if (!isObject(dimensions)) return "dimensions";
  if (!isObject(value)) return "value";
  const odd = Object.keys(dimensions).find((key) => typeof dimensions[key] !== "string");
  if (odd !== undefined) return `dimensions.${odd.slice(0, 64)}`;
  if (unit !== undefined && unit !== null && typeof unit !== "string") return "unit";
  const values = fromSummary(value.min, value.max, value.sum, value.count);
  if (typeof values === "string") return `value.${values}`;
  const named = entityDimensions.find((key) => typeof dimensions[key] === "string");
  const first = Object.values(dimensions).find((v) => typeof v === "string");
  return {
    entity: ((named === undefined ? first : dimensions[named]) as string | undefined) ?? null,
    samples: [
      {
        name: canonicalMetricName(name, namespace),
        values: isComplement(name) ? values.map((v) => 100 - v) : values,
        unit: typeof unit === "string" ? unit : "None",
      },
    ],
  };
}
