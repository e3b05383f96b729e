/**
 * Keeps the shards of one process together: who is too far ahead of the slowest waits, so that readers need hold only
 * a bounded span of minutes open. Idle, ended and lost shards are not in it.
 */
export class SkewGate {
  #clocks = new Map<string, number>();
  readonly #maxSkewMs: number;

  constructor(maxSkewMs: number) {
    this.#maxSkewMs = maxSkewMs;
  }

  set(source: string, clockMs: number): void {
    this.#clocks.set(source, clockMs);
  }

  leave(source: string): void {
    this.#clocks.delete(source);
  }

  mayRead(source: string): boolean {
    return this.mayReach(this.#clocks.get(source));
  }

  /** Whether a shard may go on once its clock stands there. */
  mayReach(clockMs: number | undefined): boolean {
    return clockMs === undefined || clockMs - Math.min(...this.#clocks.values()) <= this.#maxSkewMs;
  }
}
