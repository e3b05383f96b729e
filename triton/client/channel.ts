import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { methodOf, type Rpcs } from "./protocol.ts";

const MAX_FRAME_BYTES = 64 * 1024 * 1024;
const CONNECT_TIMEOUT_MS = 10_000;

export const channelOptions = {
  "grpc.max_receive_message_length": MAX_FRAME_BYTES,
  "grpc.max_send_message_length": MAX_FRAME_BYTES,
  "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  // Connections of its own: a shared pool would hand a new channel the old one's.
  "grpc.use_local_subchannel_pool": 1,
  // Retries are counted by the client, against the caller's budget.
  "grpc.enable_retries": 0,
  // Triton answers pings closer than 300 s, or without a call, with GOAWAY.
  "grpc.keepalive_time_ms": 330_000,
  "grpc.keepalive_permit_without_calls": 0,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
  // Statistics of its own that nobody reads here.
  "grpc.enable_channelz": 0,
};

interface Line {
  readonly client: Client;
  sinceMs: number;
}

/**
 * Calls go round all addresses that the name resolves to. A gRPC channel resolves anew only when a connection breaks, so
 * servers that joined later would get nothing: at `maxAgeMs` a second channel is made, and once it is connected it takes
 * the first one's place. Calls under way end where they began.
 */
export class Channel {
  readonly #address: string;
  readonly #maxAgeMs: number;
  #line: Line;
  #next: Line | null = null;

  constructor(address: string, maxAgeMs: number) {
    this.#address = address;
    this.#maxAgeMs = maxAgeMs;
    this.#line = this.#open(Date.now());
  }

  /** Rejects with grpc-js's ServiceError. */
  unary<M extends keyof Rpcs>(
    method: M,
    request: Rpcs[M][0],
    deadlineMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Rpcs[M][1]> {
    const { path, requestSerialize, responseDeserialize } = methodOf(method);
    if (Date.now() - this.#line.sinceMs >= this.#maxAgeMs) this.renew();
    const { client } = this.#line;
    return new Promise((resolve, reject) => {
      const call = client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        new Metadata(),
        { deadline: deadlineMs },
        (error, reply) => {
          signal?.removeEventListener("abort", cancel);
          if (error) reject(error);
          else resolve(reply as Rpcs[M][1]);
        },
      );
      const cancel = () => call.cancel();
      signal?.addEventListener("abort", cancel, { once: true });
    });
  }

  /** Calls under way are answered. */
  close(): void {
    this.#next?.client.close();
    this.#line.client.close();
  }

  /**
   * Connects anew and moves over once that has worked. Also for a connection that answers nothing and does not break,
   * such as one to a machine that lost its power: only its time-outs tell.
   */
  renew(): void {
    if (this.#next) return;
    const nowMs = Date.now();
    const next = this.#open(nowMs);
    this.#next = next;
    next.client.waitForReady(nowMs + CONNECT_TIMEOUT_MS, (error) => {
      if (this.#next !== next) return;
      this.#next = null;
      if (error) {
        // A line that works is not given up for one that does not: tried again later.
        next.client.close();
        this.#line.sinceMs = nowMs;
        return;
      }
      const old = this.#line;
      this.#line = next;
      old.client.close(); // its connections close once the calls on them have ended
    });
  }

  #open(nowMs: number): Line {
    const client = new Client(this.#address, credentials.createInsecure(), channelOptions);
    return { client, sinceMs: nowMs };
  }
}
