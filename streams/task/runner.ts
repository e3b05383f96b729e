import type { Runnable, TaskStatus } from "../runnable.ts";
import { type Assignments, fixedShare } from "./assignments.ts";
import type { StageBinding, TaskOptions } from "./binding.ts";
import { PartitionedRunner } from "./partitioned-runner.ts";
import { Task } from "./task.ts";

/** Runs the tasks of one stage on the partitions given to this process. */
export class StageRunner extends PartitionedRunner {
  constructor(binding: StageBinding, assigned: readonly number[] | Assignments, options: TaskOptions) {
    const admin = options.broker.admin();
    super(
      (partition, assignmentEpoch) => new TaskRun(new Task(binding, partition, { ...options, assignmentEpoch }, admin)),
      "start" in assigned ? assigned : fixedShare(assigned),
      () => admin.close(),
    );
  }
}

class TaskRun implements Runnable {
  readonly failed: Promise<never>;
  readonly #task: Task;
  #fail!: (error: unknown) => void;
  #running: Promise<void> = Promise.resolve();

  constructor(task: Task) {
    this.#task = task;
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
  }

  async start(): Promise<void> {
    this.#running = this.#task.run().catch((error) => this.#fail(error));
    // It may be stopped, or overtaken by another process, before it has taken over.
    await Promise.race([this.#task.started, this.#running, this.failed]);
  }

  async stop(): Promise<void> {
    this.#task.stop();
    await this.#running;
  }

  renew(epoch: number): void {
    this.#task.renew(epoch);
  }

  status(): readonly TaskStatus[] {
    return [this.#task.status()];
  }
}
