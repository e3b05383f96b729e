/** Records that one open minute may have in the changelog before they are folded into one. */
const MAX_DELTAS = 256;
/** Open minutes are numbered around a ring, so that their keys are few however long a stage runs. */
export const MINUTE_RING = 256;

/**
 * The changelog keys of what changed in open minutes: `<prefix>/<minute mod 256>/<n>`. A minute's keys are given out in
 * order and deleted together, when it closes or its changes are folded into one record.
 */
export class DeltaKeys {
  readonly #prefix: string;
  #used = new Map<number, number>();

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** Whether the minute has room for more records; if not, it must be folded. */
  hasRoom(minute: number, records: number): boolean {
    return (this.#used.get(minute) ?? 0) + records <= MAX_DELTAS;
  }

  next(minute: number): string {
    const n = this.#used.get(minute) ?? 0;
    this.#used.set(minute, n + 1);
    return `${this.#prefix}/${ringOf(minute)}/${n}`;
  }

  /** Gives back all keys of the minute, for their deletion. */
  clear(minute: number): string[] {
    const used = this.#used.get(minute) ?? 0;
    this.#used.delete(minute);
    return Array.from({ length: used }, (_, n) => `${this.#prefix}/${ringOf(minute)}/${n}`);
  }

  /** For a restore: a key of this prefix is live and holds this minute. */
  hold(minute: number, key: string): void {
    const n = Number(key.slice(key.lastIndexOf("/") + 1));
    this.#used.set(minute, Math.max(this.#used.get(minute) ?? 0, n + 1));
  }

  get count(): number {
    let count = 0;
    for (const used of this.#used.values()) count += used;
    return count;
  }

  /** A step that takes back what changes from here on. */
  undo(): () => void {
    const before = new Map(this.#used);
    return () => {
      this.#used = before;
    };
  }
}

const ringOf = (minute: number): number => ((minute % MINUTE_RING) + MINUTE_RING) % MINUTE_RING;
