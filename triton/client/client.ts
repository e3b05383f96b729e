import { setTimeout as sleep } from "node:timers/promises";
import { WeirError } from "../../streams/index.ts";
import { Breaker, RetryBudget } from "./breaker.ts";
import { Channel } from "./channel.ts";
import { isOverload, isServiceError, isUnanswered, overloaded, serverUnavailable, toWeirError } from "./errors.ts";
import { Gate } from "./limit.ts";
import { type MatrixReply, type MatrixRequest, readReply } from "./matrix.ts";
import type {
  ModelConfig,
  ModelIndexEntry,
  ModelMetadata,
  ModelStatistics,
  Rpcs,
  ServerMetadata,
  TensorMetadata,
} from "./protocol.ts";

const LOAD_TIMEOUT_MS = 120_000;

export interface TritonClientOptions {
  /** `host:port`, or `dns:///name:port` of a headless service: calls go round its addresses. */
  readonly address: string;
  /** Budget of a call with all its retries. Default 15 s. */
  readonly timeoutMs?: number;
  /** Limit of one attempt. Default 5 s. */
  readonly attemptTimeoutMs?: number;
  /** After it the name is resolved anew, so that servers that joined later get calls too. Default 5 min. */
  readonly maxConnectionAgeMs?: number;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/**
 * Client of a KServe v2 model server over gRPC, Triton's extensions included.
 *
 * Every method throws a `WeirError` with a code of `errors.ts`; disposition `retry` means that waiting may help. An
 * aborted signal ends a call with the signal's reason. Calls may run concurrently: they share one retry budget and one
 * breaker, and `infer` sends as many at once as answer in good time; the others wait for their turn.
 */
export class TritonClient {
  readonly address: string;
  readonly #channel: Channel;
  readonly #timeoutMs: number;
  readonly #attemptTimeoutMs: number;
  readonly #breaker = new Breaker();
  readonly #budget = new RetryBudget();
  readonly #gate = new Gate();
  readonly #maxBatch = new Map<string, number>();

  constructor(options: TritonClientOptions) {
    this.address = options.address;
    this.#timeoutMs = options.timeoutMs ?? 15_000;
    this.#attemptTimeoutMs = options.attemptTimeoutMs ?? 5_000;
    this.#channel = new Channel(options.address, options.maxConnectionAgeMs ?? 300_000);
  }

  async serverLive(options?: CallOptions): Promise<boolean> {
    return (await this.#call("ServerLive", {}, options)).live;
  }

  async serverReady(options?: CallOptions): Promise<boolean> {
    return (await this.#call("ServerReady", {}, options)).ready;
  }

  /** True also while the model's process is dead: only an answer to known rows shows that a model works. */
  async modelReady(name: string, version = "", options?: CallOptions): Promise<boolean> {
    return (await this.#call("ModelReady", { name, version }, options)).ready;
  }

  serverMetadata(options?: CallOptions): Promise<ServerMetadata> {
    return this.#call("ServerMetadata", {}, options);
  }

  modelMetadata(name: string, version = "", options?: CallOptions): Promise<ModelMetadata> {
    return this.#call("ModelMetadata", { name, version }, options);
  }

  /**
   * Throws MODEL_METADATA_MISMATCH (fatal) with both lists unless the model has exactly these tensors, in any order.
   * The batch dimension is -1.
   */
  async expectTensors(
    name: string,
    version: string,
    expected: { readonly inputs: readonly TensorMetadata[]; readonly outputs: readonly TensorMetadata[] },
    options?: CallOptions,
  ): Promise<void> {
    const got = await this.modelMetadata(name, version, options);
    const told = [tensorsText(expected), tensorsText(got)] as const;
    if (told[0] === told[1]) return;
    throw new WeirError(
      "MODEL_METADATA_MISMATCH",
      "fatal",
      `${name} version ${version || "(newest)"} at ${this.address} has other tensors. Expected: ${told[0]}. Server: ${told[1]}.`,
      "Publish the model again with a config.pbtxt that belongs to it.",
    );
  }

  async modelConfig(name: string, version = "", options?: CallOptions): Promise<ModelConfig> {
    const { config } = await this.#call("ModelConfig", { name, version }, options);
    return config ?? { name, platform: "", backend: "", max_batch_size: 0 };
  }

  /** Empty names: all models, all versions. */
  async statistics(name = "", version = "", options?: CallOptions): Promise<readonly ModelStatistics[]> {
    return (await this.#call("ModelStatistics", { name, version }, options)).model_stats;
  }

  async repositoryIndex(options?: CallOptions): Promise<readonly ModelIndexEntry[]> {
    return (await this.#call("RepositoryIndex", { ready: false }, options)).models;
  }

  /**
   * Reads what changed on disk; an unchanged model is left as it is, dead process or not. Throws MODEL_LOAD_FAILED
   * (fatal) where the server has no such model or cannot load it; a version served before goes on being served.
   */
  async load(model: string, options?: CallOptions): Promise<void> {
    this.#maxBatch.clear();
    try {
      await this.#call("RepositoryModelLoad", { model_name: model }, { timeoutMs: LOAD_TIMEOUT_MS, ...options });
    } catch (error) {
      if (error instanceof WeirError && (error.code === "MODEL_REQUEST_REFUSED" || error.code === "MODEL_FAILED")) {
        const nextStep = "Read the model server's log, then publish the model again.";
        throw new WeirError("MODEL_LOAD_FAILED", "fatal", error.message, nextStep, { cause: error });
      }
      throw error;
    }
  }

  async unload(model: string, options?: CallOptions): Promise<void> {
    this.#maxBatch.clear();
    await this.#call("RepositoryModelUnload", { model_name: model }, { timeoutMs: LOAD_TIMEOUT_MS, ...options });
  }

  /**
   * Scores a float32 matrix, in as many requests as the model's batch limit asks for, all of them answered by one
   * version. No rows, no request. Besides the codes of `errors.ts` throws MODEL_SHAPE_MISMATCH, MODEL_OUTPUT_SHORT and
   * MODEL_VERSION_MISMATCH where the answer does not fit the question.
   */
  async infer(request: MatrixRequest, options: CallOptions = {}): Promise<MatrixReply> {
    const rows = request.data.length / request.columns;
    if (!Number.isInteger(rows)) {
      throw new WeirError(
        "MODEL_REQUEST_REFUSED",
        "fatal",
        `${request.data.length} values are not rows of ${request.columns} columns.`,
        "Check the matrix handed to infer.",
      );
    }
    if (rows === 0) return { version: request.version ?? "", width: 1, data: new Float32Array(0) };
    const call = { ...options, deadlineMs: Date.now() + (options.timeoutMs ?? this.#timeoutMs) };
    const maxRows = await this.#maxRows(request, call);
    const parts: MatrixReply[] = [];
    let version = request.version ?? "";
    for (let row = 0; row < rows; row += maxRows) {
      const count = Math.min(maxRows, rows - row);
      const data = request.data.subarray(row * request.columns, (row + count) * request.columns);
      const part = await this.#inferOnce({ ...request, version, data }, count, call);
      // The rest goes to the version that answered first, should the server change over in between.
      version = part.version;
      parts.push(part);
    }
    if (parts.length === 1) return parts[0]!;
    const { width } = parts[0]!;
    const data = new Float32Array(rows * width);
    parts.forEach((part, i) => {
      data.set(part.data, i * maxRows * width);
    });
    return { version, width, data };
  }

  close(): void {
    this.#channel.close();
  }

  async #inferOnce(request: MatrixRequest & { version: string }, rows: number, call: AnyCall): Promise<MatrixReply> {
    const { data } = request;
    const reply = await this.#call(
      "ModelInfer",
      {
        model_name: request.model,
        model_version: request.version,
        inputs: [{ name: request.input, datatype: "FP32", shape: [rows, request.columns] }],
        outputs: [{ name: request.output }],
        raw_input_contents: [Buffer.from(data.buffer, data.byteOffset, data.byteLength)],
      },
      call,
    );
    return readReply(request, rows, reply);
  }

  async #maxRows(request: MatrixRequest, call: AnyCall): Promise<number> {
    const key = `${request.model}/${request.version ?? ""}`;
    const known = this.#maxBatch.get(key);
    if (known !== undefined) return known;
    let limit = 0;
    try {
      const { config } = await this.#call("ModelConfig", { name: request.model, version: request.version ?? "" }, call);
      limit = config?.max_batch_size ?? 0;
    } catch (error) {
      // Servers without Triton's extension have no limit either.
      if (!(error instanceof WeirError) || error.code !== "MODEL_SERVER_UNSUPPORTED") throw error;
    }
    const maxRows = limit > 0 ? limit : Number.MAX_SAFE_INTEGER;
    this.#maxBatch.set(key, maxRows);
    return maxRows;
  }

  async #call<M extends keyof Rpcs>(method: M, request: Rpcs[M][0], options: AnyCall = {}): Promise<Rpcs[M][1]> {
    const timeoutMs = options.timeoutMs ?? this.#timeoutMs;
    const deadlineMs = options.deadlineMs ?? Date.now() + timeoutMs;
    // A caller who gives a call more time gives each attempt more.
    const attemptMs = options.timeoutMs === undefined ? this.#attemptTimeoutMs : Math.max(options.timeoutMs, 1);
    const { signal } = options;
    this.#budget.called();
    for (let attempt = 1; ; attempt++) {
      signal?.throwIfAborted();
      if (!this.#breaker.allow(Date.now())) {
        throw serverUnavailable(`${method} was not sent: ${this.address} has not answered the last calls.`);
      }
      try {
        const reply = await this.#attempt(method, request, deadlineMs, attemptMs, signal);
        this.#breaker.succeeded();
        return reply;
      } catch (error) {
        if (signal?.aborted) throw signal.reason;
        if (!isServiceError(error)) throw error;
        const retriable = isUnanswered(error);
        if (retriable) this.#breaker.failed(Date.now());
        else this.#breaker.succeeded();
        if (this.#breaker.isOpen(Date.now())) this.#channel.renew();
        const pauseMs = Math.min(50 * 2 ** attempt, 1_000) * (0.5 + Math.random() / 2);
        const isLast = !retriable || this.#breaker.isOpen(Date.now()) || Date.now() + pauseMs >= deadlineMs;
        if (isLast || !this.#budget.take()) {
          throw toWeirError(error, describe(method, request), this.address);
        }
        await sleep(pauseMs, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
      }
    }
  }

  async #attempt<M extends keyof Rpcs>(
    method: M,
    request: Rpcs[M][0],
    deadlineMs: number,
    attemptMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Rpcs[M][1]> {
    if (method !== "ModelInfer")
      return this.#channel.unary(method, request, Math.min(deadlineMs, Date.now() + attemptMs), signal);
    if (!(await this.#gate.enter(deadlineMs - Date.now(), signal)))
      throw overloaded(describe(method, request), this.address);
    const sentMs = performance.now();
    const { inFlight, limit } = this.#gate;
    try {
      const reply = await this.#channel.unary(method, request, Math.min(deadlineMs, Date.now() + attemptMs), signal);
      limit.answered(performance.now() - sentMs, inFlight);
      return reply;
    } catch (error) {
      if (isServiceError(error) && isOverload(error)) limit.overloaded();
      throw error;
    } finally {
      this.#gate.leave();
    }
  }
}

/** A call that shares its deadline with others. */
type AnyCall = CallOptions & { readonly deadlineMs?: number };

function describe(method: string, request: object): string {
  const names = request as { model_name?: string; model_version?: string; name?: string; version?: string };
  const model = names.model_name ?? names.name;
  const version = names.model_version ?? names.version;
  return model ? `${method} of ${model}${version ? ` version ${version}` : ""}` : method;
}

const tensorsText = (of: {
  readonly inputs: readonly TensorMetadata[];
  readonly outputs: readonly TensorMetadata[];
}): string => {
  const list = (tensors: readonly TensorMetadata[]) =>
    tensors
      .map((t) => `${t.name} ${t.datatype} [${t.shape.join(", ")}]`)
      .sort()
      .join("; ") || "(none)";
  return `input ${list(of.inputs)}; output ${list(of.outputs)}`;
};
