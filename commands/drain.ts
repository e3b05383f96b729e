import { setTimeout as sleep } from "node:timers/promises";
import { stages } from "../pipeline.ts";
import { WeirError } from "../streams/index.ts";
import type { Run } from "./start.ts";

const POLL_MS = 100;
const LIMIT_MS = 15 * 60_000;

/**
 * Resolves when everything the writer put has passed the bridge and every stage has committed past the end of its
 * input, in the order of the stages: an input can only end once its writers have.
 */
export async function drained(run: Run, signal: AbortSignal): Promise<void> {
  const { broker, runnables, partitions, writer } = run;
  const tasks = () => runnables.flatMap((r) => r.status());
  const until = async (what: string, done: () => boolean) => {
    for (const deadline = performance.now() + LIMIT_MS; !signal.aborted && !done(); ) {
      if (performance.now() > deadline)
        throw new WeirError(
          "DRAIN_TIMEOUT",
          "fatal",
          `After ${LIMIT_MS / 60_000} minutes ${what} has not come to the end of its input.`,
          "Look at the stage's lag in the view and at the logs of the stack.",
        );
      await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  };
  const endMs = writer.state.nextMs ?? 0;
  const shards = () => tasks().filter((t) => t.stage === stages.bridge.name);
  await until("bridge", () => shards().length > 0 && shards().every((t) => t.watermarkMs >= endMs));
  const admin = broker.admin();
  try {
    for (const { name, input, changelog } of Object.values(stages)) {
      if (input === null) continue;
      const ends = await Promise.all(
        Array.from({ length: partitions }, (_, p) => admin.offsets(input, p, "read_committed")),
      );
      const own = () => tasks().filter((t) => t.stage === name);
      if (changelog)
        await until(name, () => own().every((t) => (t.position ?? 0) >= ends[Number(t.partition)]!.endOffset));
      else {
        // The lake's lag is as of its last fetch: twice zero, a fetch apart, means zero.
        await until(name, () => own().every((t) => t.lag <= 0));
        await sleep(1_200, undefined, { signal }).catch(() => undefined);
        await until(name, () => own().every((t) => t.lag <= 0));
      }
    }
  } finally {
    await admin.close();
  }
}
