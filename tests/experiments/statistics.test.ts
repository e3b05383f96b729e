import fc from "fast-check";
import { expect, test } from "vitest";
import {
  alwaysValidP,
  type Cluster,
  chiSquareTest,
  clusterVariance,
  confidenceSequence,
  mcNemar,
  meanDifference,
  mixtureLikelihoodRatio,
  populationStability,
  proportion,
  proportionDifference,
  rateExcess,
  rateRatioZ,
  sampleRatioCheck,
  scoreGuard,
  sumClusters,
  tauFor,
  twoProportionZ,
} from "../../trainer/experiments/index.ts";
import { binomialSampler, uniform } from "./simulation.ts";
import vectors from "./vectors.json" with { type: "json" };

const close = (got: number, expected: number) =>
  expect(Math.abs(got - expected)).toBeLessThanOrEqual(1e-10 * Math.max(1e-300, Math.abs(expected)) + 1e-15);
const counts = ([rows, hits]: number[]) => ({ rows: rows!, hits: hits! });
const alone = (rows: number, hits: number) =>
  sumClusters(Array.from({ length: rows }, (_, i) => ({ rows: 1, hits: i < hits ? 1 : 0 })));

test("the sample ratio check agrees with SciPy and alarms on 650 to 350 where 70 to 30 was meant", () => {
  for (const [units, shares, statistic, p] of vectors.sampleRatio as [number[], number[], number, number][]) {
    const got = sampleRatioCheck(units, shares);
    close(got.statistic, statistic);
    close(got.p, p);
  }
  expect(sampleRatioCheck([650, 350], [70, 30]).p).toBeLessThan(0.001);
  expect(sampleRatioCheck([690, 310], [70, 30]).p).toBeGreaterThan(0.001);
});

test("two proportions: z, chi-square and expected counts agree with SciPy and statsmodels, and z² is the chi-square", () => {
  for (const v of vectors.twoProportions) {
    const [a, b] = [counts(v.champion), counts(v.challenger)];
    const chiSquare = chiSquareTest(a, b);
    const { z, p } = twoProportionZ(a, b);
    close(chiSquare.statistic, v.chiSquare);
    close(chiSquare.p, v.chiSquareP);
    close(chiSquare.leastExpected, v.leastExpected);
    close(z, v.z);
    close(p, v.p);
    expect(z * z).toBeCloseTo(chiSquare.statistic, 9);
  }
});

test("McNemar's test agrees with statsmodels, exactly and by chi-square", () => {
  for (const [b, c, statistic, p, exact] of vectors.mcNemar as [number, number, number, number, number][]) {
    const got = mcNemar(b, c);
    close(got.statistic, statistic);
    close(got.p, p);
    close(got.exact, exact);
  }
  expect(mcNemar(0, 0)).toEqual({ statistic: 0, p: 1, exact: 1 });
});

test("two examples that textbooks work out come out as printed there (Agresti, Categorical Data Analysis)", () => {
  // Aspirin and heart attacks: 189 of 11,034 with placebo, 104 of 11,037 with aspirin.
  const [placebo, aspirin] = [counts([11_034, 189]), counts([11_037, 104])];
  expect(chiSquareTest(placebo, aspirin).statistic).toBeCloseTo(25.01, 2);
  expect(twoProportionZ(placebo, aspirin).z).toBeCloseTo(-5.0, 2);
  // Approval of a prime minister asked twice: 150 approved first only, 86 then only.
  expect(mcNemar(150, 86).statistic).toBeCloseTo(17.36, 2);
});

const armCounts = fc
  .tuple(fc.integer({ min: 1, max: 5000 }), fc.double({ min: 0, max: 1, noNaN: true }))
  .map(([rows, share]) => ({ rows, hits: Math.round(rows * share) }));

test("it does not matter which arm comes first, and each p is a probability", () => {
  fc.assert(
    fc.property(armCounts, armCounts, (a, b) => {
      expect(twoProportionZ(a, b).z).toBeCloseTo(-twoProportionZ(b, a).z, 9);
      for (const p of [
        twoProportionZ(a, b).p,
        chiSquareTest(a, b).p,
        mcNemar(a.hits, b.hits).exact,
        rateExcess(a, b),
      ]) {
        expect(p).toBeGreaterThanOrEqual(0);
        expect(p).toBeLessThanOrEqual(1);
      }
      expect(chiSquareTest(a, b).p).toBeCloseTo(chiSquareTest(b, a).p, 9);
      expect(mcNemar(a.hits, b.hits).exact).toBe(mcNemar(b.hits, a.hits).exact);
    }),
  );
});

test("the more events an arm has beyond the other's rate, the less likely by chance", () => {
  const ps = [5, 10, 20, 40].map((hits) => rateExcess({ rows: 1000, hits }, { rows: 9000, hits: 45 }));
  expect(ps).toEqual([...ps].sort((a, b) => b - a));
  expect(ps[0]).toBeGreaterThan(0.5);
  expect(ps[3]).toBeLessThan(1e-6);
  expect(rateExcess({ rows: 0, hits: 0 }, { rows: 10, hits: 3 })).toBe(1);
});

test("the cluster-robust variance is statsmodels' sandwich times G/(G − 1)", () => {
  for (const { clusters, mean, varianceUncorrected } of vectors.clusters) {
    const sums = sumClusters(clusters);
    const g = clusters.length;
    close(sums.hits / sums.rows, mean);
    expect(clusterVariance(sums) / ((varianceUncorrected * g) / (g - 1))).toBeCloseTo(1, 9);
    expect(proportion(sums).variance).toBeGreaterThanOrEqual(clusterVariance(sums));
  }
});

const someClusters = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 50 }), fc.double({ min: 0, max: 1, noNaN: true })), {
    minLength: 2,
    maxLength: 30,
  })
  .map((list): Cluster[] => list.map(([rows, share]) => ({ rows, hits: Math.round(rows * share) })))
  .filter((list) => list.some(({ rows }) => rows > 0));

test("repeating each entity's rows sharpens nothing: the variance never falls, and the design effect is at least 1", () => {
  fc.assert(
    fc.property(someClusters, (clusters) => {
      const [once, tenfold] = [1, 10].map((k) =>
        sumClusters(clusters.map((c) => ({ rows: c.rows * k, hits: c.hits * k }))),
      );
      expect(clusterVariance(tenfold!)).toBeCloseTo(clusterVariance(once!), 9);
      expect(proportion(tenfold!).designEffect).toBeGreaterThanOrEqual(1);
      expect(proportion(once!).variance).toBeGreaterThan(0);
    }),
  );
});

test("rows that all agree within their entity count as one row an entity", () => {
  const clusters = Array.from({ length: 40 }, (_, i) => ({ rows: 100, hits: i < 10 ? 100 : 0 }));
  const { designEffect } = proportion(sumClusters(clusters));
  expect(designEffect).toBeGreaterThan(95);
  expect(designEffect).toBeLessThan(110);
});

test("paired differences need far fewer rows than two separate samples to tell the same gain", () => {
  // 1,000 rows, 30 that the challenger alone got right and 10 that the champion alone did
  const differences = Array.from({ length: 1000 }, (_, i) => ({ rows: 1, hits: i < 30 ? 1 : i < 40 ? -1 : 0 }));
  const paired = meanDifference(sumClusters(differences), 40);
  const split = proportionDifference(alone(1000, 930), alone(1000, 950));
  expect(paired.mean).toBeCloseTo(split.difference, 12);
  expect(paired.variance).toBeLessThan(split.variance / 2);
  expect(paired.mean / Math.sqrt(paired.variance)).toBeCloseTo(Math.sqrt(mcNemar(10, 30).statistic), 0);
});

test("the mixture likelihood ratio is the integral over the alternatives, as SciPy computes it", () => {
  for (const [difference, variance, tau, expected] of vectors.mixture as [number, number, number, number][]) {
    const ratio = mixtureLikelihoodRatio({ difference, variance }, tau);
    expect(ratio / expected).toBeCloseTo(1, 9);
    expect(alwaysValidP({ difference, variance }, tau)).toBeCloseTo(Math.min(1, 1 / expected), 9);
  }
});

const estimate = fc.record({
  difference: fc.double({ min: -0.2, max: 0.2, noNaN: true }),
  variance: fc.double({ min: 1e-8, max: 1e-2, noNaN: true }),
});
const tau = fc.double({ min: 1e-3, max: 0.2, noNaN: true });
const alpha = fc.double({ min: 1e-4, max: 0.3, noNaN: true });

test("the confidence sequence leaves 0 out exactly where the always-valid p is below alpha", () => {
  fc.assert(
    fc.property(estimate, tau, alpha, (e, t, a) => {
      const { low, high } = confidenceSequence(e, t, a);
      const p = alwaysValidP(e, t);
      if (Math.abs(p / a - 1) > 1e-9) expect(low > 0 || high < 0).toBe(p < a);
      expect(low).toBeLessThan(high);
    }),
  );
});

test("the always-valid p is never below the p of a single look", () => {
  fc.assert(
    fc.property(estimate, tau, (e, t) => {
      const single = chiSquareTest({ rows: 1, hits: 0 }, { rows: 1, hits: 0 }).p; // no difference: 1
      expect(alwaysValidP({ ...e, difference: 0 }, t)).toBe(single);
      expect(alwaysValidP(e, t)).toBeGreaterThanOrEqual(Math.exp(-(e.difference ** 2) / (2 * e.variance)));
    }),
  );
});

test("the chosen tau makes the sequence narrowest at the planned variance", () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-8, max: 1e-3, noNaN: true }), alpha, (variance, a) => {
      const widthAt = (t: number) => confidenceSequence({ difference: 0, variance }, t, a).high;
      const best = tauFor(variance, a);
      expect(widthAt(best)).toBeLessThanOrEqual(widthAt(best * 1.05));
      expect(widthAt(best)).toBeLessThanOrEqual(widthAt(best / 1.05));
    }),
  );
});

test("looked at 200 times, the single-look test finds a winner in over 20 % of A/A runs and the sequential in under 5 %", () => {
  const draw = binomialSampler(0.05, 100, uniform(7));
  const tuned = tauFor((0.05 * 0.95 * 2) / 10_000, 0.05);
  let [single, sequential] = [0, 0];
  for (let run = 0; run < 400; run++) {
    const [a, b] = [
      { rows: 0, hits: 0 },
      { rows: 0, hits: 0 },
    ];
    let [found, foundSequential] = [false, false];
    for (let look = 0; look < 200; look++) {
      for (const arm of [a, b]) {
        arm.rows += 100;
        arm.hits += draw(100);
      }
      if (a.rows < 1000) continue;
      found ||= twoProportionZ(a, b).p < 0.05;
      const [p, q] = [a.hits / a.rows, b.hits / b.rows];
      const variance = (p * (1 - p)) / a.rows + (q * (1 - q)) / b.rows;
      foundSequential ||= alwaysValidP({ difference: q - p, variance }, tuned) < 0.05;
    }
    single += Number(found);
    sequential += Number(foundSequential);
  }
  expect(single / 400).toBeGreaterThan(0.2);
  expect(sequential / 400).toBeLessThan(0.05);
});

test("PSI agrees with SciPy's relative entropy, is 0 for the same shares and does not care which arm is which", () => {
  for (const [a, b, expected] of vectors.psi as [number[], number[], number][]) {
    close(populationStability(a, b), expected);
    close(populationStability(b, a), expected);
  }
  expect(populationStability([5, 9, 2], [5, 9, 2])).toBe(0);
  expect(() => populationStability([1, 2], [1, 2, 3])).toThrow(RangeError);
});

test("a ratio of rates is told from its limit by a z that is 0 at the limit", () => {
  expect(rateRatioZ(alone(2000, 60), alone(2000, 40), 1.5)).toBeCloseTo(0, 12);
  expect(rateRatioZ(alone(2000, 120), alone(2000, 40), 1.5)).toBeGreaterThan(3);
  expect(rateRatioZ(alone(2000, 40), alone(2000, 120), 1.5)).toBeLessThan(-3);
  expect(rateRatioZ(alone(2000, 0), alone(2000, 0), 1.5)).toBe(0);
});

test("the score guard says nothing below 1,000 rows, then tells a flood, a silence and another distribution", () => {
  const arm = (rows: number, hits: number, histogram: number[]) => ({ histogram, flagged: alone(rows, hits) });
  const normal = arm(1000, 50, [700, 250, 50]);
  expect(scoreGuard(normal, arm(999, 900, [0, 99, 900])).verdict).toBe("too-few-rows");
  expect(scoreGuard(normal, arm(1000, 55, [690, 255, 55])).verdict).toBe("clear");
  expect(scoreGuard(normal, arm(1000, 200, [600, 200, 200])).verdict).toBe("alert-rate");
  expect(scoreGuard(normal, arm(1000, 0, [750, 250, 0])).verdict).toBe("alert-rate");
  expect(scoreGuard(normal, arm(1000, 52, [250, 698, 52])).verdict).toBe("score-distribution");
});

test("machines that always score alike are as many draws as there are machines: their noise is no other distribution", () => {
  const arm = (histogram: number[]) => {
    const rows = histogram.reduce((sum, n) => sum + n, 0);
    const flagged = sumClusters(Array.from({ length: rows / 50 }, () => ({ rows: 50, hits: 0 })));
    return { histogram, flagged };
  };
  const champion = arm(new Array(10).fill(1_500));
  const few = [50, 250, 100, 150, 200, 50, 100, 200, 100, 300];
  expect(populationStability(champion.histogram, few)).toBeGreaterThan(0.3);
  expect(scoreGuard(champion, arm(few)).verdict).toBe("clear");
  expect(scoreGuard(champion, arm([1_000, 500, 0, 0, 0, 0, 0, 0, 0, 0])).verdict).toBe("score-distribution");
});

test("one machine's incident in a small arm is no flood: its rows count as one cluster", () => {
  const quiet = sumClusters(Array.from({ length: 50 }, () => ({ rows: 200, hits: 2 })));
  const oneLoud = sumClusters([...Array.from({ length: 5 }, () => ({ rows: 200, hits: 2 })), { rows: 200, hits: 150 }]);
  const verdict = scoreGuard(
    { histogram: [9900, 100], flagged: quiet },
    { histogram: [1040, 160], flagged: oneLoud },
  ).verdict;
  expect(verdict).toBe("clear");
});

test("with few entities in an arm the difference has little more freedom than that arm", () => {
  const arm = (entities: number) =>
    sumClusters(Array.from({ length: entities }, (_, i) => ({ rows: 100, hits: 50 + (i % 2 ? 20 : -20) })));
  const { degrees } = proportionDifference(arm(900), arm(20));
  expect(degrees).toBeGreaterThan(19);
  expect(degrees).toBeLessThan(22);
});
