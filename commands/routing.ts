import { readdirSync } from "node:fs";
import path from "node:path";
import type { Config } from "../config.ts";
import { armsText, parseModelVersion } from "../control/index.ts";
import { decodeValue, readTopic } from "../ops/index.ts";
import { topics } from "../pipeline.ts";
import type { Codecs, PredictionBatch, RoutingConfig, RoutingMode } from "../schemas/index.ts";
import { type Broker, WeirError } from "../streams/index.ts";
import { RoutingTable, readManifest, validateRouting } from "../triton/index.ts";
import { brokerOf } from "./clients.ts";
import { connectCodecs } from "./init.ts";
import { ROUTING_FAMILY } from "./model-names.ts";
import { newestTime, publishRecord } from "./publish.ts";
import { configFor } from "./run.ts";

/** R41: 70 % of the entities to XGBoost, 30 % to CatBoost. */
const WEIGHTS = [
  ["xgboost_anomaly", 70],
  ["catboost_anomaly", 30],
] as const;
const MINUTE_MS = 60_000;

/**
 * Puts the newest version of both models into force, unless a routing version stands already that an experiment or a
 * person wrote, or that says so. Versions only count up: an old row replayed later finds the version that scored it.
 */
export async function publishRouting(
  broker: Broker,
  codecs: Codecs,
  config: Config,
  effectiveFromMs: number,
): Promise<void> {
  const author = "weir start";
  const last = (await readRouting(broker, codecs)).at(-1);
  const arms = WEIGHTS.map(([model, weight]) => ({
    model,
    modelVersion: newestVersion(config.modelRepository, model),
    weight,
  }));
  if (last && (last.author !== author || armsText(last) === armsText({ arms }))) return;
  const value = { ...withoutExperiment, mode: "split" as const, salt: ROUTING_FAMILY, effectiveFromMs, arms, author };
  await writeRouting(broker, codecs, config, { ...value, version: (last?.version ?? 0) + 1, createdAtMs: Date.now() });
}

const withoutExperiment = { family: ROUTING_FAMILY, experiment: "", labelledUntilMs: 0 };

async function writeRouting(broker: Broker, codecs: Codecs, config: Config, value: RoutingConfig): Promise<void> {
  const record = { topic: topics.routing, partition: 0, key: `${value.family}/${value.version}` };
  await publishRecord(broker, codecs, config, { ...record, value, timestampMs: value.createdAtMs });
  // Of two records of one version every reader keeps the first, but compaction the last: the loser writes it again.
  const first = (await readRouting(broker, codecs)).find((v) => v.version === value.version)!;
  if (codecs.encode(topics.routing, first).equals(codecs.encode(topics.routing, value))) return;
  await publishRecord(broker, codecs, config, { ...record, value: first, timestampMs: first.createdAtMs });
  throw new WeirError(
    "ROUTING_CONFLICT",
    "fatal",
    `${first.author} wrote routing version ${value.version} at the same moment; it stands.`,
    "Look at `weir routing show` and write yours again if it is still wanted.",
  );
}

/** Every good version of the family, oldest first; of two records of one version the first. */
async function readRouting(broker: Broker, codecs: Codecs): Promise<RoutingConfig[]> {
  const table = new RoutingTable(ROUTING_FAMILY, () => true);
  for await (const { value } of readTopic(broker, topics.routing)) {
    if (!value) continue;
    const config = await decodeValue<RoutingConfig>(codecs, topics.routing, value);
    table.offer({ ...config, arms: config.arms.map((arm) => ({ ...arm })) });
  }
  return [...table.versions()];
}

const newestVersion = (repository: string, model: string): string =>
  String(
    Math.max(
      ...readdirSync(path.join(repository, model))
        .filter((name) => /^\d+$/.test(name))
        .map(Number),
    ),
  );

/** `weir routing show`: the versions, newest first. */
export async function routingShow({ json }: { json: boolean }): Promise<void> {
  const config = await configFor([]);
  const versions = (await readRouting(brokerOf(config), await connectCodecs(config))).reverse();
  if (json) process.stdout.write(`${JSON.stringify({ family: ROUTING_FAMILY, versions })}\n`);
  else if (versions.length === 0) process.stdout.write("No routing version stands: no row is scored.\n");
  for (const v of json ? [] : versions) {
    const from = new Date(v.effectiveFromMs).toISOString();
    const experiment = v.experiment === "" ? "" : `  experiment ${v.experiment}`;
    process.stdout.write(
      `${String(v.version).padStart(4)}  from ${from}  ${v.mode}  ${armsText(v)}  by ${v.author}${experiment}\n`,
    );
  }
}

export interface RoutingSetOptions {
  /** `model/version=percent`, in order. */
  readonly arm: readonly string[];
  readonly mode: RoutingMode;
  readonly salt: string;
  readonly author: string;
  /** Window end from which on it counts; default: the minute after the newest prediction. */
  readonly from?: number;
}

/** `weir routing set`: writes a version, or refuses it with every fault named (`ROUTING_INVALID`). */
export async function routingSet(options: RoutingSetOptions): Promise<void> {
  const config = await configFor(["modelRepository"]);
  const broker = brokerOf(config);
  const codecs = await connectCodecs(config);
  const unreadable = options.arm.filter((text) => readArm(text) === null);
  const arms = options.arm.flatMap((text) => readArm(text) ?? []);
  const newest = await newestTime<PredictionBatch>(
    broker,
    codecs,
    topics.predictions,
    config.partitions,
    (p) => p.windowEndMs,
  );
  const nowMs = Date.now();
  const value: RoutingConfig = {
    ...withoutExperiment,
    version: ((await readRouting(broker, codecs)).at(-1)?.version ?? 0) + 1,
    mode: options.mode,
    salt: options.salt,
    effectiveFromMs: options.from ?? Math.floor((newest ?? nowMs) / MINUTE_MS + 1) * MINUTE_MS,
    arms,
    author: options.author,
    createdAtMs: nowMs,
  };
  const faults = [
    ...unreadable.map((text) => `${text} is not model/version=percent`),
    ...validateRouting(value, (model, version) => isPublished(config.modelRepository, model, version)),
  ];
  if (faults.length > 0)
    throw new WeirError(
      "ROUTING_INVALID",
      "fatal",
      `Nothing was written: ${faults.join("; ")}.`,
      "Name versions that lie in the model repository, with weights that add up to 100.",
    );
  await writeRouting(broker, codecs, config, value);
  const from = new Date(value.effectiveFromMs).toISOString();
  process.stdout.write(`Routing version ${value.version} stands from ${from} on: ${armsText(value)}\n`);
}

function readArm(text: string): { model: string; modelVersion: string; weight: number } | null {
  const [, arm, weight] = /^(.*)=(\d{1,3})$/.exec(text) ?? [];
  const parsed = arm === undefined ? null : parseModelVersion(arm);
  return parsed && { model: parsed.model, modelVersion: parsed.version, weight: Number(weight) };
}

export function isPublished(repository: string, model: string, version: string): boolean {
  try {
    readManifest(path.join(repository, model, version));
    return true;
  } catch {
    return false;
  }
}
