import {
  changelogTopicFor,
  fixedShare,
  groupShare,
  initialiseStage,
  type StageBinding,
  StageRunner,
  WeirError,
} from "../../streams/index.ts";
import type { TaskStep } from "../../streams/task/binding.ts";
import { PROGRESS } from "../../streams/task/changelog.ts";
import { ChangelogFold } from "../../streams/task/fold.ts";
import { SeededRandom, SimulatedBroker, type SimulatedProcess, VirtualTime } from "../../streams/testing/index.ts";
import type { InputOperation, SimulatedPipeline } from "./pipeline.ts";
import type { Fault, Schedule } from "./schedule.ts";

/** The input comes in bursts: mostly nothing between two records, now and then this much at most. */
const MAX_GAP_MS = 24;
/** Sometimes the input makes a pause, after which the group's offsets are due (C4). */
const BREAK_CHANCE = 0.3;
const BREAK_MS = 6_000;
const fetchBytes = [400, 1_500, Number.POSITIVE_INFINITY];
/** When the last calls come: behind every fault and the transaction timeout. */
const LAST_CALLS_MS = [40_000, 45_000, 50_000];
const CHECK_MS = 25;
const RESTART_MS = 100;
/** Behind the last fault and the last record: long enough for every back-off, time-out and zombie. */
const LIMIT_MS = 180_000;
/** And then for what might still come. */
const AFTERMATH_MS = 5_000;
/** Errors with which a process may end and be started again; any other is a find. */
const exits = new Set(["TASK_KEEPS_FAILING"]);

/** What a run left behind: all that is judged. */
export interface Outcome {
  /** Why it did not come to its end, if so. */
  readonly broken: string | null;
  /** `topic/partition/writer` → committed records in order, as text. */
  readonly records: ReadonlyMap<string, readonly string[]>;
  /** `stage/partition` → the counters of its last progress, as text. */
  readonly counters: ReadonlyMap<string, string>;
  /** `stage/partition` → living processes that hold themselves for its owner at the end. */
  readonly owners: ReadonlyMap<string, number>;
  /** Requests sent, virtual time: the same for the same schedule. */
  readonly requests: number;
  readonly tookMs: number;
  /** Faults that struck, by kind and point. */
  readonly struck: readonly string[];
}

interface Slot {
  readonly index: number;
  newest: { process: SimulatedProcess; runner: StageRunner } | undefined;
  /** How often a step was reached, over all its processes. */
  readonly steps: Map<TaskStep, number>;
  processes: number;
}

/** Runs a pipeline once under a schedule. `expected`: the undisturbed outcome, whose counters say when all is done. */
export async function simulate(pipeline: SimulatedPipeline, schedule: Schedule, expected?: Outcome): Promise<Outcome> {
  return await new World(pipeline, schedule).run(expected);
}

class World {
  readonly #pipeline: SimulatedPipeline;
  readonly #schedule: Schedule;
  readonly #time = new VirtualTime();
  readonly #broker: SimulatedBroker;
  readonly #random: SeededRandom;
  readonly #bindings: readonly StageBinding[];
  readonly #slots: readonly Slot[];
  readonly #processes: { process: SimulatedProcess; runner: StageRunner }[] = [];
  readonly #struck: string[] = [];
  #broken: string | null = null;
  #inputDone = false;
  /** Nothing goes wrong any more. */
  #isCalm = false;
  #callFaults: Extract<Fault, { kind: "call" }>[];

  constructor(pipeline: SimulatedPipeline, schedule: Schedule) {
    this.#pipeline = pipeline;
    this.#schedule = schedule;
    this.#random = new SeededRandom(schedule.seed ^ 0x5bd1e995);
    this.#broker = new SimulatedBroker({
      time: this.#time,
      seed: schedule.seed,
      maxLatencyMs: 3,
      maxMarkerLatencyMs: 6,
      maxFetchBytes: this.#random.pick(fetchBytes),
    });
    this.#callFaults = schedule.faults.filter((f) => f.kind === "call");
    this.#bindings = pipeline.stages(this.#broker.process("to look at"));
    this.#slots = pipeline.slots.map((_, index) => ({ index, newest: undefined, steps: new Map(), processes: 0 }));
  }

  async run(expected: Outcome | undefined): Promise<Outcome> {
    const { topics, partitions } = this.#pipeline;
    for (const topic of topics) this.#broker.createTopic(topic, partitions);
    for (const { stage } of this.#bindings) this.#broker.createTopic(changelogTopicFor(stage), partitions);
    const initialised = Promise.all(
      this.#bindings.map((b) => initialiseStage(b, partitions, { broker: this.#broker, env: "sim" })),
    ).then(() => true);
    let ready = false;
    void initialised.then(() => {
      ready = true;
    });
    await this.#time.run(() => ready, 10_000);

    const startMs = this.#time.nowMs;
    this.#feed();
    for (const slot of this.#slots) this.#start(slot);
    for (const fault of this.#schedule.faults) this.#arrange(fault);
    let checked = false;
    const check = () => {
      checked = true;
      this.#time.after(CHECK_MS, check);
    };
    check();
    const isDone = () => {
      if (this.#broken !== null) return true;
      if (!checked) return false;
      checked = false;
      return expected ? this.#inputDone && sameCounters(expected.counters, this.#counters()) : this.#isQuiet();
    };
    const ended = await this.#time.run(isDone, startMs + LIMIT_MS);
    // Zombies that wake up later must not do harm either.
    if (expected && this.#broken === null)
      await this.#time.run(() => this.#broken !== null, this.#time.nowMs + AFTERMATH_MS);
    const owners = this.#owners();
    for (const { process } of this.#processes) process.kill();
    if (!ended && this.#broken === null) this.#broken = `not done after ${LIMIT_MS} ms of simulated time`;
    return {
      broken: this.#broken,
      records: this.#records(),
      counters: this.#counters(),
      owners,
      requests: this.#processes.reduce((sum, { process }) => sum + process.calls, 0),
      tookMs: this.#time.nowMs - startMs,
      struck: this.#struck,
    };
  }

  /** The input in its order, at times that the seed scatters. */
  #feed(): void {
    let atMs = 0;
    const breakAt = this.#random.next() < BREAK_CHANCE ? this.#random.between(0, this.#pipeline.input.length) : -1;
    for (const [i, operation] of this.#pipeline.input.entries()) {
      if (i === breakAt) atMs += BREAK_MS;
      if (this.#random.next() < 0.25) atMs += this.#random.between(0, MAX_GAP_MS);
      this.#time.after(atMs, () => this.#operate(operation));
    }
    LAST_CALLS_MS.forEach((callMs, i) => {
      this.#time.after(callMs, () => {
        this.#isCalm = true;
        for (const operation of this.#pipeline.lastCalls[i]!) this.#operate(operation);
        this.#inputDone = i === LAST_CALLS_MS.length - 1;
      });
    });
  }

  #operate(operation: InputOperation): void {
    const { topic, partition, producerId } = operation;
    if ("mark" in operation) this.#broker.mark(topic, partition, operation.mark, operation.producerId);
    else this.#broker.append(topic, partition, operation.append, producerId);
  }

  #start(slot: Slot): void {
    const { stage, partitions } = this.#pipeline.slots[slot.index]!;
    // As the generation of a group: where two hold the same task, the younger process keeps it.
    const epoch = slot.processes++;
    const process = this.#broker.process(`slot${slot.index}.${epoch}`);
    process.faultOf = (call, count) => {
      if (this.#isCalm || slot.newest?.process !== process) return undefined;
      const fault = this.#callFaults.find((f) => f.slot === slot.index && f.call === call && f.nth === count);
      if (!fault) return undefined;
      this.#callFaults = this.#callFaults.filter((f) => f !== fault);
      this.#struck.push(`${fault.fault.kind} ${call}`);
      return fault.fault;
    };
    const broker = this.#broker.brokerOf(process);
    const binding = this.#pipeline.stages(process)[stage]!;
    const share =
      partitions === "by group"
        ? groupShare(broker.groupMember(), binding.stage, [binding.input])
        : fixedShare(partitions, epoch);
    const runner = new StageRunner(binding, share, {
      broker,
      codecs: this.#pipeline.codecs,
      env: "sim",
      commitIntervalMs: 20,
      time: process.time,
      onStep: (_, step) => this.#atStep(slot, process, step),
    });
    slot.newest = { process, runner };
    this.#processes.push(slot.newest);
    runner.start().catch(() => undefined);
    runner.failed.catch((error) => this.#exited(slot, process, error));
  }

  /** A process that ends is started again, unless another has its place already. */
  #exited(slot: Slot, process: SimulatedProcess, error: unknown): void {
    if (!process.isAlive) return;
    process.kill();
    const code = error instanceof WeirError ? error.code : "INTERNAL";
    this.#struck.push(`exit ${code}`);
    if (!exits.has(code)) this.#broken ??= String(error instanceof Error ? (error.stack ?? error) : error);
    if (slot.newest?.process === process) this.#time.after(RESTART_MS, () => this.#start(slot));
  }

  #atStep(slot: Slot, process: SimulatedProcess, step: TaskStep): void {
    if (this.#isCalm || slot.newest?.process !== process || !process.isAlive) return;
    const nth = slot.steps.get(step) ?? 0;
    slot.steps.set(step, nth + 1);
    for (const fault of this.#schedule.faults) {
      if (fault.kind !== "kill" && fault.kind !== "pause") continue;
      if (fault.slot !== slot.index || fault.step !== step || fault.nth !== nth) continue;
      this.#struck.push(`${fault.kind} ${step}`);
      const replace = (afterMs: number) =>
        this.#time.after(afterMs, () => {
          if (slot.newest?.process === process) this.#start(slot);
        });
      if (fault.kind === "kill") {
        process.kill();
        replace(fault.downMs);
      } else {
        process.pause();
        this.#time.after(fault.forMs, () => process.resume());
        if (fault.replaceMs !== null) replace(fault.replaceMs);
      }
    }
  }

  #arrange(fault: Fault): void {
    if (!("atMs" in fault)) return;
    this.#time.after(fault.atMs, () => {
      this.#struck.push(fault.kind);
      if (fault.kind === "move") this.#broker.moveCoordinator(fault.forMs);
      else if (fault.kind === "unmarked") this.#broker.loseMarkers(fault.forMs);
      else if (fault.kind === "hold") this.#hold(fault.forMs);
      else if (fault.kind === "compact")
        for (const { stage } of this.#bindings) this.#broker.compact(changelogTopicFor(stage));
      else {
        const slot = this.#slots[fault.slot]!;
        const newest = slot.newest!;
        if (fault.kind === "twin") this.#start(slot);
        else
          void newest.runner.stop().then(() => {
            const { process } = newest;
            if (!process.isAlive) return;
            process.kill();
            this.#time.after(fault.downMs, () => {
              if (slot.newest?.process === process) this.#start(slot);
            });
          });
      }
    });
  }

  #hold(forMs: number): void {
    const producerId = this.#strangers++;
    const rubbish = { key: Buffer.from(PROGRESS), value: Buffer.from("of an aborted transaction"), timestampMs: 0 };
    const each = (act: (topic: string, partition: number) => void) => {
      for (const { stage } of this.#bindings)
        for (let p = 0; p < this.#pipeline.partitions; p++) act(changelogTopicFor(stage), p);
    };
    each((topic, partition) => this.#broker.append(topic, partition, [rubbish], producerId));
    this.#time.after(forMs, () => each((topic, partition) => this.#broker.mark(topic, partition, "abort", producerId)));
  }
  #strangers = 100;

  /** Without an expectation: all input is in, and nothing has been sent for a while but fetches. */
  #isQuiet(): boolean {
    const now = `${[...this.#counters().values()]}`;
    if (!this.#inputDone || now !== this.#lastCounters) {
      this.#lastCounters = now;
      this.#quietSinceMs = this.#time.nowMs;
    }
    return this.#time.nowMs - this.#quietSinceMs > 3_000;
  }
  #lastCounters = "";
  #quietSinceMs = 0;

  #owners(): Map<string, number> {
    const owners = new Map<string, number>();
    for (const { process, runner } of this.#processes)
      for (const { stage, partition, state } of runner.status())
        if (process.isAlive && state !== "stopped" && state !== "failed") {
          const task = `${stage}/${partition}`;
          owners.set(task, (owners.get(task) ?? 0) + 1);
        }
    return owners;
  }

  #counters(): Map<string, string> {
    const counters = new Map<string, string>();
    for (const { stage } of this.#bindings)
      for (let partition = 0; partition < this.#pipeline.partitions; partition++) {
        const record = this.#broker.log(changelogTopicFor(stage), partition).last(PROGRESS);
        const fold = new ChangelogFold();
        if (record) fold.add([record]);
        counters.set(`${stage}/${partition}`, JSON.stringify(fold.result.progress?.counters ?? null));
      }
    return counters;
  }

  #records(): Map<string, string[]> {
    const found = new Map<string, string[]>();
    for (const topic of this.#pipeline.judged)
      for (let partition = 0; partition < this.#pipeline.partitions; partition++)
        for (const record of this.#broker.log(topic, partition).committed()) {
          const writer = this.#pipeline.writerOf?.(topic, record) ?? "";
          const name = `${topic}/${partition}/${writer}`;
          const records = found.get(name) ?? [];
          found.set(name, records);
          records.push(`${record.timestampMs} ${record.key} ${record.value?.toString("latin1")}`);
        }
    return found;
  }
}

const sameCounters = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean =>
  [...a].every(([task, counters]) => b.get(task) === counters);
