import { binomialTail, chiSquareTail, normalTail } from "./distributions.ts";

/**
 * Tests for one look at the end. Looked at again and again they find a difference where there is none in half of all
 * experiments; `sequential.ts` has the ones that bear it.
 */

/** Rows and those of them for which what is counted holds. Need not be whole: effective counts are welcome. */
export interface Counts {
  readonly rows: number;
  readonly hits: number;
}

export interface ChiSquare {
  readonly statistic: number;
  readonly degrees: number;
  readonly p: number;
  /** Below 5 the p is not to be trusted (Cochran 1954). */
  readonly leastExpected: number;
}

/** Below this a chi-square's p is not to be trusted. */
export const LEAST_EXPECTED = 5;

/**
 * Whether units came to the arms in the shares that were meant: Pearson's goodness of fit (Pearson 1900). As a sample
 * ratio check (Fabijan et al. 2019) it alarms at p < 0.001, as GrowthBook does. The units are what was assigned, here entities, not rows.
 */
export function sampleRatioCheck(units: readonly number[], shares: readonly number[]): ChiSquare {
  const total = units.reduce((sum, n) => sum + n, 0);
  const whole = shares.reduce((sum, share) => sum + share, 0);
  return pearson(
    units,
    shares.map((share) => (total * share) / whole),
    units.length - 1,
  );
}

/** Whether two proportions differ: Pearson's chi-square of the 2 × 2 table, without Yates's correction. */
export function chiSquareTest(a: Counts, b: Counts): ChiSquare {
  const rows = a.rows + b.rows;
  const hits = a.hits + b.hits;
  const observed = [a, b].flatMap((c) => [c.hits, c.rows - c.hits]);
  const expected = [a, b].flatMap((c) => [(c.rows * hits) / rows, (c.rows * (rows - hits)) / rows]);
  return pearson(observed, expected, 1);
}

function pearson(observed: readonly number[], expected: readonly number[], degrees: number): ChiSquare {
  const statistic = observed.reduce((sum, count, i) => {
    const mean = expected[i]!;
    return mean === 0 ? sum : sum + (count - mean) ** 2 / mean;
  }, 0);
  return { statistic, degrees, p: chiSquareTail(statistic, degrees), leastExpected: Math.min(...expected) };
}

/**
 * The two-proportion z with pooled variance and its two-sided p (Fleiss, Statistical Methods for Rates and
 * Proportions). z² is the chi-square above. z is 0 where all rows are alike.
 */
export function twoProportionZ(champion: Counts, challenger: Counts): { readonly z: number; readonly p: number } {
  const pooled = (champion.hits + challenger.hits) / (champion.rows + challenger.rows);
  const variance = pooled * (1 - pooled) * (1 / champion.rows + 1 / challenger.rows);
  if (variance === 0) return { z: 0, p: 1 };
  const z = (challenger.hits / challenger.rows - champion.hits / champion.rows) / Math.sqrt(variance);
  return { z, p: 2 * normalTail(Math.abs(z)) };
}

/**
 * McNemar's test (McNemar 1947) on the rows that one arm alone got right. `exact` is the two-sided binomial p, `p` the
 * chi-square's without continuity correction; neither knows of clusters. Without such rows both are 1.
 */
export function mcNemar(
  championOnly: number,
  challengerOnly: number,
): { readonly statistic: number; readonly p: number; readonly exact: number } {
  const discordant = championOnly + challengerOnly;
  if (discordant === 0) return { statistic: 0, p: 1, exact: 1 };
  const statistic = (challengerOnly - championOnly) ** 2 / discordant;
  const exact = Math.min(1, 2 * binomialTail(Math.max(championOnly, challengerOnly), discordant, 0.5));
  return { statistic, p: chiSquareTail(statistic, 1), exact };
}

/**
 * P that `a` has at least as many events as it has, if both have the same rate: given all events, those of `a` are
 * binomial with its share of the exposure (Przyborowski & Wilenski 1940). Right for any counts, one-sided.
 */
export function rateExcess(a: Counts, b: Counts): number {
  if (a.rows === 0) return 1;
  return binomialTail(a.hits, a.hits + b.hits, a.rows / (a.rows + b.rows));
}
