/**
 * `npm run parity -- [--json] [--no-stack]`: the online stage, both backfills, the trainer's data set and SQL against each
 * other, cell by cell. One slice runs on real components, the others in process. Exit code 1 if a cell differs.
 */
import { rmSync } from "node:fs";
import { defaultInjection } from "../../local/fleet/index.ts";
import { reopen, runOnce } from "../e2e/support.ts";
import { flagsOf } from "../support/flags.ts";
import { nothingCompared } from "./rows.ts";
import { parityOf, parityOfRun } from "./run-parity.ts";
import { type Compared, fleet, hasSmd, odd, recorded, smdDir } from "./telemetries.ts";

const flags = flagsOf(import.meta.url, { json: { type: "boolean" }, "no-stack": { type: "boolean" } });
const sum = nothingCompared();

async function say(what: string, compare: () => Promise<unknown>): Promise<void> {
  const before = { ...sum };
  const startedAt = performance.now();
  process.stderr.write(`${what} …\n`);
  await compare();
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0);
  process.stderr.write(
    `  ${sum.cells - before.cells} cells, ${sum.differing - before.differing} differing, ${seconds} s\n`,
  );
}

const inProcess: Compared[] = [
  fleet({ instances: 24, minutes: 1_440, seed: 5, set: "core-37" }),
  fleet({ instances: 4, minutes: 1_800, seed: 6, set: "wide" }),
  odd("wide"),
];
if (hasSmd) inProcess.push(recorded({ machines: ["machine-1-2", "machine-1-6"], days: 12, hopMinutes: 15 }));
else process.stderr.write(`Recorded machines are left out: there are none in ${smdDir}.\n`);
for (const compared of inProcess) await say(compared.telemetry.name, () => parityOf(compared, sum));

if (!flags["no-stack"]) {
  const choice = { instances: 24, minutes: 360, seed: 7, set: "core-37", endMs: Date.UTC(2026, 0, 5, 12) };
  const compared = fleet({ ...choice, inject: defaultInjection });
  const args = { instances: choice.instances, minutes: choice.minutes, seed: choice.seed, end: "2026-01-05T12:00:00Z" };
  await say(`${compared.telemetry.name}, on the local stack`, async () => {
    const finished = await runOnce(...Object.entries(args).flatMap(([name, value]) => [`--${name}`, `${value}`]));
    const run = await reopen(finished.runDir);
    try {
      await parityOfRun(compared, run, sum);
    } finally {
      await run.stop();
      rmSync(finished.runDir, { recursive: true, force: true });
    }
  });
}

if (sum.leftOut.size > 0) process.stderr.write(`Not computed by SQL: ${[...sum.leftOut].join(", ")}.\n`);
for (const fault of sum.faults) process.stderr.write(`${fault}\n`);
const { cells, differing } = sum;
process.stdout.write(
  flags.json
    ? `${JSON.stringify({ cells, differing })}\n`
    : `${cells} cells, ${differing} differing: the stage, backfills, the trainer's data set and SQL\n`,
);
process.exit(differing === 0 && cells > 0 ? 0 : 1);
