/** A child for the tests of `--processes`: it runs nothing, and reports the shares it was given as tasks. */
import { Parent } from "../../commands/child.ts";
import { stages } from "../../pipeline.ts";
import { noCounters, PartitionedRunner, type Runnable, type TaskStatus } from "../../streams/index.ts";

/** What a partition runs here: nothing. Its status names the process and the epoch. */
const idle = (stage: TaskStatus["stage"], partition: number, epoch: number): Runnable => ({
  failed: new Promise<never>(() => undefined),
  start: async () => undefined,
  stop: async () => undefined,
  status: () => [
    {
      stage,
      partition: String(partition),
      state: "running",
      lag: process.pid,
      position: epoch,
      watermarkMs: 0,
      counters: noCounters(),
      stateBytes: 0,
    },
  ],
});

const parent = new Parent();
const runners = [stages.features, stages.incidents].map(
  (stage) => new PartitionedRunner((p, epoch) => idle(stage.name, p, epoch), parent.sharing(stage)),
);
const reported = parent.report(runners);
parent.ready();
for (const runner of runners) void runner.start();
process.once("SIGTERM", async () => {
  reported();
  await Promise.all(runners.map((r) => r.stop()));
  process.exit(0);
});
// Told apart from a kill: a child that refuses its work.
process.once("SIGUSR2", () => process.exit(1));
