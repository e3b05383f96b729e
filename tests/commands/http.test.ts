import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { serveHealth } from "../../commands/http.ts";
import { noCounters, type Runnable, stageName, type TaskStatus } from "../../streams/index.ts";

const stage = stageName("features");
const task = (partition: string, more: Partial<TaskStatus> = {}): TaskStatus => ({
  stage,
  partition,
  state: "running",
  lag: 0,
  watermarkMs: 0,
  counters: noCounters(),
  stateBytes: 0,
  ...more,
});

let tasks: TaskStatus[] = [];
let server: Awaited<ReturnType<typeof serveHealth>>;

beforeEach(async () => {
  const runnable: Runnable = {
    failed: new Promise<never>(() => undefined),
    start: async () => undefined,
    stop: async () => undefined,
    status: () => tasks,
  };
  server = await serveHealth([runnable], "127.0.0.1", 0);
});
afterEach(() => server.close());

const metrics = async () => await (await fetch(`${server.url}/metrics`)).text();
const value = (text: string, line: string) => {
  const found = text.split("\n").find((l) => l.startsWith(`${line} `));
  return found && Number(found.slice(line.length + 1));
};

describe("/metrics", () => {
  test("tells of each task its lag, watermark, memory, events and transactions, as its status has them now", async () => {
    tasks = [task("0", { lag: 7, watermarkMs: 90_000, stateBytes: 1_234, transactions: 3 }), task("1")];
    const labels = 'stage="features",partition="0"';
    let text = await metrics();
    expect(value(text, `weir_task_running{${labels}}`)).toBe(1);
    expect(value(text, `weir_task_lag{${labels}}`)).toBe(7);
    expect(value(text, `weir_task_watermark_seconds{${labels}}`)).toBe(90);
    expect(value(text, `weir_task_state_bytes{${labels}}`)).toBe(1_234);
    expect(value(text, `weir_transactions_total{${labels}}`)).toBe(3);
    tasks = [
      task("0", { transactions: 5, counters: { ...noCounters(), in: 9, accepted: 4, late: 2, dead: 1, duplicate: 2 } }),
    ];
    text = await metrics();
    expect(value(text, `weir_transactions_total{${labels}}`)).toBe(5);
    for (const [outcome, events] of Object.entries({ accepted: 4, late: 2, dead: 1, duplicate: 2, control: 0 }))
      expect(value(text, `weir_events_total{${labels},outcome="${outcome}"}`)).toBe(events);
    // A partition that went to another process is not told of any more.
    expect(text).not.toContain('partition="1"');
  });

  test("tells of a shard how old its newest record is, and whether it stalls", async () => {
    tasks = [
      task("shard-0", { source: { ageMs: 4_000, stalledMs: 0 } }),
      task("shard-1", { source: { ageMs: 130_000, stalledMs: 125_000 } }),
    ];
    const text = await metrics();
    const of = (name: string, shard: string) => value(text, `${name}{stage="features",partition="${shard}"}`);
    expect(of("weir_source_age_seconds", "shard-0")).toBe(4);
    expect(of("weir_source_stalled", "shard-0")).toBe(0);
    expect(of("weir_source_stalled_seconds", "shard-1")).toBe(125);
    expect(of("weir_source_stalled", "shard-1")).toBe(1);
  });

  test("tells the clock of each source that holds the watermark, of idle ones not", async () => {
    const sources = { "logs@1/a": { clockMs: 60_000, idle: false }, "logs@1/b": { clockMs: 1_000, idle: true } };
    tasks = [task("0", { clocks: { sources, watermarkMs: 60_000 } as NonNullable<TaskStatus["clocks"]> })];
    const text = await metrics();
    expect(value(text, 'weir_source_clock_seconds{stage="features",partition="0",source="logs@1/a"}')).toBe(60);
    expect(text).not.toContain('source="logs@1/b"');
  });

  test("what is not known yet is left out instead of being made up", async () => {
    tasks = [task("0", { lag: Number.POSITIVE_INFINITY })];
    expect(await metrics()).not.toMatch(/^weir_task_lag\{/m);
  });

  test("tells of the process what memory it holds", async () => {
    expect(value(await metrics(), "process_resident_memory_bytes")).toBeGreaterThan(1e6);
  });
});

describe("/healthz", () => {
  test("is well while every task runs, and else names those that do not, with what ails them", async () => {
    tasks = [task("0"), task("1")];
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    tasks = [task("0"), task("1", { state: "failed", problem: "Taken over by x." })];
    const ill = await fetch(`${server.url}/healthz`);
    expect(ill.status).toBe(503);
    expect(await ill.json()).toEqual({ ok: false, notRunning: ["features/1: failed: Taken over by x."] });
  });

  test("a shard that has ended is well", async () => {
    tasks = [task("shard-0", { state: "stopped", source: { ageMs: 0, stalledMs: 0 } })];
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    tasks = [task("0", { state: "stopped" })];
    expect((await fetch(`${server.url}/healthz`)).status).toBe(503);
  });
});
