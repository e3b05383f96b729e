/** Something due at a virtual time. Cancelled, it neither runs nor moves time. */
export interface Timer {
  cancel(): void;
}

interface Due {
  readonly atMs: number;
  readonly order: number;
  act: (() => void) | null;
}

/** Resolves when every promise that can go on has gone on. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * Time that passes only from one due thing to the next. What is due at the same time runs in the order in which it was
 * asked for, and between two things all promises settle: a run is a function of its inputs.
 *
 * By hand (`run`), or by itself while something is due (`auto`), for code that awaits its calls one by one.
 */
export class VirtualTime {
  nowMs = 0;
  #heap: Due[] = [];
  #order = 0;
  readonly #auto: boolean;
  #pumping = false;

  constructor(options: { readonly auto?: boolean } = {}) {
    this.#auto = options.auto ?? false;
  }

  after(ms: number, act: () => void): Timer {
    const due: Due = { atMs: this.nowMs + Math.max(0, ms), order: this.#order++, act };
    this.#push(due);
    if (this.#auto && !this.#pumping) void this.#pump();
    return {
      cancel: () => {
        due.act = null;
      },
    };
  }

  /** Runs what is due until `done`, or until nothing is due before `limitMs`; tells whether it came to be done. */
  async run(done: () => boolean, limitMs: number): Promise<boolean> {
    await settled();
    while (!done()) {
      const next = this.#pop(limitMs);
      if (!next) return false;
      this.nowMs = next.atMs;
      next.act!();
      await settled();
    }
    return true;
  }

  async #pump(): Promise<void> {
    this.#pumping = true;
    await settled();
    await this.run(() => false, Number.POSITIVE_INFINITY);
    this.#pumping = false;
  }

  #push(due: Due): void {
    const heap = this.#heap;
    let i = heap.length;
    heap.push(due);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(due, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = due;
  }

  #pop(limitMs: number): Due | undefined {
    for (let top = this.#heap[0]; top; top = this.#heap[0]) {
      if (top.act && top.atMs > limitMs) return undefined;
      this.#takeTop();
      if (top.act) return top;
    }
    return undefined;
  }

  #takeTop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
  }
}

const before = (a: Due, b: Due): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
