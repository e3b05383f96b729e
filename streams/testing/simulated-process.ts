import { WeirError } from "../errors.ts";
import type { SeededRandom } from "./random.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** Calls of the ports as they cross the wire; a fault names one of them. */
export type CallName =
  | "metadata"
  | "list-offsets"
  | "fetch"
  | "describe-transaction"
  | "describe-producers"
  | "init"
  | "add-partitions"
  | "produce"
  | "offsets"
  | "commit"
  | "abort"
  | "join"
  | "sync"
  | "heartbeat"
  | "leave";

/**
 * What goes wrong with one call, for `ms`:
 *
 *   lose-request   it never arrives; the caller hears of a broken connection after that time
 *   late-request   the caller hears of a broken connection at once, the request arrives that much later all the same
 *   lose-reply     it is done, but the caller hears of a broken connection after that time
 *   delay-reply    the answer takes that much longer
 */
export interface CallFault {
  readonly kind: "lose-request" | "late-request" | "lose-reply" | "delay-reply";
  readonly ms: number;
}

export interface Reply<T> {
  done(value: T): void;
  fail(error: WeirError): void;
}

const EPOCH_MS = 1_700_000_000_000;

/**
 * One process as the simulated broker sees it. Killed, nothing of it goes on: its calls and sleeps never end, and what it
 * still tries to send does not leave. Paused, the same until it is resumed: then all that waited happens at once, as
 * with a process that was stopped and goes on. Requests already on their way arrive in both cases.
 */
export class SimulatedProcess {
  readonly name: string;
  /** Asked for each call, with how many of its name came before it in this process. */
  faultOf: (call: CallName, count: number) => CallFault | undefined = () => undefined;
  /** Requests sent: a measure of work that no machine's speed enters. */
  calls = 0;
  readonly #virtual: VirtualTime;
  readonly #random: SeededRandom;
  readonly #maxLatencyMs: number;
  readonly #counts = new Map<CallName, number>();
  #state: "running" | "paused" | "dead" = "running";
  #held: (() => void)[] = [];

  constructor(name: string, virtual: VirtualTime, random: SeededRandom, maxLatencyMs: number) {
    this.name = name;
    this.#virtual = virtual;
    this.#random = random;
    this.#maxLatencyMs = maxLatencyMs;
  }

  get isAlive(): boolean {
    return this.#state !== "dead";
  }

  kill(): void {
    this.#state = "dead";
    this.#held = [];
  }

  pause(): void {
    if (this.#state === "running") this.#state = "paused";
  }

  resume(): void {
    if (this.#state !== "paused") return;
    this.#state = "running";
    const held = this.#held;
    this.#held = [];
    for (const act of held) act();
  }

  /** Time and chance for the runtime in this process. */
  readonly time = {
    nowMs: (): number => this.#virtual.nowMs,
    wallMs: (): number => EPOCH_MS + this.#virtual.nowMs,
    random: (): number => this.#random.next(),
    sleep: (ms: number, signal?: AbortSignal): Promise<void> =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        const end = () => {
          timer.cancel();
          this.#deliver(resolve);
        };
        const timer = this.#virtual.after(ms, end);
        signal?.addEventListener("abort", end, { once: true });
      }),
  };

  /** Sends a request and waits for the answer. `arrive` runs at the broker; it answers once, at once or later. */
  call<T>(name: CallName, arrive: (reply: Reply<T>) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#deliver(() => {
        this.calls++;
        const count = this.#counts.get(name) ?? 0;
        this.#counts.set(name, count + 1);
        const fault = this.faultOf(name, count);
        const broken = (afterMs: number) =>
          this.#virtual.after(afterMs, () => this.#deliver(() => reject(connectionLost(name))));
        const answer = (act: () => void) => {
          if (fault?.kind === "lose-reply") broken(fault.ms);
          else if (fault?.kind !== "late-request")
            this.#virtual.after(this.#latency() + (fault?.kind === "delay-reply" ? fault.ms : 0), () =>
              this.#deliver(act),
            );
        };
        if (fault?.kind === "lose-request") return void broken(fault.ms);
        if (fault?.kind === "late-request") broken(this.#latency());
        this.#virtual.after(this.#latency() + (fault?.kind === "late-request" ? fault.ms : 0), () =>
          arrive({ done: (value) => answer(() => resolve(value)), fail: (error) => answer(() => reject(error)) }),
        );
      });
    });
  }

  #latency(): number {
    return this.#random.between(1, this.#maxLatencyMs);
  }

  #deliver(act: () => void): void {
    if (this.#state === "running") act();
    else if (this.#state === "paused") this.#held.push(act);
  }
}

export const connectionLost = (what: string): WeirError =>
  new WeirError("KAFKA_UNAVAILABLE", "retry", `${what}: the connection broke (simulated).`, "The call is repeated.");
