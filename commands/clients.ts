import { readFileSync } from "node:fs";
import type { Config } from "../config.ts";
import {
  compileFeatureSet,
  expandDefinition,
  type FeatureSet,
  featureSetFromMetrics,
  loadFeatureSet,
} from "../processors/index.ts";
import { type Broker, connectBroker, type Groups, type Sasl, WeirError } from "../streams/index.ts";

/** Clients of the outside, built from options. Nothing connects before it is used. */
export function brokerOf(config: Config): Broker & Groups {
  const sasl = saslOf(config);
  return connectBroker({
    brokers: config.kafkaBrokers.split(",").map((b) => b.trim()),
    clientId: `weir-${config.env}`,
    compression: config.kafkaCompression,
    tls: config.kafkaTls === "on",
    ...(config.kafkaCa !== "" && { caFile: config.kafkaCa }),
    ...(sasl && { sasl }),
  });
}

function saslOf({ kafkaSasl, kafkaUser, kafkaPassword, awsRegion }: Config): Sasl | undefined {
  if (kafkaSasl === "aws-msk-iam") {
    // The AWS code is loaded by whoever needs it only.
    const credentials = async () => await (await import("./aws-clients.ts")).credentialsOf(awsRegion);
    return { mechanism: kafkaSasl, region: awsRegion, credentials };
  }
  return kafkaUser === "" ? undefined : { mechanism: kafkaSasl, username: kafkaUser, password: kafkaPassword };
}

/** A built-in set by name, or a JSON file: a definition, or `{name, metrics, hopMinutes}` for any named metrics. */
export function featureSetOf(config: Pick<Config, "featureSet">): FeatureSet {
  if (!config.featureSet.endsWith(".json")) return loadFeatureSet(config.featureSet);
  const definition = readJson(config.featureSet);
  if ("metrics" in definition) return featureSetFromMetrics(definition as never);
  return compileFeatureSet(expandDefinition(definition as never));
}

/** The service of an entity; one the topology does not name is its own. */
export function groupsOf(config: Pick<Config, "topology">): (entity: string) => string {
  const groups = config.topology
    ? new Map(Object.entries(readJson(config.topology) as Record<string, string>))
    : new Map<string, string>();
  return (entity) => groups.get(entity) ?? entity;
}

function readJson(file: string): object {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as object;
  } catch (error) {
    throw new WeirError(
      "FILE_UNREADABLE",
      "fatal",
      `${file}: ${(error as Error).message}`,
      "Name an existing JSON file.",
      { cause: error },
    );
  }
}
