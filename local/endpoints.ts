import { WeirError } from "../streams/index.ts";

/** Where each component of a running stack is found. All addresses are on 127.0.0.1. */
export interface Endpoints {
  /** Bootstrap servers, "host:port". */
  readonly kafka: readonly string[];
  /** Base URL of the Confluent-compatible API, path included. */
  readonly registry: string;
  readonly s3: S3Endpoint;
  readonly kinesis: KinesisEndpoint;
  readonly triton: TritonEndpoint;
  readonly qdrant: string;
  readonly ai: AiEndpoint;
  /** moto's server: CloudWatch Logs and a Kinesis of its own. Started on request only. */
  readonly moto: string;
}

interface Credentials {
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface S3Endpoint extends Credentials {
  readonly endpoint: string;
  readonly bucket: string;
}

export interface KinesisEndpoint extends Credentials {
  readonly endpoint: string;
  readonly stream: string;
}

export interface TritonEndpoint {
  /** "host:port" */
  readonly grpc: string;
  readonly http: string;
  readonly metrics: string;
  /** The folder that the server loads models from. */
  readonly modelRepository: string;
}

export interface AiEndpoint {
  /** Base URL of the OpenAI API, ".../v1". */
  readonly baseUrl: string;
  readonly chatModel: string;
  readonly embeddingModel: string;
}

const names: readonly (keyof Endpoints)[] = ["kafka", "registry", "s3", "kinesis", "triton", "qdrant", "ai", "moto"];

/** Makes a partial set whole: to read one that was not started throws LOCAL_NOT_STARTED. JSON shows what there is. */
export function asEndpoints(known: Partial<Endpoints>): Endpoints {
  const endpoints = { ...known };
  for (const name of names) {
    if (name in endpoints) continue;
    Object.defineProperty(endpoints, name, {
      enumerable: false,
      get() {
        throw notStarted(name);
      },
    });
  }
  return endpoints as Endpoints;
}

export function notStarted(component: string): WeirError {
  return new WeirError(
    "LOCAL_NOT_STARTED",
    "fatal",
    `The local stack was started without ${component}.`,
    `Add ${component} to the components that are started.`,
  );
}
