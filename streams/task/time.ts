import { setTimeout as delay } from "node:timers/promises";

/** Everything a task knows of time and chance: a simulation gives its own. Never used for event time. */
export interface TaskTime {
  /** Monotonic, for intervals. */
  nowMs(): number;
  /** Since the epoch, for the record time of the changelog. */
  wallMs(): number;
  /** Resolves early, without a throw, when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Uniform in [0, 1): jitter only. */
  random(): number;
}

export const systemTime: TaskTime = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  sleep: (ms, signal) => delay(ms, undefined, signal && { signal }).catch(() => undefined),
  random: () => Math.random(),
};
