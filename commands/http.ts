import { createServer, type Server } from "node:http";
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import type { Runnable, TaskStatus } from "../streams/index.ts";

/**
 * `/healthz` (200 while every task runs, else 503 with those that do not) and `/metrics` of one process.
 *
 * All numbers come from the tasks' own status at the time of the scrape: there is no second book-keeping.
 */
export async function serveHealth(
  runnables: readonly Runnable[],
  host: string,
  port: number,
): Promise<{ url: string; close(): Promise<void> }> {
  const registry = metricsOf(() => runnables.flatMap((r) => r.status()));
  const server: Server = createServer(async (request, response) => {
    const path = request.url?.split("?")[0];
    if (path === "/metrics")
      response.writeHead(200, { "content-type": registry.contentType }).end(await registry.metrics());
    else if (path === "/healthz") {
      // A shard comes to its end by being split, merged or left out.
      const isWell = (t: TaskStatus) => t.state === "running" || (t.source !== undefined && t.state === "stopped");
      const ill = runnables.flatMap((r) => r.status()).filter((t) => !isWell(t));
      const body = JSON.stringify({
        ok: ill.length === 0,
        notRunning: ill.map((t) => `${t.stage}/${t.partition}: ${t.state}${t.problem ? `: ${t.problem}` : ""}`),
      });
      response.writeHead(ill.length === 0 ? 200 : 503, { "content-type": "application/json" }).end(`${body}\n`);
    } else response.writeHead(404, { "content-type": "text/plain" }).end("Try /healthz or /metrics.\n");
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, host, resolve));
  const address = server.address() as { port: number };
  return {
    url: `http://${host}:${address.port}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** Longer than a shard takes to be called idle, a poll and a commit; shorter than anybody wants to wait for windows. */
const SOURCE_STALLED_MS = 120_000;

function metricsOf(status: () => readonly TaskStatus[]): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const labelNames = ["stage", "partition"] as const;
  const gauge = (name: string, help: string, of: (t: TaskStatus) => number) =>
    new Gauge({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset();
        for (const t of status())
          if (Number.isFinite(of(t))) this.set({ stage: t.stage, partition: t.partition }, of(t));
      },
    });
  gauge("weir_task_running", "1 while the task runs.", (t) => (t.state === "running" ? 1 : 0));
  gauge("weir_task_lag", "Input records not yet committed; for a shard, milliseconds behind its tip.", (t) => t.lag);
  gauge(
    "weir_task_watermark_seconds",
    "Event time up to which the task has seen its input.",
    (t) => t.watermarkMs / 1_000,
  );
  const ofSource = (of: (s: NonNullable<TaskStatus["source"]>) => number) => (t: TaskStatus) =>
    t.source ? of(t.source) : Number.NaN;
  gauge(
    "weir_source_age_seconds",
    "Since the newest committed record of the shard arrived.",
    ofSource((s) => s.ageMs / 1_000),
  );
  gauge(
    "weir_source_stalled_seconds",
    "How long the shard's clock has held the watermark without moving; 0 while it is idle.",
    ofSource((s) => s.stalledMs / 1_000),
  );
  gauge(
    "weir_source_stalled",
    `1 once that has lasted ${SOURCE_STALLED_MS / 1_000} s.`,
    ofSource((s) => (s.stalledMs >= SOURCE_STALLED_MS ? 1 : 0)),
  );
  gauge("weir_task_state_bytes", "Memory that the task's stores hold, estimated.", (t) => t.stateBytes);
  new Gauge({
    name: "weir_source_clock_seconds",
    help: "Event time of each source that is not idle: the lowest holds the watermark.",
    labelNames: [...labelNames, "source"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { stage, partition, clocks } of status()) {
        for (const [source, { clockMs, idle }] of Object.entries(clocks?.sources ?? {}))
          if (!idle) this.set({ stage, partition, source }, clockMs / 1_000);
      }
    },
  });
  new Gauge({
    name: "weir_task_figure",
    help: "What the stage tells of itself, by name; since the task began where it counts.",
    labelNames: [...labelNames, "name"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { stage, partition, figures } of status()) {
        for (const [name, value] of Object.entries(figures ?? {})) this.set({ stage, partition, name }, value);
      }
    },
  });
  new Counter({
    name: "weir_transactions_total",
    help: "Transactions that the task has committed.",
    labelNames,
    registers: [registry],
    collect() {
      this.reset();
      for (const { stage, partition, transactions } of status()) {
        if (transactions !== undefined) this.inc({ stage, partition }, transactions);
      }
    },
  });
  new Counter({
    name: "weir_events_total",
    help: "Input events by what became of them, committed with the task's progress.",
    labelNames: [...labelNames, "outcome"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { stage, partition, counters } of status()) {
        for (const [outcome, events] of Object.entries(counters)) {
          if (outcome !== "in") this.inc({ stage, partition, outcome }, events);
        }
      }
    },
  });
  return registry;
}
