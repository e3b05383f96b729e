import { describe, expect, test } from "vitest";
import { type EffectProcessor, KeyValueStore, WeirError } from "../../streams/index.ts";
import {
  counted,
  dead,
  input,
  noted,
  output,
  RunningSum,
  refusalOf,
  stopped,
  takeOvers,
  through,
  upTo,
  World,
} from "./simulated-world.ts";

describe("failures on the way in", () => {
  interface Reply {
    readonly doubled: readonly number[];
  }

  /** Asks an outside that is away for a while, or that cannot bear some numbers. */
  class Doubling implements EffectProcessor<{ readonly n: number }, readonly number[], Reply> {
    readonly #seen = new KeyValueStore<number>("seen");
    readonly stores = [this.#seen];
    readonly #away: (numbers: readonly number[]) => boolean;

    constructor(away: (numbers: readonly number[]) => boolean) {
      this.#away = away;
    }
    plan(records: Parameters<EffectProcessor<{ n: number }, unknown, unknown>["plan"]>[0]) {
      return records.map((r) => r.value.n);
    }
    async perform(numbers: readonly number[]): Promise<Reply> {
      if (this.#away(numbers)) throw new WeirError("AWAY", "retry", "The outside is away.", "Wait.");
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

  test("what was processed but not committed when the outside went away is taken back, and counts once in the end", async () => {
    const world = await World.initialised();
    let wasAway = false;
    // Once, for the batch of 300: those before it of the same fetch are in the overlay already.
    const away = (numbers: readonly number[]) => {
      if (wasAway || !numbers.includes(300)) return false;
      wasAway = true;
      return true;
    };
    const { steps, onStep } = noted();
    const more = { onStep, commitIntervalMs: 5_000 };
    const task = world.task({ binding: { create: () => new Doubling(away) }, more });
    const running = task.run();
    world.feed(150);
    await world.until(() => counted(task) === 150);
    world.feed(250);
    await world.until(() => counted(task) === 400);
    await stopped(world, task, running);
    expect(world.read(output).map((r) => r.value.total)).toEqual(upTo(399)); // 7 is a dead letter
    expect(world.read(dead)).toHaveLength(1);
    expect([takeOvers(steps), wasAway]).toEqual([1, true]);
  });

  test("a record without an event changes state too: it is read again with what is taken back", async () => {
    class Quiet extends RunningSum {
      override process(...[record, out]: Parameters<RunningSum["process"]>): void {
        const nobody = { ...out, send: () => undefined, count: () => undefined };
        super.process(record, record.value.n === 1 ? nobody : out);
      }
    }
    const world = await World.initialised();
    let schemaKnown = false;
    const codecs = {
      ...world.codecs,
      unknownId: (bytes: Buffer) => (bytes.toString().includes('"n":4') && !schemaKnown ? 7 : null),
      learn: async () => {
        if (world.time.nowMs < 2_000) throw new Error("no answer");
        schemaKnown = true;
      },
    };
    const eventsOf = ({ n }: { readonly n: number }) => (n === 1 ? 0 : 1);
    const task = world.task({ binding: { create: () => new Quiet(), eventsOf }, more: { codecs } });
    const running = task.run();
    world.feed(1);
    await world.pass(1_000);
    world.feed(3);
    await world.until(() => counted(task) === 3);
    await stopped(world, task, running);
    expect(world.read(output).at(-1)!.value).toEqual({ n: 4, sum: 5 });
  });

  test("what a processor keeps in fields is read anew after a record was taken back", async () => {
    class Cached extends RunningSum {
      #seen: number | undefined;
      override process(...[record, out]: Parameters<RunningSum["process"]>): void {
        this.#seen = (this.#seen ?? this.size) + (this.isNew(record.key!) ? 1 : 0);
        super.process(record, out);
        if (this.#seen !== this.size) throw new Error(`counts ${this.#seen} keys of ${this.size}`);
      }
      reset(): void {
        this.#seen = undefined;
      }
    }
    const world = await World.initialised();
    world.feed(9);
    const fails = (n: number) => {
      if (n === 2) throw new Error("cannot bear 2");
    };
    await through(world, world.task({ binding: { create: () => new Cached(fails) } }), 9);
    expect(world.read(dead).map((r) => r.value.reason)).toEqual(["cannot bear 2"]);
    expect(world.outcome().numbers).toEqual([1, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("while a batch is worked on one more is fetched, and no further", async () => {
    const world = await World.initialised();
    const process = world.broker.process("task");
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const slow = Object.assign(new Doubling(() => false), {
      perform: async (numbers: readonly number[]) => {
        await held;
        return { doubled: numbers.map((n) => 2 * n) };
      },
    });
    let fetches = 0;
    process.faultOf = (call) => {
      if (call === "fetch") fetches++;
      return undefined;
    };
    const task = world.task({ process, binding: { create: () => slow } });
    const running = task.run();
    await world.until(() => task.status().state === "running");
    world.feed(5);
    await world.pass(100);
    const before = fetches;
    for (let i = 0; i < 20; i++) {
      world.feed(100);
      await world.pass(1_000);
    }
    expect(fetches).toBe(before);
    release();
    await world.until(() => counted(task) === 2_005);
    await stopped(world, task, running);
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
