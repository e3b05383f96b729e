import type { Admin } from "../ports.ts";
import type { Runnable, TaskStatus } from "../runnable.ts";
import type { StageBinding, TaskOptions } from "./binding.ts";
import { initialiseChangelog } from "./take-over.ts";
import { Task } from "./task.ts";

/** Runs the tasks of one stage on the partitions given to this process. */
export class StageRunner implements Runnable {
  readonly failed: Promise<never>;
  readonly #tasks: readonly Task[];
  readonly #admin: Admin;
  #running: Promise<void>[] = [];
  #fail!: (error: unknown) => void;

  constructor(binding: StageBinding, partitions: readonly number[], options: TaskOptions) {
    this.#admin = options.broker.admin();
    this.#tasks = partitions.map((partition) => new Task(binding, partition, options, this.#admin));
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => undefined); // whoever awaits it sees the error; nobody awaiting is no crash
  }

  async start(): Promise<void> {
    this.#running = this.#tasks.map((task) => task.run().catch((error) => this.#fail(error)));
    await Promise.race([Promise.all(this.#tasks.map((task) => task.started)), this.failed]);
  }

  async stop(): Promise<void> {
    for (const task of this.#tasks) task.stop();
    await Promise.all(this.#running);
    await this.#admin.close();
  }

  status(): readonly TaskStatus[] {
    return this.#tasks.map((task) => task.status());
  }
}

/** `weir init` for one stage: says from now on that an empty changelog is a lost one. */
export async function initialiseStage(
  binding: Pick<StageBinding, "stage">,
  partitions: number,
  options: Pick<TaskOptions, "broker" | "env">,
): Promise<void> {
  const admin = options.broker.admin();
  try {
    const all = Array.from({ length: partitions }, (_, partition) => ({ stage: binding.stage, partition }));
    await Promise.all(all.map((task) => initialiseChangelog(options.broker, admin, options.env, task)));
  } finally {
    await admin.close();
  }
}
