import { createHash } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fleetRounds, type TelemetryRound } from "../../local/fleet/index.ts";
import type { Telemetry } from "../parity/telemetry.ts";
import { disturb, type Struck, tally } from "./disturb.ts";
import { drained, flushLake } from "./drained.ts";
import { type Environment, type Servers, startEnvironment, startServers } from "./environment.ts";
import { Commands } from "./experiments.ts";
import {
  compareResults,
  judgeBySql,
  judgeEvents,
  judgeExperiments,
  judgeLake,
  judgeTexts,
  noVerdict,
  type Results,
  resultsOf,
  type Verdict,
} from "./judge.ts";
import type { Kind } from "./schedule.ts";
import { Supervised } from "./supervised.ts";
import { World } from "./world.ts";

export interface ChaosOptions {
  readonly faults: number;
  readonly seed: number;
  readonly brokers: 1 | 3;
  readonly groups: boolean;
  readonly kinds: readonly Kind[];
  /** No fault begins later than so long after the first; the run then has fewer. */
  readonly limitMs: number;
  /** Of everything that the run leaves. */
  readonly dir: string;
  readonly say: (line: string) => void;
}

export interface Report {
  readonly faults: number;
  readonly kinds: Readonly<Record<string, number>>;
  readonly points: Readonly<Record<string, number>>;
  /** Distinct events written, and found again. */
  readonly in: number;
  readonly out: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly different: number;
  readonly seconds: number;
}

export interface Outcome {
  readonly report: Report;
  readonly verdict: Verdict;
  readonly rounds: number;
  /** Processes started, and how many ended with a code of their own. */
  readonly starts: number;
  readonly ends: number;
  /** SHA-256 over the faults and what the processes said. */
  readonly logDigest: string;
}

/** One run: faults while telemetry comes, then the same telemetry undisturbed, then the comparison. */
export async function runChaos(options: ChaosOptions): Promise<Outcome> {
  const { seed, dir, say } = options;
  const beganAt = performance.now();
  mkdirSync(dir, { recursive: true });
  say("starting registry, S3, Kinesis and Triton");
  const servers = await startServers(dir, seed);
  try {
    const verdict = noVerdict();
    const { struck, rounds, found, starts, ends, logDigest } = await disturbed(servers, options, verdict);
    say("the same telemetry undisturbed");
    const calm = await startEnvironment(servers, "undisturbed", 1);
    compareResults(verdict, await finallyStopping(calm, () => undisturbed(calm, rounds)), found);

    const { lost, duplicated, different } = verdict;
    const seconds = Math.round((performance.now() - beganAt) / 100) / 10;
    const counts = { in: verdict.in, out: verdict.out, lost, duplicated, different };
    const report = { faults: struck.length, ...tally(struck), ...counts, seconds };
    return { report, verdict, rounds, starts, ends, logDigest };
  } finally {
    await servers.stop();
  }
}

async function disturbed(servers: Servers, options: ChaosOptions, verdict: Verdict) {
  const { brokers, groups, dir, say } = options;
  say(`starting ${brokers} broker(s)`);
  const env = await startEnvironment(servers, "disturbed", brokers);
  const faultLog = path.join(dir, "faults.log");
  const told = (line: string, struck?: Struck) => {
    say(line);
    appendFileSync(faultLog, `${JSON.stringify(struck ?? line)}\n`);
  };
  return await finallyStopping(env, async () => {
    const world = await World.start(env, groups);
    let struck: readonly Struck[];
    let rounds: number;
    try {
      struck = await disturb(world, options, told);
      await world.endOfInput();
      rounds = env.writer.state.rounds;
      say(`${rounds} rounds are written; waiting for the last of them to pass every stage`);
      await drained(env);
    } finally {
      const codes = await world.stop();
      say(`processes ended with ${codes.join(", ")}`);
    }
    const { starts, ends, logFiles } = world.crew;
    say(`${starts} processes were started, ${ends} ended with a code of their own; comparing`);
    await flushLake(env);
    await judgeEvents(verdict, env);
    await judgeBySql(verdict, env, telemetryOf(env, rounds));
    await judgeExperiments(verdict, env);
    await judgeTexts(verdict, env);
    await judgeLake(verdict, env);
    const digest = createHash("sha256");
    for (const file of [faultLog, ...logFiles]) digest.update(textOfFile(file));
    return { struck, rounds, starts, ends, logDigest: digest.digest("hex"), found: await resultsOf(env) };
  });
}

async function undisturbed(env: Environment, rounds: number): Promise<Results> {
  const share = ["--ordinal=0", "--of=1"];
  const processes = [
    ["bridge", "features", "control"],
    ["score", "incidents", "explain"],
  ].map((roles) => {
    const name = roles.join("+");
    const logFile = path.join(env.dir, `${name}.log`);
    return new Supervised({ name, args: [...roles, ...share], env: env.variables, logFile });
  });
  try {
    await Promise.all(processes.map((p) => p.running()));
    const commands = new Commands(env);
    for (const round of roundsOf(env, rounds)) {
      await env.writer.putRound(round);
      commands.afterRound(round.clockMs);
    }
    await commands.given();
    await drained(env);
    const ended = processes.reduce((sum, p) => sum + p.ends, 0);
    if (ended > 0) throw new Error(`The undisturbed run was disturbed: ${ended} processes ended.`);
  } finally {
    await Promise.all(processes.map((p) => p.stop()));
  }
  return await resultsOf(env);
}

/** The first rounds of the scenario. */
function* roundsOf(env: Environment, count: number): Generator<TelemetryRound> {
  let left = count;
  for (const round of fleetRounds(env.scenario.plan)) {
    if (left-- === 0) return;
    yield round;
  }
}

const telemetryOf = (env: Environment, rounds: number): Telemetry => ({
  name: "the fleet",
  featureSet: env.scenario.featureSet,
  fromMs: env.scenario.startMs,
  toMs: env.writer.state.nextMs!,
  rounds: () => roundsOf(env, rounds),
});

async function finallyStopping<T>(env: Environment, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } finally {
    await env.stop();
  }
}

const textOfFile = (file: string): string => (existsSync(file) ? readFileSync(file, "utf8") : "");
