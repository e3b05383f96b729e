import { type Cluster, type ClusterSums, sumClusters } from "./clusters.ts";

export type ArmName = "champion" | "challenger";

/** A scored row as it was recorded: the arm is the one that scored it, whatever routing says today. */
export interface ScoredRow {
  readonly entity: string;
  readonly windowEndMs: number;
  readonly arm: ArmName;
  readonly flagged: boolean;
  /** What the other arm said of the same row; null where it was not asked. */
  readonly otherFlagged: boolean | null;
}

/** A person's verdict on a window, known from `knownAtMs` on. */
export interface RowLabel {
  readonly entity: string;
  readonly windowEndMs: number;
  readonly anomalous: boolean;
  readonly knownAtMs: number;
}

/** Verdicts compared with labels. */
export interface Outcomes {
  /** Right verdicts by entity, of the rows that each arm scored itself. */
  readonly champion: ClusterSums;
  readonly challenger: ClusterSums;
  /** Rows that both arms scored; a hit is +1 where the challenger alone was right, −1 where the champion alone was. */
  readonly paired: ClusterSums;
  readonly championOnly: number;
  readonly challengerOnly: number;
  /** Scored rows without a label so far. */
  readonly unlabelled: number;
}

/**
 * Joins labels, however late they come, to the rows and the arms that scored them, as known at `asOfMs`. Of several
 * labels on a window the newest counts, of equally new ones the last given; a row seen twice counts once.
 */
export function joinLabels(rows: Iterable<ScoredRow>, labels: Iterable<RowLabel>, asOfMs: number): Outcomes {
  const newest = new Map<string, RowLabel>();
  for (const label of labels) {
    const before = newest.get(keyOf(label));
    if (label.knownAtMs <= asOfMs && (before === undefined || before.knownAtMs <= label.knownAtMs))
      newest.set(keyOf(label), label);
  }
  const tallies = { champion: new Tally(), challenger: new Tally(), paired: new Tally() };
  let [championOnly, challengerOnly, unlabelled] = [0, 0, 0];
  const seen = new Set<string>();
  for (const row of rows) {
    const key = keyOf(row);
    if (seen.has(key)) continue;
    seen.add(key);
    const label = newest.get(key);
    if (label === undefined) {
      unlabelled++;
      continue;
    }
    const right = row.flagged === label.anomalous;
    tallies[row.arm].add(row.entity, right ? 1 : 0);
    if (row.otherFlagged === null) continue;
    const otherRight = row.otherFlagged === label.anomalous;
    const gain = (Number(otherRight) - Number(right)) * (row.arm === "champion" ? 1 : -1);
    tallies.paired.add(row.entity, gain);
    if (gain > 0) challengerOnly++;
    if (gain < 0) championOnly++;
  }
  return {
    champion: tallies.champion.sums(),
    challenger: tallies.challenger.sums(),
    paired: tallies.paired.sums(),
    championOnly,
    challengerOnly,
    unlabelled,
  };
}

const keyOf = (of: { entity: string; windowEndMs: number }): string => `${of.windowEndMs}/${of.entity}`;

class Tally {
  readonly #byEntity = new Map<string, { rows: number; hits: number }>();

  add(entity: string, hits: number): void {
    const cluster = this.#byEntity.get(entity) ?? { rows: 0, hits: 0 };
    cluster.rows++;
    cluster.hits += hits;
    this.#byEntity.set(entity, cluster);
  }

  sums(): ClusterSums {
    return sumClusters(this.#byEntity.values() satisfies Iterable<Cluster>);
  }
}
