/**
 * What takes changes back: the older part since the last merge, the newer since the last savepoint. One for each store;
 * its methods are those of `StateStore`. For changes that are few; panes and hashes keep logs of their own.
 */
export class UndoLog {
  #steps: (() => void)[] = [];
  #mark = 0;

  /** `step` takes one change back, once everything changed after it has been taken back. */
  add(step: () => void): void {
    this.#steps.push(step);
  }

  savepoint(): void {
    this.#mark = this.#steps.length;
  }

  rollback(): void {
    while (this.#steps.length > this.#mark) this.#steps.pop()!();
  }

  merge(): void {
    this.#steps = [];
    this.#mark = 0;
  }

  drop(): void {
    this.#mark = 0;
    this.rollback();
  }
}
