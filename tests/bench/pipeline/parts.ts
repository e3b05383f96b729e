import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { flags } from "../../../bin/flags.mjs";

const main = new URL("../../../main.ts", import.meta.url).pathname;
/** Of the kernel's CPU times in /proc. */
const TICKS_PER_SECOND = 100;

/** A stage in a process of its own: `weir run <role>`. */
export class StageProcess {
  readonly role: string;
  readonly #child: ChildProcess;
  readonly #url: Promise<string>;
  #ended = false;

  constructor(role: string, env: NodeJS.ProcessEnv) {
    this.role = role;
    this.#child = spawn(process.execPath, [...flags, main, "run", role], { env, stdio: ["ignore", "ignore", "pipe"] });
    this.#url = new Promise((resolve, reject) => {
      let said = "";
      this.#child.stderr!.on("data", (data: Buffer) => {
        said += data;
        const found = /running; (http\S+)\/healthz/.exec(said);
        if (found) resolve(found[1]!);
        if (process.env.WEIR_BENCH_VERBOSE) process.stderr.write(data);
      });
      this.#child.once("exit", (code) => {
        this.#ended = true;
        reject(new Error(`weir run ${role} ended with ${code}: ${said}`));
      });
    });
    this.#url.catch(() => undefined);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  async running(): Promise<void> {
    await this.#url;
  }

  /** Sum over the partitions of one of the counters that are committed with the task's progress. */
  async count(outcome: string): Promise<number> {
    const lines = await this.#metric("weir_events_total", `"${outcome}"`);
    return lines.reduce((sum, value) => sum + value, 0);
  }

  /** Transactions committed so far, over the partitions. */
  async transactions(): Promise<number> {
    return (await this.#metric("weir_transactions_total", "")).reduce((sum, value) => sum + value, 0);
  }

  /** Event time that every partition has seen; 0 before the first has. */
  async watermarkMs(): Promise<number> {
    const seconds = await this.#metric("weir_task_watermark_seconds", "");
    return seconds.length > 0 ? Math.min(...seconds) * 1_000 : 0;
  }

  async #metric(name: string, label: string): Promise<number[]> {
    if (this.#ended) await this.#url;
    const text = await (await fetch(`${await this.#url}/metrics`)).text();
    const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`) && line.includes(label));
    return lines.map((line) => Number(line.slice(line.lastIndexOf(" ") + 1)));
  }

  async stop(): Promise<void> {
    if (this.#ended) return;
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGTERM");
    await ended;
  }
}

/** CPU seconds of a process and all that it started. */
export function cpuSeconds(pid: number): number {
  const parents = new Map<number, { parent: number; ticks: number }>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      parents.set(Number(entry), { parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) });
    } catch {
      // ended meanwhile
    }
  }
  const isBelow = (at: number): boolean => {
    for (let now = at; now > 1; now = parents.get(now)?.parent ?? 0) if (now === pid) return true;
    return false;
  };
  let ticks = 0;
  for (const [at, process] of parents) if (isBelow(at)) ticks += process.ticks;
  return ticks / TICKS_PER_SECOND;
}
