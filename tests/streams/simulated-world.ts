import {
  type Broker,
  changelogTopicFor,
  deadTopicFor,
  initialiseStage,
  KeyValueStore,
  type Processor,
  type StageBinding,
  stageName,
  type TaskOptions,
  topicName,
  type WeirError,
} from "../../streams/index.ts";
import { Task } from "../../streams/task/task.ts";
import { TransactionBudget } from "../../streams/task/transaction-budget.ts";
import { SimulatedBroker, type SimulatedProcess, VirtualTime } from "../../streams/testing/index.ts";

export const input = topicName("in");
export const output = topicName("out");
export const stage = stageName("sum");
export const changelog = changelogTopicFor(stage);
export const dead = deadTopicFor(input);
const PARTITIONS = 2;
/** A commit is acknowledged before its markers are written. */
const MARKERS_MS = 20;

const codecs = {
  unknownId: () => null,
  learn: async () => undefined,
  decode: (_topic: string, bytes: Buffer) => JSON.parse(bytes.toString()),
  encode: (_topic: string, value: unknown) => Buffer.from(JSON.stringify(value)),
} as unknown as TaskOptions["codecs"];

interface Addend {
  readonly n: number;
}

/** Running sum by key: any lost, doubled or reordered record shows in what follows it. */
export class RunningSum implements Processor<Addend> {
  readonly #sums = new KeyValueStore<number>("sums");
  readonly stores = [this.#sums];
  readonly #before: (n: number) => void;

  constructor(before: (n: number) => void = () => undefined) {
    this.#before = before;
  }

  process(
    { key, value, timestampMs }: Parameters<Processor<Addend>["process"]>[0],
    out: Parameters<Processor<Addend>["process"]>[1],
  ): void {
    const sum = (this.#sums.get(key!) ?? 0) + value.n;
    this.#sums.put(key!, sum);
    this.#before(value.n);
    out.send(output, key!, { sum, n: value.n }, timestampMs);
    out.count("accepted", 1);
  }

  get size(): number {
    return this.#sums.size.keys;
  }

  isNew(key: string): boolean {
    return this.#sums.get(key) === undefined;
  }

  standing() {
    return { keys: this.size };
  }
}

/** A task of one partition on the simulated broker, in virtual time. */
export class World {
  readonly time = new VirtualTime();
  readonly broker: SimulatedBroker;
  readonly codecs = codecs;
  #fed = 0;

  constructor(seed = 1, options: { readonly maxMarkerLatencyMs?: number } = {}) {
    this.broker = new SimulatedBroker({ time: this.time, seed, ...options });
    for (const topic of [input, output, changelog, dead]) this.broker.createTopic(topic, PARTITIONS);
  }

  static async initialised(...options: ConstructorParameters<typeof World>): Promise<World> {
    const world = new World(...options);
    await world.done(initialiseStage({ stage }, PARTITIONS, { broker: world.broker, env: "test" }));
    return world;
  }

  /** Lets virtual time pass until the promise settles; throws what it throws. */
  async done<T>(promise: Promise<T>, limitMs = 60_000): Promise<T> {
    let settled = false;
    const end = () => {
      settled = true;
    };
    promise.then(end, end);
    await this.until(() => settled, limitMs);
    await this.pass(MARKERS_MS);
    return await promise;
  }

  async until(done: () => boolean, limitMs = 60_000): Promise<void> {
    if (!(await this.time.run(done, this.time.nowMs + limitMs)))
      throw new Error(`Not within ${limitMs} ms of virtual time: ${done}`);
  }

  async pass(ms: number): Promise<void> {
    let passed = false;
    this.time.after(ms, () => {
      passed = true;
    });
    await this.time.run(() => passed, Number.POSITIVE_INFINITY);
  }

  task(
    options: {
      readonly process?: SimulatedProcess;
      readonly binding?: Partial<StageBinding>;
      readonly broker?: Broker;
      readonly more?: Partial<TaskOptions>;
    } = {},
  ): Task {
    const process = options.process ?? this.broker.process("task");
    const broker = options.broker ?? this.broker.brokerOf(process);
    const binding: StageBinding = {
      stage,
      input,
      outputs: [output, dead],
      create: () => new RunningSum(),
      fingerprint: "sum/1",
      ...options.binding,
    };
    const rest = { env: "test", commitIntervalMs: 100, budget: new TransactionBudget() };
    return new Task(binding, 0, { broker, codecs, time: process.time, ...rest, ...options.more }, broker.admin());
  }

  /** The next whole numbers, over three keys. */
  feed(count: number): void {
    const records = Array.from({ length: count }, () => ++this.#fed).map((n) => ({
      key: Buffer.from(`k${n % 3}`),
      value: Buffer.from(JSON.stringify({ n })),
      timestampMs: n,
    }));
    this.broker.append(input, 0, records);
  }

  /** What a read_committed subscriber of a topic sees. */
  read(topic: string): { readonly key: string; readonly value: Record<string, unknown> }[] {
    const log = this.broker.log(topic, 0);
    const records = [];
    for (let at = log.startOffset; at < log.end("read_committed"); ) {
      const batch = log.read(at, "read_committed", 1_000_000);
      for (const { key, value } of batch.records)
        records.push({ key: key?.toString() ?? "", value: JSON.parse(value!.toString()) });
      at = batch.nextOffset;
    }
    return records;
  }

  /** The numbers that came out, and the first sum that is not that of all numbers of its key up to it. */
  outcome(): { readonly numbers: number[]; readonly wrong: unknown } {
    const sums = new Map<string, number>();
    let wrong: unknown;
    const numbers = this.read(output).map(({ key, value }) => {
      sums.set(key, (sums.get(key) ?? 0) + (value.n as number));
      if (value.sum !== sums.get(key)) wrong ??= value;
      return value.n as number;
    });
    return { numbers, wrong };
  }
}

export const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

export const counted = (task: Task) => task.status().counters.in;

/** Notes the steps, so that a test sees how often a task was taken over. */
export const noted = () => {
  const steps: string[] = [];
  return { steps, onStep: (_: unknown, step: string) => void steps.push(step) };
};
export const takeOvers = (steps: readonly string[]) => steps.filter((s) => s === "T2").length;

export async function stopped(world: World, task: Task, running: Promise<void>): Promise<void> {
  task.stop();
  await world.done(running);
}

/** Runs to the end of its input and stops. */
export async function through(world: World, task: Task, count: number): Promise<void> {
  const running = task.run();
  running.catch(() => undefined);
  await world.until(() => counted(task) === count || task.status().state === "failed");
  await stopped(world, task, running);
}

export const refusalOf = async (world: World, task: Task): Promise<WeirError> =>
  await world.done(task.run()).then(
    () => Promise.reject(new Error("The task was not refused.")),
    (error: WeirError) => error,
  );
