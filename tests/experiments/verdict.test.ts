import fc from "fast-check";
import { expect, test } from "vitest";
import {
  alwaysValidP,
  type ClusterSums,
  type ExperimentFacts,
  type ExperimentPlan,
  finalLookMs,
  joinLabels,
  judge,
  lookAtExperiment,
  lookAtLadder,
  mcNemar,
  type Outcomes,
  recompute,
  standardPlan,
  startLadder,
  sumClusters,
  tauFor,
} from "../../trainer/experiments/index.ts";
import { binomialSampler, uniform } from "./simulation.ts";

const HOUR = 3_600_000;
const plan = standardPlan({
  experiment: "retrain-7",
  champion: "catboost/6",
  challenger: "catboost/7",
  startMs: 0,
  labelDelayMs: 2 * HOUR,
  compare: "split",
  tau: tauFor((0.05 * 0.95 * 2) / 5_000, 0.01),
});
/** Entities of 100 rows each, of which `misses` of each 1,000 rows are wrong. */
const arm = (entities: number, misses: number): ClusterSums =>
  sumClusters(
    Array.from({ length: entities }, (_, i) => ({ rows: 100, hits: 100 - (misses / 10 + (i % 2 ? 1 : -1)) })),
  );
const none = joinLabels([], [], 0);
const outcomesOf = (champion: ClusterSums, challenger: ClusterSums): Outcomes => ({ ...none, champion, challenger });
const facts = (outcomes: Outcomes | null, more: Partial<ExperimentFacts> = {}): ExperimentFacts => ({
  nowMs: 26 * HOUR,
  entities: { champion: 900, challenger: 100 },
  degraded: false,
  outcomes,
  scores: null,
  ...more,
});
const before = { nowMs: 26 * HOUR - 1 };

const same = outcomesOf(arm(900, 50), arm(100, 50));
const clearlyBetter = outcomesOf(arm(900, 50), arm(100, 30));
const clearlyWorse = outcomesOf(arm(900, 50), arm(100, 80));
/** p of 0.02: enough for the one final look, not for an early stop. */
const better = outcomesOf(
  arm(900, 50),
  sumClusters(Array.from({ length: 100 }, (_, i) => ({ rows: 100, hits: i < 50 ? 95 : 96 }))),
);

test("the standard plan is R45's: a day, 10 percent, p below 0.05 in all", () => {
  expect(plan).toMatchObject({ durationMs: 24 * HOUR, weightPercent: 10, alpha: 0.05 });
  expect(finalLookMs(plan)).toBe(26 * HOUR);
});

test("a clear gain promotes and a clear loss keeps the champion, both before the day is over", () => {
  expect(judge(plan, facts(clearlyBetter, before))).toMatchObject({
    verdict: "promote",
    reasons: ["better"],
    early: true,
  });
  expect(judge(plan, facts(clearlyWorse, before))).toMatchObject({ verdict: "keep", reasons: ["worse"], early: true });
});

test("a small gain waits for the one final look, and until then no final p is even computed", () => {
  const early = judge(plan, facts(better, before));
  expect(early).toMatchObject({
    verdict: "continue",
    reasons: ["running"],
    evidence: { finalP: null, finalInterval: null },
  });
  const final = judge(plan, facts(better));
  expect(final).toMatchObject({ verdict: "promote", early: false });
  expect(final.evidence.finalP).toBeLessThan(0.04);
  expect(final.evidence.alwaysValidP).toBeGreaterThan(0.01);
});

test("no difference is inconclusive, and keeps the champion where the interval rules out a gain that matters", () => {
  expect(judge(plan, facts(same))).toMatchObject({ verdict: "inconclusive", reasons: ["not-shown"] });
  expect(judge({ ...plan, leastGain: 0.02 }, facts(same))).toMatchObject({
    verdict: "keep",
    reasons: ["gain-too-small"],
  });
});

test("a gain that is no chance but smaller than what matters is for people to judge", () => {
  const verdict = judge({ ...plan, leastGain: 0.05 }, facts(clearlyBetter));
  expect(verdict.verdict).not.toBe("promote");
  expect(verdict.reasons).toContain("gain-too-small");
});

test("what can't be compared is never a winner: it goes on until the final look and is inconclusive then", () => {
  const cases: [string, Partial<ExperimentFacts>, Outcomes | null, Partial<ExperimentPlan>][] = [
    ["sample-ratio", { entities: { champion: 820, challenger: 180 } }, clearlyBetter, {}],
    ["degraded", { degraded: true }, clearlyBetter, {}],
    ["labels-missing", {}, null, {}],
    ["labels-missing", {}, none, {}],
    ["rows", {}, clearlyBetter, { leastRows: 10_001 }],
    ["entities", {}, clearlyBetter, { leastEntities: 101 }],
  ];
  for (const [reason, more, outcomes, change] of cases) {
    const changed = { ...plan, ...change };
    expect(judge(changed, facts(outcomes, { ...more, ...before })), reason).toMatchObject({
      verdict: "continue",
      reasons: [reason],
    });
    expect(judge(changed, facts(outcomes, more)), reason).toMatchObject({ verdict: "inconclusive", reasons: [reason] });
  }
});

test("too few wrong verdicts for a chi-square are inconclusive, not a difference", () => {
  const perfect = (entities: number) => sumClusters(Array.from({ length: entities }, () => ({ rows: 100, hits: 100 })));
  expect(judge(plan, facts(outcomesOf(perfect(900), perfect(100))))).toMatchObject({
    verdict: "inconclusive",
    reasons: ["events"],
  });
});

const scores = (hits: number) => ({
  histogram: [900, 100],
  flagged: sumClusters(Array.from({ length: 100 }, () => ({ rows: 100, hits }))),
});

test("without labels a flood of alerts keeps the champion at once; with them it stops a promotion", () => {
  const flood = { champion: scores(2), challenger: scores(8) };
  expect(judge(plan, facts(null, { scores: flood, ...before }))).toMatchObject({ verdict: "keep", early: true });
  expect(judge(plan, facts(clearlyBetter, { scores: flood }))).toMatchObject({
    verdict: "inconclusive",
    reasons: ["better", "alert-rate"],
  });
  expect(judge(plan, facts(clearlyBetter, { scores: { champion: scores(2), challenger: scores(2) } })).verdict).toBe(
    "promote",
  );
});

test("the same rows say less when they come from entities that are right or wrong as a whole", () => {
  const whole = (entities: number, share: number) =>
    sumClusters(Array.from({ length: entities }, (_, i) => ({ rows: 100, hits: i < entities * share ? 100 : 0 })));
  const verdict = judge(plan, facts(outcomesOf(whole(900, 0.9), whole(100, 0.92))));
  expect(verdict).toMatchObject({ verdict: "inconclusive", reasons: ["not-shown"] });
  expect(verdict.evidence.designEffect).toBeGreaterThan(80);
  expect(judge(plan, facts(clearlyBetter)).verdict).toBe("promote");
});

test("paired rows decide what as many split rows can't", () => {
  const gains = Array.from({ length: 200 }, (_, i) => ({ rows: 10, hits: i < 30 ? 1 : i < 42 ? -1 : 0 }));
  const paired = { ...none, paired: sumClusters(gains), challengerOnly: 30, championOnly: 12 };
  expect(judge({ ...plan, compare: "paired" }, facts(paired))).toMatchObject({ verdict: "promote" });
  const mirrored = {
    ...paired,
    paired: sumClusters(gains.map((g) => ({ ...g, hits: -g.hits }))),
    challengerOnly: 12,
    championOnly: 30,
  };
  expect(judge({ ...plan, compare: "paired" }, facts(mirrored))).toMatchObject({ verdict: "keep", reasons: ["worse"] });
  const fewer = {
    ...none,
    paired: sumClusters(gains.slice(26, 32).concat(gains.slice(60))),
    challengerOnly: 4,
    championOnly: 2,
  };
  expect(judge({ ...plan, compare: "paired" }, facts(fewer)).verdict).toBe("inconclusive");
});

test("an experiment that has its verdict keeps it, whatever is counted later", () => {
  const ended = lookAtExperiment(plan, facts(clearlyWorse, before), null);
  expect(lookAtExperiment(plan, facts(clearlyBetter), ended)).toBe(ended);
  const running = lookAtExperiment(plan, facts(same, before), null);
  expect(lookAtExperiment(plan, facts(clearlyBetter), running).outcome.verdict).toBe("promote");
});

test("a bad plan, a plan changed under way and impossible facts are refused, with all faults at once", () => {
  const code = (run: () => unknown): unknown => {
    try {
      run();
    } catch (error) {
      return [(error as { code: string }).code, (error as Error).message.split("; ").length];
    }
    return null;
  };
  const running = lookAtExperiment(plan, facts(same, before), null);
  const impossible = facts({ ...same, championOnly: 1, champion: { ...same.champion, hits: 1e9 } });
  expect(code(() => lookAtExperiment({ ...plan, tau: 0, earlyAlpha: 0.05 }, facts(same), null))).toEqual([
    "EXPERIMENT_PLAN_INVALID",
    2,
  ]);
  expect(code(() => lookAtExperiment({ ...plan, alpha: 0.06 }, facts(same), running))).toEqual([
    "EXPERIMENT_PLAN_CHANGED",
    1,
  ]);
  expect(code(() => lookAtExperiment(plan, impossible, null))).toEqual(["EXPERIMENT_FACTS_INVALID", 3]);
  expect(code(() => lookAtExperiment(plan, facts(same, { nowMs: 1 }), running))).toEqual([
    "EXPERIMENT_FACTS_INVALID",
    1,
  ]);
});

const anyArm = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 200 }), fc.double({ min: 0, max: 1, noNaN: true })), {
    minLength: 2,
    maxLength: 60,
  })
  .map((list) => sumClusters(list.map(([rows, share]) => ({ rows, hits: Math.round(rows * share) }))));

test("a record written down and read back recomputes to the same verdict, and a changed one is found out", () => {
  fc.assert(
    fc.property(anyArm, anyArm, fc.boolean(), fc.nat(200), (champion, challenger, final, entities) => {
      const look = facts(outcomesOf(champion, challenger), {
        ...(final ? {} : before),
        entities: { champion: 900, challenger: entities },
        scores: {
          champion: { histogram: [1, 2], flagged: champion },
          challenger: { histogram: [2, 1], flagged: challenger },
        },
      });
      const record = JSON.parse(JSON.stringify(lookAtExperiment(plan, look, null)));
      expect(recompute(record)).toEqual({ outcome: record.outcome, differences: [] });
      const forged = { ...record, outcome: { ...record.outcome, verdict: "promoted by hand" } };
      expect(recompute(forged).differences).toEqual(["outcome.verdict"]);
    }),
  );
});

test("a ladder's record recomputes too, and one of other rules is refused", () => {
  const state = startLadder("emergency", 5);
  const health = { rows: 2000, errors: 1, requests: 300, slowRequests: 0, scores: scores(3) };
  const looked = { sinceMs: 5, challenger: health, champion: health, alerts: [] };
  const record = JSON.parse(JSON.stringify(lookAtLadder("retrain-7", state, looked, 5 + 300_000)));
  expect(record.outcome).toMatchObject({ action: "advance", state: { weightPercent: 20 } });
  expect(recompute(record).differences).toEqual([]);
  expect(recompute({ ...record, nowMs: 6 }).differences).toContain("outcome.action");
  expect(() => recompute({ ...record, rules: 2 })).toThrow(expect.objectContaining({ code: "DECISION_RULES_UNKNOWN" }));
});

test("A/A: of 300 experiments looked at each hour by these rules, at most 7 percent name a winner", () => {
  const random = uniform(11);
  const draw = binomialSampler(0.95, 40, random);
  let winners = 0;
  for (let run = 0; run < 300; run++) {
    const arms = { champion: new Array(225).fill(0), challenger: new Array(25).fill(0) };
    const sums = (hits: readonly number[], hour: number) =>
      sumClusters(hits.map((h) => ({ rows: 40 * hour, hits: h })));
    for (let hour = 1; hour <= 26; hour++) {
      for (const hits of [arms.champion, arms.challenger])
        for (let entity = 0; entity < hits.length; entity++) hits[entity] += draw(40);
      const outcomes = outcomesOf(sums(arms.champion, hour), sums(arms.challenger, hour));
      const look = facts(outcomes, { nowMs: hour * HOUR, entities: { champion: 225, challenger: 25 } });
      const { verdict, evidence } = judge(plan, look);
      expect(evidence.alwaysValidP ?? 1).toBeLessThanOrEqual(1);
      if (verdict === "continue") continue;
      if (verdict !== "inconclusive") winners++;
      break;
    }
  }
  expect(winners / 300).toBeLessThanOrEqual(0.07);
});

test("the further the arms lie apart, the smaller the always-valid p", () => {
  const ps = [0, 0.005, 0.01, 0.02, 0.04].map((difference) => alwaysValidP({ difference, variance: 1e-5 }, plan.tau));
  expect(ps).toEqual([...ps].sort((a, b) => b - a));
  expect(ps[0]).toBe(1);
});

test("nine disagreements to two are too few for McNemar's chi-square, which would have called them a gain", () => {
  const gains = Array.from({ length: 200 }, (_, i) => ({ rows: 10, hits: i < 9 ? 1 : i < 11 ? -1 : 0 }));
  const paired = { ...none, paired: sumClusters(gains), challengerOnly: 9, championOnly: 2 };
  const { verdict, evidence } = judge({ ...plan, compare: "paired" }, facts(paired));
  expect(verdict).toBe("inconclusive");
  expect(evidence.finalP).toBeCloseTo(mcNemar(2, 9).exact, 12);
  expect(mcNemar(2, 9).p).toBeLessThan(0.04);
});
