import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { S3Client } from "@aws-sdk/client-s3";
import { readConfig } from "../config.ts";
import {
  FleetWriter,
  fleetRounds,
  pace,
  readFleetState,
  readLedger,
  replayRounds,
  writeTopology,
  writeTruth,
} from "../local/fleet/index.ts";
import { createProgress, defaultCacheDir, type Progress, type Stack, setUp, startStack } from "../local/index.ts";
import { renderSummary, type Summary } from "../ops/index.ts";
import type { Codecs } from "../schemas/index.ts";
import { type Broker, type Runnable, WeirError } from "../streams/index.ts";
import { kinesisOf, s3Of } from "./aws-clients.ts";
import { brokerOf } from "./clients.ts";
import { drained } from "./drain.ts";
import { IncidentFeed } from "./feed.ts";
import { serveHealth } from "./http.ts";
import { connectCodecs, initialise } from "./init.ts";
import { localOptions, rememberLocal } from "./local-options.ts";
import { ensureModels } from "./models.ts";
import { isTexting } from "./roles/explain.ts";
import { createRole, stageRoles } from "./roles.ts";
import { publishRouting } from "./routing.ts";
import { prepareScenario, type Scenario, type ScenarioOptions } from "./scenario.ts";
import { fixedSharing } from "./sharing.ts";
import { summarise } from "./summarise.ts";
import { LiveView } from "./view.ts";

export interface StartOptions extends ScenarioOptions {
  readonly once: boolean;
  readonly json: boolean;
  /** Simulated seconds a second; 0: as fast as possible. */
  readonly speed: number;
  readonly infra: "native" | "docker";
  readonly runDir?: string;
  /** Texts of the language model waited for at the end. */
  readonly texts: number;
}

const DRAW_MS = 500;
/** At the end of a run texts of the language model are waited for, but not longer than this. */
const TEXTS_WAIT_MS = 60_000;

/** `npm start`: the whole of Weir on this machine, watching a simulated fleet or a replay. Returns the exit code. */
export async function start(options: StartOptions): Promise<number> {
  const startedAt = performance.now();
  const cacheDir = defaultCacheDir();
  const runDir = path.resolve(options.runDir ?? path.join(cacheDir, "runs", runName(options)));
  const out = options.json ? process.stderr : process.stdout;
  const progress = createProgress(out);
  const interrupted = interruption();
  await setUp({ cacheDir, progress, signal: interrupted });
  mkdirSync(runDir, { recursive: true });
  const scenario = prepareScenario(options, runDir);
  requireSameTelemetry(runDir, scenario);
  writeTruth(path.join(runDir, "truth.json"), scenario.truth);
  writeTopology(scenario.topologyFile, scenario.topology);
  const trained = path.join(cacheDir, "trained", scenario.modelsKey);
  const [stack] = await both(
    startStack({ cacheDir, runDir: path.join(runDir, "stack"), shards: 2, progress, infra: options.infra }),
    ensureModels(scenario, trained, cacheDir, progress, interrupted),
  );
  const closing: (() => Promise<unknown>)[] = [() => stack.stop()];
  try {
    if (interrupted.aborted) return INTERRUPTED;
    const run = await startPipeline(stack, scenario, trained, runDir, progress, closing);
    const failed = Promise.race(run.runnables.map((r) => r.failed));
    await Promise.race([watch(run, options, interrupted, out), failed]);
    if (interrupted.aborted) return INTERRUPTED;
    const summary = await Promise.race([finish(run, options.texts, startedAt, progress), failed, aborted(interrupted)]);
    if (!summary) return INTERRUPTED;
    out.write(`\n${renderSummary(summary)}\n`);
    if (options.json) process.stdout.write(`${JSON.stringify(summary)}\n`);
    if (options.once) return 0;
    out.write("\nThe input is through. The stack stays up, so its topics can be looked at; Ctrl-C stops it.\n");
    await Promise.race([aborted(interrupted), failed]);
    return INTERRUPTED;
  } finally {
    progress.close();
    for (const close of closing.reverse()) await close().catch((error) => out.write(`${String(error)}\n`));
  }
}

/** Exit code of a program that Ctrl-C ended. */
const INTERRUPTED = 130;

export interface Run {
  readonly scenario: Scenario;
  readonly broker: Broker;
  readonly codecs: Codecs;
  readonly runnables: readonly Runnable[];
  readonly feed: IncidentFeed;
  readonly writer: FleetWriter;
  readonly partitions: number;
  readonly runDir: string;
  readonly s3: S3Client;
  readonly bucket: string;
  readonly notes: string[];
}

async function startPipeline(
  stack: Stack,
  scenario: Scenario,
  trained: string,
  runDir: string,
  progress: Progress,
  closing: (() => Promise<unknown>)[],
): Promise<Run> {
  const { endpoints } = stack;
  cpSync(trained, endpoints.triton.modelRepository, { recursive: true });
  const local = localOptions(endpoints, scenario);
  rememberLocal(path.join(runDir, "stack"), local);
  for (const name of ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] as const) process.env[name] = local[name];
  const config = readConfig({}, [], local);
  const broker = brokerOf(config);
  const notes: string[] = [];
  const log = (line: string) => {
    notes.push(line);
    if (notes.length > 3) notes.shift();
  };
  progress.begin("topics");
  const codecs = await connectCodecs(config);
  await initialise(config, broker);
  await publishRouting(broker, codecs, config, scenario.scoreFromMs);
  progress.done("topics");
  progress.begin("stages");
  const sharing = fixedSharing(config.partitions, 0, 1);
  const runnables = (
    await Promise.all(stageRoles.map((role) => createRole(role, { config, broker, codecs, sharing, log })))
  ).flat();
  closing.push(() => Promise.all(runnables.map((r) => r.stop())));
  await Promise.race([Promise.all(runnables.map((r) => r.start())), ...runnables.map((r) => r.failed)]);
  progress.done("stages");
  const health = await serveHealth(runnables, config.httpHost, config.httpPort);
  closing.push(() => health.close());
  notes.push(`metrics ${health.url}/metrics   topics: npx weir tail incidents`);
  const feed = new IncidentFeed(broker, codecs, config.partitions);
  feed.start();
  closing.push(() => feed.stop());
  const kinesis = kinesisOf(config);
  closing.push(async () => kinesis.destroy());
  const writer = new FleetWriter({
    client: kinesis,
    stream: config.kinesisStream,
    ledgerFile: path.join(runDir, "ledger.bin"),
    stateFile: path.join(runDir, "fleet.json"),
    origin: scenario.origin,
    sleep: (ms) => sleep(ms),
  });
  return {
    scenario,
    broker,
    codecs,
    runnables,
    feed,
    writer,
    partitions: config.partitions,
    runDir,
    s3: s3Of(config),
    bucket: config.s3Bucket,
    notes,
  };
}

/** Writes telemetry and shows what becomes of it, until every stage has come to the end of it, or until interrupted. */
async function watch(
  run: Run,
  { speed }: StartOptions,
  interrupted: AbortSignal,
  out: NodeJS.WriteStream,
): Promise<void> {
  const { scenario, runnables, feed, writer } = run;
  const view = new LiveView(out);
  const meter = new Meter();
  const stop = new AbortController();
  const ended = AbortSignal.any([interrupted, stop.signal]);
  const drawing = (async () => {
    while (!ended.aborted) {
      const tasks = runnables.flatMap((r) => r.status());
      const simulatedMs = writer.state.nextMs ?? scenario.startMs;
      const share = (simulatedMs - scenario.startMs) / (scenario.endMs - scenario.startMs);
      view.draw(
        {
          title: scenario.title,
          simulatedMs,
          share,
          tasks,
          rates: meter.rates(tasks, performance.now()),
          incidents: feed.latest(out.isTTY ? 6 : 100),
          explanations: feed.explanations,
          notes: run.notes,
        },
        performance.now(),
      );
      await sleep(DRAW_MS, undefined, { signal: ended }).catch(() => undefined);
    }
    view.end();
  })();
  try {
    await write(run, speed, ended);
    await drained(run, ended);
  } finally {
    stop.abort();
    await drawing;
  }
}

async function write({ scenario, writer }: Run, speed: number, signal: AbortSignal): Promise<void> {
  const fromMs = writer.state.nextMs ?? scenario.startMs;
  const rounds = scenario.kind === "fleet" ? fleetRounds(scenario.plan, fromMs) : replayRounds(scenario.plan, fromMs);
  const clock = {
    nowMs: () => Date.now(),
    sleep: (ms: number) => sleep(ms, undefined, { signal }).catch(() => undefined),
  };
  await writer.repeatClock();
  for await (const round of pace(rounds, speed, fromMs, clock)) {
    if (signal.aborted) return;
    await writer.putRound(round);
  }
}

async function finish(run: Run, texts: number, startedAt: number, progress: Progress): Promise<Summary> {
  const { runnables, runDir } = run;
  progress.begin("texts");
  const written = await Promise.all(runnables.filter(isTexting).map((r) => r.textsWritten(texts, TEXTS_WAIT_MS)));
  progress.done(
    "texts",
    `${written.reduce((a, b) => a + b, 0)} by the language model; what it could not ground stays a template`,
  );
  progress.begin("audit");
  for (const runnable of runnables) if ("flush" in runnable) await (runnable.flush as () => Promise<void>)();
  const summary = await summarise(
    run,
    readLedger(path.join(runDir, "ledger.bin")),
    (performance.now() - startedAt) / 1_000,
  );
  progress.done("audit");
  writeFileSync(path.join(runDir, "summary.json"), `${JSON.stringify(summary, null, 2)}\n`);
  return summary;
}

/** In and out per second by stage, from two looks at the counters. */
class Meter {
  #last: { atMs: number; in: Map<string, number> } | undefined;
  #rates = new Map<string, number>();

  rates(tasks: ReturnType<Runnable["status"]>, atMs: number): ReadonlyMap<string, number> {
    const sums = new Map<string, number>();
    for (const t of tasks) sums.set(t.stage, (sums.get(t.stage) ?? 0) + t.counters.in);
    const last = this.#last;
    if (last && atMs - last.atMs < 1_000) return this.#rates;
    if (last)
      this.#rates = new Map(
        [...sums].map(([stage, now]) => [
          stage,
          Math.max(0, now - (last.in.get(stage) ?? 0)) / ((atMs - last.atMs) / 1_000),
        ]),
      );
    this.#last = { atMs, in: sums };
    return this.#rates;
  }
}

/** A fresh folder for `--once`; otherwise one that a second start goes on with. */
const runName = ({ once, replay }: StartOptions): string =>
  once ? `once-${new Date().toISOString().replace(/\D/g, "").slice(0, 17)}` : replay ? "replay" : "fleet";

/** Before anything of the folder is touched: it may hold another run's telemetry. */
function requireSameTelemetry(runDir: string, { origin }: Scenario): void {
  const begun = readFleetState(path.join(runDir, "fleet.json"))?.origin;
  if (begun === undefined || JSON.stringify(begun) === JSON.stringify(origin)) return;
  throw new WeirError(
    "FLEET_STATE_MISMATCH",
    "fatal",
    `${runDir} was begun with ${JSON.stringify(begun)}, not ${JSON.stringify(origin)}.`,
    "Start with the former options, or name another folder with --run-dir.",
  );
}

/** The first Ctrl-C stops cleanly; a second one gives up at once. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
    process.stderr.write("\nstopping…\n");
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  return controller.signal;
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });

/** Both, or the first failure after the other has ended, so that nothing half-started is left. */
async function both(stack: Promise<Stack>, models: Promise<unknown>): Promise<[Stack]> {
  const [started, ready] = await Promise.allSettled([stack, models]);
  if (started.status === "fulfilled" && ready.status === "fulfilled") return [started.value];
  if (started.status === "fulfilled") await started.value.stop();
  throw started.status === "rejected" ? started.reason : (ready as PromiseRejectedResult).reason;
}
