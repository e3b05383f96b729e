import { expect, test } from "vitest";
import { renderView, type ViewModel } from "../../commands/view.ts";
import type { Explanation, Incident } from "../../schemas/index.ts";
import { noCounters, stageName } from "../../streams/index.ts";

const incident = {
  incidentId: "a",
  dedupKey: "a",
  state: "open",
  revision: 1,
  entityGroup: "checkout",
  members: ["i-1", "i-2", "i-3", "i-4"],
  severity: "high",
  type: "cpu",
  openedAtMs: Date.UTC(2026, 0, 5, 10),
  updatedAtMs: 0,
  resolvedAtMs: null,
  reason: "opened",
  maxScore: 1,
  anomalyCount: 3,
  topFeatures: [],
  evidence: [],
} satisfies Incident;
const task = (stage: string, partition: number, lag: number) => ({
  stage: stageName(stage),
  partition: String(partition),
  state: "running" as const,
  lag,
  watermarkMs: 0,
  counters: { ...noCounters(), in: 1_000, out: 10 },
  stateBytes: 0,
});
const model = (over: Partial<ViewModel>): ViewModel => ({
  title: "4 instances",
  simulatedMs: Date.UTC(2026, 0, 5, 10),
  share: 0.5,
  tasks: [],
  rates: new Map(),
  incidents: [],
  explanations: new Map(),
  notes: [],
  ...over,
});

test("a stage is one row over all its partitions: what came in and went out, how far behind, how fast", () => {
  const lines = renderView(
    model({ tasks: [task("features", 0, 2), task("features", 1, 3)], rates: new Map([["features", 1_234]]) }),
    120,
  );
  expect(lines.find((l) => l.startsWith("features"))).toMatch(/^features\s+2,000\s+20\s+5\s+1,234$/);
});

test("a stage that does not run says so instead of looking caught up", () => {
  const lines = renderView(model({ tasks: [{ ...task("score", 0, 0), state: "failed" }] }), 120);
  expect(lines.find((l) => l.startsWith("score"))).toContain("failed");
});

test("an incident names its machines and its explanation, and no line is wider than the terminal", () => {
  const rootCause = `CPU rose on four machines ${"and so did everything else ".repeat(20)}`;
  const explanation = { incidentId: "a", mode: "template", rootCause } as Explanation;
  const lines = renderView(model({ incidents: [incident], explanations: new Map([["a", explanation]]) }), 80);
  const at = lines.findIndex((l) => l.includes("checkout: i-1, i-2, i-3 and 1 more"));
  expect(lines[at + 1]).toContain("CPU rose on four machines");
  expect(Math.max(...lines.map((l) => l.length))).toBeLessThanOrEqual(80);
});

test("control characters of names and texts never reach the terminal", () => {
  const hostile = { ...incident, entityGroup: "pay\u001b[2Jments" };
  const explanation = {
    incidentId: "a",
    mode: "model",
    model: "m\u0007",
    rootCause: "bad\u001b]0;title\u0007 text",
  } as Explanation;
  const lines = renderView(
    model({ incidents: [hostile], explanations: new Map([["a", explanation]]), notes: ["note \u001b[31mred"] }),
    100,
  );
  for (const line of lines) expect(line).not.toMatch(/\p{Cc}/u);
});
