import { WeirError } from "../../streams/index.ts";
import { binomialTail } from "./distributions.ts";
import { type ArmScores, type ScoreGuard, scoreGuard } from "./guards.ts";
import { rateExcess } from "./single-look.ts";

/**
 * How a challenger's share of the traffic grows, step by step, to exactly 100 percent, or falls back to 0 (R44).
 *
 * ```
 * start ─► running, step 0 ─► … ─► running, last step ─► done (100 %)
 *               └──────── rollback at any look ────────► rolled-back (0 %)
 * ```
 */
export type LadderName = "normal" | "emergency";

interface Ladder {
  /** Percent of the traffic; the last is 100. */
  readonly weights: readonly number[];
  readonly stepMs: number;
}

export const ladders: Readonly<Record<LadderName, Ladder>> = {
  normal: { weights: [10, 30, 50, 100], stepMs: 10 * 60_000 },
  emergency: { weights: [5, 20, 50, 100], stepMs: 5 * 60_000 },
};

/** Both ladders are looked at this often: harm must not wait for the end of a step. */
export const LOOK_EVERY_MS = 60_000;
/** At 100 rows a model with 0.5 % errors breaks the 1 % limit with chance 0.39, at 1,000 with 0.03. */
export const LEAST_ROWS_PER_STEP = 1_000;
const ERROR_LIMIT = 0.01;
/** What counts as slow; P95 is at least this iff more than a twentieth of the requests are slow. */
export const SLOW_MS = 1_000;
const SLOW_LIMIT = 0.05;
/** A P95 of fewer requests is noise. */
const LEAST_REQUESTS = 200;
/** For fewer rows or requests, and for harm against the champion: looked at each minute, so stricter than 0.05. */
const CERTAIN = 0.001;

export interface LadderState {
  readonly ladder: LadderName;
  readonly status: "running" | "done" | "rolled-back";
  /** Index into the ladder's weights. */
  readonly step: number;
  readonly stepStartedMs: number;
  /** The challenger's share in force. */
  readonly weightPercent: number;
}

/** What one arm did since the step began. */
export interface ArmHealth {
  readonly rows: number;
  /** Rows that got no score of the arm. */
  readonly errors: number;
  readonly requests: number;
  /** Requests that took at least `SLOW_MS`. */
  readonly slowRequests: number;
  /** Null where labels have spoken already: the score guard is for the time before. */
  readonly scores: ArmScores | null;
}

export interface LadderFacts {
  /** From when on all is counted; it must be the step's start. */
  readonly sinceMs: number;
  readonly challenger: ArmHealth;
  readonly champion: ArmHealth;
  /** Names of firing alerts that concern the challenger. */
  readonly alerts: readonly string[];
}

export type LadderReason =
  | "error-rate"
  | "slow"
  | "alert"
  | "error-rate-above-champion"
  | "slower-than-champion"
  | "alert-rate"
  | "score-distribution"
  | "time"
  | "rows"
  | "requests"
  | "step-passed"
  | "ladder-over";

export interface LadderDecision {
  readonly action: "advance" | "complete" | "hold" | "rollback" | "none";
  readonly reasons: readonly LadderReason[];
  /** The step's time is over and yet nothing can be said: people should know. */
  readonly inconclusive: boolean;
  /** The champion breaks the same limits in the same window: the fault may not be the challenger's. */
  readonly shared: boolean;
  readonly guard: ScoreGuard | null;
  readonly state: LadderState;
  /** When to look again; null once the ladder is over. */
  readonly nextLookMs: number | null;
}

export function startLadder(ladder: LadderName, nowMs: number): LadderState {
  return { ladder, status: "running", step: 0, stepStartedMs: nowMs, weightPercent: ladders[ladder].weights[0]! };
}

/**
 * One look at a ladder. It climbs one step at most, however late the look is. In this order:
 *
 * L1 harm withdraws the challenger at once: error rate ≥ 1 %, P95 ≥ 1000 ms, an alert, or certainly more errors, slow
 *    requests or another alert rate than the champion in the same window. Below 1,000 rows (200 requests) a limit
 *    counts as broken only if that can't be chance (binomial p < 0.001).
 * L2 the step holds until its time is over and 1,000 rows are scored, while a P95 of fewer than 200 requests lies above
 *    the limit, and for people to judge while the scores are distributed unlike the champion's.
 * L3 then the next step begins; after the last, which is 100 percent, the ladder is done.
 *
 * Throws LADDER_FACTS_INVALID (fatal) if the counts are none or were not taken since the step began.
 */
export function nextStep(state: LadderState, facts: LadderFacts, nowMs: number): LadderDecision {
  const over = { inconclusive: false, shared: false, guard: null, nextLookMs: null };
  if (state.status !== "running") return { ...over, action: "none", reasons: ["ladder-over"], state };
  check(state, facts, nowMs);
  const { challenger, champion, alerts } = facts;
  const guard = challenger.scores && champion.scores ? scoreGuard(champion.scores, challenger.scores) : null;

  const broken = brokenLimits(challenger);
  const harm: LadderReason[] = [...broken];
  if (alerts.length > 0) harm.push("alert");
  if (excess(challenger, champion, "errors", "rows")) harm.push("error-rate-above-champion");
  if (excess(challenger, champion, "slowRequests", "requests")) harm.push("slower-than-champion");
  if (guard?.verdict === "alert-rate") harm.push("alert-rate");
  if (harm.length > 0) {
    const relative = harm.length > broken.length + (alerts.length > 0 ? 1 : 0);
    const sick = brokenLimits(champion);
    const shared = !relative && broken.length > 0 && broken.every((limit) => sick.includes(limit));
    const back: LadderState = { ...state, status: "rolled-back", weightPercent: 0 };
    return { ...over, action: "rollback", reasons: harm, shared, guard, state: back };
  }

  const { weights, stepMs } = ladders[state.ladder];
  const waiting: LadderReason[] = [];
  if (nowMs - state.stepStartedMs < stepMs) waiting.push("time");
  if (challenger.rows < LEAST_ROWS_PER_STEP) waiting.push("rows");
  if (challenger.requests < LEAST_REQUESTS && isP95Slow(challenger)) waiting.push("requests");
  if (guard?.verdict === "score-distribution") waiting.push("score-distribution");
  if (waiting.length > 0) {
    const inconclusive = !waiting.includes("time");
    const nextLookMs = nowMs + LOOK_EVERY_MS;
    return { ...over, action: "hold", reasons: waiting, inconclusive, guard, state, nextLookMs };
  }

  const step = state.step + 1;
  const weight = weights[step];
  if (weight === undefined)
    return { ...over, action: "complete", reasons: ["step-passed"], guard, state: { ...state, status: "done" } };
  const up: LadderState = { ...state, step, stepStartedMs: nowMs, weightPercent: weight };
  return { ...over, action: "advance", reasons: ["step-passed"], guard, state: up, nextLookMs: nowMs + LOOK_EVERY_MS };
}

function brokenLimits(arm: ArmHealth): ("error-rate" | "slow")[] {
  const { rows, errors, requests, slowRequests } = arm;
  const broken: ("error-rate" | "slow")[] = [];
  const manyErrors = rows >= LEAST_ROWS_PER_STEP ? errors / rows >= ERROR_LIMIT : surely(errors, rows, ERROR_LIMIT);
  if (manyErrors) broken.push("error-rate");
  const slow = requests >= LEAST_REQUESTS ? isP95Slow(arm) : surely(slowRequests, requests, SLOW_LIMIT);
  if (slow) broken.push("slow");
  return broken;
}

/** The 95th percentile by nearest rank is the ⌈0.95 n⌉-th smallest: slow iff more than ⌊n/20⌋ requests are. */
const isP95Slow = ({ requests, slowRequests }: ArmHealth): boolean => slowRequests > Math.floor(requests / 20);

const surely = (events: number, trials: number, limit: number): boolean =>
  binomialTail(events, trials, limit) < CERTAIN;

function excess<K extends "errors" | "slowRequests", N extends "rows" | "requests">(
  challenger: ArmHealth,
  champion: ArmHealth,
  events: K,
  trials: N,
): boolean {
  if (champion[trials] === 0) return false;
  const counts = (arm: ArmHealth) => ({ rows: arm[trials], hits: arm[events] });
  return rateExcess(counts(challenger), counts(champion)) < CERTAIN;
}

function check(state: LadderState, facts: LadderFacts, nowMs: number): void {
  const faults: string[] = [];
  if (facts.sinceMs !== state.stepStartedMs)
    faults.push(`counted since ${facts.sinceMs}, but the step began at ${state.stepStartedMs}`);
  if (nowMs < state.stepStartedMs) faults.push(`looked at ${nowMs}, before the step began`);
  for (const arm of ["challenger", "champion"] as const) {
    const { rows, errors, requests, slowRequests } = facts[arm];
    if (![rows, errors, requests, slowRequests].every((n) => Number.isSafeInteger(n) && n >= 0))
      faults.push(`${arm}: a count is no whole number ≥ 0`);
    if (errors > rows) faults.push(`${arm}: ${errors} errors in ${rows} rows`);
    if (slowRequests > requests) faults.push(`${arm}: ${slowRequests} slow of ${requests} requests`);
  }
  if (faults.length > 0)
    throw new WeirError(
      "LADDER_FACTS_INVALID",
      "fatal",
      `The ladder cannot be judged: ${faults.join("; ")}.`,
      "Count both arms anew from the step's start.",
    );
}
