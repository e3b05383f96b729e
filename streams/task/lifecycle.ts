import { WeirError } from "../errors.ts";
import type { TaskStatus } from "../runnable.ts";
import type { TaskStep } from "./binding.ts";

/**
 *   created ──► claiming ──► restoring ──► running ◄──► committing
 *                  ▲             │          │   ▲            │
 *                  │             ▼          │   └─ rewinding ◄┤  an abort: back to the last progress
 *                  └───────── waiting ◄─────┴────────────────┘  fenced, unknown or broken: taken over anew
 *
 * From everywhere to stopped (asked to, or another process owns the task) and failed (the promise cannot be kept).
 */
const moves = {
  created: ["claiming", "stopped"],
  claiming: ["restoring", "waiting", "stopped", "failed"],
  restoring: ["running", "waiting", "stopped", "failed"],
  running: ["committing", "rewinding", "waiting", "stopped", "failed"],
  committing: ["running", "waiting", "stopped", "failed"],
  rewinding: ["running", "stopped", "failed"],
  waiting: ["claiming", "stopped", "failed"],
  stopped: [],
  failed: [],
} as const satisfies Record<string, readonly string[]>;

export type TaskPhase = keyof typeof moves;

/** The phase that a step belongs to; the others change nothing. */
const phaseOfStep: Partial<Record<TaskStep, TaskPhase>> = {
  T1: "claiming",
  T3: "restoring",
  T6: "running",
  C2: "committing",
  C6: "running",
};

export class Lifecycle {
  #phase: TaskPhase = "created";

  get phase(): TaskPhase {
    return this.#phase;
  }

  get state(): TaskStatus["state"] {
    const p = this.#phase;
    if (p === "stopped" || p === "failed") return p;
    return p === "running" || p === "committing" || p === "rewinding" ? "running" : "starting";
  }

  at(step: TaskStep): void {
    const phase = phaseOfStep[step];
    if (phase) this.enter(phase);
  }

  /** Throws `INTERNAL` (fatal) for a move that the table does not know. */
  enter(phase: TaskPhase): void {
    const allowed: readonly TaskPhase[] = moves[this.#phase];
    if (!allowed.includes(phase)) {
      throw new WeirError(
        "INTERNAL",
        "fatal",
        `A task went from ${this.#phase} to ${phase}, which is no legal move.`,
        "Report this with the lines of the log above it.",
      );
    }
    this.#phase = phase;
  }
}
