/** All of the client, which is published on its own as well (`npm run pack:triton`). */
export { WeirError as TritonError } from "../../streams/index.ts";
export { type CallOptions, TritonClient, type TritonClientOptions } from "./client.ts";
export type { MatrixReply, MatrixRequest } from "./matrix.ts";
export type {
  ModelConfig,
  ModelIndexEntry,
  ModelMetadata,
  ModelStatistics,
  ServerMetadata,
  TensorMetadata,
} from "./protocol.ts";
