import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

/** A process for good: a pid alone is given to someone else sooner or later. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time since boot, in clock ticks, as the kernel tells it. */
  readonly startTicks: string;
}

interface Stat {
  readonly state: string;
  readonly group: number;
  readonly startTicks: string;
}

function readStat(pid: number | string): Stat | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return null;
  }
  // The command's name stands in parentheses and may hold spaces and parentheses itself.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0] ?? "Z", group: Number(fields[2]), startTicks: fields[19] ?? "" };
}

/** The identity of a running process; null if there is none, or only its corpse. */
export function identify(pid: number): ProcessIdentity | null {
  const stat = readStat(pid);
  return stat === null || stat.state === "Z" ? null : { pid, startTicks: stat.startTicks };
}

/** True while this very process runs. False for a later one that was given the same pid. */
export function isRunning(process: ProcessIdentity): boolean {
  return identify(process.pid)?.startTicks === process.startTicks;
}

function groupHasMembers(group: number): boolean {
  return readdirSync("/proc").some((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    const stat = readStat(entry);
    return stat !== null && stat.group === group && stat.state !== "Z";
  });
}

/** To a process, or to a group by its negative number. */
function signal(target: number, name: NodeJS.Signals): void {
  try {
    process.kill(target, name);
  } catch {
    // Gone already.
  }
}

/**
 * Ends the process group that `leader` leads: SIGTERM to the leader, which ends its children as it sees fit; then to
 * those that outlive it; SIGKILL to what is left after `deadlineMs`. Resolves when no member runs any more.
 * A leader that is gone, its pid given to another, is left alone.
 */
export async function endGroup(leader: ProcessIdentity, deadlineMs: number): Promise<void> {
  if (!isRunning(leader) && identify(leader.pid) !== null) return;
  signal(leader.pid, "SIGTERM");
  const deadline = performance.now() + deadlineMs;
  let widened = false;
  while (groupHasMembers(leader.pid)) {
    if (!widened && !isRunning(leader)) {
      signal(-leader.pid, "SIGTERM");
      widened = true;
    }
    if (performance.now() > deadline) signal(-leader.pid, "SIGKILL");
    await delay(50);
  }
}

/** Asks one process to end, its group left alone, and waits for it. False if it still runs after `deadlineMs`. */
export async function endProcess(identity: ProcessIdentity, deadlineMs: number): Promise<boolean> {
  const deadline = performance.now() + deadlineMs;
  if (isRunning(identity)) signal(identity.pid, "SIGTERM");
  while (isRunning(identity)) {
    if (performance.now() > deadline) return false;
    await delay(50);
  }
  return true;
}

const groupsToKill = new Set<number>();
process.on("exit", () => {
  for (const group of groupsToKill) signal(-group, "SIGTERM");
});

/** Ends the group with this process, should it exit without having stopped it. Returns how to forget it. */
export function killGroupsAtExit(group: number): () => void {
  groupsToKill.add(group);
  return () => groupsToKill.delete(group);
}
