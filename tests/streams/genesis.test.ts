import { expect, test } from "vitest";
import { initialiseStage } from "../../streams/index.ts";
import type { CallName } from "../../streams/testing/simulated-process.ts";
import { changelog, stage, through, upTo, World } from "./simulated-world.ts";

/** Initialises the stage while one kind of call is lost for so many times. */
async function initialisedThough(call: CallName, times: number, ms: number) {
  const world = new World();
  const process = world.broker.process("init");
  process.faultOf = (name, count) => (name === call && count < times ? { kind: "lose-request", ms } : undefined);
  const broker = world.broker.brokerOf(process);
  const done = initialiseStage({ stage }, 2, { broker, env: "test", time: process.time });
  return { world, done };
}

test.each(["list-offsets", "init", "produce", "commit"] as const)(
  "`weir init` bears with brokers that are slow to find their new topics (%s), and writes the beginning once",
  async (call) => {
    const { world, done } = await initialisedThough(call, 6, 3_000);
    await world.done(done, 120_000);
    for (const partition of [0, 1]) {
      const log = world.broker.log(changelog, partition);
      const { records } = log.read(0, "read_committed", 1_000_000);
      expect(records.map((r) => r.key?.toString())).toEqual(["genesis"]);
    }
    world.feed(5);
    await through(world, world.task(), 5);
    expect(world.outcome()).toEqual({ numbers: upTo(5), wrong: undefined });
  },
);

test("it gives up after a minute, and says what was the matter", async () => {
  const { world, done } = await initialisedThough("list-offsets", 1_000, 3_000);
  await expect(world.done(done, 300_000)).rejects.toMatchObject({ disposition: "retry" });
  expect(world.time.nowMs).toBeLessThan(120_000);
});
