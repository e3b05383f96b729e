import { describe, expect, test } from "vitest";
import {
  type Assignments,
  everyNth,
  fixedShare,
  noCounters,
  PartitionedRunner,
  type Runnable,
  type Share,
  stageName,
  type TaskStatus,
} from "../../streams/index.ts";

/** A fake runnable: writes down what happens to it, ends when told to. */
class FakeRun implements Runnable {
  readonly failed: Promise<never>;
  fail!: (error: Error) => void;
  state: TaskStatus["state"] = "starting";
  readonly #name: string;
  readonly #log: string[];
  readonly #gate: Promise<void>;

  constructor(name: string, log: string[], gate: Promise<void>) {
    this.#name = name;
    this.#log = log;
    this.#gate = gate;
    this.failed = new Promise((_, reject) => {
      this.fail = reject;
    });
  }

  async start(): Promise<void> {
    this.#log.push(`start ${this.#name}`);
    this.state = "running";
  }

  async stop(): Promise<void> {
    this.#log.push(`stop ${this.#name}`);
    await this.#gate;
    this.state = "stopped";
    this.#log.push(`stopped ${this.#name}`);
  }

  readonly epochs: number[] = [];
  renew(epoch: number): void {
    this.epochs.push(epoch);
  }

  status(): readonly TaskStatus[] {
    const { state } = this;
    const counters = noCounters();
    return [{ stage: stageName("s"), partition: this.#name, state, lag: 0, watermarkMs: 0, counters, stateBytes: 0 }];
  }
}

function setUp(gate: Promise<void> = Promise.resolve()) {
  const log: string[] = [];
  let take!: (share: Share) => void;
  const assignments: Assignments = {
    start: async (given) => {
      take = given;
    },
    stop: async () => void log.push("left"),
  };
  const runner = new PartitionedRunner((p, epoch) => new FakeRun(`${p}@${epoch}`, log, gate), assignments);
  const assign = async (epoch: number, ...partitions: number[]) => {
    take({ partitions, epoch });
    await new Promise(setImmediate);
  };
  return { log, runner, assign };
}

describe("running what a process was given", () => {
  test("a partition that stays is not touched, one that goes is stopped, one that comes is started", async () => {
    const { log, runner, assign } = setUp();
    await runner.start();
    await assign(1, 0, 1);
    await assign(2, 1, 2);
    expect(log).toEqual(["start 0@1", "start 1@1", "stop 0@1", "stopped 0@1", "start 2@2"]);
    expect(runner.status().map((t) => t.partition)).toEqual(["1@1", "2@2"]);
  });

  test("one that stays goes on under its newest epoch: a share may have been missed in which it was another's", async () => {
    const { runner, assign } = setUp();
    await runner.start();
    await assign(1, 0, 1);
    await assign(4, 1);
    expect((runner.parts.get(1) as FakeRun).epochs).toEqual([4]);
  });

  test("a partition that comes back begins only when its former run has ended", async () => {
    const gate = Promise.withResolvers<void>();
    const { log, runner, assign } = setUp(gate.promise);
    await runner.start();
    await assign(1, 0);
    await assign(2);
    await assign(3, 0);
    expect(log).toEqual(["start 0@1", "stop 0@1"]);
    gate.resolve();
    await new Promise(setImmediate);
    expect(log.slice(2)).toEqual(["stopped 0@1", "start 0@3"]);
  });

  test("one that was overtaken by another process begins anew when it is given to this one again", async () => {
    const { log, runner, assign } = setUp();
    await runner.start();
    await assign(1, 0);
    (runner.parts.get(0) as FakeRun).state = "stopped";
    await assign(2, 0);
    expect(log.filter((line) => line.startsWith("start "))).toEqual(["start 0@1", "start 0@2"]);
  });

  test("a stop ends the work first and leaves then, and assignments behind it do nothing", async () => {
    const { log, runner, assign } = setUp();
    await runner.start();
    await assign(1, 0);
    await runner.stop();
    await assign(2, 1);
    expect(log).toEqual(["start 0@1", "stop 0@1", "stopped 0@1", "left"]);
  });

  test("what fails in one partition fails the whole", async () => {
    const { runner, assign } = setUp();
    await runner.start();
    await assign(1, 0, 1);
    (runner.parts.get(1) as FakeRun).fail(new Error("broken"));
    await expect(runner.failed).rejects.toThrow("broken");
  });

  test("a fixed share starts with the runner; n processes share all partitions", async () => {
    const log: string[] = [];
    const shares = [0, 1, 2].map((i) => everyNth(7, i, 3));
    expect(shares).toEqual([
      [0, 3, 6],
      [1, 4],
      [2, 5],
    ]);
    const runner = new PartitionedRunner(
      (p, e) => new FakeRun(`${p}@${e}`, log, Promise.resolve()),
      fixedShare(shares[1]!, 4),
    );
    await runner.start();
    expect(log).toEqual(["start 1@4", "start 4@4"]);
  });
});
