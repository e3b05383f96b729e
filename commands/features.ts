import { describeAsTable, describeColumns } from "../processors/index.ts";
import { featureSetOf } from "./clients.ts";

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
