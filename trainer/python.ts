import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { WeirError } from "../streams/index.ts";

/** Lines of the trainer's last words that an error quotes. */
const LAST_LINES = 20;
/** Between asking the trainer to end and ending it. */
const KILL_AFTER_MS = 2_000;

export interface TrainingProgress {
  readonly step: "prepare" | "fit" | "score" | "publish";
  /** Null where the step is about the whole job. */
  readonly model: string | null;
  /** For people: sizes and timings of the step. */
  readonly detail: string;
}

export interface PythonOptions {
  /** Interpreter of the environment that holds xgboost-cpu, catboost, scikit-learn, onnx and onnxruntime. */
  readonly python: string;
  readonly progress: (event: TrainingProgress) => void;
  /** Ends the trainer early. */
  readonly signal?: AbortSignal;
}

/**
 * Runs `python -m weir_trainer <jobFile>` and hands on its progress lines.
 *
 * Throws TRAINER_PYTHON_MISSING if it cannot be started, TRAINER_TIMEOUT past the deadline, TRAINER_FAILED with its
 * last lines on any other exit but 0.
 */
export async function runPython(jobFile: string, deadlineMs: number, options: PythonOptions): Promise<void> {
  const child = spawn(options.python, ["-m", "weir_trainer", jobFile], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      PYTHONPATH: fileURLToPath(new URL("./python", import.meta.url)),
      PYTHONDONTWRITEBYTECODE: "1",
      // Idle OpenMP threads that spin cost eight times the time on a busy machine.
      OMP_WAIT_POLICY: "PASSIVE",
    },
  });
  const lastLines: string[] = [];
  const remember = (line: string) => {
    lastLines.push(line);
    if (lastLines.length > LAST_LINES) lastLines.shift();
  };
  createInterface(child.stderr).on("line", remember);
  createInterface(child.stdout).on("line", (line) => {
    const event = progressOf(line);
    if (event === null) remember(line);
    else options.progress(event);
  });

  let ended = "by itself" as "by itself" | "deadline" | "signal";
  let kill: NodeJS.Timeout | undefined;
  const end = (why: "deadline" | "signal") => {
    ended = why;
    child.kill("SIGTERM");
    kill = setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS);
  };
  const onAbort = () => end("signal");
  const deadline = setTimeout(() => end("deadline"), deadlineMs);
  options.signal?.addEventListener("abort", onAbort, { once: true });
  if (options.signal?.aborted) onAbort();
  try {
    const exit = await new Promise<number | string>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => resolve(code ?? signal ?? "unknown"));
    }).catch((cause: unknown) => {
      throw new WeirError(
        "TRAINER_PYTHON_MISSING",
        "fatal",
        `The trainer's Python could not be started: ${options.python}.`,
        "Run `npx weir doctor`; it names the command that installs the tools environment.",
        { cause },
      );
    });
    const quoted = lastLines.map((line) => `\n  ${line}`).join("");
    if (ended === "signal") throw new WeirError("TRAINER_STOPPED", "fatal", "Training was stopped.", "Start again.");
    if (ended === "deadline") {
      throw new WeirError(
        "TRAINER_TIMEOUT",
        "fatal",
        `Training took longer than ${deadlineMs / 1000} s and was ended. Its last lines:${quoted}`,
        "Give it more time (deadlineMs) or fewer rows.",
      );
    }
    if (exit !== 0) {
      const absent = lastLines.some((line) => line.includes("ModuleNotFoundError"));
      throw new WeirError(
        "TRAINER_FAILED",
        "fatal",
        `The trainer ended with ${exit}. Its last lines:${quoted}`,
        absent
          ? "Run `npx weir doctor`: the tools environment lacks a package."
          : `Run it by hand on ${jobFile}: python -m weir_trainer.`,
      );
    }
  } finally {
    clearTimeout(deadline);
    clearTimeout(kill);
    options.signal?.removeEventListener("abort", onAbort);
  }
}

function progressOf(line: string): TrainingProgress | null {
  try {
    const { step, model, detail } = JSON.parse(line) as Partial<TrainingProgress>;
    if (step === undefined || typeof model !== "string" || typeof detail !== "string") return null;
    return { step, model, detail };
  } catch {
    return null;
  }
}
