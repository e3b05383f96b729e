import { subscribe } from "node:diagnostics_channel";
import { existsSync, readFileSync, renameSync } from "node:fs";

/**
 * Loaded (`--import`) into processes under test, which know nothing of it: dies at a named point when told to.
 *
 * `WEIR_CHAOS_ARM` names a file. While it exists and holds `{number, stage, step, passes}`, the process that passes the step of
 * the stage for the `passes`-th time renames it to `….hit`, so that only one process dies of it, and kills itself.
 */
export interface Armed {
  /** Tells two faults at the same point apart. */
  readonly number: number;
  readonly stage: string;
  readonly step: string;
  readonly passes: number;
}

const file = process.env.WEIR_CHAOS_ARM;
let passed = { of: "", times: 0 };

function at({ stage, step }: { readonly stage: string; readonly step: string }): void {
  if (!file || !existsSync(file)) return;
  let text: string;
  try {
    text = readFileSync(file, "utf8");
    const armed = JSON.parse(text) as Armed;
    if (armed.stage !== stage || armed.step !== step) return;
    passed = { of: text, times: passed.of === text ? passed.times + 1 : 1 };
    if (passed.times < armed.passes) return;
    renameSync(file, `${file}.hit`);
  } catch {
    return; // taken back, or another process was first
  }
  process.kill(process.pid, "SIGKILL");
}

subscribe("weir:step", (message) => at(message as { stage: string; step: string }));
