import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { WeirError } from "../../streams/index.ts";
import { withLock } from "../lock.ts";
import type { Progress } from "../progress.ts";
import { type CommandOptions, runCommand } from "./run-command.ts";

export type Run = (
  command: string,
  args: readonly string[],
  options?: Pick<CommandOptions, "cwd" | "env" | "niceness">,
) => Promise<void>;

/** One thing to install. It owns the folder `<cache>/<name>`, which is emptied before `run`. */
export interface Step {
  readonly name: string;
  /** Steps of one lane run one after the other, lanes at the same time. */
  readonly lane: string;
  /** All that the result depends on: a change redoes the step. */
  inputs(): readonly string[];
  /** A cheap look whether a finished folder still works. */
  isUsable(dir: string): boolean;
  /** A sentence if this machine can do without the step but can't run it. */
  unavailable?(): Promise<string | null>;
  run(context: { readonly dir: string; readonly cacheDir: string; readonly run: Run }): Promise<void>;
}

export interface RunStepsOptions {
  readonly cacheDir: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

/** What the finished steps take, by measurement, with a third to spare. */
export const spaceNeededBytes = 4 * 1024 ** 3;
const stampOf = (dir: string) => path.join(dir, ".weir-stamp");

function digest(step: Step): string {
  return createHash("sha256").update(JSON.stringify(step.inputs())).digest("hex");
}

/** True if the step ran to its end with these inputs: the stamp is the last thing written. */
export function isDone(step: Step, cacheDir: string): boolean {
  const dir = path.join(cacheDir, step.name);
  try {
    return readFileSync(stampOf(dir), "utf8") === digest(step) && step.isUsable(dir);
  } catch {
    return false;
  }
}

/**
 * Runs what is not done yet. Silent when there is nothing to do. Finished steps stay finished when another one fails;
 * what was half done is redone. Two set-ups on one cache take turns.
 */
export async function runSteps(steps: readonly Step[], options: RunStepsOptions): Promise<void> {
  const { cacheDir, progress } = options;
  if (steps.every((step) => isDone(step, cacheDir))) return;
  mkdirSync(path.join(cacheDir, "logs"), { recursive: true });
  const lockFile = path.join(cacheDir, "set-up.lock");
  await withLock(lockFile, progress, options.signal, async () => {
    const due: Step[] = [];
    for (const step of steps.filter((s) => !isDone(s, cacheDir))) {
      const reason = (await step.unavailable?.()) ?? null;
      if (reason === null) due.push(step);
      else progress.note(`  ! ${reason}`);
    }
    if (due.length === 0) return;
    checkSpace(cacheDir);
    await runLanes(due, options);
  });
}

async function runLanes(due: readonly Step[], { cacheDir, progress, signal }: RunStepsOptions): Promise<void> {
  const stop = new AbortController();
  const aborted = AbortSignal.any(signal === undefined ? [stop.signal] : [stop.signal, signal]);
  const runOne = async (step: Step) => {
    aborted.throwIfAborted();
    const dir = path.join(cacheDir, step.name);
    const logFile = path.join(cacheDir, "logs", `${step.name}.log`);
    progress.begin(step.name);
    try {
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(dir, { recursive: true });
      writeFileSync(logFile, "");
      const run: Run = (command, args, more) => runCommand(command, args, { ...more, logFile, signal: aborted });
      await step.run({ dir, cacheDir, run });
      if (!step.isUsable(dir)) throw incomplete(step, logFile);
      writeFileSync(`${stampOf(dir)}.tmp`, digest(step));
      renameSync(`${stampOf(dir)}.tmp`, stampOf(dir));
      progress.done(step.name);
    } catch (error) {
      progress.failed(step.name);
      stop.abort(error);
      throw error;
    }
  };
  const lanes = Map.groupBy(due, (step) => step.lane);
  const ends = await Promise.allSettled(
    [...lanes.values()].map(async (lane) => {
      for (const step of lane) await runOne(step);
    }),
  );
  // The first failure aborted the others: only it tells something.
  if (ends.some((end) => end.status === "rejected")) throw aborted.reason;
}

function incomplete(step: Step, logFile: string): WeirError {
  return new WeirError(
    "SETUP_STEP_FAILED",
    "fatal",
    `The step ${step.name} ended well, yet what it should have installed is not there.`,
    `Read ${logFile} and run the command again.`,
  );
}

function checkSpace(cacheDir: string): void {
  if (!existsSync(cacheDir)) return;
  const { bavail, bsize } = statfsSync(cacheDir);
  if (bavail * bsize >= spaceNeededBytes) return;
  throw new WeirError(
    "SETUP_DISK_FULL",
    "fatal",
    `${cacheDir} has ${Math.floor((bavail * bsize) / 1024 ** 2)} MiB free; the set-up needs ${spaceNeededBytes / 1024 ** 2}.`,
    "Free some space, or set WEIR_CACHE to a folder on a larger disk.",
  );
}
