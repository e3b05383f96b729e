/**
 * `npm run simulate -- --schedules N --seed S [--pipeline NAME] [--json]`: random schedules of faults on the simulated
 * broker. A failing one is printed, made small and kept in `regressions/`. Exit code 1 if there was any.
 */
import { flagsOf } from "../support/flags.ts";
import { explore, type Find, keep } from "./explore.ts";
import { pipelines } from "./pipelines.ts";

const values = flagsOf(import.meta.url, {
  schedules: { type: "string", default: "1000" },
  seed: { type: "string", default: "1" },
  pipeline: { type: "string" },
  json: { type: "boolean", default: false },
});
const [schedules, seed] = [Number(values.schedules), Number(values.seed)];
const chosen = pipelines.filter((p) => values.pipeline === undefined || p.name === values.pipeline);
if (!Number.isInteger(schedules) || schedules < 1 || !Number.isInteger(seed) || chosen.length === 0) {
  console.error(
    `--schedules and --seed are whole numbers; --pipeline is one of ${pipelines.map((p) => p.name).join(", ")}.`,
  );
  process.exit(2);
}

const startedAt = performance.now();
const finds: Find[] = [];
const struck: Record<string, number> = {};
let run = 0;
for (const pipeline of chosen) {
  const found = await explore(pipeline, { schedules: Math.ceil(schedules / chosen.length), seed, maxFinds: 5 });
  run += found.schedules;
  finds.push(...found.finds);
  for (const [what, count] of Object.entries(found.struck)) struck[what] = (struck[what] ?? 0) + count;
  console.log(`${pipeline.name}: ${found.schedules} schedules, ${found.finds.length} failed`);
}
for (const find of finds) console.log(`\n${find.found}\n  kept as ${keep(find)}: ${JSON.stringify(find.faults)}`);
const seconds = (performance.now() - startedAt) / 1_000;
if (values.json) console.log(JSON.stringify({ schedules: run, seed, failed: finds.length, struck, seconds }));
process.exitCode = finds.length === 0 ? 0 : 1;
