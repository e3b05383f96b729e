import type { Config } from "../config.ts";
import { settingsOf, stages, topicDefinitions, topics } from "../pipeline.ts";
import { Codecs } from "../schemas/index.ts";
import { type Broker, initialiseStage, WeirError } from "../streams/index.ts";

/** Registers every schema of the pipeline and returns the codecs; `REGISTRY_REFUSED` names the subject. */
export async function connectCodecs(config: Pick<Config, "registryUrl">): Promise<Codecs> {
  const subjects = new Map(
    topicDefinitions.flatMap((t) => (t.schema === null ? [] : [[t.name as string, t.schema] as const])),
  );
  try {
    return await Codecs.connect(config.registryUrl, subjects);
  } catch (error) {
    const refused = /409|incompatible/i.test(String(error));
    throw new WeirError(
      refused ? "REGISTRY_REFUSED" : "REGISTRY_UNAVAILABLE",
      "fatal",
      `${config.registryUrl}: ${(error as Error).message}`,
      refused
        ? "A schema under `schemas/avro` is not backward compatible with the registered one: give new fields a default."
        : "Check that the schema registry runs and WEIR_REGISTRY_URL is right.",
      { cause: error },
    );
  }
}

/** `weir init`: topics with explicit settings, and the genesis record of every changelog. Idempotent. */
export async function initialise(
  config: Pick<Config, "partitions" | "replication" | "env">,
  broker: Broker,
): Promise<void> {
  const { partitions, replication, env } = config;
  const admin = broker.admin();
  try {
    await admin.createTopics(
      topicDefinitions.map((t) => ({
        name: t.name,
        partitions: t.name === topics.routing ? 1 : partitions,
        replication,
        settings: settingsOf(t.cleanup, replication),
      })),
    );
  } finally {
    await admin.close();
  }
  for (const stage of Object.values(stages)) {
    if (stage.changelog && stage.input)
      await initialiseStage({ stage: stage.name, input: stage.input }, partitions, { broker, env });
  }
}
