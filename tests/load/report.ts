import type { Figures, Phase } from "./schedule.ts";

export interface PhaseResult {
  readonly phase: Phase;
  readonly target: string;
  readonly figures: Figures;
}

export interface LoadReport {
  readonly startedAt: string;
  readonly conditions: Readonly<Record<string, string | number>>;
  readonly phases: readonly PhaseResult[];
  /** R43: mean under 500 ms, P95 under 1,000 ms, errors under 1 %. */
  readonly passed: boolean;
}

export const isGood = ({ meanMs, p95Ms, errorPercent }: Figures): boolean =>
  meanMs < 500 && p95Ms < 1_000 && errorPercent < 1;

const escaped = (text: string): string => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const [WIDTH, HEIGHT, LEFT] = [720, 180, 48];

/** A line chart of a phase, second by second: P50 and P95, and the requests beneath. */
function chart({ series }: Figures): string {
  const last = Math.max(1, ...series.map((s) => s.second));
  const top = Math.max(1, ...series.map((s) => s.p95Ms)) * 1.1;
  const most = Math.max(1, ...series.map((s) => s.requests));
  const x = (second: number) => LEFT + ((WIDTH - LEFT) * second) / last;
  const y = (ms: number) => HEIGHT - (HEIGHT * ms) / top;
  const line = (of: (s: Figures["series"][number]) => number) =>
    series.map((s) => `${x(s.second).toFixed(1)},${y(of(s)).toFixed(1)}`).join(" ");
  const bars = series.map((s) => {
    const height = (40 * s.requests) / most;
    return `<rect x="${(x(s.second) - 2).toFixed(1)}" y="${(HEIGHT + 60 - height).toFixed(1)}" width="4" height="${height.toFixed(1)}"/>`;
  });
  const ticks = [0, 0.5, 1].map(
    (share) =>
      `<text x="${LEFT - 6}" y="${(y(top * share) + 4).toFixed(1)}" text-anchor="end">${(top * share).toFixed(top < 10 ? 1 : 0)}</text>`,
  );
  return `<svg viewBox="0 -10 ${WIDTH + 10} ${HEIGHT + 90}" role="img" aria-label="latency by second">
<g class="grid">${[0, 0.5, 1].map((s) => `<line x1="${LEFT}" x2="${WIDTH}" y1="${y(top * s).toFixed(1)}" y2="${y(top * s).toFixed(1)}"/>`).join("")}</g>
<g class="ticks">${ticks.join("")}<text x="${LEFT}" y="${HEIGHT + 76}">0 s</text><text x="${WIDTH}" y="${HEIGHT + 76}" text-anchor="end">${last} s</text><text x="${LEFT - 6}" y="${HEIGHT + 30}" text-anchor="end">${most}/s</text></g>
<g class="bars">${bars.join("")}</g><polyline class="p95" points="${line((s) => s.p95Ms)}"/><polyline class="p50" points="${line((s) => s.p50Ms)}"/></svg>`;
}

/** One page that loads nothing from elsewhere. */
export function reportPage({ startedAt, conditions, phases, passed }: LoadReport): string {
  const rows = phases.map(({ phase, target, figures: f }) => {
    const cells = [
      phase.name,
      target,
      f.requests,
      f.requestsPerSecond,
      f.meanMs,
      f.p50Ms,
      f.p95Ms,
      f.p99Ms,
      f.maxMs,
      `${f.errorPercent} %`,
    ];
    return `<tr class="${isGood(f) ? "good" : "bad"}">${cells.map((cell) => `<td>${escaped(String(cell))}</td>`).join("")}</tr>`;
  });
  const charts = phases.map(
    ({ phase, target, figures }) =>
      `<h2>${escaped(phase.name)}, ${escaped(target)}</h2><p>Milliseconds by second: <b class="k50">P50</b>, <b class="k95">P95</b>; beneath, requests a second.</p>${chart(figures)}${
        Object.keys(figures.faults).length > 0 ? `<p>Faults: ${escaped(JSON.stringify(figures.faults))}</p>` : ""
      }`,
  );
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Load test ${escaped(startedAt)}</title>
<style>body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}table{border-collapse:collapse;width:100%}
td,th{padding:.3rem .6rem;text-align:right;border-bottom:1px solid #ddd}td:nth-child(-n+2),th:nth-child(-n+2){text-align:left}.bad td{color:#b00020;font-weight:600}
svg{width:100%}polyline{fill:none;stroke-width:1.6}.p50{stroke:#1565c0}.p95{stroke:#c2570c}.k50{color:#1565c0}.k95{color:#c2570c}.grid line{stroke:#e3e3e3}.bars rect{fill:#9aa5b1}text{font-size:11px;fill:#555}</style>
<h1>Load test: ${passed ? "within" : "NOT within"} the limits</h1>
<p>${escaped(startedAt)}. Limits: mean under 500 ms, P95 under 1,000 ms, errors under 1 %. Latency counts from the moment a request was due (open loop): no waiting is left out.</p>
<table><thead><tr>${["phase", "target", "requests", "a second", "mean ms", "P50", "P95", "P99", "max", "errors"].map((h) => `<th>${h}</th>`).join("")}</tr></thead><tbody>${rows.join("")}</tbody></table>
${charts.join("\n")}
<h2>Conditions</h2><ul>${Object.entries(conditions)
    .map(([name, value]) => `<li>${escaped(name)}: ${escaped(String(value))}</li>`)
    .join("")}</ul></html>
`;
}
