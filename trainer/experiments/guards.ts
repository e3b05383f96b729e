import { type ClusterSums, proportion } from "./clusters.ts";

/** What can be said of two arms before any label is known: how they spread their scores and how often they alert. */

/**
 * The population stability index Σ (a − e) ln(a/e) of two histograms over the same bins: the symmetric
 * Kullback-Leibler divergence (Kullback & Leibler 1951). Half a row is added to each bin, so that an empty one stays
 * finite. Without any difference its mean is about (bins − 1)(1/n + 1/m). Other tools bin and fill otherwise: don't
 * compare their values.
 */
export function populationStability(expected: readonly number[], actual: readonly number[]): number {
  if (expected.length !== actual.length || expected.length === 0)
    throw new RangeError(`histograms of ${expected.length} and ${actual.length} bins`);
  const [e, a] = [shares(expected), shares(actual)];
  return e.reduce((sum, share, bin) => sum + (a[bin]! - share) * Math.log(a[bin]! / share), 0);
}

function shares(histogram: readonly number[]): number[] {
  const rows = histogram.reduce((sum, n) => sum + n, 0);
  return histogram.map((n) => (n + 0.5) / (rows + histogram.length / 2));
}

/**
 * How certain it is that `a` hits more than `limit` times as often as `b`, as a z: Fieller's test of a ratio (Fieller
 * 1954), (rate_a − limit · rate_b) / √(V_a + limit² V_b), on cluster-robust variances. Needs a row on each side.
 */
export function rateRatioZ(a: ClusterSums, b: ClusterSums, limit: number): number {
  const [x, y] = [proportion(a), proportion(b)];
  return (x.mean - limit * y.mean) / Math.sqrt(x.variance + limit * limit * y.variance);
}

/** One arm's scores in a window. */
export interface ArmScores {
  /** Rows by score, over edges fixed beforehand and equal for both arms. Its sum is the number of rows. */
  readonly histogram: readonly number[];
  /** Rows flagged as anomalies, by entity. */
  readonly flagged: ClusterSums;
}

/** Below this a histogram's noise alone can reach the limit. */
const LEAST_ROWS = 1_000;
/** Below this one machine's bad day shows as another distribution. */
const LEAST_ENTITIES = 20;
/** The limit that R61 sets on drift; here between arms. */
const PSI_LIMIT = 0.3;
/** R61: a change of the alert rate by more than 50 %. */
const RATIO_LIMIT = 1.5;
/** One-sided p = 0.001: the guard is looked at every minute. */
const LEAST_Z = 3.09;

export interface ScoreGuard {
  /** `alert-rate`: certainly more than 1.5 times as many or as few alerts. `score-distribution`: PSI above 0.3 and its noise. */
  readonly verdict: "clear" | "too-few-rows" | "alert-rate" | "score-distribution";
  readonly psi: number | null;
  /** Of `rateRatioZ` at 1.5: the challenger alerts more often; the champion does. */
  readonly floodZ: number | null;
  readonly silenceZ: number | null;
}

/** What PSI comes to without any difference if each entity always has the same score: as many draws as entities. */
const noise = ({ histogram, flagged }: ArmScores, other: ArmScores): number =>
  (histogram.length - 1) * (1 / flagged.clusters + 1 / other.flagged.clusters);

/** Compares the arms' scores of one window. Fewer than 1,000 rows in an arm say nothing; PSI needs 20 entities too. */
export function scoreGuard(champion: ArmScores, challenger: ArmScores): ScoreGuard {
  const [a, b] = [champion.flagged, challenger.flagged];
  if (Math.min(a.rows, b.rows) < LEAST_ROWS)
    return { verdict: "too-few-rows", psi: null, floodZ: null, silenceZ: null };
  const psi = populationStability(champion.histogram, challenger.histogram);
  const [floodZ, silenceZ] = [rateRatioZ(b, a, RATIO_LIMIT), rateRatioZ(a, b, RATIO_LIMIT)];
  const otherShape =
    psi - noise(champion, challenger) > PSI_LIMIT && Math.min(a.clusters, b.clusters) >= LEAST_ENTITIES;
  const verdict = Math.max(floodZ, silenceZ) > LEAST_Z ? "alert-rate" : otherShape ? "score-distribution" : "clear";
  return { verdict, psi, floodZ, silenceZ };
}
