import { fileURLToPath } from "node:url";
import { loadSync, type MethodDefinition, type ServiceDefinition } from "@grpc/proto-loader";

/** Path and (de)serializers of every RPC. 64-bit integers arrive as numbers: shapes and counters stay below 2^53. */
export const service = loadSync(fileURLToPath(new URL("kserve.proto", import.meta.url)), {
  keepCase: true,
  longs: Number,
  defaults: true,
})["inference.GRPCInferenceService"] as ServiceDefinition;

export const methodOf = (name: keyof Rpcs): MethodDefinition<object, object> => service[name]!;

interface ModelName {
  readonly name: string;
  readonly version: string;
}

export interface TensorMetadata {
  readonly name: string;
  /** FP32, INT64, BYTES, … */
  readonly datatype: string;
  /** -1 is a free dimension; the batch comes first. */
  readonly shape: readonly number[];
}

export interface ServerMetadata {
  readonly name: string;
  readonly version: string;
  readonly extensions: readonly string[];
}

export interface ModelMetadata {
  readonly name: string;
  readonly versions: readonly string[];
  readonly platform: string;
  readonly inputs: readonly TensorMetadata[];
  readonly outputs: readonly TensorMetadata[];
}

export interface ModelConfig {
  readonly name: string;
  readonly platform: string;
  readonly backend: string;
  /** 0: the model has no batch dimension. */
  readonly max_batch_size: number;
}

/** Counted since the server started: subtract two readings. */
export interface StatisticDuration {
  readonly count: number;
  readonly ns: number;
}

export interface ModelStatistics {
  readonly name: string;
  readonly version: string;
  /** Rows. */
  readonly inference_count: number;
  /** Batches: rows / batches is the mean batch. */
  readonly execution_count: number;
  readonly inference_stats: Readonly<
    Record<
      "success" | "fail" | "queue" | "compute_input" | "compute_infer" | "compute_output",
      StatisticDuration | null
    >
  > | null;
}

export interface ModelIndexEntry {
  readonly name: string;
  readonly version: string;
  /** READY, UNAVAILABLE, LOADING, UNLOADING; empty while never loaded. */
  readonly state: string;
  readonly reason: string;
}

export interface ModelInferRequest {
  readonly model_name: string;
  readonly model_version: string;
  readonly inputs: readonly TensorMetadata[];
  readonly outputs: readonly { readonly name: string }[];
  readonly raw_input_contents: readonly Buffer[];
}

export interface ModelInferResponse {
  readonly model_name: string;
  /** The version that answered. */
  readonly model_version: string;
  readonly outputs: readonly TensorMetadata[];
  readonly raw_output_contents: readonly Buffer[];
}

/** Request and response of each RPC. */
export interface Rpcs {
  ServerLive: [Record<string, never>, { live: boolean }];
  ServerReady: [Record<string, never>, { ready: boolean }];
  ModelReady: [ModelName, { ready: boolean }];
  ServerMetadata: [Record<string, never>, ServerMetadata];
  ModelMetadata: [ModelName, ModelMetadata];
  ModelInfer: [ModelInferRequest, ModelInferResponse];
  ModelConfig: [ModelName, { config: ModelConfig | null }];
  ModelStatistics: [ModelName, { model_stats: readonly ModelStatistics[] }];
  RepositoryIndex: [{ ready: boolean }, { models: readonly ModelIndexEntry[] }];
  RepositoryModelLoad: [{ model_name: string }, Record<string, never>];
  RepositoryModelUnload: [{ model_name: string }, Record<string, never>];
}
