import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type ComponentName, type Stack, setUp, startStack } from "../../local/index.ts";
import { type Broker, connectBroker, type Groups } from "../../streams/index.ts";

/** A stack of its own in a throw-away folder. */
export async function testStack(
  components: readonly ComponentName[],
): Promise<{ stack: Stack; runDir: string; stop(): Promise<void> }> {
  await setUp({ components });
  const runDir = mkdtempSync(path.join(tmpdir(), "weir-test-"));
  const stack = await startStack({ runDir, components, shards: 2 });
  return {
    stack,
    runDir,
    stop: async () => {
      await stack.stop();
      rmSync(runDir, { recursive: true, force: true });
    },
  };
}

export const brokerOf = (stack: Stack): Broker & Groups =>
  connectBroker({ brokers: [...stack.endpoints.kafka], clientId: "test" });

/** Waits for a condition, with a deadline: no test sleeps and hopes. */
export async function until(what: string, done: () => boolean | Promise<boolean>, limitMs = 30_000): Promise<void> {
  for (const deadline = performance.now() + limitMs; !(await done()); ) {
    if (performance.now() > deadline) throw new Error(`Not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
