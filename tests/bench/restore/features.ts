import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { until } from "../../support/kafka.ts";
import { StageProcess } from "../pipeline/parts.ts";
import { type FleetState, PARTITIONS, partitions } from "./fleet-state.ts";

const main = fileURLToPath(new URL("../../../main.ts", import.meta.url));

/** `weir run features --processes 1`: a parent, its child, and a spare one. */
export class WithSpare {
  readonly #parent: ChildProcess;

  constructor(env: NodeJS.ProcessEnv) {
    const args = ["--no-warnings", main, "run", "features", "--processes", "1"];
    this.#parent = spawn(process.execPath, args, { env, stdio: ["ignore", "ignore", "inherit"] });
  }

  /** Kills the child at work. The spare one is loaded by then, as it is in a process that runs for long. */
  async kill(state: FleetState): Promise<number> {
    await until("a child and its spare run", () => childrenOf(this.#parent.pid!).length === 2, 60_000);
    await state.caughtUp();
    return await secondsWithout(state, () => process.kill(childrenOf(this.#parent.pid!)[0]!, "SIGKILL"));
  }

  async stop(): Promise<void> {
    if (this.#parent.exitCode !== null) return;
    const ended = new Promise((resolve) => this.#parent.once("exit", resolve));
    this.#parent.kill("SIGTERM");
    await ended;
  }
}

/** Two hosts: `weir run features` twice, which share the partitions out in a Kafka group. */
export class Group {
  readonly #env: NodeJS.ProcessEnv;
  readonly #hosts: StageProcess[] = [];

  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env;
    this.#fill();
  }

  #fill(): void {
    while (this.#hosts.length < 2) this.#hosts.push(new StageProcess("features", this.#env));
  }

  /** Kills the older host once each has its share; the other one takes over when the group has noticed. */
  async kill(state: FleetState): Promise<number> {
    this.#fill();
    await Promise.all(this.#hosts.map((host) => host.running()));
    await until(
      "each host runs its share",
      async () => {
        const shares = await Promise.all(this.#hosts.map((host) => host.tasks()));
        return shares.every((share) => share === PARTITIONS / 2);
      },
      120_000,
    );
    await state.caughtUp();
    return await secondsWithout(state, () => process.kill(this.#hosts.shift()!.pid, "SIGKILL"));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.stop()));
  }
}

/** From the kill to the last partition's next commit; records arrive all the time. */
async function secondsWithout(state: FleetState, kill: () => void): Promise<number> {
  const from = await state.ends();
  const killedAt = performance.now();
  kill();
  for (const open = new Set(partitions); open.size > 0; ) {
    await state.tick();
    for (const p of [...open]) if (await state.committedSince(p, from[p]!)) open.delete(p);
  }
  return (performance.now() - killedAt) / 1_000;
}

/** In the order of their start. */
function childrenOf(pid: number): number[] {
  const text = execFileSync("ps", ["-o", "pid=", "--ppid", String(pid)], { encoding: "utf8" });
  return text.trim().split(/\s+/).map(Number);
}
