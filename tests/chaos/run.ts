/**
 * `npm run chaos -- [--faults N] [--seed S] [--brokers 1|3] [--groups] [--kinds kill,broker,…] [--minutes M] [--json]
 *                 [--record FILE] [--keep]`
 *
 * Real components and processes, N faults from the seed, and the comparison with what should have come of it. Each run
 * is appended to the record (default: tests/bench/chaos.md; `--record ""`: none). After M minutes no more faults begin.
 * Exit code 1 if anything was lost, doubled or changed.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { flagsOf } from "../support/flags.ts";
import { runChaos } from "./harness.ts";
import { appendRecord } from "./record.ts";
import { kinds as allKinds, type Kind } from "./schedule.ts";

const values = flagsOf(import.meta.url, {
  faults: { type: "string", default: "20" },
  seed: { type: "string", default: String(Date.now() % 1_000_000) },
  brokers: { type: "string", default: "1" },
  minutes: { type: "string", default: "1440" },
  kinds: { type: "string", default: allKinds.join(",") },
  groups: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  record: { type: "string", default: fileURLToPath(new URL("../bench/chaos.md", import.meta.url)) },
  keep: { type: "boolean", default: false },
});
const [faults, seed, brokers] = [values.faults, values.seed, values.brokers].map(Number) as [number, number, 1 | 3];
if (!(faults > 0) || !(Number(values.minutes) > 0) || !Number.isSafeInteger(seed) || ![1, 3].includes(brokers)) {
  console.error("Give --faults, --seed and --minutes as numbers, and --brokers as 1 or 3.");
  process.exit(2);
}
const kinds = values.kinds.split(",") as Kind[];
if (!kinds.every((kind) => allKinds.includes(kind))) {
  console.error(`--kinds takes some of ${allKinds.join(", ")}.`);
  process.exit(2);
}
// What was started ends with this process, however that ends.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
const { groups } = values;
const limitMs = Number(values.minutes) * 60_000;
const dir = mkdtempSync(path.join(tmpdir(), "weir-chaos-"));
const out = values.json ? process.stderr : process.stdout;
const say = (line: string) => void out.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`);
say(`seed ${seed}; logs in ${dir}`);
try {
  const outcome = await runChaos({ faults, seed, brokers, groups, kinds, limitMs, dir, say });
  const { report, verdict } = outcome;
  for (const fault of verdict.faults) say(fault);
  say(`compared: ${JSON.stringify(verdict.compared)}`);
  if (values.record) appendRecord(values.record, { ...outcome, seed, brokers, groups });
  const bad = report.lost + report.duplicated + report.different;
  console.log(values.json ? JSON.stringify(report) : JSON.stringify(report, null, 1));
  process.exitCode = bad === 0 ? 0 : 1;
  if (bad === 0 && !values.keep) rmSync(dir, { recursive: true, force: true });
} catch (error) {
  say(`the run broke off: ${(error as Error).stack}`);
  process.exitCode = 2;
}
process.exit();
