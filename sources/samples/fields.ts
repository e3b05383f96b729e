/** What a member of a sample means: a signal's index, or one of these. */
export const ENTITY = -1;
export const INSTANCE = -2;
export const TIME = -3;
export const UNKNOWN = -4;

const named: Readonly<Record<string, number>> = { entity: ENTITY, instance: INSTANCE, ts: TIME };

export const fieldOf = (signals: ReadonlyMap<string, number>, name: string): number =>
  signals.get(name) ?? (Object.hasOwn(named, name) ? named[name]! : UNKNOWN);

/** What a record says, before anything is judged. */
export interface SampleFields {
  /** Empty where it is not said. */
  entity: string;
  instance: string;
  /** NaN where it is not said or cannot be read. */
  timestampMs: number;
  /** By signal; NaN where it has none. */
  readonly values: Float64Array;
}
