import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import type { ModelInferRequest, ModelInferResponse, Rpcs } from "../../triton/client/protocol.ts";
import { service } from "../../triton/client/protocol.ts";

type Handlers = { [M in keyof Rpcs]?: (request: Rpcs[M][0]) => Rpcs[M][1] | Promise<Rpcs[M][1]> };

/** What a handler throws to answer with a gRPC status. */
export const grpcError = (code: status, details: string) => Object.assign(new Error(details), { code, details });

/**
 * A fake model server for faults: speaks the protocol, runs no model. Unless told otherwise it answers every row with
 * the sum of its columns and says version 1 answered.
 */
export class FaultServer {
  readonly calls: { method: keyof Rpcs; request: object }[] = [];
  /** Of the connections that calls came by. */
  readonly peers = new Set<string>();
  port = 0;
  handlers: Handlers;
  readonly host: string;
  #server = new Server();

  constructor(handlers: Handlers = {}, host = "127.0.0.1") {
    this.handlers = handlers;
    this.host = host;
  }

  get address(): string {
    return `${this.host}:${this.port}`;
  }

  /** The same port again after a stop. */
  async start(): Promise<this> {
    this.#server = new Server();
    const implementation = Object.keys(service).map((name) => [name, this.#handle(name as keyof Rpcs)]);
    this.#server.addService(service, Object.fromEntries(implementation));
    this.port = await new Promise((resolve, reject) =>
      this.#server.bindAsync(this.address, ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(port),
      ),
    );
    return this;
  }

  /** Cuts every connection, as a killed process does. */
  kill(): void {
    this.#server.forceShutdown();
  }

  /** Sends GOAWAY, lets open calls finish, refuses new ones. */
  drain(): Promise<void> {
    return new Promise((resolve) => this.#server.tryShutdown(() => resolve()));
  }

  count(method: keyof Rpcs): number {
    return this.calls.filter((call) => call.method === method).length;
  }

  #handle(method: keyof Rpcs) {
    return async (call: ServerUnaryCall<object, object>, answer: sendUnaryData<object>) => {
      this.calls.push({ method, request: call.request });
      this.peers.add(call.getPeer());
      try {
        const handler = (this.handlers[method] ?? defaults[method]) as ((r: object) => object) | undefined;
        if (!handler) throw grpcError(status.UNIMPLEMENTED, `${method} is not served`);
        answer(null, await handler(call.request));
      } catch (error) {
        answer(error as Error);
      }
    };
  }
}

export function sums(request: ModelInferRequest, version = "1"): ModelInferResponse {
  const [rows, columns] = request.inputs[0]!.shape as [number, number];
  const input = Float32Array.from({ length: rows * columns }, (_, i) =>
    request.raw_input_contents[0]!.readFloatLE(i * 4),
  );
  const raw = Float32Array.from({ length: rows }, (_, row) =>
    input.subarray(row * columns, (row + 1) * columns).reduce((a, b) => a + b, 0),
  );
  return reply(request, raw, [rows, 1], version);
}

export const reply = (
  request: ModelInferRequest,
  raw: Float32Array,
  shape: number[],
  version = "1",
  datatype = "FP32",
) => ({
  model_name: request.model_name,
  model_version: version,
  outputs: [{ name: request.outputs[0]!.name, datatype, shape }],
  raw_output_contents: [Buffer.from(raw.buffer)],
});

const defaults: Handlers = {
  ServerLive: () => ({ live: true }),
  ServerReady: () => ({ ready: true }),
  ModelInfer: (request) => sums(request),
  ModelConfig: ({ name }) => ({ config: { name, platform: "", backend: "python", max_batch_size: 4096 } }),
};
