import { formatWithOptions } from "node:util";

/** Tells a person what is going on. Calls about one task: begin, then done or failed. */
export interface Progress {
  begin(task: string): void;
  done(task: string, detail?: string): void;
  failed(task: string): void;
  note(text: string): void;
  /** Ends the display; call it before anything else is written to the same stream. */
  close(): void;
}

export const silentProgress: Progress = {
  begin() {},
  done() {},
  failed() {},
  note() {},
  close() {},
};

interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

/**
 * Progress on a stream. On a terminal the running tasks stand in one line that is painted anew every second, with
 * elapsed seconds; elsewhere each start and end is a plain line.
 */
export function createProgress(out: Output = process.stderr): Progress {
  const running = new Map<string, number>();
  const live = out.isTTY === true;
  let timer: NodeJS.Timeout | undefined;
  let painted = false;

  const wipe = () => {
    if (painted) out.write("\r\u001b[K");
    painted = false;
  };
  const paint = () => {
    if (!live) return;
    wipe();
    if (running.size === 0) return;
    const tasks = [...running].map(([task, since]) => `${task} ${Math.round((performance.now() - since) / 1000)} s`);
    out.write(`  … ${tasks.join(", ")}`.slice(0, (out.columns || 80) - 1));
    painted = true;
  };
  const line = (text: string) => {
    wipe();
    out.write(`${text}\n`);
    paint();
  };
  const end = (task: string, mark: string, detail: string) => {
    const since = running.get(task);
    running.delete(task);
    const took = since === undefined ? "" : seconds(performance.now() - since);
    line(formatWithOptions({}, "  %s %s %s  %s", mark, task.padEnd(14), took.padStart(8), detail).trimEnd());
    if (running.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };

  return {
    begin(task) {
      running.set(task, performance.now());
      if (live) {
        timer ??= setInterval(paint, 1_000).unref();
        paint();
      } else line(`  . ${task}`);
    },
    done: (task, detail = "") => end(task, "✓", detail),
    failed: (task) => end(task, "✗", ""),
    note: line,
    close() {
      clearInterval(timer);
      timer = undefined;
      wipe();
    },
  };
}
