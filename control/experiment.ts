import type { DecisionKind, RoutingArm, RoutingConfig, RoutingMode, VersionTally } from "../schemas/index.ts";
import {
  type ExperimentPlan,
  type ExperimentRecord,
  type LadderState,
  LOOK_EVERY_MS,
  lookAtExperiment,
  lookAtLadder,
  standardPlan,
  startLadder,
  tauFor,
} from "../trainer/index.ts";
import {
  type Alert,
  type ModelVersion,
  modelVersionText,
  parseModelVersion,
  type StartCanary,
  type StartComparison,
} from "./commands.ts";
import { experimentFacts, ladderFacts } from "./facts.ts";

/** An experiment that is going on: plain JSON, kept in the control stage's state. */
export interface Running {
  readonly name: string;
  readonly family: string;
  readonly author: string;
  readonly champion: ModelVersion;
  readonly challenger: ModelVersion;
  /** What comes back when the challenger is not promoted. */
  readonly before: { readonly mode: RoutingMode; readonly salt: string; readonly arms: readonly RoutingArm[] };
  /** The routing version whose rows count at the next look. */
  readonly version: number;
  /** A comparison's ladder stays on its first step: it serves to see harm. */
  readonly ladder: LadderState;
  /** Null: a canary. */
  readonly plan: ExperimentPlan | null;
  readonly last: ExperimentRecord | null;
  readonly alerts: readonly string[];
  readonly nextLookMs: number;
}

/** What a look or a command came to. */
export interface Outcome {
  readonly kind: DecisionKind;
  readonly action: string;
  readonly reasons: readonly string[];
  /** All that the decision was made from. */
  readonly record: unknown;
  /** Null: the experiment is over. */
  readonly running: Running | null;
  /** To be written with the decision; null: routing stays as it is. */
  readonly routing: RoutingConfig | null;
}

const AUTHOR = "control";
/** Share of wrong verdicts that the early test is tuned to; elsewhere it is less sharp, not wrong. */
const TUNED_TO_WRONG = 0.05;

const nextMinute = (ms: number): number => (Math.floor(ms / LOOK_EVERY_MS) + 1) * LOOK_EVERY_MS;

/** Everything that speaks against beginning; empty: it may begin. */
export function startFaults(
  command: StartCanary | StartComparison,
  routing: RoutingConfig | null,
  running: Running | null,
  nowMs: number,
  isKnown: (model: string, version: string) => boolean,
): readonly string[] {
  const faults: string[] = [];
  if (running) faults.push(`experiment ${running.name} is still running`);
  if (!routing) faults.push("no routing version is in force; write one with `weir routing set`");
  if (nowMs <= 0) faults.push("no scored row has been seen yet");
  const champion = routing && championOf(command, routing);
  for (const arm of [command.challenger, ...(champion ? [champion] : [])]) {
    const { model, version } = parseModelVersion(arm)!;
    if (!isKnown(model, version)) faults.push(`${arm} is not in the model repository`);
  }
  if (champion === command.challenger) faults.push("champion and challenger are the same");
  return faults;
}

/** The arm with the largest share in force, unless the command names one. */
function championOf(command: StartCanary | StartComparison, routing: RoutingConfig): string {
  if (command.champion !== null) return command.champion;
  const largest = routing.arms.reduce((best, arm) => (arm.weight > best.weight ? arm : best));
  return `${largest.model}/${largest.modelVersion}`;
}

/** Begins; the faults have been looked for before. */
export function start(
  command: StartCanary | StartComparison,
  family: string,
  routing: RoutingConfig,
  version: number,
  nowMs: number,
): Outcome {
  const champion = championOf(command, routing);
  const startMs = nextMinute(nowMs);
  const plan = command.action === "start-comparison" ? planOf(command, champion, startMs) : null;
  const ladder = startLadder(command.action === "start-canary" ? command.ladder : "normal", startMs);
  const running: Running = {
    name: command.experiment,
    family,
    author: command.author,
    champion: parseModelVersion(champion)!,
    challenger: parseModelVersion(command.challenger)!,
    before: { mode: routing.mode, salt: routing.salt, arms: routing.arms },
    version,
    ladder: plan ? { ...ladder, weightPercent: plan.weightPercent } : ladder,
    plan,
    last: null,
    alerts: [],
    nextLookMs: startMs + LOOK_EVERY_MS,
  };
  const record = plan ? { plan } : { champion, challenger: command.challenger, ladder: running.ladder };
  return { kind: "started", action: "start", reasons: [], record, running, routing: splitRouting(running, nowMs) };
}

function planOf(command: StartComparison, champion: string, startMs: number): ExperimentPlan {
  const { experiment, challenger, compare, weightPercent, durationMs, labelDelayMs } = command;
  const { leastRows, leastEntities, leastGain, expectedRows } = command;
  const championRows = (expectedRows * (100 - weightPercent)) / weightPercent;
  const variance = TUNED_TO_WRONG * (1 - TUNED_TO_WRONG) * (1 / expectedRows + 1 / championRows);
  const standard = standardPlan({ experiment, champion, challenger, startMs, labelDelayMs, compare, tau: 1 });
  const tau = tauFor(variance, standard.earlyAlpha);
  return { ...standard, tau, weightPercent, durationMs, leastRows, leastEntities, leastGain };
}

/**
 * One look at the rows so far. A canary's ladder decides (R44); a comparison is withdrawn on harm by the same rules and
 * judged by labels otherwise (R45). `nowMs` is event time and not before the version's rows begin.
 */
export function look(running: Running, tally: VersionTally, version: number, nowMs: number): Outcome {
  const { ladder, plan, alerts } = running;
  const climbed = lookAtLadder(
    running.name,
    ladder,
    ladderFacts(tally, ladder.stepStartedMs, alerts, plan === null),
    nowMs,
  );
  const { action, state, shared, inconclusive } = climbed.outcome;
  const reasons = [...climbed.outcome.reasons, ...(inconclusive ? ["inconclusive"] : [])];
  const again = { ...running, nextLookMs: nextMinute(nowMs) };
  if (action === "rollback") {
    const all = shared ? [...reasons, "champion-too"] : reasons;
    const routing = backRouting(running, version, nowMs);
    return { kind: "ladder", action, reasons: all, record: climbed, running: null, routing };
  }
  if (plan) return verdict(again, plan, tally, version, nowMs);
  const said = { kind: "ladder" as const, action, reasons, record: climbed };
  if (action === "complete") return { ...said, running: null, routing: allRouting(running, version, nowMs) };
  if (action !== "advance") return { ...said, running: again, routing: null };
  // The step's rows are counted from the window on that the new version takes effect with.
  const startedMs = nextMinute(nowMs);
  const up = {
    ...again,
    version,
    ladder: { ...state, stepStartedMs: startedMs },
    nextLookMs: startedMs + LOOK_EVERY_MS,
  };
  return { ...said, running: up, routing: splitRouting(up, nowMs) };
}

function verdict(running: Running, plan: ExperimentPlan, tally: VersionTally, version: number, nowMs: number): Outcome {
  const record = lookAtExperiment(plan, experimentFacts(tally, nowMs), running.last);
  const { verdict: action, reasons } = record.outcome;
  const said = { kind: "verdict" as const, action, reasons, record };
  if (action === "continue") return { ...said, running: { ...running, last: record }, routing: null };
  const routing = action === "promote" ? allRouting(running, version, nowMs) : backRouting(running, version, nowMs);
  return { ...said, running: null, routing };
}

/** A person's word. */
export function decide(
  running: Running,
  action: "promote" | "keep",
  reason: string,
  version: number,
  nowMs: number,
): Outcome {
  const routing = action === "promote" ? allRouting(running, version, nowMs) : backRouting(running, version, nowMs);
  const record = { reason, ladder: running.ladder, last: running.last };
  return { kind: "operator", action, reasons: reason === "" ? [] : [reason], record, running: null, routing };
}

/** An alert began or ended. One that fires is looked at with the next report: it must not wait for the minute to end. */
export function hear(running: Running, command: Alert, nowMs: number): Outcome {
  const { alert, firing } = command;
  const others = running.alerts.filter((name) => name !== alert);
  const alerts = firing ? [...others, alert] : others;
  const nextLookMs = firing ? Math.max(running.ladder.stepStartedMs, nowMs) : running.nextLookMs;
  const action = firing ? "alert" : "alert-over";
  const heard = { ...running, alerts, nextLookMs };
  return { kind: "operator", action, reasons: [alert], record: command, running: heard, routing: null };
}

/** Somebody wrote another routing version: it stays in force, and this experiment's rows end. */
export function interrupt(by: RoutingConfig): Outcome {
  const reasons = [`routing version ${by.version} by ${by.author}`];
  return { kind: "interrupted", action: "stop", reasons, record: { routing: by }, running: null, routing: null };
}

type Made = Pick<RoutingConfig, "mode" | "salt" | "experiment" | "labelledUntilMs"> & {
  readonly arms: readonly RoutingArm[];
};

const made = (family: string, version: number, nowMs: number, of: Made): RoutingConfig => ({
  family,
  version,
  ...of,
  arms: of.arms.map((arm) => ({ ...arm })),
  effectiveFromMs: nextMinute(nowMs),
  author: AUTHOR,
  createdAtMs: nowMs,
});

const arm = ({ model, version }: ModelVersion, weight: number): RoutingArm => ({
  model,
  modelVersion: version,
  weight,
});

/** A salt of its own: whoever was in the arm of the last experiment need not be in this one's. */
const splitRouting = (running: Running, nowMs: number): RoutingConfig => {
  const { family, name, version, champion, challenger, ladder, plan } = running;
  const share = ladder.weightPercent;
  return made(family, version, nowMs, {
    mode: plan ? "split" : "canary",
    salt: name,
    arms: [arm(champion, 100 - share), arm(challenger, share)],
    experiment: name,
    labelledUntilMs: plan ? plan.startMs + plan.durationMs : 0,
  });
};

const none = { experiment: "", labelledUntilMs: 0 };

const backRouting = ({ family, before }: Running, version: number, nowMs: number): RoutingConfig =>
  made(family, version, nowMs, { ...before, ...none });

const allRouting = ({ family, before, challenger }: Running, version: number, nowMs: number): RoutingConfig =>
  made(family, version, nowMs, { mode: "split", salt: before.salt, arms: [arm(challenger, 100)], ...none });

/** `champion 90 %, challenger 10 %`: for people. */
export const armsText = (config: Pick<RoutingConfig, "arms">): string =>
  config.arms.map((a) => `${modelVersionText({ model: a.model, version: a.modelVersion })} ${a.weight} %`).join(", ");
