import type { ArmTally, RowSums, VersionTally } from "../schemas/index.ts";
import type { ArmHealth, ExperimentFacts, LadderFacts, Outcomes } from "../trainer/index.ts";
import { addTallies, emptyArm, noSums } from "./tally.ts";

/** An arm that had this share of errors was not served as it would be in production: its rows can't be compared. */
const DEGRADED_SHARE = 0.01;

/** All partitions' rows under one routing version; zeros where there are none yet. */
export function tallyOf(version: number, reports: Iterable<readonly VersionTally[]>): VersionTally {
  const own = [...reports].flatMap((tallies) => tallies.filter((t) => t.version === version));
  const none = { version, arms: [emptyArm(), emptyArm()], paired: noSums, championOnly: 0, challengerOnly: 0 };
  return addTallies(own) ?? { ...none, unlabelled: 0 };
}

/** `guarded`: whether another alert rate is harm by itself; a comparison has its own rule for that. */
export function ladderFacts(
  tally: VersionTally,
  sinceMs: number,
  alerts: readonly string[],
  guarded: boolean,
): LadderFacts {
  const [champion, challenger] = tally.arms as [ArmTally, ArmTally];
  return { sinceMs, champion: healthOf(champion, guarded), challenger: healthOf(challenger, guarded), alerts };
}

const scoresOf = ({ histogram, flagged }: ArmTally) => ({ histogram, flagged });

const healthOf = (arm: ArmTally, guarded: boolean): ArmHealth => ({
  rows: arm.rows,
  errors: arm.errors,
  requests: arm.requests,
  slowRequests: arm.slowRequests,
  scores: guarded ? scoresOf(arm) : null,
});

export function experimentFacts(tally: VersionTally, nowMs: number): ExperimentFacts {
  const [champion, challenger] = tally.arms as [ArmTally, ArmTally];
  const isLabelled = [champion.right, challenger.right, tally.paired].some((sums) => sums.rows > 0);
  return {
    nowMs,
    entities: { champion: champion.entities, challenger: challenger.entities },
    degraded: [champion, challenger].some((arm) => arm.errors > DEGRADED_SHARE * arm.rows),
    outcomes: isLabelled ? outcomesOf(tally, champion.right, challenger.right) : null,
    scores: { champion: scoresOf(champion), challenger: scoresOf(challenger) },
  };
}

const outcomesOf = (tally: VersionTally, champion: RowSums, challenger: RowSums): Outcomes => ({
  champion,
  challenger,
  paired: tally.paired,
  championOnly: tally.championOnly,
  challengerOnly: tally.challengerOnly,
  unlabelled: tally.unlabelled,
});
