import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import {
  type ComponentName,
  componentNames,
  createProgress,
  defaultCacheDir,
  defaultComponents,
  setUp,
  startStack,
  statusByRunDir,
  stopByRunDir,
} from "../local/index.ts";
import { WeirError } from "../streams/index.ts";
import { currentLocal, localOptions, rememberLocal } from "./local-options.ts";

interface Where {
  readonly runDir?: string;
}

/** `weir local up`: starts the stack and keeps it until a signal. */
export async function up(
  options: Where & { components?: string; shards: number; infra: "native" | "docker" },
): Promise<void> {
  const names = (options.components?.split(",") ?? defaultComponents) as ComponentName[];
  const unknown = names.filter((name) => !componentNames.includes(name));
  if (unknown.length > 0) {
    throw new WeirError(
      "COMPONENT_UNKNOWN",
      "fatal",
      `There is no component ${unknown.join(", ")}.`,
      `Name some of ${componentNames.join(", ")}.`,
    );
  }
  const runDir = path.resolve(options.runDir ?? path.join(defaultCacheDir(), "runs", "local"));
  const progress = createProgress(process.stdout);
  const stop = new Promise<void>((resolve) => {
    process.once("SIGINT", resolve);
    process.once("SIGTERM", resolve);
  });
  await setUp({ progress, components: names });
  const stack = await startStack({ runDir, components: names, shards: options.shards, infra: options.infra, progress });
  progress.close();
  if (defaultComponents.every((name) => names.includes(name))) {
    const local = localOptions(stack.endpoints);
    rememberLocal(runDir, local);
    process.stdout.write(
      `\n${Object.entries(local)
        .map(([name, value]) => `${name}=${value}`)
        .join("\n")}\n`,
    );
  }
  process.stdout.write(`\nRunning in ${runDir}; Ctrl-C or \`npx weir local down\` stops it.\n`);
  await stop;
  await stack.stop();
}

export async function down(options: Where): Promise<void> {
  const dir = stackDir(options);
  process.stdout.write((await stopByRunDir(dir)) ? `Stopped the stack in ${dir}.\n` : `Nothing runs in ${dir}.\n`);
}

export async function status(options: Where): Promise<void> {
  const dir = stackDir(options);
  const components = statusByRunDir(dir);
  if (components.length === 0) process.stdout.write(`Nothing runs in ${dir}.\n`);
  for (const { name, pid, running, logFile } of components) {
    process.stdout.write(
      `${name.padEnd(10)} ${running ? "running" : "dead   "}  pid ${String(pid).padEnd(8)} ${logFile}\n`,
    );
  }
}

export function logs(component: string, options: Where & { lines: number }): void {
  const file = path.join(stackDir(options), `${component}.log`);
  if (!existsSync(file))
    throw new WeirError(
      "LOG_MISSING",
      "fatal",
      `There is no log ${file}.`,
      `Name some of ${componentNames.join(", ")}.`,
    );
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  process.stdout.write(`${lines.slice(-options.lines).join("\n")}\n`);
}

function stackDir(options: Where): string {
  const dir = options.runDir ?? currentLocal()?.stackDir;
  if (dir === undefined)
    throw new WeirError("NO_LOCAL_STACK", "fatal", "No stack was started here yet.", "Start one: `npx weir local up`.");
  return path.resolve(dir);
}
