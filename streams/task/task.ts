import { randomUUID } from "node:crypto";
import { WeirError } from "../errors.ts";
import { type TaskId, taskIdText } from "../names.ts";
import type { Admin } from "../ports.ts";
import { noCounters, type TaskStatus } from "../runnable.ts";
import type { StageBinding, TaskOptions, TaskStep } from "./binding.ts";
import type { Claim } from "./changelog.ts";
import { Intake } from "./intake.ts";
import { Lifecycle } from "./lifecycle.ts";
import { takeOver } from "./take-over.ts";
import { systemTime, type TaskTime } from "./time.ts";
import { Work } from "./work.ts";

const MAX_STRIKES_A_MINUTE = 12;
const MAX_BACKOFF_MS = 2_000;
/** Whoever fenced this task commits its claim next; whoever looks for it too early misses it and takes the task back. */
const CLAIM_WITHIN_MS = 500;

/**
 * One stage on one partition: takes over, works, and begins anew after a failure.
 *
 * What goes wrong on the way in costs the overlay and a pause. What goes wrong with a transaction costs a new take-over,
 * which first looks into the changelog whose claim stands last: another's ends this task, not the process.
 */
export class Task {
  readonly id: TaskId;
  readonly #binding: StageBinding;
  readonly #options: TaskOptions;
  readonly #observe: TaskOptions["onStep"] | undefined;
  readonly #admin: Admin;
  readonly #time: TaskTime;
  readonly #intake: Intake;
  readonly #lifecycle = new Lifecycle();
  readonly #stop = new AbortController();
  readonly #owner = randomUUID();
  #assignmentEpoch: number;
  #attempts = 0;
  #ownedBefore = false;
  #yieldedTo: Claim | undefined;
  #work: Work | undefined;
  #transactions = 0;
  #problem: string | undefined;
  /** When it had to begin anew, brokers out of reach not counted. */
  #strikesAtMs: number[] = [];
  /** Failures in a row. */
  #failures = 0;
  #started!: () => void;
  /** Resolves with the first take-over. */
  readonly started: Promise<void>;

  constructor(binding: StageBinding, partition: number, options: TaskOptions, admin: Admin) {
    this.id = { stage: binding.stage, partition };
    this.#binding = binding;
    this.#options = { ...options, onStep: (_, step) => this.#step(step) };
    this.#observe = options.onStep;
    this.#assignmentEpoch = options.assignmentEpoch ?? 0;
    this.#admin = admin;
    this.#time = options.time ?? systemTime;
    this.#intake = new Intake(binding, this.id, options);
    this.started = new Promise((resolve) => {
      this.#started = resolve;
    });
  }

  /** The claim of the process that owns the task now, if that is why this one has stopped. */
  get yieldedTo(): Claim | undefined {
    return this.#yieldedTo;
  }

  status(): TaskStatus {
    const work = this.#work;
    const progress = work?.overlay.progress;
    const clocks = progress?.standing?.clocks;
    const figures = work?.figures;
    return {
      stage: this.id.stage,
      partition: String(this.id.partition),
      state: this.#lifecycle.state,
      lag: work ? work.endOffset - work.position : Number.POSITIVE_INFINITY,
      position: work?.position ?? 0,
      watermarkMs: progress?.watermarkMs ?? 0,
      counters: progress?.counters ?? noCounters(),
      stateBytes: work?.stateBytes ?? 0,
      transactions: this.#transactions + (work?.transactions ?? 0),
      ...(clocks && { clocks }),
      ...(figures && { figures }),
      ...(this.#problem !== undefined && { problem: this.#problem }),
    };
  }

  /** Runs until stopped or until another process owns the task; throws when the task cannot keep its promise. */
  async run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        await this.#ownOnce();
      } catch (error) {
        await this.#afterFailure(error);
      }
    }
    this.#lifecycle.enter("stopped");
  }

  /** Of the assignment that it has now; its next claim bears it. */
  renew(assignmentEpoch: number): void {
    this.#assignmentEpoch = assignmentEpoch;
  }

  stop(): void {
    this.#stop.abort();
  }

  async #ownOnce(): Promise<void> {
    const me = {
      owner: this.#owner,
      incarnation: `${this.#owner}.${++this.#attempts}`,
      assignmentEpoch: this.#assignmentEpoch,
      fingerprint: this.#binding.fingerprint,
      ownedBefore: this.#ownedBefore,
    };
    const taken = await takeOver(this.#binding, this.id, this.#options, me, this.#admin, this.#time, this.#stop.signal);
    if ("yieldedTo" in taken) {
      this.#yieldedTo = taken.yieldedTo;
      const { incarnation, assignmentEpoch } = taken.yieldedTo;
      this.#problem = `Taken over by ${incarnation} of assignment epoch ${assignmentEpoch}.`;
      this.#stop.abort();
      return;
    }
    const work = new Work(this.#binding, this.id, this.#options, this.#time, taken, this.#intake, this.#stop.signal);
    this.#transactions += this.#work?.transactions ?? 0;
    this.#work = work;
    this.#started();
    try {
      while (!this.#stop.signal.aborted) await work.run().catch((error) => this.#abort(error, work));
      // Told to stop: what was committed can be read once this has ended. A successor sees to it where this fails.
      await taken.producer.settle();
    } finally {
      await Promise.all([work.close(), taken.producer.close()]);
    }
  }

  #step(step: TaskStep): void {
    this.#lifecycle.at(step);
    if (step === "T3") this.#ownedBefore = true;
    if (step === "C6") {
      this.#failures = 0;
      this.#problem = undefined;
    }
    this.#observe?.(this.id, step);
  }

  /** If nothing was sent and time may mend it: back to the last progress, and on after a pause. Else throws on. */
  async #abort(error: unknown, work: Work): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const mends = error instanceof WeirError && error.disposition === "retry";
    if (!mends || this.#lifecycle.phase !== "running") throw error;
    this.#lifecycle.enter("rewinding");
    this.#problem = String(error);
    await work.rewind();
    await this.#backOff();
    this.#lifecycle.enter("running");
  }

  async #afterFailure(error: unknown): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const failure = asWeirError(error, this.id);
    this.#problem = String(failure);
    // Brokers that cannot be reached are waited for, however long.
    const away = failure.code === "KAFKA_UNAVAILABLE" && this.#lifecycle.phase === "claiming";
    const now = this.#time.nowMs();
    if (!away) this.#strikesAtMs.push(now);
    this.#strikesAtMs = this.#strikesAtMs.filter((at) => at > now - 60_000);
    const exhausted = this.#strikesAtMs.length > MAX_STRIKES_A_MINUTE;
    if (failure.disposition === "fatal" || exhausted) {
      this.#lifecycle.enter("failed");
      throw exhausted && failure.disposition !== "fatal" ? keepsFailing(this.id, failure) : failure;
    }
    this.#lifecycle.enter("waiting");
    await this.#backOff(failure.disposition === "fenced" ? CLAIM_WITHIN_MS : 0);
  }

  /** Jittered and growing, so that two owners that fence each other fall apart. */
  async #backOff(leastMs = 0): Promise<void> {
    const limitMs = Math.min(MAX_BACKOFF_MS, 50 * 2 ** Math.min(10, ++this.#failures));
    await this.#time.sleep(leastMs + this.#time.random() * limitMs, this.#stop.signal);
  }
}

const keepsFailing = (id: TaskId, last: WeirError) =>
  new WeirError(
    "TASK_KEEPS_FAILING",
    "fatal",
    `${taskIdText(id)} began anew more than ${MAX_STRIKES_A_MINUTE} times within a minute, last because of: ${last.message}`,
    last.nextStep,
    { cause: last },
  );

/** An error that nobody foresaw is a fault of ours: it would come again, so it is not tried again. */
function asWeirError(error: unknown, id: TaskId): WeirError {
  if (error instanceof WeirError) return error;
  return new WeirError(
    "INTERNAL",
    "fatal",
    `${taskIdText(id)}: ${(error as Error)?.stack ?? error}`,
    "Report this with the lines above.",
  );
}
