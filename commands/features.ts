import { describeAsTable, describeColumns } from "../processors/index.ts";
import { featureSetOf } from "./clients.ts";
import { configFor } from "./run.ts";

const WORST = 20;

/** `weir features quality`: quality of the lake's rows, by day and entity. */
export async function showQuality(options: {
  readonly from: number;
  readonly to: number;
  readonly json: boolean;
}): Promise<void> {
  // Loaded here, so that a description does not wait for the AWS SDK.
  const { qualityReport } = await import("../ops/index.ts");
  const { s3Of } = await import("./aws-clients.ts");
  const config = await configFor(["s3Bucket"]);
  const days = await qualityReport({ s3: s3Of(config), bucket: config.s3Bucket }, options.from, options.to);
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ days })}\n`);
    return;
  }
  if (days.length === 0) process.stdout.write("The lake has no rows of that time.\n");
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`.padStart(9);
  let shown = 0;
  for (const { day, entity, rows, mean, lowest } of days) {
    shown = entity === null ? 0 : shown + 1;
    if (shown > WORST) continue;
    const who = entity === null ? `${day}, all entities` : `  ${entity}`;
    process.stdout.write(`${percent(mean)}  lowest ${percent(lowest)}  ${String(rows).padStart(9)} rows  ${who}\n`);
  }
}

/** `weir features describe`: every column of a set, generated from its definition. */
export function describeFeatures(
  featureSet: string,
  options: { readonly json: boolean; readonly markdown: boolean },
): void {
  const set = featureSetOf({ featureSet });
  const columns = describeColumns(set.definition);
  if (options.json) {
    const { name, hash, hopMinutes, windowMinutes } = set;
    process.stdout.write(`${JSON.stringify({ name, hash, hopMinutes, windowMinutes, columns })}\n`);
    return;
  }
  if (options.markdown) {
    process.stdout.write(`${describeAsTable(columns)}\n`);
    return;
  }
  process.stdout.write(`${set.name} ${set.hash}: ${columns.length} columns, a row every ${set.hopMinutes} min\n`);
  for (const { name, formula, unit, missing } of columns) {
    process.stdout.write(`\n${name}\n  ${formula}\n  unit: ${unit}; missing: ${missing}\n`);
  }
}
