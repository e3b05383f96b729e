/** What the kills come to. Pure. */
export interface Measured {
  /** Seconds of each kill, by instances. */
  readonly child: ReadonlyMap<number, readonly number[]>;
  readonly group: readonly number[];
  /** Of Kafka Streams, by the way it was set up. */
  readonly peers: ReadonlyMap<string, number>;
}

export const median = (of: readonly number[]): number => [...of].sort((a, b) => a - b)[Math.floor(of.length / 2)]!;

const round = (value: number) => Number(value.toFixed(2));

/** A figure whose kills are missing is left out. */
export function figuresOf({ child, group, peers }: Measured): Record<string, number> {
  const figures: Record<string, number> = {};
  for (const [instances, seconds] of child) figures[`seconds${instances}`] = round(median(seconds));
  if (group.length > 0) figures.groupSeconds = round(median(group));
  const own = child.get(1_500);
  if (own !== undefined && peers.size > 0) figures.restoreRatio = round(Math.min(...peers.values()) / median(own));
  return figures;
}
