/**
 * How often experiments between equal models name a winner, and how often real differences are found.
 *
 * Run: `node tests/bench/experiments.ts`. Everything is seeded: a run gives the same figures on every machine.
 */
import {
  type ClusterSums,
  type ExperimentPlan,
  finalLookMs,
  joinLabels,
  judge,
  standardPlan,
  sumClusters,
  tauFor,
  twoProportionZ,
  type Verdict,
} from "../../trainer/experiments/index.ts";
import { binomialSampler, uniform } from "../experiments/simulation.ts";

const SEED = 20_240_601;
const EXPERIMENTS = 10_000;
const CLUSTERED_EXPERIMENTS = 2_000;
const POWER_EXPERIMENTS = 500;
const MINUTES = 24 * 60;
const MINUTE_MS = 60_000;
const ROWS_A_MINUTE = { champion: 90, challenger: 10 };
const WRONG = 0.05;

const random = uniform(SEED);
const none = joinLabels([], [], 0);
const plan: ExperimentPlan = standardPlan({
  experiment: "bench",
  champion: "model/1",
  challenger: "model/2",
  startMs: 0,
  labelDelayMs: 0,
  compare: "split",
  tau: tauFor(
    WRONG * (1 - WRONG) * (1 / (MINUTES * ROWS_A_MINUTE.challenger) + 1 / (MINUTES * ROWS_A_MINUTE.champion)),
    0.01,
  ),
});

/** Each row of an entity of its own. */
const independent = (rows: number, hits: number): ClusterSums => ({
  clusters: rows,
  rows,
  hits,
  rowsSquared: rows,
  rowsTimesHits: hits,
  hitsSquared: hits,
});

function look(champion: ClusterSums, challenger: ClusterSums, nowMs: number): Verdict {
  return judge(plan, {
    nowMs,
    entities: { champion: 900, challenger: 100 },
    degraded: false,
    outcomes: { ...none, champion, challenger },
    scores: null,
  });
}

const namesWinner = ({ verdict, reasons }: Verdict): boolean => verdict === "promote" || reasons.includes("worse");

interface Ended {
  readonly verdict: Verdict;
  readonly minute: number;
  /** Whether the single-look test, had it been looked at as often, would have been below 0.05 once. */
  readonly peeked: boolean;
}

/** One experiment over independent rows, looked at every `step` minutes until it has its verdict. */
function simulate(draw: Readonly<Record<"champion" | "challenger", (n: number) => number>>, step: number): Ended {
  const rows = { champion: 0, challenger: 0 };
  const hits = { champion: 0, challenger: 0 };
  let ended: { verdict: Verdict; minute: number } | null = null;
  let peeked = false;
  for (let minute = step; minute <= MINUTES; minute += step) {
    for (const arm of ["champion", "challenger"] as const) {
      rows[arm] += ROWS_A_MINUTE[arm] * step;
      for (let i = 0; i < step; i++) hits[arm] += draw[arm](ROWS_A_MINUTE[arm]);
    }
    const [a, b] = [independent(rows.champion, hits.champion), independent(rows.challenger, hits.challenger)];
    peeked ||= rows.challenger >= plan.leastRows && twoProportionZ(a, b).p < plan.alpha;
    if (ended !== null) continue;
    const verdict = look(a, b, minute * MINUTE_MS);
    if (verdict.verdict !== "continue") ended = { verdict, minute };
  }
  if (ended === null) throw new Error("an experiment did not end at its final look");
  return { ...ended, peeked };
}

const samplers = (right: { champion: number; challenger: number }) => ({
  champion: binomialSampler(right.champion, ROWS_A_MINUTE.champion, random),
  challenger: binomialSampler(right.challenger, ROWS_A_MINUTE.challenger, random),
});

/** Equal models on entities that differ: each has its own share of wrong rows, between 0 and 10 percent. */
function simulateClustered(): { byEntity: boolean; byRow: boolean } {
  const levels = 11;
  const draws = Array.from({ length: levels }, (_, i) => binomialSampler(1 - 0.001 - (i * 0.1) / levels, 60, random));
  const arm = (entities: number) =>
    Array.from({ length: entities }, () => ({ draw: draws[Math.floor(random() * levels)]!, hits: 0 }));
  const arms = { champion: arm(270), challenger: arm(30) };
  const found = { byEntity: false, byRow: false };
  const open = { byEntity: true, byRow: true };
  for (let hour = 1; hour <= 24; hour++) {
    for (const entity of [...arms.champion, ...arms.challenger]) entity.hits += entity.draw(60);
    const sums = (of: typeof arms.champion) => sumClusters(of.map(({ hits }) => ({ rows: 60 * hour, hits })));
    const [a, b] = [sums(arms.champion), sums(arms.challenger)];
    const verdicts = {
      byEntity: look(a, b, hour * 60 * MINUTE_MS),
      byRow: look(independent(a.rows, a.hits), independent(b.rows, b.hits), hour * 60 * MINUTE_MS),
    };
    for (const way of ["byEntity", "byRow"] as const) {
      if (!open[way] || verdicts[way].verdict === "continue") continue;
      open[way] = false;
      found[way] = namesWinner(verdicts[way]);
    }
  }
  return found;
}

const percent = (count: number, of: number): number => Math.round((10_000 * count) / of) / 100;
const print = (line: string): void => console.log(line);

print(
  `A/A: ${EXPERIMENTS} experiments of 24 hours between equal models, by the rules that decide in production: ` +
    `${plan.weightPercent} % challenger, ${ROWS_A_MINUTE.champion} and ${ROWS_A_MINUTE.challenger} labelled rows a minute, ` +
    `each of an entity of its own, ${WRONG * 100} % wrong, a look every minute from the first on, early stops at ` +
    `p < ${plan.earlyAlpha} and one final look at p < ${plan.alpha - plan.earlyAlpha}. A winner is either arm called better. ` +
    `Seed ${SEED}, Node ${process.version}.`,
);
if (finalLookMs(plan) !== MINUTES * MINUTE_MS) throw new Error("the simulation is not as long as the plan");

const startedMs = performance.now();
const count = { winner: 0, early: 0, peeked: 0 };
const equal = samplers({ champion: 1 - WRONG, challenger: 1 - WRONG });
for (let i = 0; i < EXPERIMENTS; i++) {
  const { verdict, peeked } = simulate(equal, 1);
  const winner = namesWinner(verdict);
  count.winner += Number(winner);
  count.early += Number(winner && verdict.early);
  count.peeked += Number(peeked);
}
const falseWinnerPercent = percent(count.winner, EXPERIMENTS);
const falseEarlyPercent = percent(count.early, EXPERIMENTS);
const peekingPercent = percent(count.peeked, EXPERIMENTS);
print(`  false winners ${falseWinnerPercent} %, of them by early stops ${falseEarlyPercent} %`);
print(`  the plain two-proportion test at p < ${plan.alpha}, looked at as often: ${peekingPercent} %`);

const clustered = { byEntity: 0, byRow: 0 };
for (let i = 0; i < CLUSTERED_EXPERIMENTS; i++) {
  const { byEntity, byRow } = simulateClustered();
  clustered.byEntity += Number(byEntity);
  clustered.byRow += Number(byRow);
}
const falseWinnerClusteredPercent = percent(clustered.byEntity, CLUSTERED_EXPERIMENTS);
const falseWinnerByRowPercent = percent(clustered.byRow, CLUSTERED_EXPERIMENTS);
print(
  `A/A on correlated rows: ${CLUSTERED_EXPERIMENTS} experiments, 270 and 30 entities of 60 rows an hour, each with its own ` +
    "share of wrong rows between 0 and 10 %, a look an hour.",
);
print(
  `  false winners clustered by entity ${falseWinnerClusteredPercent} %, taking rows as independent ${falseWinnerByRowPercent} %`,
);

print(
  `Power: ${POWER_EXPERIMENTS} experiments a line, champion ${(1 - WRONG) * 100} % right, else as the first, a look every 10 minutes. Percent of experiments:`,
);
print("  gain, points  promote  keep  inconclusive  early  median end, hours");
const power: Record<string, number> = {};
for (const points of [-1, -0.5, 0, 0.25, 0.5, 1, 2]) {
  const draw = samplers({ champion: 1 - WRONG, challenger: 1 - WRONG + points / 100 });
  const runs = Array.from({ length: POWER_EXPERIMENTS }, () => simulate(draw, 10));
  const share = (holds: (run: Ended) => boolean) => percent(runs.filter(holds).length, runs.length);
  const hours = runs.map(({ minute }) => minute / 60).sort((a, b) => a - b)[runs.length >> 1]!;
  const verdicts = (["promote", "keep", "inconclusive"] as const).map((v) => share((run) => run.verdict.verdict === v));
  power[points] = verdicts[points < 0 ? 1 : 0]!;
  const cells = [points, ...verdicts, share((run) => run.verdict.early), hours.toFixed(1)];
  print(`  ${cells.map((cell, i) => String(cell).padStart([12, 7, 5, 13, 6, 18][i]!)).join(" ")}`);
}
const seconds = Math.round((performance.now() - startedMs) / 100) / 10;
print(`${seconds} s of wall time, one thread.`);

print(
  JSON.stringify({
    bench: "experiments",
    figures: {
      falseWinnerPercent,
      falseEarlyPercent,
      peekingPercent,
      falseWinnerClusteredPercent,
      falseWinnerByRowPercent,
      promotedOrKeptPercentByPoints: power,
      seconds,
    },
    conditions: {
      experiments: EXPERIMENTS,
      looks: MINUTES,
      rowsAMinute: ROWS_A_MINUTE,
      wrongPercent: WRONG * 100,
      clusteredExperiments: CLUSTERED_EXPERIMENTS,
      powerExperiments: POWER_EXPERIMENTS,
      earlyAlpha: plan.earlyAlpha,
      alpha: plan.alpha,
      seed: SEED,
      node: process.version,
    },
  }),
);
