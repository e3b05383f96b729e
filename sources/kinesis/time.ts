/** The only way this folder meets time and chance; tests pass their own. */
export interface Time {
  now(): number;
  /** 0 ≤ x < 1. */
  random(): number;
  /** Ends early, without error, when the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const systemTime: Time = {
  now: () => Date.now(),
  random: () => Math.random(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener("abort", done);
    }),
};

/** Full jitter: anywhere up to base × 2^attempt, at most `capMs`. Attempts count from 0. */
export const backoffMs = (attempt: number, baseMs: number, capMs: number, random: number): number =>
  random * Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30));
