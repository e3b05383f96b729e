import { describe, expect, test } from "vitest";
import { type EffectProcessor, KeyValueStore, WeirError } from "../../streams/index.ts";
import type { Task } from "../../streams/task/task.ts";
import type { CallName } from "../../streams/testing/index.ts";
import { changelog, dead, input, output, RunningSum, upTo, World } from "./simulated-world.ts";

const counted = (task: Task) => task.status().counters.in;

/** Notes the steps, so that a test sees how often a task was taken over. */
const noted = () => {
  const steps: string[] = [];
  return { steps, onStep: (_: unknown, step: string) => void steps.push(step) };
};
const takeOvers = (steps: readonly string[]) => steps.filter((s) => s === "T2").length;

async function stopped(world: World, task: Task, running: Promise<void>): Promise<void> {
  task.stop();
  await world.done(running);
}

/** Runs to the end of its input and stops. */
async function through(world: World, task: Task, count: number): Promise<void> {
  const running = task.run();
  running.catch(() => undefined);
  await world.until(() => counted(task) === count || task.status().state === "failed");
  await stopped(world, task, running);
}

const refusalOf = async (world: World, task: Task): Promise<WeirError> =>
  await world.done(task.run()).then(
    () => Promise.reject(new Error("The task was not refused.")),
    (error: WeirError) => error,
  );

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

describe("failures on the way in", () => {
  interface Reply {
    readonly doubled: readonly number[];
  }

  /** Asks an outside that is away for a while, or that cannot bear some numbers. */
  class Doubling implements EffectProcessor<{ readonly n: number }, readonly number[], Reply> {
    readonly #seen = new KeyValueStore<number>("seen");
    readonly stores = [this.#seen];
    readonly #away: () => boolean;

    constructor(away: () => boolean) {
      this.#away = away;
    }
    plan(records: Parameters<EffectProcessor<{ n: number }, unknown, unknown>["plan"]>[0]) {
      return records.map((r) => r.value.n);
    }
    async perform(numbers: readonly number[]): Promise<Reply> {
      if (this.#away()) throw new WeirError("AWAY", "retry", "The outside is away.", "Wait.");
      return { doubled: numbers.map((n) => 2 * n) };
    }
    apply(
      records: Parameters<EffectProcessor<{ n: number }, unknown, Reply>["apply"]>[0],
      { doubled }: Reply,
      out: Parameters<EffectProcessor<unknown, unknown, Reply>["apply"]>[2],
    ): void {
      records.forEach(({ key, timestampMs, value: { n } }, i) => {
        const total = (this.#seen.get("total") ?? 0) + 1;
        this.#seen.put("total", total);
        if (n === 7) throw new Error("cannot bear 7");
        out.send(output, key!, { n, doubled: doubled[i], total }, timestampMs);
        out.count("accepted", 1);
      });
    }
  }

  test("an outside that is away is waited for, without a new take-over and however long it takes", async () => {
    const world = await World.initialised();
    const { steps, onStep } = noted();
    const task = world.task({
      binding: { create: () => new Doubling(() => world.time.nowMs < 300_000) },
      more: { onStep },
    });
    world.feed(6);
    const running = task.run();
    await world.pass(200_000);
    expect(task.status()).toMatchObject({ state: "running", problem: expect.stringContaining("AWAY") });
    await world.until(() => counted(task) === 6, 200_000);
    expect(task.status().problem).toBeUndefined();
    expect(takeOvers(steps)).toBe(1);
    await stopped(world, task, running);
    expect(world.read(output).map((r) => r.value.doubled)).toEqual([2, 4, 6, 8, 10, 12]);
  });

  test("of a batch with one record that throws only that one is lost to the dead letters", async () => {
    const world = await World.initialised();
    world.feed(20);
    await through(world, world.task({ binding: { create: () => new Doubling(() => false) } }), 20);
    expect(world.read(output).map((r) => r.value.n)).toEqual(upTo(20).filter((n) => n !== 7));
    expect(world.read(output).at(-1)!.value.total).toBe(19);
    expect(world.read(dead).map((r) => r.value)).toMatchObject([
      { code: "processor_error", reason: "cannot bear 7", originOffset: "6" },
    ]);
  });

  test("bytes that nobody can decode cost that record alone, and so does a schema that the registry does not have", async () => {
    const world = await World.initialised();
    world.feed(2);
    world.broker.append(input, 0, [{ key: Buffer.from("k"), value: Buffer.from("no JSON"), timestampMs: 3 }]);
    world.feed(2);
    const codecs = {
      ...world.codecs,
      unknownId: (bytes: Buffer) => (bytes.toString().includes('"n":2') ? 7 : null),
      learn: () => Promise.reject(Object.assign(new Error("Schema 7 not found"), { status: 404 })),
    };
    await through(world, world.task({ more: { codecs } }), 5);
    expect(world.outcome().numbers).toEqual([1, 3, 4]);
    expect(world.read(dead).map((r) => [r.value.code, r.value.originOffset])).toEqual([
      ["undecodable", "1"],
      ["undecodable", "2"],
    ]);
  });

  test("a registry that does not answer is waited for, and nothing is taken for undecodable", async () => {
    const world = await World.initialised();
    world.feed(4);
    const learnt = new Set<number>();
    const codecs = {
      ...world.codecs,
      unknownId: () => (learnt.has(7) ? null : 7),
      learn: async (id: number) => {
        if (world.time.nowMs < 100_000) throw Object.assign(new Error("Bad gateway"), { status: 502 });
        learnt.add(id);
      },
    };
    const { steps, onStep } = noted();
    const task = world.task({ more: { codecs, onStep } });
    const running = task.run();
    await world.until(() => counted(task) === 4, 200_000);
    await stopped(world, task, running);
    expect(world.outcome()).toEqual({ numbers: upTo(4), wrong: undefined });
    expect(takeOvers(steps)).toBe(1);
  });

  test("a processor that throws again and again stops its stage instead of emptying it into the dead letters", async () => {
    const world = await World.initialised();
    world.feed(100);
    const throwsOften = (n: number) => {
      if (n % 2 === 0) throw new Error(`cannot bear ${n}`);
    };
    const task = world.task({ binding: { create: () => new RunningSum(throwsOften) } });
    expect(await refusalOf(world, task)).toMatchObject({ code: "PROCESSOR_KEEPS_THROWING" });
    expect(world.read(output)).toEqual([]);
  });

  test("an error that nobody foresaw is not tried again", async () => {
    const world = await World.initialised();
    world.feed(3);
    const { steps, onStep } = noted();
    const poll = () => {
      throw new TypeError("a fault of ours");
    };
    const task = world.task({ binding: { create: () => Object.assign(new RunningSum(), { poll }) }, more: { onStep } });
    expect(await refusalOf(world, task)).toMatchObject({ code: "INTERNAL", disposition: "fatal" });
    expect(takeOvers(steps)).toBe(1);
  });

  test("a task that must begin anew again and again gives up with a code", async () => {
    const world = await World.initialised();
    world.feed(3);
    const process = world.broker.process("task");
    process.faultOf = (call, count) =>
      call === "commit" && count % 2 === 1 ? { kind: "lose-request", ms: 10 } : undefined;
    expect(await refusalOf(world, world.task({ process }))).toMatchObject({ code: "TASK_KEEPS_FAILING" });
  });

  test("brokers that cannot be reached are waited for, however long", async () => {
    const world = await World.initialised();
    world.feed(3);
    const process = world.broker.process("task");
    process.faultOf = () => (world.time.nowMs < 600_000 ? { kind: "lose-request", ms: 10 } : undefined);
    const task = world.task({ process });
    const running = task.run();
    await world.pass(300_000);
    expect(task.status()).toMatchObject({ state: "starting", problem: expect.stringContaining("KAFKA_UNAVAILABLE") });
    await world.until(() => counted(task) === 3, 400_000);
    await stopped(world, task, running);
  });
});

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

  test("an input that was created anew, by its offsets", async () => {
    const world = await committed();
    world.broker.createTopic(input, 2);
    await expectRefused(world, world.task(), "STATE_INCOMPLETE", /stands at offset 20, but its input ends at 0/);
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

  test("a processor that reads its state otherwise than it was written", async () => {
    const world = await committed();
    const create = () => Object.assign(new RunningSum(), { standing: () => ({ keys: 4 }) });
    await expectRefused(world, world.task({ binding: { create } }), "STATE_INCOMPLETE", /keys was 3, now it is 4/);
  });
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
