import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "../../../local/net.ts";

const script = new URL("run.sh", import.meta.url).pathname;

/** The peers' jobs, driven through `run.sh`: its broker or another one, its samples, its checker. */
export class Peers {
  readonly bootstrap: string;
  /** For the broker's data, the jobs' state and dumps; gone after `stop`. */
  readonly folder: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #onSignal = (signal: NodeJS.Signals) => {
    this.#remove();
    process.exit(signal === "SIGINT" ? 130 : 143);
  };

  private constructor(bootstrap: string, env: NodeJS.ProcessEnv) {
    this.bootstrap = bootstrap;
    this.folder = mkdtempSync(join(tmpdir(), "weir-bench-peers-"));
    this.#env = { ...process.env, ...env, WORK: this.folder, BOOT: bootstrap };
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, this.#onSignal);
  }

  /** Builds what is not built yet, starts the broker and loads `minutes` of samples. */
  static async start(minutes: number): Promise<Peers> {
    const [port, controller] = await freePorts(2);
    const ports = { PORT: String(port), CONTROLLER_PORT: String(controller), MINUTES: String(minutes) };
    const peers = new Peers(`127.0.0.1:${port}`, ports);
    try {
      await peers.run("build");
      await peers.run("start");
      await peers.run("load");
      return peers;
    } catch (error) {
      peers.#remove();
      throw error;
    }
  }

  /** The same on a broker that runs already; its CPU time is not asked for. */
  static async on(bootstrap: string, minutes: number): Promise<Peers> {
    const peers = new Peers(bootstrap, { BROKER_PID: "0", MINUTES: String(minutes) });
    try {
      await peers.run("build");
      await peers.run("load");
      return peers;
    } catch (error) {
      peers.#remove();
      throw error;
    }
  }

  /** One function of `run.sh`; resolves with what it printed. */
  async run(name: string, ...args: readonly string[]): Promise<string> {
    return await output("bash", [script, name, ...args], this.#env);
  }

  /** Everything that a former job left is gone: topics, groups, state folder. */
  async fresh(): Promise<void> {
    await this.run("fresh");
  }

  /** Checks what lies in the output topic, written in the peers' form or, with a dump of another reader, in any. */
  async verdict(dump?: string): Promise<string> {
    return (dump === undefined ? await this.run("check") : await this.run("verdict", dump)).trim();
  }

  async stop(): Promise<void> {
    this.#remove();
  }

  #remove(): void {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, this.#onSignal);
    const pidFile = join(this.folder, "broker.pid");
    if (existsSync(pidFile)) {
      try {
        process.kill(Number(readFileSync(pidFile, "utf8")), "SIGKILL"); // its data go with it
      } catch {
        // ended already
      }
    }
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Runs a command to its end; its standard error is ours. */
export async function output(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (data: Buffer) => {
    said += data;
  });
  const code = await new Promise<number | string>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status, signal) => resolve(status ?? signal ?? "?"));
  });
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}: ${said}`);
  return said;
}
