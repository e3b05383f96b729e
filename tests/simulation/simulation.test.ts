import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { countedWindows, recount } from "./counted-windows.ts";
import { type Exploration, explore, type Find, keep, regressionsDir, undisturbed } from "./explore.ts";
import { judge } from "./judge.ts";
import type { SimulatedPipeline } from "./pipeline.ts";
import { pipelines } from "./pipelines.ts";
import { scheduleOf } from "./schedule.ts";
import { simulate } from "./world.ts";

/** How many schedules of each pipeline; a seed each, from 1 on. */
const schedules: Readonly<Record<string, number>> = {
  "counted-windows": 1_300,
  "counted-windows-by-group": 350,
  fleet: 350,
  samples: 350,
};

const explored = new Map<string, Promise<Exploration>>();
function exploreOnce(pipeline: SimulatedPipeline): Promise<Exploration> {
  const found = explored.get(pipeline.name) ?? explore(pipeline, { schedules: schedules[pipeline.name]!, seed: 1 });
  explored.set(pipeline.name, found);
  return found;
}
const LIMIT_MS = 240_000;

describe.each(pipelines.map((p) => [p.name, p] as const))("%s under random schedules of faults", (_name, pipeline) => {
  test(
    "every run gives the undisturbed run's records bit for bit, loses and doubles nothing, and its counters add up",
    async () => {
      const { finds } = await exploreOnce(pipeline);
      expect(finds.map((find) => `${keep(find)}: ${find.found} ${JSON.stringify(find.faults)}`)).toEqual([]);
    },
    LIMIT_MS,
  );

  test("the same schedule gives the same run, request for request", async () => {
    const expected = await undisturbed(pipeline);
    const schedule = scheduleOf(77, pipeline.slots.length, 800);
    const [a, b] = [await simulate(pipeline, schedule, expected), await simulate(pipeline, schedule, expected)];
    expect([b.requests, b.tookMs, b.struck]).toEqual([a.requests, a.tookMs, a.struck]);
    expect(b.records).toEqual(a.records);
  });
});

test(
  "each named point was killed and paused at, and each call went wrong in each way",
  async () => {
    const struck = new Map<string, number>();
    for (const pipeline of pipelines)
      for (const [what, count] of Object.entries((await exploreOnce(pipeline)).struck))
        struck.set(what, (struck.get(what) ?? 0) + count);
    const points = ["T1", "T2", "T3", "T4", "T5", "T6", "C1", "C2", "C3", "C4", "C5", "C6"];
    const ways = ["lose-request", "late-request", "lose-reply", "delay-reply"];
    const calls = [
      "init",
      "describe-transaction",
      "describe-producers",
      "add-partitions",
      "produce",
      "commit",
      "fetch",
      "list-offsets",
      "join",
      "heartbeat",
    ];
    const wanted = [
      ...points.flatMap((point) => [`kill ${point}`, `pause ${point}`]),
      ...ways.flatMap((way) => calls.map((call) => `${way} ${call}`)),
      ...["twin", "stop", "move", "compact", "unmarked", "hold"],
    ];
    expect(wanted.filter((what) => !struck.has(what))).toEqual([]);
  },
  LIMIT_MS,
);

test("what the small pipeline counts without faults is what a recount of its input gives", async () => {
  const pipeline = countedWindows();
  const { records, counters } = await undisturbed(pipeline);
  for (const partition of [0, 1]) {
    const expected = recount(pipeline, partition);
    expect(records.get(`counts/${partition}/`)).toEqual(expected.counts);
    expect(JSON.parse(counters.get(`count/${partition}`)!)).toMatchObject(expected.counters);
    expect(records.get(`events.late/${partition}/`) ?? []).toHaveLength(expected.counters.late);
    expect(records.get(`events.dead/${partition}/`) ?? []).toHaveLength(expected.counters.dead);
  }
});

const kept = readdirSync(regressionsDir).filter((file) => file.endsWith(".json"));

test.each(kept)("%s, which failed once, passes", async (file) => {
  const find = JSON.parse(readFileSync(`${regressionsDir}${file}`, "utf8")) as Find;
  const pipeline = pipelines.find((p) => p.name === find.pipeline)!;
  const expected = await undisturbed(pipeline);
  expect(judge(expected, await simulate(pipeline, find, expected))).toBeNull();
});
