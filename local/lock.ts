import { linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { identify, isRunning, type ProcessIdentity } from "./processes.ts";
import type { Progress } from "./progress.ts";

/** Who holds the lock; null if nobody does, or its holder died. */
export function lockHolder(file: string): ProcessIdentity | null {
  const holder = readIdentity(file);
  return holder !== null && isRunning(holder) ? holder : null;
}

/** The process a pid file names, whether it still runs or not; null if there is no such file or it is half-written. */
export function readIdentity(file: string): ProcessIdentity | null {
  try {
    const value: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (typeof value !== "object" || value === null || !("pid" in value) || !("startTicks" in value)) return null;
    return typeof value.pid === "number" && typeof value.startTicks === "string"
      ? { pid: value.pid, startTicks: value.startTicks }
      : null;
  } catch {
    return null;
  }
}

/** Takes the lock for this process, also from a dead holder; false if a live process has it. */
export function tryLock(file: string): boolean {
  const mine = `${file}.${process.pid}`;
  writeFileSync(mine, JSON.stringify(identify(process.pid)));
  try {
    for (let attempt = 0; attempt < 3; attempt++) {
      try {
        // A link appears whole or not at all.
        linkSync(mine, file);
        return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
        if (lockHolder(file) !== null) return false;
        rmSync(file, { force: true });
      }
    }
    return false;
  } finally {
    rmSync(mine, { force: true });
  }
}

/** Runs `work` while holding the lock, waiting for whoever has it. */
export async function withLock<T>(
  file: string,
  progress: Progress,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  let told = false;
  while (!tryLock(file)) {
    signal?.throwIfAborted();
    if (!told) progress.note(`  . waiting for another set-up (process ${lockHolder(file)?.pid ?? "unknown"})`);
    told = true;
    await delay(300);
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}
