import { describe, expect, test } from "vitest";
import { KeyValueStore } from "../../streams/index.ts";
import type { Task } from "../../streams/task/task.ts";
import { changelog, input, output, RunningSum, refusalOf, through, World } from "./simulated-world.ts";

describe("state that no longer fits is refused, with the gap and the way out", () => {
  const committed = async () => {
    const world = await World.initialised();
    world.feed(20);
    await through(world, world.task(), 20);
    return world;
  };
  const expectRefused = async (world: World, task: Task, code: string, gap: RegExp) => {
    const before = world.read(output).length;
    const refusal = await refusalOf(world, task);
    expect(refusal).toMatchObject({ code, disposition: "fatal" });
    expect(refusal.message).toMatch(gap);
    expect(refusal.nextStep.length).toBeGreaterThan(20);
    expect(world.read(output)).toHaveLength(before);
  };

  test("a changelog that was never initialised", async () => {
    const world = new World();
    await expectRefused(world, world.task(), "STATE_INCOMPLETE", /empty/);
  });

  test("a changelog that was deleted and created anew", async () => {
    const world = await committed();
    world.broker.createTopic(changelog, 2);
    await expectRefused(world, world.task(), "STATE_INCOMPLETE", /empty/);
  });

  test("a changelog whose beginning was cut off", async () => {
    const world = await committed();
    world.broker.log(changelog, 0).deleteBefore(1);
    await expectRefused(world, world.task(), "STATE_INCOMPLETE", /genesis/);
  });

  test("a changelog that lacks records behind its last progress", async () => {
    const world = await committed();
    // As if a topic without compaction had dropped its older segments, the genesis record written again by hand.
    const log = world.broker.log(changelog, 0);
    const genesis = log.read(0, "read_committed", 1).records;
    world.feed(1);
    await through(world, world.task(), 21);
    const claims = 5;
    log.deleteBefore(log.endOffset - claims);
    world.broker.append(changelog, 0, genesis);
    await expectRefused(world, world.task(), "STATE_INCOMPLETE", /store sums has \d keys, there were 3/);
  });

  test("an input that retention deleted before it was read", async () => {
    const world = await committed();
    world.feed(30);
    world.broker.log(input, 0).deleteBefore(33);
    await expectRefused(world, world.task(), "STATE_INCOMPLETE", /13 offsets were deleted unread/);
  });

  test("an input that was created anew, by its offsets where the broker tells no id", async () => {
    const world = await committed();
    world.broker.createTopic(input, 2);
    const under = world.broker.brokerOf(world.broker.process("task"));
    const broker = { ...under, admin: () => Object.assign(under.admin(), { topicId: async () => null }) };
    const gap = /stands at offset 20, but its input ends at 0/;
    await expectRefused(world, world.task({ broker }), "STATE_INCOMPLETE", gap);
  });

  test("an input that was created anew, by its id, though it is longer than the former", async () => {
    const world = await World.initialised();
    let id = "first";
    const broker = () => {
      const under = world.broker.brokerOf(world.broker.process("task"));
      return { ...under, admin: () => Object.assign(under.admin(), { topicId: async () => id }) };
    };
    world.feed(20);
    await through(world, world.task({ broker: broker() }), 20);
    id = "second";
    await expectRefused(world, world.task({ broker: broker() }), "STATE_INCOMPLETE", /topic first, now it is second/);
  });

  test("an input with another number of partitions", async () => {
    const world = await committed();
    const broker = world.broker.brokerOf(world.broker.process("task"));
    const more = { ...broker, admin: () => Object.assign(broker.admin(), { partitionsOf: async () => 6 }) };
    await expectRefused(
      world,
      world.task({ broker: more }),
      "PARTITIONS_CHANGED",
      /2 input partitions, now there are 6/,
    );
  });

  test("state of another pipeline", async () => {
    const world = await committed();
    await expectRefused(
      world,
      world.task({ binding: { fingerprint: "sum/2" } }),
      "FINGERPRINT_CHANGED",
      /sum\/1, this is sum\/2/,
    );
  });

  test("a store that the stage no longer has", async () => {
    const world = await committed();
    const create = () => Object.assign(new RunningSum(), { stores: [new KeyValueStore("others")] });
    await expectRefused(world, world.task({ binding: { create } }), "STATE_UNREADABLE", /holds a store sums that/);
  });

  test("a processor that reads its state otherwise than it was written", async () => {
    const world = await committed();
    const create = () => Object.assign(new RunningSum(), { standing: () => ({ keys: 4 }) });
    await expectRefused(world, world.task({ binding: { create } }), "STATE_INCOMPLETE", /keys was 3, now it is 4/);
  });
});
