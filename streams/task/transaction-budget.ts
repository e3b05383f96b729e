const PER_SECOND = 100;

/**
 * How many transactions a process begins a second for the sake of latency alone. A caught-up task commits at once while
 * some are left, and at its commit interval when they are spent: the broker's coordinator is shared by all.
 */
export class TransactionBudget {
  readonly #perSecond: number;
  #left: number;
  #atMs: number | undefined;

  constructor(perSecond = PER_SECOND) {
    this.#perSecond = perSecond;
    this.#left = perSecond;
  }

  /** True if one is left, which is taken then. `nowMs` is monotonic; a step back counts as no time at all. */
  take(nowMs: number): boolean {
    const passedMs = Math.max(0, nowMs - (this.#atMs ?? nowMs));
    this.#atMs = nowMs;
    this.#left = Math.min(this.#perSecond, this.#left + (passedMs / 1_000) * this.#perSecond);
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}

/** Shared by all tasks of this process that are given no other. */
export const processBudget = new TransactionBudget();
