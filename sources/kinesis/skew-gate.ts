type Others = () => Iterable<{ readonly source: string; readonly clockMs: number }>;

/**
 * Keeps shards together: who is too far ahead of the slowest waits, so that readers need hold only a bounded span of
 * minutes open. In it are this process's shards and, as their checkpoints tell, those that others read. Idle and ended
 * shards hold nobody up.
 */
export class SkewGate {
  #clocks = new Map<string, number>();
  readonly #maxSkewMs: number;
  readonly #others: Others;

  /** `others`: checkpoints of all sources that hold the watermark; what this process knows of its own wins. */
  constructor(maxSkewMs: number, others: Others = () => []) {
    this.#maxSkewMs = maxSkewMs;
    this.#others = others;
  }

  set(source: string, clockMs: number): void {
    this.#clocks.set(source, clockMs);
  }

  leave(source: string): void {
    this.#clocks.delete(source);
  }

  /** Whether a shard may go on once its clock stands there. */
  mayReach(clockMs: number): boolean {
    return clockMs - this.#slowestMs() <= this.#maxSkewMs;
  }

  #slowestMs(): number {
    let slowest = Math.min(...this.#clocks.values());
    for (const { source, clockMs } of this.#others())
      if (!this.#clocks.has(source)) slowest = Math.min(slowest, clockMs);
    return slowest;
  }
}
