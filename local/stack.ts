import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { WeirError } from "../streams/index.ts";
import { type ComponentName, componentNames, components, defaultComponents } from "./components/index.ts";
import { asEndpoints, type Endpoints, notStarted } from "./endpoints.ts";
import { lockHolder, readIdentity, tryLock } from "./lock.ts";
import { endProcess, isRunning } from "./processes.ts";
import { type Progress, silentProgress } from "./progress.ts";
import { defaultCacheDir } from "./setup/index.ts";
import { type ComponentStatus, endRecorded, pidFileOf, Supervised } from "./supervisor.ts";

export interface StackOptions {
  /** Where the set-up installed; `defaultCacheDir()` if left out. */
  readonly cacheDir?: string;
  /** Data, logs, pid files and endpoints.json of this stack. Kept at the end: a later start goes on with the data. */
  readonly runDir: string;
  readonly components?: readonly ComponentName[];
  /** Shards of the Kinesis stream, if it is created now. */
  readonly shards?: number;
  readonly progress?: Progress;
  readonly infra?: "native" | "docker";
}

/** A running local stack. */
export interface Stack {
  /** Reading a component that was not started throws LOCAL_NOT_STARTED. */
  readonly endpoints: Endpoints;
  /** Ends every process; resolves when none is left. May be called more than once. */
  stop(): Promise<void>;
  status(): ComponentStatus[];
  /** Resolves once the component answers; throws what kept it from starting. */
  ready(component: ComponentName): Promise<void>;
}

export const endpointsFileOf = (runDir: string): string => path.join(runDir, "endpoints.json");
const ownerFileOf = (runDir: string) => path.join(runDir, "stack.pid");

/**
 * Starts the components side by side and waits for all but the background ones. If one fails, those already started
 * are stopped and its error is thrown.
 *
 * @throws WeirError LOCAL_STACK_RUNNING, LOCAL_COMPONENT_FAILED, LOCAL_NO_DOCKER
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const runDir = path.resolve(options.runDir);
  mkdirSync(runDir, { recursive: true });
  if (options.infra === "docker") {
    // Loaded on request: testcontainers takes a second, and nobody else needs it.
    const { startDockerStack } = await import("./docker.ts");
    const stack = await startDockerStack(options);
    writeEndpoints(options.runDir, stack.endpoints);
    return stack;
  }
  const cacheDir = options.cacheDir ?? defaultCacheDir();
  const progress = options.progress ?? silentProgress;
  const names = options.components ?? defaultComponents;
  if (!tryLock(ownerFileOf(runDir))) throw alreadyRunning(runDir);
  await endOrphans(runDir);

  const abort = new AbortController();
  const supervised = names.map(
    (name) => new Supervised({ name, component: components[name], cacheDir, runDir, shards: options.shards ?? 4 }),
  );
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= (async () => {
      abort.abort();
      await Promise.allSettled(readiness.values());
      await Promise.all(supervised.map((one) => one.stop()));
      rmSync(endpointsFileOf(runDir), { force: true });
      rmSync(ownerFileOf(runDir), { force: true });
    })();
    return stopped;
  };

  const launched = supervised.map((one) => one.start(abort.signal));
  const readiness = new Map(supervised.map((one, i) => [one.name, untilReady(one, launched[i]!, progress)] as const));
  for (const ready of readiness.values()) ready.catch(() => {});
  try {
    const awaited = names.filter((name) => !components[name].background);
    await Promise.all([...launched, ...awaited.map((name) => readiness.get(name))]);
  } catch (error) {
    await stop();
    throw error;
  }
  const endpoints = asEndpoints(Object.assign({}, ...supervised.map((one) => one.endpoints)));
  writeEndpoints(runDir, endpoints);
  return {
    endpoints,
    stop,
    status: () => supervised.map((one) => one.status()),
    async ready(component) {
      const ready = readiness.get(component);
      if (ready === undefined) throw notStarted(component);
      await ready;
    },
  };
}

async function untilReady(one: Supervised, launched: Promise<() => Promise<void>>, progress: Progress): Promise<void> {
  progress.begin(one.name);
  try {
    await (await launched)();
    const { port } = one.status();
    progress.done(one.name, `port ${port}${one.remark === "" ? "" : ` (${one.remark})`}`);
  } catch (error) {
    progress.failed(one.name);
    throw error;
  }
}

/** Stops the stack of a run folder, whoever started it. False if nothing was running. */
export async function stopByRunDir(runDir: string): Promise<boolean> {
  const folder = path.resolve(runDir);
  const owner = lockHolder(ownerFileOf(folder));
  // Its owner stops it in order; it would take a death of its components for a failure.
  if (owner !== null && owner.pid !== process.pid) await endProcess(owner, 15_000);
  const ended = await endOrphans(folder);
  rmSync(endpointsFileOf(folder), { force: true });
  rmSync(ownerFileOf(folder), { force: true });
  return owner !== null || ended;
}

export interface RecordedComponent {
  readonly name: ComponentName;
  readonly pid: number;
  readonly running: boolean;
  readonly logFile: string;
}

/** What the pid files of a run folder tell of components, whoever started them. */
export function statusByRunDir(runDir: string): RecordedComponent[] {
  const folder = path.resolve(runDir);
  return componentNames.flatMap((name) => {
    const recorded = readIdentity(pidFileOf(folder, name));
    if (recorded === null) return [];
    return [{ name, pid: recorded.pid, running: isRunning(recorded), logFile: path.join(folder, `${name}.log`) }];
  });
}

/** Ends components whose owner died without stopping them. */
async function endOrphans(runDir: string): Promise<boolean> {
  const ended = await Promise.all(componentNames.map((name) => endRecorded(runDir, name, components[name])));
  return ended.includes(true);
}

/** A reader finds the whole file or none. */
function writeEndpoints(runDir: string, endpoints: Endpoints): void {
  const file = endpointsFileOf(runDir);
  writeFileSync(`${file}.tmp`, `${JSON.stringify(endpoints, null, 2)}\n`);
  renameSync(`${file}.tmp`, file);
}

function alreadyRunning(runDir: string): WeirError {
  return new WeirError(
    "LOCAL_STACK_RUNNING",
    "fatal",
    `Process ${lockHolder(ownerFileOf(runDir))?.pid ?? "unknown"} runs a stack in ${runDir}.`,
    "Use that one, choose another run folder, or stop it with `npx weir local down`.",
  );
}
