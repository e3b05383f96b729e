/** Failures in a row after which a server counts as gone. */
const FAILURES = 5;
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 10_000;

/**
 * Keeps calls from a server that does not answer: after five failures in a row it is left alone for a pause, then one
 * call may try; each failed try doubles the pause. Pure: the caller tells the time.
 */
export class Breaker {
  #failures = 0;
  #pauseMs = FIRST_PAUSE_MS;
  #openUntilMs = Number.NEGATIVE_INFINITY;

  isOpen(nowMs: number): boolean {
    return this.#failures >= FAILURES && nowMs < this.#openUntilMs;
  }

  /** True if a call may go out. After a pause only the first asker gets it, until its outcome is known. */
  allow(nowMs: number): boolean {
    if (this.#failures < FAILURES) return true;
    if (this.isOpen(nowMs)) return false;
    this.#openUntilMs = nowMs + this.#pauseMs;
    return true;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#pauseMs = FIRST_PAUSE_MS;
  }

  failed(nowMs: number): void {
    this.#failures++;
    if (this.#failures < FAILURES) return;
    if (this.#failures > FAILURES) this.#pauseMs = Math.min(2 * this.#pauseMs, MAX_PAUSE_MS);
    this.#openUntilMs = nowMs + this.#pauseMs;
  }
}

/**
 * At most one retry for ten calls, with a reserve of ten: retries cannot multiply the load of a server in trouble.
 */
export class RetryBudget {
  #tokens = 10;

  called(): void {
    this.#tokens = Math.min(10, this.#tokens + 0.1);
  }

  take(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
