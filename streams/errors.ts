/** What the run loop does with a failure. */
export type Disposition = "retry" | "dead-letter" | "fenced" | "fatal";

/**
 * An error people and code can act on.
 *
 * `code` is stable and documented, `message` says what happened and where, `nextStep` says what to do about it.
 */
export class WeirError extends Error {
  readonly code: string;
  readonly disposition: Disposition;
  readonly nextStep: string;

  constructor(code: string, disposition: Disposition, message: string, nextStep: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "WeirError";
    this.code = code;
    this.disposition = disposition;
    this.nextStep = nextStep;
  }

  /** The one line a person reads. */
  override toString(): string {
    return `${this.code}: ${this.message} Next step: ${this.nextStep}`;
  }
}
