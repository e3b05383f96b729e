import { expect, test } from "vitest";
import { isGood, type LoadReport, reportPage } from "./report.ts";
import { arrivals, drive, figuresOf, type Phase, percentile } from "./schedule.ts";

const phase: Phase = { name: "10 users", users: 10, seconds: 60, ramp: false, requestsPerSecond: 2.77 };

test("ten users make 27.7 requests a second, each at its own even pace, the same for the same seed", () => {
  const due = arrivals(phase);
  expect(Math.abs(due.length - 27.7 * 60)).toBeLessThanOrEqual(10);
  expect(due).toEqual(arrivals(phase));
  expect(due.map((a) => a.atMs)).toEqual(due.map((a) => a.atMs).sort((a, b) => a - b));
  const own = due.filter((a) => a.user === 3).map((a) => a.atMs);
  for (const [i, at] of own.slice(1).entries()) expect(at - own[i]!).toBeCloseTo(1_000 / 2.77, 6);
});

test("in a ramp users come one after the other, and the last third has all of them", () => {
  const due = arrivals({ ...phase, users: 50, ramp: true });
  const first = Array.from({ length: 50 }, (_, user) => due.find((a) => a.user === user)!.atMs);
  for (let user = 0; user < 50; user++) {
    expect(first[user]!).toBeGreaterThanOrEqual(800 * user);
    expect(first[user]!).toBeLessThan(800 * user + 400);
  }
});

test("a server that stands still is seen by every request due meanwhile, not by one: no omission is coordinated", async () => {
  const due = Array.from({ length: 100 }, (_, i) => ({ atMs: i * 5, user: 0 }));
  // A fake that answers nobody before its sixtieth request has come, which is due after 295 ms.
  let come = 0;
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const samples = await drive(due, async () => {
    if (++come === 60) release();
    await held;
  });
  expect([samples.length, come]).toEqual([100, 100]);
  for (const { dueMs, latencyMs } of samples.slice(0, 60)) expect(latencyMs).toBeGreaterThanOrEqual(294 - dueMs);
});

test("a request that fails counts, with the time it took and its fault", async () => {
  const samples = await drive(
    [0, 1, 2, 3].map((atMs) => ({ atMs, user: atMs })),
    async (user) => {
      if (user === 1) throw new Error("HTTP 503");
      if (user === 2) throw Object.assign(new Error("gone"), { code: "ECONNRESET" });
    },
  );
  const figures = figuresOf(samples, 1);
  expect(figures).toMatchObject({ requests: 4, failed: 2, errorPercent: 50, faults: { "HTTP 503": 1, ECONNRESET: 1 } });
  expect(isGood(figures)).toBe(false);
});

test("percentiles are those of the nearest rank", () => {
  const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
  expect([0.5, 0.95, 0.99, 1].map((share) => percentile(hundred, share))).toEqual([50, 95, 99, 100]);
  expect(percentile([7], 0.5)).toBe(7);
  const samples = hundred.map((ms) => ({ dueMs: ms * 50, latencyMs: ms, fault: null }));
  const { meanMs, p50Ms, p95Ms, p99Ms, maxMs, series } = figuresOf(samples, 5);
  expect([meanMs, p50Ms, p95Ms, p99Ms, maxMs]).toEqual([50.5, 50, 95, 99, 100]);
  expect(series.map((s) => s.second)).toEqual([0, 1, 2, 3, 4, 5]);
});

test("the report is one page that loads nothing, shows every phase and escapes what it is given", () => {
  const figures = figuresOf([{ dueMs: 0, latencyMs: 1_200, fault: "<script>" }], 1);
  const report: LoadReport = {
    startedAt: "2026-01-05T00:00:00Z",
    conditions: { cores: 2 },
    phases: [{ phase, target: "edge", figures }],
    passed: false,
  };
  const page = reportPage(report);
  expect(page).toMatch(/NOT within[\s\S]*10 users[\s\S]*1200[\s\S]*<svg/);
  expect(page).not.toMatch(/<script|https?:\/\//);
});
