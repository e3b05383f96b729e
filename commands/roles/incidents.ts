import { stages, topics, writtenBy } from "../../pipeline.ts";
import { IncidentsProcessor, rulesForHop } from "../../processors/index.ts";
import type { AnomalyEdge } from "../../schemas/index.ts";
import type { Runnable, StageBinding } from "../../streams/index.ts";
import { featureSetOf } from "../clients.ts";
import { type RoleContext, stageRunner } from "../roles.ts";

const MINUTE_MS = 60_000;

export function create(context: RoleContext): Runnable[] {
  const { partitions } = context.config;
  const hopMs = featureSetOf(context.config).hopMinutes * MINUTE_MS;
  const rules = rulesForHop(hopMs);
  const sources = Array.from({ length: partitions }, (_, p) => `score/${p}`);
  const binding: StageBinding = {
    stage: stages.incidents.name,
    input: topics.anomaliesByGroup,
    outputs: writtenBy(stages.incidents),
    create: () => new IncidentsProcessor({ output: topics.incidents, rules, sources }),
    watermarkOf: (edge: AnomalyEdge) => edge.clockMs,
    fingerprint: `incidents/1/${partitions}/${JSON.stringify(rules)}`,
  };
  return [stageRunner(context, stages.incidents, binding)];
}
