import { WeirError } from "../../streams/index.ts";

const FIRST_LIMIT = 4;
const MAX_LIMIT = 64;
/**
 * Calls that wait at the server: fewer leave it idle while an answer travels, and leave nothing to a server that works on
 * several at once the cheaper; more only add to every answer's time.
 */
const FEW_WAITING = 6;
const MANY_WAITING = 10;
/** With so few in flight an answer's time is the server's own: it is measured so at first and then now and again. */
const PROBE_LIMIT = 2;
const PROBE_ANSWERS = 8;
const DECISIONS_PER_PROBE = 256;
/** Who waits here waits in memory: past this the caller is told. */
const MAX_WAITERS = 4_096;

/**
 * How many calls may be in flight, learnt from how long answers take (the idea of TCP Vegas: Brakmo and Peterson, 1995):
 *
 *   waiting = limit × (1 − least time / mean time)
 *
 * estimates the calls that wait at the server. Under 6 the limit rises by one, over 10 it falls by a tenth; a refusal or
 * a time-out halves it. One decision for as many answers as the limit lets out at once. The least time is measured anew
 * with two calls in flight, for eight answers in 256 decisions. Pure: the caller tells the times.
 */
export class ConcurrencyLimit {
  #limit = FIRST_LIMIT;
  #leastMs = Number.POSITIVE_INFINITY;
  #toProbe = PROBE_ANSWERS;
  #decisions = 0;
  #sumMs = 0;
  #answers = 0;
  #mostInFlight = 0;
  #fellJustNow = false;

  get limit(): number {
    return Math.floor(this.#toProbe > 0 ? Math.min(this.#limit, PROBE_LIMIT) : this.#limit);
  }

  /** `inFlight`: calls under way when this one was sent, itself included. */
  answered(tookMs: number, inFlight: number): void {
    this.#fellJustNow = false;
    if (this.#toProbe > 0) {
      if (inFlight > PROBE_LIMIT) return;
      this.#leastMs = Math.min(this.#leastMs, tookMs);
      this.#toProbe--;
      return;
    }
    this.#leastMs = Math.min(this.#leastMs, tookMs);
    this.#sumMs += tookMs;
    this.#answers++;
    this.#mostInFlight = Math.max(this.#mostInFlight, inFlight);
    if (this.#answers >= Math.max(8, this.limit)) this.#decide();
  }

  /** The server refused a call for load, or did not answer it in time. */
  overloaded(): void {
    // Calls sent together fail together: until an answer comes they count as one.
    if (this.#fellJustNow) return;
    this.#fellJustNow = true;
    this.#limit = Math.max(1, this.#limit / 2);
    this.#startAnew();
  }

  #decide(): void {
    const meanMs = Math.max(this.#sumMs / this.#answers, 1e-3);
    const waiting = this.#limit * (1 - this.#leastMs / meanMs);
    const isUsed = this.#mostInFlight >= this.limit;
    if (waiting > MANY_WAITING) this.#limit = Math.max(1, this.#limit * 0.9);
    else if (waiting < FEW_WAITING && isUsed) this.#limit = Math.min(MAX_LIMIT, this.#limit + 1);
    this.#startAnew();
    if (++this.#decisions % DECISIONS_PER_PROBE > 0) return;
    this.#toProbe = PROBE_ANSWERS;
    this.#leastMs = Number.POSITIVE_INFINITY;
  }

  #startAnew(): void {
    this.#sumMs = 0;
    this.#answers = 0;
    this.#mostInFlight = 0;
  }
}

/** Lets as many calls through as the limit says, in the order they came. */
export class Gate {
  readonly limit = new ConcurrencyLimit();
  /** What lets each of them in, first come first. */
  readonly #waiting = new Set<() => void>();
  #inFlight = 0;

  get inFlight(): number {
    return this.#inFlight;
  }

  /**
   * Resolves once the call may be sent: the caller must `leave` afterwards. False: its time was up first. Rejects with
   * the signal's reason, or with MODEL_SERVER_OVERLOADED (retry) where too many wait already.
   */
  async enter(waitMs: number, signal?: AbortSignal): Promise<boolean> {
    if (this.#inFlight < this.limit.limit && this.#waiting.size === 0) {
      this.#inFlight++;
      return true;
    }
    if (this.#waiting.size >= MAX_WAITERS) {
      throw new WeirError(
        "MODEL_SERVER_OVERLOADED",
        "retry",
        `${this.#waiting.size} calls wait already for their turn.`,
        "Add a model server or send less.",
      );
    }
    return new Promise((resolve, reject) => {
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        this.#waiting.delete(admit);
      };
      const admit = () => {
        done();
        this.#inFlight++;
        resolve(true);
      };
      const timer = setTimeout(() => {
        done();
        resolve(false);
      }, waitMs);
      const abort = () => {
        done();
        reject(signal!.reason);
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#waiting.add(admit);
    });
  }

  leave(): void {
    this.#inFlight--;
    for (const admit of this.#waiting) {
      if (this.#inFlight >= this.limit.limit) return;
      admit();
    }
  }
}
