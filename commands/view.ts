import type { Explanation, Incident } from "../schemas/index.ts";
import type { TaskStatus } from "../streams/index.ts";

/** What a person watching a run sees. Rendering is pure; `LiveView` writes it to a terminal or as plain lines. */
export interface ViewModel {
  readonly title: string;
  readonly simulatedMs: number;
  readonly share: number;
  readonly tasks: readonly TaskStatus[];
  /** Records or events a second by stage. */
  readonly rates: ReadonlyMap<string, number>;
  readonly incidents: readonly Incident[];
  readonly explanations: ReadonlyMap<string, Explanation>;
  readonly notes: readonly string[];
}

/** Where the output is no terminal. */
const PLAIN_WIDTH = 160;
const number = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

interface StageRow {
  readonly stage: string;
  readonly in: number;
  readonly out: number;
  readonly lag: number;
  readonly states: ReadonlySet<string>;
}

function stageRows(tasks: readonly TaskStatus[]): StageRow[] {
  return [...Map.groupBy(tasks, (t) => t.stage as string)].map(([stage, own]) => {
    const sum = (of: (t: TaskStatus) => number) => own.reduce((total, t) => total + of(t), 0);
    return {
      stage,
      in: sum((t) => t.counters.in),
      out: sum((t) => t.counters.out),
      lag: sum((t) => (t.state === "running" ? t.lag : 0)),
      states: new Set(own.map((t) => t.state)),
    };
  });
}

const timeText = (ms: number): string =>
  ms > 0 ? `${new Date(ms).toISOString().slice(0, 16).replace("T", " ")}Z` : "…";
const lagText = (lag: number): string => (Number.isFinite(lag) ? number.format(Math.max(0, lag)) : "…");
const clean = (text: string): string =>
  text
    .replace(/\p{Cc}+/gu, " ")
    .replace(/\s+/g, " ")
    .trim();
const clip = (text: string, width: number): string =>
  text.length > width ? `${text.slice(0, Math.max(0, width - 1))}…` : text;

export function renderView(model: ViewModel, width: number): string[] {
  const filled = Math.round(Math.min(1, model.share) * 30);
  const lines = [
    `${model.title}   ${timeText(model.simulatedMs)}  ${"█".repeat(filled)}${"░".repeat(30 - filled)} ${Math.floor(model.share * 100)} %`,
    "",
    `${"stage".padEnd(14)}${"in".padStart(12)}${"out".padStart(12)}${"lag".padStart(9)}${"in/s".padStart(10)}`,
  ];
  for (const row of stageRows(model.tasks)) {
    const state = row.states.size === 1 && row.states.has("running") ? "" : `  ${[...row.states].join(", ")}`;
    const rate = number.format(model.rates.get(row.stage) ?? 0);
    lines.push(
      `${row.stage.padEnd(14)}${number.format(row.in).padStart(12)}${number.format(row.out).padStart(12)}${lagText(row.lag).padStart(9)}${rate.padStart(10)}${state}`,
    );
  }
  lines.push("", model.incidents.length === 0 ? "no incidents yet" : "latest incidents");
  for (const incident of model.incidents)
    lines.push(...incidentLines(incident, model.explanations.get(incident.incidentId), width));
  lines.push("", ...model.notes.map(clean));
  return lines.map((line) => clip(line, width));
}

/** One line for the incident, at most three for why it happened. */
export function incidentLines(incident: Incident, explanation: Explanation | undefined, width: number): string[] {
  const { severity, type, entityGroup, members, state, openedAtMs } = incident;
  const others = members.length > 3 ? ` and ${members.length - 3} more` : "";
  const mark = state === "resolved" ? "✓" : "●";
  const head = `${mark} ${timeText(openedAtMs)}  ${severity.padEnd(8)} ${type.padEnd(8)} ${entityGroup}: ${members.slice(0, 3).join(", ")}${others}`;
  if (!explanation) return [clip(clean(head), width)];
  const by = explanation.mode === "model" ? explanation.model : "template";
  return [
    clip(clean(head), width),
    ...wrap(clean(`${explanation.rootCause} [${by}]`), width - 4, 3).map((line) => `    ${line}`),
  ];
}

/** Breaks a text at spaces; what does not fit into the last line is cut. */
function wrap(text: string, width: number, maxLines: number): string[] {
  const lines: string[] = [];
  let rest = text;
  while (rest.length > width && lines.length < maxLines - 1) {
    const space = rest.lastIndexOf(" ", width);
    const at = space > width / 2 ? space : width;
    lines.push(rest.slice(0, at));
    rest = rest.slice(at).trimStart();
  }
  return [...lines, clip(rest, width)];
}

/** Redraws in place on a terminal; elsewhere one line every few seconds and one for each incident. */
export class LiveView {
  readonly #stream: NodeJS.WriteStream;
  readonly #seen = new Set<string>();
  #drawn = 0;
  #lastPlain = Number.NEGATIVE_INFINITY;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  draw(model: ViewModel, nowMs: number): void {
    if (this.#stream.isTTY) this.#redraw(renderView(model, this.#stream.columns || 120));
    else this.#plain(model, nowMs);
  }

  /** Leaves what was drawn last on the screen. */
  end(): void {
    this.#drawn = 0;
  }

  #redraw(lines: readonly string[]): void {
    const rows = this.#stream.rows || 40;
    const shown = lines.slice(0, rows - 1);
    const up = this.#drawn > 0 ? `\x1b[${this.#drawn}A` : "";
    this.#stream.write(`${up}${shown.map((line) => `\x1b[2K${line}`).join("\n")}\n\x1b[J`);
    this.#drawn = shown.length;
  }

  #plain(model: ViewModel, nowMs: number): void {
    for (const incident of [...model.incidents].reverse()) {
      if (this.#seen.has(incident.incidentId)) continue;
      const explanation = model.explanations.get(incident.incidentId);
      if (!explanation) continue;
      this.#seen.add(incident.incidentId);
      this.#stream.write(`${incidentLines(incident, explanation, PLAIN_WIDTH).join("\n")}\n`);
    }
    if (nowMs - this.#lastPlain < 5_000) return;
    this.#lastPlain = nowMs;
    const stages = stageRows(model.tasks).map(
      (row) => `${row.stage} ${number.format(row.in)} (lag ${lagText(row.lag)})`,
    );
    this.#stream.write(`${Math.floor(model.share * 100)} %  ${timeText(model.simulatedMs)}  ${stages.join("  ")}\n`);
  }
}
