import { describe, expect, test } from "vitest";
import { KeyValueStore, type RawProcessor, type RawRecord } from "../../streams/index.ts";
import { changelog, counted, dead, output, stopped, through, World } from "./simulated-world.ts";

type RawOutput = Parameters<RawProcessor["takeRaw"]>[1];
const AFTER_MS = 2_000;

/** Says when what was written to it is committed. */
class NotedStore extends KeyValueStore<number> {
  standsSince = 0;

  override merge(): void {
    super.merge();
    this.standsSince++;
  }
}

/** Adds up what it reads in place; 7 it cannot bear. When all is quiet it says so once, behind a commit. */
class RawSum implements RawProcessor {
  readonly #state = new NotedStore("state");
  readonly stores = [this.#state];
  readonly watermarkMs = 0;
  readonly silence = { afterMs: AFTER_MS, decide: () => this.#decide() };
  /** How many records came at once. */
  readonly sizes: number[] = [];
  readonly decidedAtMs: number[] = [];
  #decidedBefore = 0;
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  takeRaw(records: readonly RawRecord[], out: RawOutput): void {
    this.sizes.push(records.length);
    for (const { value, timestampMs } of records) {
      const { n } = JSON.parse(value!.toString()) as { n: number };
      const sum = (this.#state.get("sum") ?? 0) + n;
      this.#state.put("sum", sum);
      out.send(output, "sum", { n, sum }, timestampMs);
      if (n === 7) throw new Error("cannot bear 7");
    }
    out.count("accepted", records.length);
  }

  poll(out: Parameters<NonNullable<RawProcessor["poll"]>>[0]): void {
    const undecided = this.#state.get("decided") === this.#state.get("told");
    if (undecided || this.#state.standsSince === this.#decidedBefore) return;
    this.#state.put("told", this.#state.get("decided")!);
    out.send(output, "quiet", { sum: this.#state.get("sum")! }, 0);
  }

  #decide(): boolean {
    const sum = this.#state.get("sum") ?? 0;
    if (this.#state.get("decided") === sum) return false;
    this.#state.put("decided", sum);
    this.#decidedBefore = this.#state.standsSince;
    this.decidedAtMs.push(this.#nowMs());
    return true;
  }
}

/** A task with its processor, once it has taken over. */
function rawTask(world: World) {
  const process = world.broker.process("task");
  const made: RawSum[] = [];
  const create = () => {
    made.push(new RawSum(() => world.time.nowMs));
    return made.at(-1)!;
  };
  const task = world.task({ process, binding: { create } });
  return { task, process, processor: () => made.at(-1)! };
}

describe("a raw processor", () => {
  test("gets many records at once; of those with one that throws only that one is lost to the dead letters", async () => {
    const world = await World.initialised();
    world.feed(20);
    const { task, processor } = rawTask(world);
    await through(world, task, 20);
    const numbers = world.read(output).flatMap(({ key, value }) => (key === "sum" ? [value.n] : []));
    expect(numbers).toEqual([...Array(20).keys()].map((i) => i + 1).filter((n) => n !== 7));
    expect(world.read(output).at(-1)!.value).toMatchObject({ sum: 210 - 7 });
    expect(world.read(dead).map(({ value }) => value.code)).toEqual(["processor_error"]);
    expect(Math.max(...processor().sizes)).toBeGreaterThan(1);
  });
});

describe("silence", () => {
  const quietSums = (world: World) =>
    world.read(output).flatMap(({ key, value }) => (key === "quiet" ? [value.sum] : []));

  test("is told once the end of the input has stood still for so long, and committed before anything rests on it", async () => {
    const world = await World.initialised();
    world.feed(3);
    const { task, processor } = rawTask(world);
    const running = task.run();
    await world.until(() => counted(task) === 3);
    const readMs = world.time.nowMs;
    const logged = () => world.broker.log(changelog, 0).committed();
    await world.until(() => logged().some((r) => r.key?.toString() === "s/state/told"));
    expect(quietSums(world)).toEqual([6]);
    expect(processor().decidedAtMs[0]! - readMs).toBeGreaterThanOrEqual(AFTER_MS - 100);
    const log = logged();
    const decided = log.findIndex((r) => r.key?.toString() === "s/state/decided");
    const told = log.findIndex((r) => r.key?.toString() === "s/state/told");
    expect(log.slice(decided, told).some((r) => r.key?.toString() === "progress")).toBe(true);
    await stopped(world, task, running);
  });

  test("begins anew with each record", async () => {
    const world = await World.initialised();
    world.feed(1);
    const { task } = rawTask(world);
    const running = task.run();
    for (let i = 0; i < 5; i++) {
      await world.pass(AFTER_MS * 0.7);
      world.feed(1);
    }
    await world.until(() => counted(task) === 6);
    expect(quietSums(world)).toEqual([]);
    await stopped(world, task, running);
  });

  test("of the process itself is none: one that stood still asks again first", async () => {
    const world = await World.initialised();
    world.feed(1);
    const { task, process, processor } = rawTask(world);
    const running = task.run();
    await world.until(() => counted(task) === 1);
    process.pause();
    await world.pass(AFTER_MS * 3);
    world.feed(1);
    process.resume();
    await world.until(() => counted(task) === 2);
    expect(processor().decidedAtMs).toEqual([]);
    await stopped(world, task, running);
  });
});
