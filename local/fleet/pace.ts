import type { TelemetryRound } from "./types.ts";

/** Wall time, passed in so that tests can move it by hand. */
export interface PaceClock {
  nowMs(): number;
  sleep(ms: number): Promise<void>;
}

/**
 * Lets each round through once its simulated time has come, at `speed` simulated seconds a second from `fromMs` on;
 * 0 is as fast as the reader takes them. A reader that has fallen behind is not made to wait.
 */
export async function* pace(
  rounds: Iterable<TelemetryRound>,
  speed: number,
  fromMs: number,
  clock: PaceClock,
): AsyncGenerator<TelemetryRound> {
  const beganMs = clock.nowMs();
  for (const round of rounds) {
    if (speed > 0) {
      const waitMs = beganMs + (round.clockMs - fromMs) / speed - clock.nowMs();
      if (waitMs > 0) await clock.sleep(waitMs);
    }
    yield round;
  }
}
