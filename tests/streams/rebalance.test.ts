import { expect, test } from "vitest";
import { groupShare, StageRunner, type TaskId } from "../../streams/index.ts";
import { TransactionBudget } from "../../streams/task/transaction-budget.ts";
import { input, output, RunningSum, stage, upTo, World } from "./simulated-world.ts";

const PARTITIONS = 2;

/** A member of the stage's group in a process of its own, with the steps of each of its tasks. */
function member(world: World, name: string, slowRestore = false) {
  const process = world.broker.process(name);
  const steps = new Map<number, string[]>();
  const onStep = ({ partition }: TaskId, step: string) => {
    steps.set(partition, [...(steps.get(partition) ?? []), step]);
  };
  const restoring = () => [...steps.values()].some((own) => own.at(-1) === "T4");
  if (slowRestore)
    process.faultOf = (call) => (call === "fetch" && restoring() ? { kind: "delay-reply", ms: 30_000 } : undefined);
  const broker = world.broker.brokerOf(process);
  const runner = new StageRunner(
    { stage, input, outputs: [output], create: () => new RunningSum(), fingerprint: "sum/1" },
    groupShare(broker.groupMember(), stage, [input]),
    {
      broker,
      codecs: world.codecs,
      env: "test",
      commitIntervalMs: 100,
      budget: new TransactionBudget(),
      onStep,
      time: process.time,
    },
  );
  runner.failed.catch(() => undefined);
  return { runner, steps };
}
type Member = ReturnType<typeof member>;

let fed = 0;
function feed(world: World, count: number): void {
  for (const n of upTo(count).map((i) => i + fed))
    for (let partition = 0; partition < PARTITIONS; partition++)
      world.broker.append(input, partition, [
        { key: Buffer.from(`k${n % 3}`), value: Buffer.from(JSON.stringify({ n })), timestampMs: n },
      ]);
  fed += count;
}

/** Numbers that came out of a partition, and whether each sum is that of all numbers of its key up to it. */
function outcome(world: World, partition: number) {
  const log = world.broker.log(output, partition);
  const sums = new Map<string, number>();
  const numbers: number[] = [];
  for (let at = log.startOffset; at < log.end("read_committed"); ) {
    const batch = log.read(at, "read_committed", 1_000_000);
    for (const { key, value } of batch.records) {
      const { n, sum } = JSON.parse(value!.toString()) as { n: number; sum: number };
      sums.set(String(key), (sums.get(String(key)) ?? 0) + n);
      expect(sum).toBe(sums.get(String(key)));
      numbers.push(n);
    }
    at = batch.nextOffset;
  }
  return numbers;
}

const stop = async (world: World, { runner }: Member) => await world.done(runner.stop(), 120_000);

test("a rebalance in the middle of a restore: what goes is restored elsewhere, what stays is not begun anew, and nothing is lost or doubled", async () => {
  fed = 0;
  const world = await World.initialised();
  feed(world, 20);
  const former = member(world, "former");
  await world.done(former.runner.start());
  const all = () => Array.from({ length: PARTITIONS }, (_, p) => outcome(world, p).length);
  await world.until(() => all().every((count) => count === 20));
  await stop(world, former);

  const first = member(world, "first", true);
  void first.runner.start();
  await world.until(() => [0, 1].every((p) => first.steps.get(p)?.includes("T4")));
  const second = member(world, "second");
  await world.done(second.runner.start(), 120_000);
  feed(world, 10);
  await world.until(() => all().every((count) => count === 30), 240_000);

  const [kept, gone] = [0, 1].sort((a, b) => (second.steps.has(a) ? 1 : 0) - (second.steps.has(b) ? 1 : 0));
  expect(second.steps.has(kept!)).toBe(false);
  expect(first.steps.get(gone!)).not.toContain("T5");
  expect(first.steps.get(kept!)!.filter((step) => step === "T1")).toHaveLength(1);
  for (const partition of [0, 1]) expect(outcome(world, partition)).toEqual(upTo(30));
  await stop(world, first);
  await stop(world, second);
});
