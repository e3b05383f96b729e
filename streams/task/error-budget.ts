/** Throws in a row that are borne; after that, one in a hundred records. */
const BURST = 10;
const RECORDS_PER_THROW = 100;

/**
 * How often a processor may throw (C1): a bucket that each throw fills and each record drains. It counts records, not
 * time, so that a replay comes to the same end, and each record once, however often a failed commit brings it back.
 */
export class ErrorBudget {
  #level = 0;
  #next = 0;

  record(offset: number): void {
    if (this.#isNew(offset) && this.#level > 0) this.#level--;
  }

  /** False when it is spent. */
  spend(offset: number): boolean {
    if (this.#isNew(offset)) this.#level += RECORDS_PER_THROW;
    return this.#level <= BURST * RECORDS_PER_THROW;
  }

  #isNew(offset: number): boolean {
    if (offset < this.#next) return false;
    this.#next = offset + 1;
    return true;
  }
}
