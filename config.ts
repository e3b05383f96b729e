import { WeirError } from "./streams/index.ts";

/**
 * Every option of Weir once: name, default, rule, text. An option is an environment variable; the local stack fills in
 * what it started. All faults are reported together.
 */
interface Option<T> {
  readonly name: string;
  /** Undefined: the option must be given by whoever needs it. */
  readonly default: T | undefined;
  readonly text: string;
  /** Undefined: the text breaks the rule. */
  readonly parse: (text: string) => T | undefined;
  readonly rule: string;
  readonly secret?: boolean;
}

const text = (name: string, about: string, fallback?: string, secret = false): Option<string> => ({
  name,
  default: fallback,
  text: about,
  parse: (value) => (value === "" ? undefined : value),
  rule: "not empty",
  secret,
});

const whole = (name: string, about: string, fallback: number, min: number, max: number): Option<number> => ({
  name,
  default: fallback,
  text: about,
  parse: (value) => (/^\d+$/.test(value) && Number(value) >= min && Number(value) <= max ? Number(value) : undefined),
  rule: `a whole number from ${min} to ${max}`,
});

const oneOf = <T extends string>(name: string, about: string, fallback: T, ...values: readonly T[]): Option<T> => ({
  name,
  default: fallback,
  text: about,
  parse: (value) => values.find((v) => v === value),
  rule: `one of ${values.join(", ")}`,
});

const url = (name: string, about: string, fallback?: string): Option<string> => ({
  name,
  default: fallback,
  text: about,
  parse: (value) => (URL.canParse(value) ? value.replace(/\/$/, "") : undefined),
  rule: "a URL",
});

export const options = {
  env: text("WEIR_ENV", "Name of this environment: the first part of transactional ids and groups.", "dev"),
  kafkaBrokers: {
    ...text("WEIR_KAFKA_BROKERS", "Brokers, host:port, separated by commas."),
    parse: (value: string) => (value.split(",").every((b) => /^[^\s:]+:\d+$/.test(b.trim())) ? value : undefined),
    rule: "host:port, separated by commas",
  },
  kafkaTls: oneOf("WEIR_KAFKA_TLS", "Encrypt the connection to the brokers.", "off", "off", "on"),
  kafkaCa: text("WEIR_KAFKA_CA", "PEM file of the authority behind the brokers' certificates, if no public one.", ""),
  kafkaSasl: oneOf(
    "WEIR_KAFKA_SASL",
    "How to authenticate, if a user is named; aws-msk-iam needs none.",
    "scram-sha-512",
    "scram-sha-512",
    "scram-sha-256",
    "plain",
    "aws-msk-iam",
  ),
  kafkaCompression: oneOf("WEIR_KAFKA_COMPRESSION", "Of what is written; all codecs are read.", "zstd", "zstd", "none"),
  kafkaUser: text("WEIR_KAFKA_USER", "User; empty: no authentication.", ""),
  kafkaPassword: text("WEIR_KAFKA_PASSWORD", "Password.", "", true),
  registryUrl: url("WEIR_REGISTRY_URL", "Schema registry (Confluent API)."),
  partitions: whole("WEIR_PARTITIONS", "Partitions of every topic; fixed for the life of an environment.", 4, 1, 256),
  replication: whole("WEIR_REPLICATION", "Replicas of every topic.", 1, 1, 5),
  ordinal: {
    ...text("WEIR_ORDINAL", "Fixed share: <ordinal>/<processes>; empty: a Kafka group shares the partitions out.", ""),
    parse: (value: string) => {
      const [, ordinal, count] = /^(\d+)\/(\d+)$/.exec(value) ?? [];
      return ordinal !== undefined && Number(ordinal) < Number(count) ? value : undefined;
    },
    rule: "<ordinal>/<processes>, counted from 0",
  },
  epoch: whole(
    "WEIR_EPOCH",
    "Of a fixed share: a deployment with a higher one takes over from one that still runs.",
    0,
    0,
    2_147_483_647,
  ),
  commitIntervalMs: whole(
    "WEIR_COMMIT_INTERVAL_MS",
    "Longest time between two commits of a busy task.",
    200,
    10,
    5_000,
  ),
  stateVersion: whole(
    "WEIR_STATE_VERSION",
    "Version of state to write, for an upgrade or before a downgrade. 0: the one found, the newest in a new environment.",
    0,
    0,
    2,
  ),
  graceMs: whole("WEIR_GRACE_MS", "How long a window outlives its end.", 60_000, 0, 3_600_000),
  samplesCloseAfterMs: whole(
    "WEIR_SAMPLES_CLOSE_AFTER_MS",
    "How long no sample may come, once all are read, before the minutes still open close.",
    120_000,
    0,
    3_600_000,
  ),
  awsRegion: text("AWS_REGION", "Region of Kinesis and S3.", "us-east-1"),
  kinesisStream: text("WEIR_KINESIS_STREAM", "Stream the CloudWatch subscriptions deliver to."),
  kinesisEndpoint: text("WEIR_KINESIS_ENDPOINT", "Endpoint other than AWS's own.", ""),
  clockMode: oneOf(
    "WEIR_CLOCK_MODE",
    "Where a shard's clock comes from: arrival stamps, or clock records of a simulator or replay.",
    "arrival",
    "arrival",
    "records",
  ),
  maxSkewMs: whole(
    "WEIR_MAX_SKEW_MS",
    "A shard this far ahead of the slowest one waits for it.",
    600_000,
    60_000,
    10_800_000,
  ),
  s3Bucket: text("WEIR_S3_BUCKET", "Bucket of the lake."),
  s3Endpoint: text("WEIR_S3_ENDPOINT", "Endpoint other than AWS's own.", ""),
  tritonGrpc: text("WEIR_TRITON_GRPC", "Triton's gRPC address, host:port."),
  modelRepository: text("WEIR_MODEL_REPOSITORY", "Folder of Triton's model repository, with the manifests."),
  scoreFallbackAfterMs: whole(
    "WEIR_SCORE_FALLBACK_AFTER_MS",
    "Triton's silence after which rows are scored in the process itself, marked so; 0: never, they wait.",
    0,
    0,
    3_600_000,
  ),
  featureSet: text("WEIR_FEATURE_SET", "Name of a built-in feature set, or a path to one.", "core-37"),
  topology: text("WEIR_TOPOLOGY", "JSON file {entity: group}; an entity not named there is its own group.", ""),
  qdrantUrl: url("WEIR_QDRANT_URL", "Vector store."),
  embeddingUrl: url("WEIR_EMBEDDING_URL", "OpenAI-compatible API for embeddings of 384 dimensions."),
  embeddingModel: text("WEIR_EMBEDDING_MODEL", "Its model name.", "all-MiniLM-L6-v2"),
  llmUrl: url("WEIR_LLM_URL", "OpenAI-compatible API of the language model."),
  llmModel: text("WEIR_LLM_MODEL", "Its model name.", "SmolLM2-135M-Instruct"),
  llmKey: text("WEIR_LLM_API_KEY", "Its key.", "none", true),
  httpPort: whole("WEIR_HTTP_PORT", "Port of /healthz and /metrics; 0: any free one.", 0, 0, 65_535),
  httpHost: text("WEIR_HTTP_HOST", "Address /healthz and /metrics listen on.", "127.0.0.1"),
  apiPort: whole("WEIR_API_PORT", "Port of the HTTP interface; 0: any free one.", 8080, 0, 65_535),
  apiHost: text("WEIR_API_HOST", "Address the HTTP interface listens on.", "127.0.0.1"),
  apiTokens: {
    ...text("WEIR_API_TOKENS", "Tokens of its callers, separated by commas.", undefined, true),
    parse: (value: string) => (value.split(",").every((t) => /^[\x21-\x7e]{16,512}$/.test(t)) ? value : undefined),
    rule: "tokens of 16 to 512 visible characters, separated by commas",
  },
  apiArm: oneOf(
    "WEIR_API_ARM",
    "Which arm it scores with: by the entity's hash, or always the first or second because callers were spread before.",
    "entity",
    "entity",
    "first",
    "second",
  ),
} as const;

export type OptionName = keyof typeof options;
type ValueOf<K extends OptionName> = Exclude<ReturnType<(typeof options)[K]["parse"]>, undefined>;
export type Config = { readonly [K in OptionName]: ValueOf<K> };

/**
 * Reads the options from `env`, then from `local` (what the local stack started), then the defaults.
 * `needed` names those without a default that this command cannot do without; others read as "".
 *
 * Throws `CONFIG_INVALID` with every fault in it.
 */
export function readConfig(
  env: Readonly<Record<string, string | undefined>>,
  needed: readonly OptionName[],
  local: Readonly<Record<string, string>> = {},
): Config {
  const faults: string[] = [];
  const config: Record<string, unknown> = {};
  for (const [key, option] of Object.entries(options) as [OptionName, Option<unknown>][]) {
    const given = env[option.name] || local[option.name];
    if (given === undefined || given === "") {
      config[key] = option.default ?? "";
      if (option.default === undefined && needed.includes(key))
        faults.push(`${option.name} is missing: ${option.text}`);
      continue;
    }
    config[key] = option.parse(given);
    if (config[key] === undefined)
      faults.push(
        `${option.name} is ${option.secret ? "not usable" : JSON.stringify(given)}, but must be ${option.rule}.`,
      );
  }
  if (faults.length > 0) {
    throw new WeirError(
      "CONFIG_INVALID",
      "fatal",
      `${faults.length} fault(s):\n  - ${faults.join("\n  - ")}`,
      "Set the variables named above; `npx weir local up` gives a local stack.",
    );
  }
  return config as Config;
}
