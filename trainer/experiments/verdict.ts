import { type ClusterSums, type Estimate, meanDifference, proportion, proportionDifference } from "./clusters.ts";
import { studentQuantile, studentTail } from "./distributions.ts";
import { type ArmScores, type ScoreGuard, scoreGuard } from "./guards.ts";
import type { Outcomes } from "./outcomes.ts";
import { alwaysValidP, confidenceSequence } from "./sequential.ts";
import { chiSquareTest, LEAST_EXPECTED, mcNemar, sampleRatioCheck } from "./single-look.ts";

/** What is settled before the first row and never changed: whoever picks the test after seeing the data finds anything. */
export interface ExperimentPlan {
  readonly experiment: string;
  /** `model/version` of each arm. */
  readonly champion: string;
  readonly challenger: string;
  readonly startMs: number;
  /** R45: 24 h. Rows scored from then on don't count. */
  readonly durationMs: number;
  /** How long labels may come in after the last row; the one final look is after it. */
  readonly labelDelayMs: number;
  /** The challenger's share of the entities, percent; R45: 10. */
  readonly weightPercent: number;
  /** split: each arm's own rows. paired: rows that both scored. */
  readonly compare: "split" | "paired";
  /** The chance of a winner, at any look, where there is no difference; R45: 0.05. */
  readonly alpha: number;
  /** The part of alpha that early looks may spend; the final look has the rest, so that both together keep to alpha. */
  readonly earlyAlpha: number;
  /** Of the sequential test; see `tauFor`. */
  readonly tau: number;
  /** Labelled rows each arm needs before anything is said. */
  readonly leastRows: number;
  /** Entities each arm needs: below 20 or so cluster-robust variances are too small (Cameron & Miller 2015). */
  readonly leastEntities: number;
  /** The smallest gain in the share of right verdicts that is worth a promotion. */
  readonly leastGain: number;
}

/** What is known at a look; everything counted from the plan's start, over rows scored within its duration. */
export interface ExperimentFacts {
  readonly nowMs: number;
  /** Entities that each arm was given, with or without label. */
  readonly entities: { readonly champion: number; readonly challenger: number };
  /** An arm was served by its fallback for part of the time. */
  readonly degraded: boolean;
  /** Null where there is no label at all. */
  readonly outcomes: Outcomes | null;
  readonly scores: { readonly champion: ArmScores; readonly challenger: ArmScores } | null;
}

export type VerdictReason =
  | "running"
  | "better"
  | "worse"
  | "gain-too-small"
  | "not-shown"
  | "sample-ratio"
  | "degraded"
  | "labels-missing"
  | "rows"
  | "entities"
  | "events"
  | "alert-rate";

/** The numbers a verdict rests on. Null: not computed, since too little is there or the time has not come. */
export interface Evidence {
  readonly sampleRatioP: number | null;
  readonly guard: ScoreGuard | null;
  /** Challenger minus champion, share of right verdicts. */
  readonly difference: number | null;
  /** How many times the rows of one entity inflate the variance; of the two arms the larger. */
  readonly designEffect: number | null;
  readonly alwaysValidP: number | null;
  readonly sequence: { readonly low: number; readonly high: number } | null;
  /** Only at the final look. */
  readonly finalP: number | null;
  readonly finalInterval: { readonly low: number; readonly high: number } | null;
}

export interface Verdict {
  /** continue: look again. The others end the experiment. */
  readonly verdict: "continue" | "promote" | "keep" | "inconclusive";
  readonly reasons: readonly VerdictReason[];
  readonly early: boolean;
  readonly evidence: Evidence;
}

/** As usual for the sample ratio: an alarm means a broken experiment, so it must hardly ever be chance. */
const SAMPLE_RATIO_ALPHA = 0.001;

/** R45: a day at 10 percent, p < 0.05, of which a fifth is for early stops. `tau` as `tauFor` gives it. */
export function standardPlan(
  of: Pick<ExperimentPlan, "experiment" | "champion" | "challenger" | "startMs" | "labelDelayMs" | "compare" | "tau">,
): ExperimentPlan {
  return {
    ...of,
    durationMs: 24 * 3_600_000,
    weightPercent: 10,
    alpha: 0.05,
    earlyAlpha: 0.01,
    leastRows: 1_000,
    leastEntities: 20,
    leastGain: 0,
  };
}

/** When the one final look is due. */
export const finalLookMs = (plan: ExperimentPlan): number => plan.startMs + plan.durationMs + plan.labelDelayMs;

/**
 * Judges an experiment (R45). Before the final look only the always-valid test may end it. In this order:
 *
 * V1 sample ratio, degraded arms, labels, rows and entities: where one fails the rows can't be compared. That is never
 *    a winner; at the final look it is "inconclusive". Without labels an alert rate that certainly differs by half
 *    keeps the champion.
 * V2 early: the always-valid p below `earlyAlpha`.
 * V3 final: p below `alpha − earlyAlpha`, of the chi-square on counts divided by their design effect (Rao & Scott
 *    1992), or paired of McNemar's chi-square divided by it, exact where fewer than 25 rows are discordant. Few
 *    entities widen it to the square of Student's t.
 * V4 worse keeps the champion. Better promotes if the gain is at least `leastGain` and the alert rate does not
 *    certainly differ by half; else people judge: inconclusive. Once labels speak, another score distribution is only
 *    reported.
 * V5 no difference found: keep if the interval rules out a gain of `leastGain`, else inconclusive.
 */
export function judge(plan: ExperimentPlan, facts: ExperimentFacts): Verdict {
  const final = facts.nowMs >= finalLookMs(plan);
  const guard = facts.scores && scoreGuard(facts.scores.champion, facts.scores.challenger);
  const ratio = sampleRatioCheck(
    [facts.entities.champion, facts.entities.challenger],
    [100 - plan.weightPercent, plan.weightPercent],
  );
  const sampleRatioP = ratio.leastExpected < LEAST_EXPECTED ? null : ratio.p;
  const before: Evidence = { ...nothing, sampleRatioP, guard };

  const faults = incomparable(plan, facts, sampleRatioP);
  const comparison = faults.length > 0 ? null : compare(plan, facts.outcomes!);
  if (comparison === null) {
    const invalid = faults.includes("sample-ratio") || faults.includes("degraded");
    if (!invalid && faults.includes("labels-missing") && guard?.verdict === "alert-rate")
      return { verdict: "keep", reasons: ["alert-rate", ...faults], early: !final, evidence: before };
    const verdict = final ? "inconclusive" : "continue";
    return { verdict, reasons: faults, early: false, evidence: before };
  }

  const { estimate, designEffect, p } = comparison;
  const finalAlpha = plan.alpha - plan.earlyAlpha;
  const finalInterval = final ? interval(estimate, finalAlpha) : null;
  const evidence: Evidence = {
    ...before,
    difference: estimate.difference,
    designEffect,
    alwaysValidP: alwaysValidP(estimate, plan.tau),
    sequence: confidenceSequence(estimate, plan.tau, plan.earlyAlpha),
    finalP: final ? p : null,
    finalInterval,
  };
  const found = evidence.alwaysValidP! < plan.earlyAlpha || (final && p !== null && p < finalAlpha);
  const shown = found ? conclude(plan, estimate.difference, guard) : null;
  if (!final && shown !== null && shown.verdict !== "inconclusive") return { ...shown, early: true, evidence };
  if (finalInterval === null) return { verdict: "continue", reasons: ["running"], early: false, evidence };
  if (shown !== null) return { ...shown, early: false, evidence };
  if (p === null) return { verdict: "inconclusive", reasons: ["events"], early: false, evidence };
  return finalInterval.high < plan.leastGain
    ? { verdict: "keep", reasons: ["gain-too-small"], early: false, evidence }
    : { verdict: "inconclusive", reasons: ["not-shown"], early: false, evidence };
}

function interval({ difference, variance, degrees }: Compared, alpha: number): { low: number; high: number } {
  const width = studentQuantile(alpha / 2, degrees) * Math.sqrt(variance);
  return { low: difference - width, high: difference + width };
}

const nothing: Evidence = {
  sampleRatioP: null,
  guard: null,
  difference: null,
  designEffect: null,
  alwaysValidP: null,
  sequence: null,
  finalP: null,
  finalInterval: null,
};

/** Why the rows can't be compared; empty if they can. */
function incomparable(plan: ExperimentPlan, facts: ExperimentFacts, sampleRatioP: number | null): VerdictReason[] {
  const faults: VerdictReason[] = [];
  if (sampleRatioP !== null && sampleRatioP < SAMPLE_RATIO_ALPHA) faults.push("sample-ratio");
  if (facts.degraded) faults.push("degraded");
  const { outcomes } = facts;
  if (outcomes === null) return [...faults, "labels-missing"];
  const counted = plan.compare === "paired" ? [outcomes.paired] : [outcomes.champion, outcomes.challenger];
  if (counted.every((sums) => sums.rows === 0)) return [...faults, "labels-missing"];
  if (counted.some((sums) => sums.rows < plan.leastRows)) faults.push("rows");
  if (counted.some((sums) => sums.clusters < plan.leastEntities)) faults.push("entities");
  return faults;
}

type Compared = Estimate & { readonly degrees: number };

interface Comparison {
  readonly estimate: Compared;
  readonly designEffect: number;
  /** Null where too few events are there for a chi-square. */
  readonly p: number | null;
}

function compare(plan: ExperimentPlan, outcomes: Outcomes): Comparison {
  return plan.compare === "paired" ? comparePaired(outcomes) : compareSplit(outcomes);
}

function compareSplit({ champion, challenger }: Outcomes): Comparison {
  const effects = [champion, challenger].map((sums) => proportion(sums).designEffect) as [number, number];
  const effective = (sums: ClusterSums, effect: number) => ({ rows: sums.rows / effect, hits: sums.hits / effect });
  const chiSquare = chiSquareTest(effective(champion, effects[0]), effective(challenger, effects[1]));
  const estimate = proportionDifference(champion, challenger);
  return {
    estimate,
    designEffect: Math.max(...effects),
    p: chiSquare.leastExpected < LEAST_EXPECTED ? null : clusteredP(chiSquare.statistic, estimate.degrees),
  };
}

function comparePaired({ paired, championOnly, challengerOnly }: Outcomes): Comparison {
  const discordant = championOnly + challengerOnly;
  const { mean, variance, designEffect, degrees } = meanDifference(paired, discordant);
  const alike = mcNemar(championOnly, challengerOnly);
  const p = clusteredP(alike.statistic / designEffect, degrees);
  return {
    estimate: { difference: mean, variance, degrees },
    designEffect,
    p: discordant < LEAST_DISCORDANT ? Math.max(alike.exact, p) : p,
  };
}

/** A chi-square of one degree whose variance was estimated from few entities is the square of a Student's t. */
const clusteredP = (chiSquare: number, degrees: number): number => 2 * studentTail(Math.sqrt(chiSquare), degrees);

/** Below it McNemar's chi-square is too sure of itself. */
const LEAST_DISCORDANT = 25;

/** V4: what a difference that is no chance means. */
function conclude(
  plan: ExperimentPlan,
  difference: number,
  guard: ScoreGuard | null,
): { verdict: "promote" | "keep" | "inconclusive"; reasons: readonly VerdictReason[] } {
  if (difference < 0) return { verdict: "keep", reasons: ["worse"] };
  if (difference < plan.leastGain) return { verdict: "inconclusive", reasons: ["better", "gain-too-small"] };
  if (guard?.verdict === "alert-rate") return { verdict: "inconclusive", reasons: ["better", "alert-rate"] };
  return { verdict: "promote", reasons: ["better"] };
}
