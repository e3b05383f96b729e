import { setTimeout as sleep } from "node:timers/promises";
import { WeirError } from "../../streams/index.ts";

/** Of a fault that lasts this often a line, and at most so long between two attempts. */
const SAY_EVERY_MS = 60_000;
const MAX_PAUSE_MS = 10_000;

export interface PatienceOptions {
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
  readonly monotonicMs: () => number;
  /** Default: the real one. Ends early, without error, when the signal aborts. */
  readonly pause?: (ms: number, signal: AbortSignal) => Promise<void>;
}

const realPause = (ms: number, signal: AbortSignal): Promise<void> =>
  sleep(ms, undefined, { signal }).catch(() => undefined);

/** Bears with faults whose disposition is `retry`, however long they last. */
export class Patience {
  readonly #options: PatienceOptions;
  #failures = 0;
  #saidAtMs = Number.NEGATIVE_INFINITY;
  /** What it is waiting for; undefined while all is well. */
  problem: string | undefined;

  constructor(options: PatienceOptions) {
    this.#options = options;
  }

  /** Resolves when it is time for another attempt, at once if the signal has aborted; throws what none would mend. */
  async bear(error: unknown): Promise<void> {
    const { signal, log, monotonicMs, pause = realPause } = this.#options;
    if (signal.aborted) return;
    if (!(error instanceof WeirError) || error.disposition !== "retry") throw error;
    this.problem = String(error);
    if (monotonicMs() >= this.#saidAtMs + SAY_EVERY_MS) {
      this.#saidAtMs = monotonicMs();
      log(this.problem);
    }
    const pauseMs = Math.min(MAX_PAUSE_MS, 100 * 2 ** Math.min(++this.#failures, 20));
    await pause(pauseMs, signal);
  }

  succeeded(): void {
    this.#failures = 0;
    this.problem = undefined;
  }

  /** Until it succeeds or the signal aborts. */
  async with(attempt: () => Promise<void>): Promise<void> {
    while (!this.#options.signal.aborted) {
      try {
        await attempt();
        return this.succeeded();
      } catch (error) {
        await this.bear(error);
      }
    }
  }
}
