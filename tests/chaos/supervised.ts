import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, closeSync, openSync, readFileSync, readlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { identify, isRunning } from "../../local/processes.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const hooks = ["hooks.ts", "lead-through.ts"].flatMap((file) => ["--import", `${root}tests/chaos/${file}`]);
/** A process that ends by itself so often while it is waited for will not come to work. */
const MAX_ENDS = 60;

export interface SupervisedOptions {
  readonly name: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly logFile: string;
  /** It is a parent (`--processes`) whose children do the work. */
  readonly hasChildren?: boolean;
}

const alive = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of alive) child.kill("SIGKILL");
});

/** `weir run …` under what stands for systemd or Kubernetes: whatever ends it, it is started again at once. */
export class Supervised {
  readonly name: string;
  /** How often it ended with a code of its own, which nobody asked for. */
  ends = 0;
  starts = 0;
  #options: SupervisedOptions;
  #child: ChildProcess | undefined;
  #isRunning = false;
  #isStopping = false;
  #waiting: (() => void)[] = [];

  constructor(options: SupervisedOptions) {
    this.name = options.name;
    this.#options = options;
    this.#spawn();
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get hasChildren(): boolean {
    return this.#options.hasChildren ?? false;
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Resolves once every task of the process has taken over; at once if it was stopped for good. */
  async running(deadlineMs = 180_000): Promise<void> {
    const deadline = performance.now() + deadlineMs;
    const endsBefore = this.ends;
    while (!this.#isRunning && !this.#isStopping) {
      if (this.ends - endsBefore > MAX_ENDS) throw new Error(`${this.name} keeps ending by itself: ${this.#tail()}`);
      if (performance.now() > deadline) throw new Error(`${this.name} does not come to work: ${this.#tail()}`);
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        setTimeout(resolve, 100);
      });
    }
  }

  /** Of a parent with children the one at work, or with `whole` the parent, whose children follow it. */
  kill(whole = false): void {
    const child = whole ? undefined : this.#atWork();
    if (child === undefined) {
      this.#isRunning = false;
      this.#child?.kill("SIGKILL");
    } else signalTo(child, "SIGKILL");
  }

  /** Stops the one at work as it is; returns what wakes it up, false if it is gone. */
  freeze(): () => boolean {
    const frozen = identify(this.#atWork() ?? this.pid);
    if (!frozen) return () => false;
    signalTo(frozen.pid, "SIGSTOP");
    return () => {
      const isThere = isRunning(frozen);
      if (isThere) signalTo(frozen.pid, "SIGCONT");
      return isThere;
    };
  }

  /** The old process goes on, stopped as it is, and a new one takes its place; returns what ends the old one. */
  abandon(): { readonly wake: () => void; readonly end: () => Promise<void> } {
    const old = this.#child!;
    const all = [old.pid!, ...childrenOf(old.pid!)];
    for (const pid of all) signalTo(pid, "SIGSTOP");
    old.off("exit", this.#onExit);
    const gone = new Promise<void>((resolve) => old.once("exit", () => resolve()));
    this.#spawn();
    return {
      wake: () => {
        for (const pid of all) signalTo(pid, "SIGCONT");
      },
      end: async () => {
        // A member of a group leaves it: killed, it would keep its partitions until its session runs out.
        old.kill(this.#options.hasChildren ? "SIGTERM" : "SIGKILL");
        const timer = setTimeout(() => old.kill("SIGKILL"), 20_000);
        await gone;
        clearTimeout(timer);
      },
    };
  }

  /** SIGTERM; resolves with the exit code. */
  async stop(): Promise<number | null> {
    this.#isStopping = true;
    this.#isRunning = false;
    const child = this.#child!;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
    await gone;
    clearTimeout(timer);
    return child.exitCode;
  }

  /** The oldest: a spare one waits behind it. */
  #atWork(): number | undefined {
    return this.#options.hasChildren ? childrenOf(this.pid)[0] : undefined;
  }

  #spawn(): void {
    const { args, env, logFile } = this.#options;
    this.#isRunning = false;
    this.starts++;
    const child = spawn(
      process.execPath,
      ["--disable-warning=TimeoutNegativeWarning", ...hooks, `${root}main.ts`, "run", ...args],
      { cwd: root, env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "pipe"] },
    );
    this.#child = child;
    alive.add(child);
    child.once("exit", () => alive.delete(child));
    child.stderr!.on("data", (bytes: Buffer) => {
      appendFileSync(logFile, bytes);
      if (child !== this.#child || !/running; http/.test(String(bytes))) return;
      this.#isRunning = true;
      for (const resolve of this.#waiting.splice(0)) resolve();
    });
    child.once("exit", this.#onExit);
  }

  readonly #onExit = (code: number | null, signal: NodeJS.Signals | null): void => {
    const { logFile } = this.#options;
    appendFileSync(logFile, `-- ${new Date().toISOString()} pid ${this.pid} ended: ${code ?? signal}\n`);
    if (this.#isStopping) return;
    if (code !== null) this.ends++;
    this.#spawn();
  };

  #tail(): string {
    try {
      return readFileSync(this.#options.logFile, "utf8").slice(-3_000);
    } catch {
      return "no log";
    }
  }
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone already.
  }
}

/** Oldest first. */
function childrenOf(pid: number): number[] {
  try {
    const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
    return pids.sort((a, b) => Number(identify(a)?.startTicks ?? 0) - Number(identify(b)?.startTicks ?? 0));
  } catch {
    return [];
  }
}

/** Starts a process that was killed anew, as it was: the same command, environment and folder, so the same ports. */
export function remember(pid: number, logFile: string): () => ChildProcess {
  const split = (file: string) => readFileSync(`/proc/${pid}/${file}`, "utf8").split("\0").slice(0, -1);
  const [command, ...args] = split("cmdline");
  const env = Object.fromEntries(
    split("environ").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
  const cwd = readlinkSync(`/proc/${pid}/cwd`);
  return () => {
    const log = openSync(logFile, "a");
    const child = spawn(command!, args, { env, cwd, stdio: ["ignore", log, log], detached: true });
    closeSync(log);
    return child;
  };
}
