import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { options } from "../config.ts";
import { defaultCacheDir, type Endpoints } from "../local/index.ts";
import type { Scenario } from "./scenario.ts";

/** The options under which the local stack is reached, by the names of their variables. */
export type LocalOptions = Readonly<Record<string, string>>;

export function localOptions(
  endpoints: Endpoints,
  scenario?: Pick<Scenario, "featureSetName" | "topologyFile">,
): LocalOptions {
  const { kafka, registry, s3, kinesis, triton, qdrant, ai } = endpoints;
  const o = options;
  return {
    [o.env.name]: "local",
    [o.kafkaBrokers.name]: kafka.join(","),
    [o.registryUrl.name]: registry,
    [o.kinesisStream.name]: kinesis.stream,
    [o.kinesisEndpoint.name]: kinesis.endpoint,
    [o.clockMode.name]: "records",
    // Rounds of a replay are an hour long: two of them, and the features stage still holds all that is open.
    [o.maxSkewMs.name]: "7200000",
    [o.awsRegion.name]: s3.region,
    [o.s3Bucket.name]: s3.bucket,
    [o.s3Endpoint.name]: s3.endpoint,
    [o.tritonGrpc.name]: triton.grpc,
    [o.modelRepository.name]: triton.modelRepository,
    [o.qdrantUrl.name]: qdrant,
    [o.embeddingUrl.name]: ai.baseUrl,
    [o.embeddingModel.name]: ai.embeddingModel,
    [o.llmUrl.name]: ai.baseUrl,
    [o.llmModel.name]: ai.chatModel,
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    ...(scenario && { [o.featureSet.name]: scenario.featureSetName, [o.topology.name]: scenario.topologyFile }),
  };
}

/** The stack started last: where it lies, and how it is reached. */
interface Current {
  readonly stackDir: string;
  readonly options: LocalOptions;
}

const currentFile = (): string => path.join(defaultCacheDir(), "current.json");

/** Lets `weir tail`, `weir run` and `weir local` find the stack. The credentials in it are those of the local S3 only. */
export function rememberLocal(stackDir: string, options: LocalOptions): void {
  const current: Current = { stackDir, options };
  writeFileSync(currentFile(), `${JSON.stringify(current, null, 1)}\n`, { mode: 0o600 });
}

/** Undefined if no stack was ever started here. */
export const currentLocal = (): Current | undefined =>
  existsSync(currentFile()) ? (JSON.parse(readFileSync(currentFile(), "utf8")) as Current) : undefined;
