import type { Runnable, TaskStatus } from "../runnable.ts";
import type { Assignments, Share } from "./assignments.ts";

/**
 * Runs one runnable for each partition that this process has, starting and stopping them as partitions come and go.
 *
 * A partition that stays goes on undisturbed, under its newest epoch: shares may have been missed in which it was
 * another's, and who took it then must not keep it. One whose runnable has ended by itself (another process took it over) and
 * that is given to this process again is started anew. One that comes back waits until its former run has ended.
 */
export class PartitionedRunner<R extends Runnable = Runnable> implements Runnable {
  readonly failed: Promise<never>;
  readonly #create: (partition: number, epoch: number) => R;
  readonly #assignments: Assignments;
  readonly #close: () => Promise<unknown>;
  readonly #running = new Map<number, R>();
  readonly #ending = new Map<number, Promise<void>>();
  #starting: Promise<unknown> = Promise.resolve();
  #stopped: Promise<void> | undefined;
  #fail!: (error: unknown) => void;

  constructor(
    create: (partition: number, epoch: number) => R,
    assignments: Assignments,
    close: () => Promise<unknown> = async () => undefined,
  ) {
    this.#create = create;
    this.#assignments = assignments;
    this.#close = close;
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => undefined); // whoever awaits it sees the error; nobody awaiting is no crash
  }

  /** Resolves when everything of the first share runs. */
  async start(): Promise<void> {
    const assigned = this.#assignments.start((share) => this.#take(share), this.#fail);
    await Promise.race([assigned.then(() => this.#starting), this.failed]);
  }

  /** First the work, then the membership: the others get what was finished. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  renew(epoch: number): void {
    for (const runnable of this.#running.values()) runnable.renew?.(epoch);
  }

  /** What runs now, by partition. */
  get parts(): ReadonlyMap<number, R> {
    return this.#running;
  }

  status(): readonly TaskStatus[] {
    return [...this.#running.values()].flatMap((r) => r.status());
  }

  async #stop(): Promise<void> {
    // They stay in the status: what was counted last can still be read.
    await Promise.all([...this.#ending.values(), ...[...this.#running.values()].map((r) => r.stop())]);
    await this.#assignments.stop();
    await this.#close();
  }

  #take({ partitions, epoch }: Share): void {
    if (this.#stopped) return;
    for (const [partition, runnable] of [...this.#running]) {
      if (!partitions.includes(partition) || hasEnded(runnable)) this.#end(partition);
      else runnable.renew?.(epoch);
    }
    const begun = partitions.filter((p) => !this.#running.has(p)).map((p) => this.#begin(p, epoch));
    this.#starting = Promise.all(begun);
    this.#starting.catch(() => undefined); // also told through `failed`
  }

  async #begin(partition: number, epoch: number): Promise<void> {
    const runnable = this.#create(partition, epoch);
    this.#running.set(partition, runnable);
    runnable.failed.catch(this.#fail);
    await this.#ending.get(partition);
    if (this.#stopped || this.#running.get(partition) !== runnable) return; // taken away again meanwhile
    try {
      await runnable.start();
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  #end(partition: number): void {
    const runnable = this.#running.get(partition)!;
    this.#running.delete(partition);
    const before = this.#ending.get(partition) ?? Promise.resolve();
    const ended = Promise.all([before, runnable.stop()]).then(
      () => undefined,
      (error) => this.#fail(error),
    );
    this.#ending.set(partition, ended);
    void ended.then(() => {
      if (this.#ending.get(partition) === ended) this.#ending.delete(partition);
    });
  }
}

const hasEnded = (runnable: Runnable): boolean => {
  const parts = runnable.status();
  return parts.length > 0 && parts.every((t) => t.state === "stopped");
};
