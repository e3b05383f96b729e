import { topics } from "../pipeline.ts";
import type { Label } from "../schemas/index.ts";
import { partitionFor } from "../streams/index.ts";
import { brokerOf } from "./clients.ts";
import { connectCodecs } from "./init.ts";
import { publishRecord } from "./publish.ts";
import { configFor } from "./run.ts";

export interface LabelOptions {
  readonly author: string;
  readonly note: string;
  /** Event time from which on it was known; default: now. */
  readonly at?: number;
}

/** `weir label`: what a person says about one window of one entity. A later label of the same window replaces it. */
export async function label(
  entity: string,
  windowEndMs: number,
  verdict: "anomaly" | "normal",
  options: LabelOptions,
): Promise<void> {
  const config = await configFor([]);
  const value: Label = {
    entity,
    windowEndMs,
    anomalous: verdict === "anomaly",
    knownAtMs: options.at ?? Date.now(),
    author: options.author,
    source: "command",
    modelVersion: "",
    note: options.note,
  };
  await publishRecord(brokerOf(config), await connectCodecs(config), config, {
    topic: topics.labels,
    partition: partitionFor(entity, config.partitions),
    key: `${entity}/${windowEndMs}`,
    value,
    timestampMs: value.knownAtMs,
  });
  process.stdout.write(`${entity} at ${new Date(windowEndMs).toISOString()}: ${verdict}.\n`);
}
