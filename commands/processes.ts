import { type ChildProcess, fork } from "node:child_process";
import type { StageDefinition } from "../pipeline.ts";
import {
  type Assignments,
  type Runnable,
  type Share,
  shareSticky,
  type TaskStatus,
  WeirError,
} from "../streams/index.ts";
import type { Sharing } from "./sharing.ts";

/** To a child: its share of a stage, all of it. */
export interface ShareMessage extends Share {
  readonly stage: string;
}

/** From a child: that its code is loaded and its connections stand, and now and then how its tasks are. */
export type ChildMessage =
  | { readonly kind: "ready" }
  | { readonly kind: "status"; readonly tasks: readonly TaskStatus[] };

export interface ProcessesOptions {
  /** The program and the arguments that make it a child. */
  readonly command: { readonly file: string; readonly args: readonly string[] };
  readonly count: number;
  readonly stages: readonly StageDefinition[];
  readonly sharing: Sharing;
  readonly log: (line: string) => void;
}

/** More deaths than this are no accident any more. */
const MAX_DEATHS_A_MINUTE = 20;
const STOP_WITHIN_MS = 15_000;

/** One place in the row of children: its share outlives the child that sits on it. */
interface Seat {
  readonly name: string;
  readonly shares: Map<string, Share>;
  child: Child | undefined;
}

/**
 * `--processes N`: this process shares its partitions out among N children, so that a stage uses N cores. A dead child
 * costs nobody else a rebalance: a spare one, loaded and connected, takes its place at once.
 */
export class Processes implements Runnable {
  readonly failed: Promise<never>;
  readonly #options: ProcessesOptions;
  readonly #seats: readonly Seat[];
  readonly #assignments: readonly Assignments[];
  readonly #deaths: number[] = [];
  readonly #living = new Set<Child>();
  #spare: Child | undefined;
  #stopping = false;
  #fail!: (error: unknown) => void;

  constructor(options: ProcessesOptions) {
    this.#options = options;
    this.#seats = Array.from({ length: options.count }, (_, i) => ({
      name: String(i).padStart(4, "0"),
      shares: new Map(),
      child: undefined,
    }));
    this.#assignments = options.stages.map((stage) => options.sharing(stage));
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => undefined); // whoever awaits it sees the error; nobody awaiting is no crash
  }

  /** Resolves when every child is loaded and has its first share. */
  async start(): Promise<void> {
    for (const seat of this.#seats) this.#seat(seat);
    this.#spare = this.#spawn();
    const ready = this.#seats.map((seat) => seat.child!.ready);
    const assigned = this.#options.stages.map((stage, i) =>
      this.#assignments[i]!.start((share) => this.#distribute(stage, i, share), this.#fail),
    );
    await Promise.race([Promise.all([...ready, ...assigned]), this.failed]);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.#living].map((child) => child.stop()));
    await Promise.all(this.#assignments.map((a) => a.stop()));
  }

  status(): readonly TaskStatus[] {
    return this.#seats.flatMap((seat) => seat.child?.tasks ?? []);
  }

  #distribute(stage: StageDefinition, index: number, { partitions, epoch }: Share): void {
    // The order of the seats turns from stage to stage: otherwise the first would get the odd partition of each.
    const turned = (seat: Seat, i: number) => `${(i + index) % this.#seats.length}`.padStart(4, "0") + seat.name;
    const members = this.#seats.map((seat, i) => ({
      id: turned(seat, i),
      owned: seat.shares.get(stage.name)?.partitions ?? [],
      generation: 0,
    }));
    const shares = shareSticky(
      [...partitions].sort((a, b) => a - b),
      members,
    );
    this.#seats.forEach((seat, i) => {
      const share: Share = { partitions: shares.get(members[i]!.id)!, epoch };
      seat.shares.set(stage.name, share);
      seat.child?.assign(stage.name, share);
    });
  }

  #seat(seat: Seat): void {
    const child = this.#spare ?? this.#spawn();
    this.#spare = undefined;
    seat.child = child;
    for (const [stage, share] of seat.shares) child.assign(stage, share);
  }

  #spawn(): Child {
    const child = new Child(this.#options.command);
    this.#living.add(child);
    void child.ended.then((how) => this.#ended(child, how));
    return child;
  }

  #ended(child: Child, { code, signal }: ChildEnd): void {
    this.#living.delete(child);
    if (this.#stopping) return;
    const what = `Child ${child.pid} ended${signal ? ` by ${signal}` : ` with code ${code}`}`;
    if (signal === null && code !== 0) {
      // It said why on its way out, and would say it again.
      this.#fail(new WeirError("CHILD_FAILED", "fatal", `${what}.`, "Read the error above this line."));
      return;
    }
    const now = performance.now();
    this.#deaths.push(now);
    const recent = this.#deaths.filter((at) => at > now - 60_000).length;
    if (recent > MAX_DEATHS_A_MINUTE) {
      const text = `${what}, the ${recent}th within a minute.`;
      this.#fail(
        new WeirError("CHILD_KEEPS_DYING", "fatal", text, "See what kills it: memory limits, probes, people."),
      );
      return;
    }
    this.#options.log(`${what}: another takes its place`);
    const seat = this.#seats.find((s) => s.child === child);
    if (seat) this.#seat(seat);
    else this.#spare = undefined;
    this.#spare ??= this.#spawn();
  }
}

interface ChildEnd {
  readonly code: number | null;
  readonly signal: string | null;
}

class Child {
  readonly ready: Promise<void>;
  readonly ended: Promise<ChildEnd>;
  tasks: readonly TaskStatus[] = [];
  readonly #process: ChildProcess;

  constructor({ file, args }: ProcessesOptions["command"]) {
    // Counters and lags may be infinite, which JSON does not know.
    this.#process = fork(file, [...args], { serialization: "advanced", stdio: "inherit" });
    this.ended = new Promise((resolve) => {
      this.#process.once("error", () => resolve({ code: 1, signal: null }));
      this.#process.once("exit", (code, signal) => resolve({ code, signal }));
    });
    this.ready = new Promise((resolve) => {
      this.#process.on("message", (message: ChildMessage) => {
        if (message.kind === "ready") resolve();
        else this.tasks = message.tasks;
      });
      void this.ended.then(() => resolve()); // whoever waits is not to wait for the dead
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** What a child is told before it listens waits in its channel; what a dead one is told, the next one is told too. */
  assign(stage: string, share: Share): void {
    this.tasks = this.tasks.filter((t) => t.stage !== stage || share.partitions.includes(Number(t.partition)));
    const message: ShareMessage = { stage, ...share };
    if (this.#process.connected) this.#process.send(message, () => undefined);
  }

  async stop(): Promise<void> {
    this.#process.kill("SIGTERM");
    const impatient = setTimeout(() => this.#process.kill("SIGKILL"), STOP_WITHIN_MS);
    await this.ended;
    clearTimeout(impatient);
  }
}
