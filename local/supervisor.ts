import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { WeirError } from "../streams/index.ts";
import type { Component, ComponentContext, Launch } from "./components/component.ts";
import type { Endpoints } from "./endpoints.ts";
import { readIdentity } from "./lock.ts";
import { lastLines } from "./log-tail.ts";
import { freePorts } from "./net.ts";
import { endGroup, identify, isRunning, killGroupsAtExit } from "./processes.ts";

const stopTimeoutMs = 8_000;
const portAttempts = 3;

export interface SupervisedOptions {
  readonly name: string;
  readonly component: Component;
  readonly cacheDir: string;
  readonly runDir: string;
  readonly shards: number;
}

export interface ComponentStatus {
  readonly name: string;
  /** 0 before the process exists. */
  readonly pid: number;
  readonly port: number;
  readonly state: "starting" | "running" | "stopped" | "failed";
  readonly logFile: string;
}

/** One component of one run folder: a process group, its pid file, its log file and its data folder. */
export class Supervised {
  readonly name: string;
  readonly logFile: string;
  readonly pidFile: string;
  endpoints: Partial<Endpoints> = {};
  remark = "";
  private readonly options: SupervisedOptions;
  private state: ComponentStatus["state"] = "starting";
  private pid = 0;
  private port = 0;
  private forget: () => void = () => {};

  constructor(options: SupervisedOptions) {
    this.options = options;
    this.name = options.name;
    this.logFile = path.join(options.runDir, `${options.name}.log`);
    this.pidFile = pidFileOf(options.runDir, options.name);
  }

  status(): ComponentStatus {
    const { name, pid, port, logFile } = this;
    return { name, pid, port, logFile, state: this.state };
  }

  /**
   * Launches the process; its endpoints are known then, though nobody may answer yet. Resolves to a function that waits
   * until it is ready and throws if it never gets there.
   */
  async start(signal: AbortSignal): Promise<() => Promise<void>> {
    await endRecorded(this.options.runDir, this.name, this.options.component);
    let { launch, exited } = await this.spawnOnce();
    return async () => {
      for (let attempt = 1; ; attempt++) {
        const failure = await this.untilReady(launch, exited, signal);
        if (failure === null) return;
        await this.stop();
        this.state = "failed";
        // Between asking for a free port and taking it, somebody else may have taken it.
        const portTaken = /address already in use|EADDRINUSE|failed to bind/i.test(failure.tail);
        if (!portTaken || attempt === portAttempts || signal.aborted) throw failure.error;
        ({ launch, exited } = await this.spawnOnce());
      }
    };
  }

  /** SIGTERM to the group, SIGKILL after the deadline. Does nothing the second time. */
  async stop(): Promise<void> {
    const identity = readIdentity(this.pidFile);
    if (this.state !== "failed") this.state = "stopped";
    if (identity !== null && identity.pid === this.pid)
      await endGroup(identity, this.options.component.stopTimeoutMs ?? stopTimeoutMs);
    this.forget();
    this.options.component.sweep?.(dataDirOf(this.options.runDir, this.name));
    rmSync(this.pidFile, { force: true });
  }

  private async spawnOnce(): Promise<{ launch: Launch; exited: Promise<string> }> {
    const { component, cacheDir, runDir, shards } = this.options;
    const dataDir = dataDirOf(runDir, this.name);
    mkdirSync(dataDir, { recursive: true });
    const ports = await freePorts(component.portCount);
    const context: ComponentContext = { cacheDir, dataDir, logFile: this.logFile, ports, shards };
    const launch = await component.launch(context).catch((error: unknown) => {
      this.state = "failed";
      if (error instanceof WeirError) throw error;
      throw new WeirError(
        "LOCAL_COMPONENT_FAILED",
        "fatal",
        `${this.name} could not be launched: ${error instanceof Error ? error.message : String(error)}`,
        "Run `npx weir doctor`.",
      );
    });
    if (existsSync(this.logFile)) renameSync(this.logFile, `${this.logFile}.before`);
    const log = openSync(this.logFile, "a");
    const child = spawn(launch.command, launch.args, {
      cwd: dataDir,
      env: { ...process.env, ...launch.env },
      // A group of its own: Ctrl-C on the terminal reaches only us, and we stop everything in order.
      detached: true,
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    const exited = new Promise<string>((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("exit", (code, by) => {
        if (this.state === "running") this.state = "failed";
        resolve(code === null ? `ended by ${by}` : `exit ${code}`);
      });
    });
    this.state = "starting";
    this.port = ports[0] ?? 0;
    this.endpoints = launch.endpoints;
    this.remark = launch.remark ?? "";
    if (child.pid !== undefined) {
      this.pid = child.pid;
      this.forget = killGroupsAtExit(child.pid);
      writeFileSync(this.pidFile, JSON.stringify(identify(child.pid) ?? { pid: child.pid, startTicks: "" }));
    }
    return { launch, exited };
  }

  /** Null once ready. */
  private async untilReady(
    launch: Launch,
    exited: Promise<string>,
    signal: AbortSignal,
  ): Promise<{ error: WeirError; tail: string } | null> {
    let end: string | undefined;
    void exited.then((how) => {
      end = how;
    });
    const { startTimeoutMs } = this.options.component;
    const deadline = performance.now() + startTimeoutMs;
    const fail = (what: string) => {
      const tail = lastLines(this.logFile, 15);
      const shown = tail === "" ? "" : ` The last lines of its log:\n${tail}\n`;
      const error = new WeirError(
        "LOCAL_COMPONENT_FAILED",
        "fatal",
        `${this.name} ${what}.${shown}`,
        `Read ${this.logFile}; run \`npx weir doctor\`.`,
      );
      return { error, tail };
    };
    while (!(await launch.isReady())) {
      if (end !== undefined) return fail(`ended while it was starting (${end})`);
      if (signal.aborted) return fail("was stopped while it was starting");
      if (performance.now() > deadline) return fail(`was not ready after ${startTimeoutMs / 1000} s`);
      await delay(100);
    }
    try {
      await launch.afterReady?.();
    } catch (error) {
      return fail(`is up, but could not be prepared: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.state = "running";
    return null;
  }
}

export const pidFileOf = (runDir: string, name: string) => path.join(runDir, `${name}.pid`);
const dataDirOf = (runDir: string, name: string) => path.join(runDir, name);

/** Ends a component whose stack died without stopping it, as its pid file tells. False if there was none. */
export async function endRecorded(runDir: string, name: string, component: Component): Promise<boolean> {
  const pidFile = pidFileOf(runDir, name);
  const recorded = readIdentity(pidFile);
  if (recorded === null) return false;
  const running = isRunning(recorded);
  await endGroup(recorded, component.stopTimeoutMs ?? stopTimeoutMs);
  component.sweep?.(dataDirOf(runDir, name));
  rmSync(pidFile, { force: true });
  return running;
}
