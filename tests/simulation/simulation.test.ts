import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { countedWindows, recount } from "./counted-windows.ts";
import { explore, type Find, keep, regressionsDir, undisturbed } from "./explore.ts";
import { judge } from "./judge.ts";
import { pipelines } from "./pipelines.ts";
import { scheduleOf } from "./schedule.ts";
import { simulate } from "./world.ts";

/** How many schedules of each pipeline; a seed each, from 1 on. */
const schedules: Readonly<Record<string, number>> = { "counted-windows": 1_650, fleet: 350 };

describe.each(pipelines.map((p) => [p.name, p] as const))("%s under random schedules of faults", (name, pipeline) => {
  test("every run gives the undisturbed run's records bit for bit, loses and doubles nothing, and its counters add up", async () => {
    const { finds, struck } = await explore(pipeline, { schedules: schedules[name]!, seed: 1 });
    const kept = finds.map((find) => `${keep(find)}: ${find.found} ${JSON.stringify(find.faults)}`);
    expect(kept).toEqual([]);
    // Each named point was killed and paused at, each call went wrong in each way.
    const points = ["T1", "T2", "T3", "T4", "T5", "T6", "C1", "C2", "C3", "C5", "C6"];
    for (const point of points) expect(struck[`kill ${point}`], `kill ${point}`).toBeGreaterThan(0);
    for (const point of points) expect(struck[`pause ${point}`], `pause ${point}`).toBeGreaterThan(0);
    for (const kind of ["lose-request", "late-request", "lose-reply", "delay-reply"])
      for (const call of ["init", "add-partitions", "produce", "commit", "fetch", "list-offsets"])
        expect(struck[`${kind} ${call}`], `${kind} ${call}`).toBeGreaterThan(0);
    for (const kind of ["twin", "stop", "move", "compact", "hold"]) expect(struck[kind], kind).toBeGreaterThan(0);
  }, 240_000);

  test("the same schedule gives the same run, request for request", async () => {
    const expected = await undisturbed(pipeline);
    const schedule = scheduleOf(77, pipeline.slots.length, 800);
    const [a, b] = [await simulate(pipeline, schedule, expected), await simulate(pipeline, schedule, expected)];
    expect([b.requests, b.tookMs, b.struck]).toEqual([a.requests, a.tookMs, a.struck]);
    expect(b.records).toEqual(a.records);
  });
});

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
