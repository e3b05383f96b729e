import { describe, expect, test } from "vitest";
import { GENESIS, genesisValue, NEWEST_STATE_VERSION } from "../../streams/task/changelog.ts";
import type { CallName } from "../../streams/testing/index.ts";
import {
  changelog,
  counted,
  input,
  noted,
  output,
  refusalOf,
  stopped,
  takeOvers,
  through,
  upTo,
  World,
} from "./simulated-world.ts";

describe("outcomes of a commit", () => {
  test.each([
    ["the reply is lost, though it is committed", "lose-reply"],
    ["the request is lost, so it is not committed", "lose-request"],
    ["the request arrives only when its sender has given up", "late-request"],
  ] as const)("%s: the task reads what became of it, and nothing is lost or doubled", async (_, kind) => {
    const world = await World.initialised();
    const process = world.broker.process("task");
    // The first commit is the claim's.
    process.faultOf = (call: CallName, count) => (call === "commit" && count === 3 ? { kind, ms: 200 } : undefined);
    const { steps, onStep } = noted();
    const task = world.task({ process, more: { onStep } });
    const running = task.run();
    for (let i = 0; i < 6; i++) {
      world.feed(5);
      await world.pass(150);
    }
    await world.until(() => counted(task) === 30);
    await stopped(world, task, running);
    expect(world.outcome()).toEqual({ numbers: upTo(30), wrong: undefined });
    expect(takeOvers(steps)).toBe(2);
  });

  test("a lost send is never followed by a commit", async () => {
    const world = await World.initialised();
    const process = world.broker.process("task");
    process.faultOf = (call, count) => (call === "produce" && count === 2 ? { kind: "lose-reply", ms: 50 } : undefined);
    const { steps, onStep } = noted();
    const task = world.task({ process, more: { onStep } });
    const running = task.run();
    for (let i = 0; i < 4; i++) {
      world.feed(5);
      await world.pass(150);
    }
    await world.until(() => counted(task) === 20);
    await stopped(world, task, running);
    expect(world.outcome()).toEqual({ numbers: upTo(20), wrong: undefined });
    const failedSend = steps.indexOf("T1", 1);
    expect(steps.slice(0, failedSend).at(-1)).toBe("C2");
  });

  test("the rightful owner whose transaction timed out goes on with its own task", async () => {
    const world = await World.initialised();
    const process = world.broker.process("task");
    // The process stands still for longer than its transaction lives: it is fenced though nobody else came.
    const { steps, onStep } = noted();
    const stall = (task: unknown, step: string) => {
      onStep(task, step);
      if (step !== "C5" || steps.filter((s) => s === "C5").length !== 2) return;
      process.pause();
      world.time.after(15_000, () => process.resume());
    };
    const task = world.task({ process, more: { onStep: stall } });
    const running = task.run();
    for (let i = 0; i < 4; i++) {
      world.feed(5);
      await world.pass(12_000);
    }
    await world.until(() => counted(task) === 20);
    expect(takeOvers(steps)).toBe(2);
    await stopped(world, task, running);
    expect(world.outcome()).toEqual({ numbers: upTo(20), wrong: undefined });
  });
});

describe("two owners", () => {
  const paused = async (epochs: readonly [first: number, second: number]) => {
    const world = await World.initialised();
    const zombie = world.broker.process("zombie");
    const first = world.task({ process: zombie, more: { assignmentEpoch: epochs[0] } });
    const firstRuns = first.run();
    world.feed(10);
    await world.until(() => counted(first) === 10);
    zombie.pause();
    const second = world.task({ more: { assignmentEpoch: epochs[1] } });
    const secondRuns = second.run();
    world.feed(10);
    await world.until(() => counted(second) === 20);
    world.feed(10);
    zombie.resume();
    return { world, first, firstRuns, second, secondRuns };
  };

  test("a process that wakes up after another took its task over stops that task, and stays itself", async () => {
    const { world, first, firstRuns, second, secondRuns } = await paused([0, 0]);
    await world.done(firstRuns);
    expect(first.status()).toMatchObject({ state: "stopped", problem: expect.stringContaining("Taken over by") });
    expect(first.yieldedTo?.incarnation).toMatch(/\.1$/);
    await world.until(() => counted(second) === 30);
    await stopped(world, second, secondRuns);
    expect(world.outcome()).toEqual({ numbers: upTo(30), wrong: undefined });
  });

  test("of two that want a task the one with the higher assignment epoch ends up with it", async () => {
    const { world, first, firstRuns, second, secondRuns } = await paused([7, 6]);
    await world.until(() => counted(first) === 30);
    world.feed(10); // an owner that has nothing to commit does not notice that it is fenced
    await world.done(secondRuns);
    expect(second.yieldedTo?.assignmentEpoch).toBe(7);
    await world.until(() => counted(first) === 40);
    await stopped(world, first, firstRuns);
    expect(world.outcome()).toEqual({ numbers: upTo(40), wrong: undefined });
  });

  test("one that stays under a newer assignment has its task back from another that had it in between", async () => {
    const world = await World.initialised();
    const first = world.task({ more: { assignmentEpoch: 3 } });
    const firstRuns = first.run();
    world.feed(10);
    await world.until(() => counted(first) === 10);
    const between = world.task({ more: { assignmentEpoch: 4 } });
    const betweenRuns = between.run();
    await world.until(() => between.status().state === "running");
    await stopped(world, between, betweenRuns);
    first.renew(5); // it has heard nothing of the fourth
    world.feed(10);
    await world.until(() => counted(first) === 20);
    await stopped(world, first, firstRuns);
    expect(first.yieldedTo).toBeUndefined();
    expect(world.outcome()).toEqual({ numbers: upTo(20), wrong: undefined });
  });

  test("one that is fenced well before its successor's claim can be read waits for it, and yields", async () => {
    const world = await World.initialised();
    const first = world.task();
    const firstRuns = first.run();
    world.feed(10);
    await world.until(() => counted(first) === 10);
    const slow = world.broker.process("slow");
    slow.faultOf = (call, count) => (call === "init" && count === 0 ? { kind: "delay-reply", ms: 300 } : undefined);
    const { steps, onStep } = noted();
    const second = world.task({ process: slow, more: { onStep } });
    const secondRuns = second.run();
    await world.until(() => steps.includes("T2"));
    await world.pass(50);
    world.feed(10);
    await world.done(firstRuns);
    expect(first.yieldedTo?.incarnation).toMatch(/\.1$/);
    await world.until(() => counted(second) === 20);
    expect(takeOvers(steps)).toBe(1);
    await stopped(world, second, secondRuns);
    expect(world.outcome()).toEqual({ numbers: upTo(20), wrong: undefined });
  });

  test("a process of another pipeline is refused without disturbing the one at work", async () => {
    const world = await World.initialised();
    const { steps, onStep } = noted();
    const owner = world.task({ more: { onStep } });
    const runs = owner.run();
    world.feed(5);
    await world.until(() => counted(owner) === 5);
    const stranger = world.task({ binding: { fingerprint: "sum/2" } });
    expect(await refusalOf(world, stranger)).toMatchObject({ code: "FINGERPRINT_CHANGED" });
    world.feed(5);
    await world.until(() => counted(owner) === 10);
    expect(takeOvers(steps)).toBe(1);
    await stopped(world, owner, runs);
  });
});

test("a stop in the middle of a restore ends it at once, and the next owner finds everything", async () => {
  const world = await World.initialised();
  world.feed(20);
  await through(world, world.task(), 20);
  const process = world.broker.process("leaver");
  const { steps, onStep } = noted();
  const leaver = world.task({ process, more: { onStep } });
  // Each fetch of the state takes a minute from now on; a stop must not wait for the rest of it.
  process.faultOf = (call) =>
    call === "fetch" && steps.includes("T4") ? { kind: "delay-reply", ms: 60_000 } : undefined;
  const running = leaver.run();
  await world.until(() => steps.includes("T4"));
  leaver.stop();
  await world.done(running, 61_000);
  expect(steps).not.toContain("T5");
  expect(leaver.status().state).toBe("stopped");
  world.feed(10);
  await through(world, world.task(), 30);
  expect(world.outcome()).toEqual({ numbers: upTo(30), wrong: undefined });
});

test("a commit of more records than one request holds is whole", async () => {
  const world = await World.initialised();
  world.feed(3_000);
  await through(world, world.task({ more: { commitIntervalMs: 5_000 } }), 3_000);
  expect(world.outcome()).toEqual({ numbers: upTo(3_000), wrong: undefined });
  world.feed(10);
  await through(world, world.task(), 3_010);
  expect(world.outcome()).toEqual({ numbers: upTo(3_010), wrong: undefined });
});

test("a changelog whose last commits stand behind another's open transaction is read to its true end", async () => {
  const world = await World.initialised();
  const other = world.broker.producer("another writer");
  await world.done(other.init());
  const owner = world.task();
  const running = owner.run();
  world.feed(10);
  await world.until(() => counted(owner) === 10);
  const note = { topic: changelog, partition: 0, key: "note", value: Buffer.from("{}"), timestampMs: 0 };
  await world.done(other.send([note]));
  world.feed(10);
  await world.until(() => counted(owner) === 20);
  await stopped(world, owner, running);
  const log = world.broker.log(changelog, 0);
  expect(log.end("read_committed")).toBeLessThan(log.endOffset);
  world.feed(10);
  // It gets through when the other's transaction times out, and not before.
  await through(world, world.task(), 30);
  expect(world.outcome()).toEqual({ numbers: upTo(30), wrong: undefined });
});

test("a changelog of which nothing can be read yet, for its first record's end is on its way, is waited for", async () => {
  const world = new World();
  const init = world.broker.producer("test.sum.0");
  await world.done(init.init());
  const genesis = { key: GENESIS, value: genesisValue(NEWEST_STATE_VERSION), timestampMs: 0 };
  await world.done(init.send([{ topic: changelog, partition: 0, ...genesis }]));
  const task = world.task();
  const running = task.run();
  await world.pass(300);
  await world.done(init.commit());
  world.feed(10);
  await world.until(() => counted(task) === 10);
  await stopped(world, task, running);
});

describe("a commit whose markers the broker never wrote", () => {
  /** Ten numbers committed and readable, then ten whose commit was answered and marked nowhere. */
  async function unmarked(world: World, process = world.broker.process("owner")) {
    const owner = world.task({ process });
    const running = owner.run();
    world.feed(10);
    await world.until(() => counted(owner) === 10);
    await world.pass(20);
    world.broker.loseMarkers(200);
    world.feed(10);
    await world.until(() => counted(owner) === 20);
    await world.pass(200);
    expect(world.read(output)).toHaveLength(10);
    return { process, owner, running };
  }

  test("is made whole by its own task before the next one", async () => {
    const world = await World.initialised();
    const { owner, running } = await unmarked(world);
    world.feed(10);
    await world.until(() => counted(owner) === 30);
    await stopped(world, owner, running);
    expect(world.outcome()).toEqual({ numbers: upTo(30), wrong: undefined });
  });

  test("is not undone by an abort of the next one", async () => {
    const world = await World.initialised();
    const { process, owner, running } = await unmarked(world);
    let failed = 0;
    process.faultOf = (call) => (call === "produce" && failed++ === 0 ? { kind: "lose-request", ms: 1 } : undefined);
    world.feed(10);
    await world.until(() => counted(owner) === 30);
    await stopped(world, owner, running);
    expect(failed).toBeGreaterThan(0);
    expect(world.outcome()).toEqual({ numbers: upTo(30), wrong: undefined });
  });

  test("is made whole by a successor", async () => {
    const world = await World.initialised();
    (await unmarked(world)).process.kill();
    world.feed(10);
    await through(world, world.task(), 30);
    expect(world.outcome()).toEqual({ numbers: upTo(30), wrong: undefined });
  });

  test("is undone by a successor whose predecessor died right behind its initialisation, and done anew", async () => {
    const world = await World.initialised();
    (await unmarked(world)).process.kill();
    const shortLived = world.broker.producer("test.sum.0");
    await world.done(shortLived.init());
    world.feed(10);
    await through(world, world.task(), 30);
    expect(world.outcome()).toEqual({ numbers: upTo(30), wrong: undefined });
  });
});

test("what a task has committed can be read as soon as it has stopped, however long the broker takes to mark it", async () => {
  const world = await World.initialised(1, { maxMarkerLatencyMs: 2_000 });
  const task = world.task();
  const running = task.run();
  world.feed(10);
  await world.until(() => counted(task) === 10);
  expect(world.read(output)).toEqual([]);
  await stopped(world, task, running);
  expect(world.outcome()).toEqual({ numbers: upTo(10), wrong: undefined });
});

test("an aborted transaction without markers is not taken along by the successor's commit", async () => {
  const world = await World.initialised();
  const process = world.broker.process("owner");
  const owner = world.task({ process });
  void owner.run();
  world.feed(10);
  await world.until(() => counted(owner) === 10);
  process.faultOf = (call) => (call === "commit" ? { kind: "lose-request", ms: 60_000 } : undefined);
  world.feed(10);
  const log = world.broker.log(changelog, 0);
  await world.until(() => log.end("read_committed") < log.endOffset);
  process.kill();
  world.broker.loseMarkers(300);
  const next = world.task();
  const running = next.run();
  world.feed(10);
  await world.until(() => counted(next) === 30);
  await stopped(world, next, running);
  expect(world.outcome()).toEqual({ numbers: upTo(30), wrong: undefined });
});

test("the group's offset follows every five seconds, and the position tells only what is committed", async () => {
  const world = await World.initialised();
  const { TransactionBudget } = await import("../../streams/task/transaction-budget.ts");
  const task = world.task({ more: { commitIntervalMs: 2_000, budget: new TransactionBudget(0) } });
  const running = task.run();
  await world.until(() => task.status().state === "running");
  world.feed(3);
  await world.pass(500);
  expect(task.status()).toMatchObject({ position: 0, lag: 3 });
  const offset = () => world.broker.coordinator.committedOffset("test.sum", { topic: input, partition: 0 });
  await world.until(() => task.status().position === 3);
  expect(offset()).toBeUndefined();
  await world.pass(5_000);
  world.feed(4);
  await world.until(() => task.status().position === 7);
  await world.pass(20);
  expect(offset()).toBe(7);
  await stopped(world, task, running);
});

test("a caught-up task commits at once while its process has transactions left, and at its interval when not", async () => {
  const commitsOf = async (perSecond: number) => {
    const world = await World.initialised();
    const { TransactionBudget } = await import("../../streams/task/transaction-budget.ts");
    const task = world.task({ more: { commitIntervalMs: 1_000, budget: new TransactionBudget(perSecond) } });
    const running = task.run();
    await world.until(() => task.status().state === "running");
    for (let i = 0; i < 100; i++) {
      world.feed(1);
      await world.pass(100);
    }
    await world.until(() => counted(task) === 100);
    const { transactions } = task.status();
    await stopped(world, task, running);
    expect(world.outcome()).toEqual({ numbers: upTo(100), wrong: undefined });
    return transactions!;
  };
  expect(await commitsOf(50)).toBe(100);
  const scarce = await commitsOf(0);
  expect(scarce).toBeGreaterThanOrEqual(9);
  expect(scarce).toBeLessThanOrEqual(11);
});
