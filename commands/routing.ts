import { readdirSync } from "node:fs";
import path from "node:path";
import type { Config } from "../config.ts";
import { topics } from "../pipeline.ts";
import type { Codecs, RoutingConfig } from "../schemas/index.ts";
import type { Broker } from "../streams/index.ts";
import { ROUTING_FAMILY } from "./roles.ts";

/** R41: 70 % of the entities to XGBoost, 30 % to CatBoost. */
const WEIGHTS = [
  ["xgboost_anomaly", 70],
  ["catboost_anomaly", 30],
] as const;

/**
 * Puts the newest version of both models into force, unless the newest routing version already says so. Versions only
 * count up: an old row replayed later finds the version that scored it.
 */
export async function publishRouting(
  broker: Broker,
  codecs: Codecs,
  config: Config,
  effectiveFromMs: number,
): Promise<void> {
  const known = await readRouting(broker, codecs);
  const arms = WEIGHTS.map(([model, weight]) => ({
    model,
    modelVersion: newestVersion(config.modelRepository, model),
    weight,
  }));
  const last = known.at(-1);
  if (last && JSON.stringify(last.arms) === JSON.stringify(arms)) return;
  const value: RoutingConfig = {
    family: ROUTING_FAMILY,
    version: (last?.version ?? 0) + 1,
    mode: "split",
    salt: ROUTING_FAMILY,
    effectiveFromMs,
    arms,
    author: "weir start",
    createdAtMs: Date.now(),
    experiment: "",
    labelledUntilMs: 0,
  };
  const producer = broker.producer(`${config.env}.routing`);
  try {
    await producer.init();
    const key = `${value.family}/${value.version}`;
    await producer.send([
      {
        topic: topics.routing,
        partition: 0,
        key,
        value: codecs.encode(topics.routing, value),
        timestampMs: value.createdAtMs,
      },
    ]);
    await producer.commit();
  } finally {
    await producer.close();
  }
}

async function readRouting(broker: Broker, codecs: Codecs): Promise<RoutingConfig[]> {
  const reader = broker.reader();
  const versions = new Map<number, RoutingConfig>();
  try {
    for (let position = 0; ; ) {
      const batch = await reader.fetch(topics.routing, 0, position, { maxWaitMs: 0 });
      for (const { value } of batch.records) {
        if (!value) continue;
        const id = codecs.unknownId(value);
        if (id !== null) await codecs.learn(id);
        const config = codecs.decode<RoutingConfig>(topics.routing, value);
        if (config.family === ROUTING_FAMILY)
          versions.set(config.version, { ...config, arms: config.arms.map((a) => ({ ...a })) });
      }
      position = batch.nextOffset;
      if (position >= batch.endOffset) break;
    }
  } finally {
    await reader.close();
  }
  return [...versions.values()].sort((a, b) => a.version - b.version);
}

const newestVersion = (repository: string, model: string): string =>
  String(
    Math.max(
      ...readdirSync(path.join(repository, model))
        .filter((name) => /^\d+$/.test(name))
        .map(Number),
    ),
  );
