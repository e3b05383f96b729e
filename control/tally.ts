import type { ArmTally, RowSums, VersionTally } from "../schemas/index.ts";

/** Bins of equal width over scores from 0 to 1: fixed beforehand and equal for both arms. */
export const SCORE_BINS = 10;

/** One entity's scored rows under one routing version. */
export interface EntityRows {
  /** 0: champion, 1: challenger. An entity keeps its arm as long as the version is in force. */
  readonly arm: number;
  readonly rows: number;
  readonly flagged: number;
}

export const noSums: RowSums = { clusters: 0, rows: 0, hits: 0, rowsSquared: 0, rowsTimesHits: 0, hitsSquared: 0 };

export const emptyArm = (): ArmTally => ({
  entities: 0,
  rows: 0,
  errors: 0,
  requests: 0,
  slowRequests: 0,
  histogram: new Array<number>(SCORE_BINS).fill(0),
  flagged: noSums,
  right: noSums,
});

/** The sums once `before` has one row more. Whole numbers throughout: the same in whatever order rows come. */
export function addRow(sums: RowSums, before: { rows: number; hits: number }, hit: 0 | 1): RowSums {
  const { rows, hits } = before;
  return {
    clusters: sums.clusters + (rows === 0 ? 1 : 0),
    rows: sums.rows + 1,
    hits: sums.hits + hit,
    rowsSquared: sums.rowsSquared + 2 * rows + 1,
    rowsTimesHits: sums.rowsTimesHits + (rows + 1) * (hits + hit) - rows * hits,
    hitsSquared: sums.hitsSquared + hit * (2 * hits + 1),
  };
}

export const binOf = (score: number): number =>
  Math.max(0, Math.min(SCORE_BINS - 1, Math.floor(Math.fround(score) * SCORE_BINS)));

/** What was said of one row, as one character: whether it was flagged, whether the other arm was asked and flagged it. */
export const verdictOf = (flagged: boolean, otherFlagged: boolean | null): string =>
  String((flagged ? 1 : 0) + (otherFlagged === null ? 0 : 2) + (otherFlagged === true ? 4 : 0));

export function readVerdict(verdict: string): { flagged: boolean; otherFlagged: boolean | null } {
  const bits = Number(verdict);
  return { flagged: (bits & 1) !== 0, otherFlagged: (bits & 2) === 0 ? null : (bits & 4) !== 0 };
}

/** Stands for a minute without a scored row. */
export const NO_VERDICT = "-";
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** Verdicts are kept an hour of an entity together: which hour, and which of its sixty minutes. */
export const hourOf = (windowEndMs: number): number => Math.floor(windowEndMs / HOUR_MS) * HOUR_MS;
const minuteOf = (windowEndMs: number): number => Math.floor((windowEndMs % HOUR_MS) / MINUTE_MS);

export function withVerdict(hour: string | undefined, windowEndMs: number, verdict: string): string {
  const minute = minuteOf(windowEndMs);
  const known = hour ?? NO_VERDICT.repeat(60);
  return known.slice(0, minute) + verdict + known.slice(minute + 1);
}

export function verdictAt(hour: string | undefined, windowEndMs: number): string | null {
  const verdict = hour?.[minuteOf(windowEndMs)];
  return verdict === undefined || verdict === NO_VERDICT ? null : verdict;
}

/** The tallies of all partitions together. An entity lives in one partition, so sums over entities simply add up. */
export function addTallies(tallies: readonly VersionTally[]): VersionTally | null {
  const first = tallies[0];
  return first ? tallies.slice(1).reduce(addDeep, first) : null;
}

const addDeep = (a: VersionTally, b: VersionTally): VersionTally => ({
  version: a.version,
  arms: a.arms.map((arm, i) => addArms(arm, b.arms[i]!)),
  paired: addSums(a.paired, b.paired),
  championOnly: a.championOnly + b.championOnly,
  challengerOnly: a.challengerOnly + b.challengerOnly,
  unlabelled: a.unlabelled + b.unlabelled,
});

const addArms = (a: ArmTally, b: ArmTally): ArmTally => ({
  entities: a.entities + b.entities,
  rows: a.rows + b.rows,
  errors: a.errors + b.errors,
  requests: a.requests + b.requests,
  slowRequests: a.slowRequests + b.slowRequests,
  histogram: a.histogram.map((rows, bin) => rows + b.histogram[bin]!),
  flagged: addSums(a.flagged, b.flagged),
  right: addSums(a.right, b.right),
});

const addSums = (a: RowSums, b: RowSums): RowSums => ({
  clusters: a.clusters + b.clusters,
  rows: a.rows + b.rows,
  hits: a.hits + b.hits,
  rowsSquared: a.rowsSquared + b.rowsSquared,
  rowsTimesHits: a.rowsTimesHits + b.rowsTimesHits,
  hitsSquared: a.hitsSquared + b.hitsSquared,
});
