import {
  type Client,
  type ClientDuplexStream,
  Metadata,
  type ServiceError,
  type StatusObject,
  status,
} from "@grpc/grpc-js";
import {
  type ModelInferRequest,
  type ModelInferResponse,
  type ModelStreamInferResponse,
  methodOf,
} from "./protocol.ts";

/** Few enough that the next server of a name soon has its turn, many enough that opening a stream costs next to nothing. */
const CALLS_PER_STREAM = 128;
/** From then on it takes no more calls: a server that wants to drain must not wait for a client that has nothing to say. */
const STREAM_AGE_MS = 1_000;

/** The stream gave no answer to this call, or one without a status: whoever wants to know why asks again, by a call of its own. */
export class NotStreamed extends Error {}

interface Waiting {
  readonly resolve: (reply: ModelInferResponse) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Inferences of one connection over bidirectional streams, one for each model version at a time: a call's own cost in
 * HTTP/2 and gRPC, on both sides, is paid once for many. Answers find their question by its id.
 */
export class InferStreams {
  readonly #client: Client;
  readonly #open = new Map<string, InferStream>();
  /** Not every server speaks this part of the protocol. */
  isSupported = true;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Rejects with NotStreamed; with a ServiceError after the deadline or for load; with the signal's reason. */
  infer(request: ModelInferRequest, deadlineMs: number, signal: AbortSignal | undefined): Promise<ModelInferResponse> {
    const key = `${request.model_name}/${request.model_version}`;
    let stream = this.#open.get(key);
    if (!stream?.isOpen) {
      stream = new InferStream(this.#client, (code) => {
        if (code === status.UNIMPLEMENTED) this.isSupported = false;
        if (this.#open.get(key) === stream) this.#open.delete(key);
      });
      this.#open.set(key, stream);
    }
    return stream.infer(request, deadlineMs, signal);
  }

  /** Takes no more calls; those under way are answered. */
  end(): void {
    for (const stream of this.#open.values()) stream.end();
  }
}

class InferStream {
  readonly #call: ClientDuplexStream<ModelInferRequest, ModelStreamInferResponse>;
  readonly #waiting = new Map<string, Waiting>();
  readonly #timer: NodeJS.Timeout;
  readonly #onEnd: (code: status) => void;
  #calls = 0;
  #isAbandoned = false;
  isOpen = true;

  constructor(client: Client, onEnd: (code: status) => void) {
    const { path, requestSerialize, responseDeserialize } = methodOf("ModelStreamInfer");
    this.#onEnd = onEnd;
    this.#call = client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize as (bytes: Buffer) => ModelStreamInferResponse,
      new Metadata(),
      {},
    );
    this.#call.on("data", (reply: ModelStreamInferResponse) => this.#answered(reply));
    this.#call.on("error", () => undefined); // its status comes next
    this.#call.on("status", ({ code, details }: StatusObject) => {
      this.isOpen = false;
      clearTimeout(this.#timer);
      onEnd(code);
      this.#failAll(`the stream ended: ${details}`);
    });
    this.#timer = setTimeout(() => this.end(), STREAM_AGE_MS).unref();
  }

  infer(request: ModelInferRequest, deadlineMs: number, signal: AbortSignal | undefined): Promise<ModelInferResponse> {
    const id = String(++this.#calls);
    return new Promise((resolve, reject) => {
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        this.#waiting.delete(id);
      };
      const fail = (error: Error) => {
        done();
        reject(error);
      };
      const abandon = (error: Error) => {
        fail(error);
        this.#isAbandoned = true;
        this.end();
      };
      const timer = setTimeout(() => abandon(deadlineExceeded()), Math.max(deadlineMs - Date.now(), 0));
      const abort = () => abandon(signal!.reason);
      signal?.addEventListener("abort", abort, { once: true });
      this.#waiting.set(id, {
        resolve: (reply) => {
          done();
          resolve(reply);
        },
        reject: fail,
      });
      this.#call.write({ ...request, id });
      if (this.#calls === CALLS_PER_STREAM) this.end();
    });
  }

  end(): void {
    if (this.isOpen) this.#call.end();
    this.isOpen = false;
    clearTimeout(this.#timer);
    this.#release();
  }

  /** Of a stream that answers nothing nobody would hear again: it is given up once nobody waits for it. */
  #release(): void {
    if (!this.isOpen && this.#isAbandoned && this.#waiting.size === 0) this.#call.cancel();
  }

  #answered({ error_message, infer_response }: ModelStreamInferResponse): void {
    const id = infer_response?.id ?? "";
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) {
      // One that was called off; or an answer that says not whose it is.
      if (id === "") this.#isUseless(error_message || "an answer came without its id");
    } else if (error_message === "") waiting.resolve(infer_response!);
    else if (isForLoad(error_message)) waiting.reject(serviceError(status.UNAVAILABLE, error_message));
    else waiting.reject(new NotStreamed(error_message));
    this.#release();
  }

  #isUseless(why: string): void {
    this.#onEnd(status.UNIMPLEMENTED);
    this.#failAll(why);
    this.end();
  }

  #failAll(why: string): void {
    for (const { reject } of [...this.#waiting.values()]) reject(new NotStreamed(why));
  }
}

/** To ask again would only add to it. */
const isForLoad = (message: string): boolean => /maximum queue size|timeout expired/i.test(message);

const deadlineExceeded = (): ServiceError => serviceError(status.DEADLINE_EXCEEDED, "no answer came in time");

const serviceError = (code: status, details: string): ServiceError =>
  Object.assign(new Error(details), { code, details, metadata: new Metadata() });
