/**
 * What takes changes back: the older part since the last merge, the newer since the last savepoint. One for each store;
 * its methods are those of `StateStore`. For changes that are few; panes and hashes keep logs of their own.
 */
export class UndoLog {
  readonly #steps: ((a: number, b: number) => void)[] = [];
  /** What the steps are called with. */
  readonly #arguments: number[] = [];
  #mark = 0;

  /**
   * `step` takes one change back, once everything changed after it has been taken back. A step for many changes is told by
   * two numbers which: then there is no function for each of them.
   */
  add(step: (a: number, b: number) => void, a = 0, b = 0): void {
    this.#steps.push(step);
    this.#arguments.push(a, b);
  }

  savepoint(): void {
    this.#mark = this.#steps.length;
  }

  rollback(): void {
    while (this.#steps.length > this.#mark) {
      const b = this.#arguments.pop()!;
      const a = this.#arguments.pop()!;
      this.#steps.pop()!(a, b);
    }
  }

  merge(): void {
    this.#steps.length = 0;
    this.#arguments.length = 0;
    this.#mark = 0;
  }

  drop(): void {
    this.#mark = 0;
    this.rollback();
  }
}
