import { WeirError } from "../../streams/index.ts";
import { createProgress } from "../progress.ts";
import { setUp } from "./index.ts";

/** The set-up as a program of its own, for the bootstrap: everything, with progress, then nothing more. */
const progress = createProgress();
const interrupt = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => interrupt.abort());
try {
  await setUp({ progress, signal: interrupt.signal });
} catch (error) {
  progress.close();
  const stopped =
    "SETUP_STOPPED: the set-up was interrupted. Next step: run the same command again; finished steps are kept.";
  console.error(interrupt.signal.aborted ? stopped : error instanceof WeirError ? error.toString() : error);
  process.exitCode = interrupt.signal.aborted ? 130 : 1;
} finally {
  progress.close();
}
