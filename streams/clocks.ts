/** A source's last word on time. Closed sources are forgotten. */
interface SourceClock {
  clockMs: number;
  idle: boolean;
}

export interface SourceClocksSnapshot {
  readonly watermarkMs: number;
  readonly sources: Readonly<Record<string, { readonly clockMs: number; readonly idle: boolean }>>;
}

/**
 * The clocks of the writers into one partition, and their minimum: the watermark (design §4).
 *
 * Invariants: 1. a clock never moves back; 2. the watermark never moves back; 3. the watermark is never above the
 * clock of an open, non-idle source that was known when it was computed, so an event at or above its own source's
 * clock never meets a closed window.
 */
export class SourceClocks {
  #sources = new Map<string, SourceClock>();
  #watermarkMs: number;

  constructor(snapshot?: SourceClocksSnapshot) {
    this.#watermarkMs = snapshot?.watermarkMs ?? 0;
    for (const [id, s] of Object.entries(snapshot?.sources ?? {})) this.#sources.set(id, { ...s });
  }

  open(source: string, clockMs: number): void {
    if (!this.#sources.has(source)) this.#sources.set(source, { clockMs, idle: false });
  }

  /** A record or tick of the source. An unknown source is opened: its writer is older than this reader's state. */
  advance(source: string, clockMs: number): void {
    const s = this.#sources.get(source);
    if (!s) this.open(source, clockMs);
    else {
      s.clockMs = Math.max(s.clockMs, clockMs);
      s.idle = false;
    }
  }

  /** Written by the source's owner only, after a read that found nothing more: it no longer holds the watermark. */
  idle(source: string): void {
    const s = this.#sources.get(source);
    if (s) s.idle = true;
  }

  close(source: string): void {
    this.#sources.delete(source);
  }

  clockOf(source: string): number {
    return this.#sources.get(source)?.clockMs ?? 0;
  }

  /** The minimum clock of open, non-idle sources; stays where it was while there is none. */
  get watermarkMs(): number {
    let min = Number.POSITIVE_INFINITY;
    for (const s of this.#sources.values()) if (!s.idle && s.clockMs < min) min = s.clockMs;
    if (min !== Number.POSITIVE_INFINITY && min > this.#watermarkMs) this.#watermarkMs = min;
    return this.#watermarkMs;
  }

  snapshot(): SourceClocksSnapshot {
    return {
      watermarkMs: this.watermarkMs,
      sources: Object.fromEntries([...this.#sources].map(([id, s]) => [id, { ...s }])),
    };
  }
}
