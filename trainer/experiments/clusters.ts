/**
 * Rows counted by entity, boiled down to the six sums from which a rate and its cluster-robust variance follow. All
 * are whole numbers, so that sums of parts are exact and a decision's record stays small whatever the fleet's size.
 */
export interface ClusterSums {
  /** Entities with at least one row. */
  readonly clusters: number;
  readonly rows: number;
  /** Rows for which what is counted holds; of differences, their sum, which may be negative. */
  readonly hits: number;
  readonly rowsSquared: number;
  readonly rowsTimesHits: number;
  readonly hitsSquared: number;
}

/** One entity's rows in one arm. */
export interface Cluster {
  readonly rows: number;
  readonly hits: number;
}

export function sumClusters(clusters: Iterable<Cluster>): ClusterSums {
  const sums = { clusters: 0, rows: 0, hits: 0, rowsSquared: 0, rowsTimesHits: 0, hitsSquared: 0 };
  for (const { rows, hits } of clusters) {
    if (rows === 0) continue;
    sums.clusters++;
    sums.rows += rows;
    sums.hits += hits;
    sums.rowsSquared += rows * rows;
    sums.rowsTimesHits += rows * hits;
    sums.hitsSquared += hits * hits;
  }
  return sums;
}

/** A mean over rows with the variance of that mean. */
export interface Mean {
  readonly mean: number;
  readonly variance: number;
  /** How many times larger the variance is than with independent rows; at least 1 (Kish 1965). */
  readonly designEffect: number;
  /** Of the variance: clusters − 1. */
  readonly degrees: number;
}

/** An estimated difference, challenger minus champion, with its variance. */
export interface Estimate {
  readonly difference: number;
  readonly variance: number;
}

/**
 * A proportion of rows. Needs at least one row.
 *
 * Its variance is the larger of the one for independent rows and the cluster-robust one. The former takes one hit and
 * one miss more than were seen (Agresti & Caffo 2000): it is never 0, and small counts don't claim too much.
 */
export function proportion(sums: ClusterSums): Mean {
  const smoothed = (sums.hits + 1) / (sums.rows + 2);
  return meanOf(sums, (smoothed * (1 - smoothed)) / sums.rows);
}

/**
 * The mean of row differences −1, 0, 1, of which `discordant` are not 0. The variance for independent rows is that
 * of a multinomial (Agresti, Categorical Data Analysis, "Models for Matched Pairs"), with one discordant row more than was seen.
 */
export function meanDifference(sums: ClusterSums, discordant: number): Mean {
  const { rows, hits } = sums;
  return meanOf(sums, ((discordant + 1) / rows - (hits / rows) ** 2) / rows);
}

function meanOf(sums: ClusterSums, independent: number): Mean {
  const variance = Math.max(independent, clusterVariance(sums));
  return { mean: sums.hits / sums.rows, variance, designEffect: variance / independent, degrees: sums.clusters - 1 };
}

/**
 * The variance of hits/rows by linearisation over clusters: G/(G − 1) · Σ(hits_g − mean · rows_g)² / rows²
 * (Cochran, Sampling Techniques, ch. 6; the sandwich of Liang & Zeger 1986 for a mean). 0 for a single cluster, which
 * says nothing about others: whoever decides asks for a minimum of clusters.
 */
export function clusterVariance(sums: ClusterSums): number {
  const { clusters, rows, hits, rowsSquared, rowsTimesHits, hitsSquared } = sums;
  if (clusters < 2) return 0;
  const mean = hits / rows;
  const squares = hitsSquared - 2 * mean * rowsTimesHits + mean * mean * rowsSquared;
  return (Math.max(0, squares) * clusters) / (clusters - 1) / (rows * rows);
}

/**
 * The difference of two proportions of distinct rows, with the degrees of freedom of its variance (Satterthwaite 1946,
 * Welch 1947). Entities seen by both arms make the variance too large, not too small.
 */
export function proportionDifference(
  champion: ClusterSums,
  challenger: ClusterSums,
): Estimate & { readonly degrees: number } {
  const [a, b] = [proportion(champion), proportion(challenger)];
  const variance = a.variance + b.variance;
  const degrees = variance ** 2 / (a.variance ** 2 / a.degrees + b.variance ** 2 / b.degrees);
  return { difference: b.mean - a.mean, variance, degrees };
}
