import { WeirError } from "../../streams/index.ts";
import type { ClusterSums } from "./clusters.ts";
import { type LadderDecision, type LadderFacts, type LadderState, nextStep } from "./ladder.ts";
import { type ExperimentFacts, type ExperimentPlan, judge, type Verdict } from "./verdict.ts";

/** Grows with every change of the rules by which records could come to another verdict. */
const RULES = 1;

/** A look at an experiment with all that its verdict rests on: plain JSON. */
export interface ExperimentRecord {
  readonly kind: "experiment";
  readonly rules: number;
  readonly plan: ExperimentPlan;
  readonly facts: ExperimentFacts;
  readonly outcome: Verdict;
}

/** A look at a ladder with all that its decision rests on: plain JSON. */
export interface LadderRecord {
  readonly kind: "ladder";
  readonly rules: number;
  readonly experiment: string;
  readonly before: LadderState;
  readonly facts: LadderFacts;
  readonly nowMs: number;
  readonly outcome: LadderDecision;
}

export type DecisionRecord = ExperimentRecord | LadderRecord;

/**
 * Looks at an experiment. `previous` is its last record: once that has a verdict it is returned as it is, so that an
 * experiment has one final look and no verdict is ever turned by looking again.
 *
 * Throws EXPERIMENT_PLAN_INVALID, EXPERIMENT_PLAN_CHANGED, EXPERIMENT_FACTS_INVALID (all fatal).
 */
export function lookAtExperiment(
  plan: ExperimentPlan,
  facts: ExperimentFacts,
  previous: ExperimentRecord | null,
): ExperimentRecord {
  refuse("EXPERIMENT_PLAN_INVALID", planFaults(plan), "Start an experiment with a mended plan.");
  if (previous !== null) {
    const changed = differences(previous.plan, plan, "plan").map((path) => `${path} is another than at the last look`);
    refuse("EXPERIMENT_PLAN_CHANGED", changed, "Look with the plan as it was, or start a new experiment.");
    if (previous.outcome.verdict !== "continue") return previous;
  }
  const faults = factsFaults(facts);
  if (facts.nowMs < (previous?.facts.nowMs ?? plan.startMs))
    faults.push("nowMs lies before the last look or the start");
  refuse("EXPERIMENT_FACTS_INVALID", faults, "Count the experiment's rows anew.");
  return { kind: "experiment", rules: RULES, plan, facts, outcome: judge(plan, facts) };
}

/** Looks at a ladder; see `nextStep`. */
export function lookAtLadder(experiment: string, before: LadderState, facts: LadderFacts, nowMs: number): LadderRecord {
  return { kind: "ladder", rules: RULES, experiment, before, facts, nowMs, outcome: nextStep(before, facts, nowMs) };
}

export interface Recomputed {
  readonly outcome: Verdict | LadderDecision;
  /** Where the record says otherwise: paths into its outcome. Empty: the same verdict, reasons and numbers. */
  readonly differences: readonly string[];
}

/**
 * Decides anew from what a record holds and nothing else. Numbers are the same if they agree to 1e-9.
 *
 * Throws DECISION_RULES_UNKNOWN (fatal) for a record of other rules.
 */
export function recompute(record: DecisionRecord): Recomputed {
  refuse(
    "DECISION_RULES_UNKNOWN",
    record.rules === RULES ? [] : [`it was made by rules ${record.rules}, these are ${RULES}`],
    "Recompute it with the release that wrote it.",
  );
  const outcome =
    record.kind === "experiment"
      ? judge(record.plan, record.facts)
      : nextStep(record.before, record.facts, record.nowMs);
  return { outcome, differences: differences(record.outcome, outcome, "outcome") };
}

function differences(a: unknown, b: unknown, path: string): string[] {
  if (typeof a === "number" && typeof b === "number")
    return Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(a), Math.abs(b)) ? [] : [path];
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b ? [] : [path];
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].flatMap((key) =>
    differences((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key], `${path}.${key}`),
  );
}

function planFaults(plan: ExperimentPlan): string[] {
  const faults: string[] = [];
  const need = (holds: boolean, fault: string) => {
    if (!holds) faults.push(fault);
  };
  need(plan.champion !== plan.challenger, "champion and challenger are the same");
  need(Number.isSafeInteger(plan.startMs), `startMs ${plan.startMs} is no time`);
  need(plan.durationMs > 0 && plan.labelDelayMs >= 0, "durationMs must be above 0, labelDelayMs not below");
  need(plan.weightPercent > 0 && plan.weightPercent < 100, `weightPercent ${plan.weightPercent} leaves an arm empty`);
  need(plan.earlyAlpha > 0 && plan.earlyAlpha < plan.alpha && plan.alpha < 1, "0 < earlyAlpha < alpha < 1 must hold");
  need(plan.tau > 0 && Number.isFinite(plan.tau), `tau ${plan.tau} is not above 0`);
  need(plan.leastRows >= 1 && plan.leastEntities >= 2, "leastRows must be at least 1, leastEntities 2");
  need(plan.leastGain >= 0 && plan.leastGain < 1, `leastGain ${plan.leastGain} is no share`);
  return faults;
}

function factsFaults({ entities, outcomes, scores }: ExperimentFacts): string[] {
  const faults: string[] = [];
  const need = (holds: boolean, fault: string) => {
    if (!holds) faults.push(fault);
  };
  const counts = (name: string, sums: ClusterSums, leastHits: number) => {
    const whole = Object.values(sums).every(Number.isSafeInteger);
    const { clusters, rows, hits } = sums;
    need(whole && clusters >= 0 && rows >= clusters && hits <= rows && hits >= leastHits, `${name} can't be counts`);
  };
  need(
    [entities.champion, entities.challenger].every((n) => Number.isSafeInteger(n) && n >= 0),
    "entities are no counts",
  );
  if (outcomes !== null) {
    counts("outcomes.champion", outcomes.champion, 0);
    counts("outcomes.challenger", outcomes.challenger, 0);
    counts("outcomes.paired", outcomes.paired, -outcomes.paired.rows);
    const { championOnly, challengerOnly, paired } = outcomes;
    need(
      championOnly >= 0 && challengerOnly >= 0 && championOnly + challengerOnly <= paired.rows,
      "more discordant rows than paired ones",
    );
    need(challengerOnly - championOnly === paired.hits, "paired.hits is not challengerOnly − championOnly");
  }
  for (const arm of ["champion", "challenger"] as const)
    if (scores !== null) counts(`scores.${arm}.flagged`, scores[arm].flagged, 0);
  if (scores !== null && scores.champion.histogram.length !== scores.challenger.histogram.length)
    faults.push("the arms' score histograms have different bins");
  return faults;
}

function refuse(code: string, faults: readonly string[], nextStep: string): void {
  if (faults.length > 0) throw new WeirError(code, "fatal", `The decision is refused: ${faults.join("; ")}.`, nextStep);
}
