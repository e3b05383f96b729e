import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import os from "node:os";
import { WeirError } from "../../streams/index.ts";
import { lastLines } from "../log-tail.ts";
import { endGroup, identify, killGroupsAtExit } from "../processes.ts";

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** All output is appended here. */
  readonly logFile: string;
  readonly signal: AbortSignal;
  /** Niceness, 0 to 19; 10 leaves the processor to others. */
  readonly niceness?: number;
}

/** Runs a command to its end. Throws a WeirError with the last lines of its output. */
export async function runCommand(command: string, args: readonly string[], options: CommandOptions): Promise<void> {
  options.signal.throwIfAborted();
  const log = openSync(options.logFile, "a");
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    detached: true,
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  const forget = child.pid === undefined ? () => {} : killGroupsAtExit(child.pid);
  if (child.pid !== undefined && options.niceness !== undefined) os.setPriority(child.pid, options.niceness);
  const abort = () => {
    const identity = child.pid === undefined ? null : identify(child.pid);
    if (identity) void endGroup(identity, 2_000);
  };
  options.signal.addEventListener("abort", abort, { once: true });
  try {
    const failure = await new Promise<string | null>((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("exit", (code, signal) => resolve(code === 0 ? null : `exit ${code ?? signal}`));
    });
    options.signal.throwIfAborted();
    if (failure !== null) throw commandFailure(command, failure, lastLines(options.logFile, 15), options.logFile);
  } finally {
    options.signal.removeEventListener("abort", abort);
    forget();
  }
}

const networkTrouble =
  /ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|no such host|name resolution|Network is unreachable|Could not transfer artifact|Connection refused|NewConnectionError|i\/o timeout|Unknown host/i;

/** What went wrong, told from the end of a command's output. Pure. */
export function commandFailure(command: string, failure: string, tail: string, logFile: string): WeirError {
  const shown = `\`${command}\` failed (${failure}).${tail === "" ? "" : ` Its last lines:\n${tail}\n`}`;
  if (/ENOSPC|No space left on device|Disk quota exceeded/i.test(tail)) {
    return new WeirError(
      "SETUP_DISK_FULL",
      "fatal",
      shown,
      "Free at least 4 GiB, or set WEIR_CACHE to a folder on a larger disk, and run the command again.",
    );
  }
  if (networkTrouble.test(tail)) {
    return new WeirError(
      "SETUP_NO_NETWORK",
      "retry",
      shown,
      "Check the network, or the mirror set for pip, Maven, Go and npm, and run the command again: finished steps are kept.",
    );
  }
  return new WeirError(
    "SETUP_STEP_FAILED",
    "fatal",
    shown,
    `Read ${logFile}, run \`npx weir doctor\`, then run the command again: finished steps are kept.`,
  );
}
