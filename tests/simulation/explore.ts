import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { judge } from "./judge.ts";
import type { SimulatedPipeline } from "./pipeline.ts";
import { type Schedule, scheduleOf, shrink } from "./schedule.ts";
import { type Outcome, simulate } from "./world.ts";

/** Over how much simulated time the faults are spread: as long as the input takes and a little more. */
const SPAN_MS = 800;
export const regressionsDir = fileURLToPath(new URL("regressions/", import.meta.url));

export interface Find extends Schedule {
  readonly pipeline: string;
  /** In what the run differed from the undisturbed one. */
  readonly found: string;
}

export interface Exploration {
  readonly schedules: number;
  readonly finds: readonly Find[];
  /** Faults that struck, by kind and point. */
  readonly struck: Readonly<Record<string, number>>;
}

export const undisturbed = (pipeline: SimulatedPipeline): Promise<Outcome> =>
  simulate(pipeline, { seed: 0, faults: [] });

/** Runs `schedules` schedules from `seed` on; what fails is shrunk. Ends after `maxFinds`, since each costs time. */
export async function explore(
  pipeline: SimulatedPipeline,
  options: { readonly schedules: number; readonly seed: number; readonly maxFinds?: number },
): Promise<Exploration> {
  const expected = await undisturbed(pipeline);
  const faultsOf = async (schedule: Schedule) => judge(expected, await simulate(pipeline, schedule, expected));
  const finds: Find[] = [];
  const struck: Record<string, number> = {};
  let schedules = 0;
  for (; schedules < options.schedules && finds.length < (options.maxFinds ?? 1); schedules++) {
    const schedule = scheduleOf(options.seed + schedules, pipeline.slots.length, SPAN_MS);
    const outcome = await simulate(pipeline, schedule, expected);
    for (const what of outcome.struck) struck[what] = (struck[what] ?? 0) + 1;
    if (judge(expected, outcome) === null) continue;
    const small = await shrink(schedule, async (candidate) => (await faultsOf(candidate)) !== null);
    finds.push({ pipeline: pipeline.name, found: (await faultsOf(small))!, ...small });
  }
  return { schedules, finds, struck };
}

/** Keeps a find for the test that replays all of them; returns the file's name. */
export function keep(find: Find): string {
  const name = `${find.pipeline}-${find.seed}.json`;
  writeFileSync(`${regressionsDir}${name}`, `${JSON.stringify(find, null, 2)}\n`);
  return name;
}
