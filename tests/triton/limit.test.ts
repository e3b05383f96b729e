import { describe, expect, test } from "vitest";
import { ConcurrencyLimit, Gate } from "../../triton/client/limit.ts";

interface Phase {
  /** Calls the server works on at once; the others wait there. */
  readonly workers: number;
  readonly serviceMs: number;
  readonly calls: number;
  /** Calls beyond this are refused. */
  readonly queue?: number;
}

/**
 * A server in simulated time with a client that always has more to send. Returns per phase, over its second half, the
 * calls answered a second, the mean time of an answer and the limit at its end.
 */
function simulate(limit: ConcurrencyLimit, phases: readonly Phase[]) {
  let nowMs = 0;
  const flying: { doneMs: number; sentMs: number; inFlight: number }[] = [];
  let free: number[] = [];
  return phases.map(({ workers, serviceMs, calls, queue = Number.POSITIVE_INFINITY }) => {
    free = Array.from({ length: workers }, (_, i) => free[i] ?? nowMs);
    let sent = 0;
    let refused = 0;
    let measured = { answers: 0, sumMs: 0, fromMs: 0 };
    while (sent < calls) {
      while (flying.length < limit.limit && sent < calls) {
        sent++;
        if (sent === calls >> 1) measured = { answers: 0, sumMs: 0, fromMs: nowMs };
        if (flying.length >= workers + queue) {
          refused++;
          limit.overloaded();
          break;
        }
        free.sort((a, b) => a - b);
        const doneMs = Math.max(nowMs, free[0]!) + serviceMs;
        free[0] = doneMs;
        flying.push({ doneMs, sentMs: nowMs, inFlight: flying.length + 1 });
      }
      flying.sort((a, b) => a.doneMs - b.doneMs);
      const done = flying.shift()!;
      nowMs = done.doneMs;
      measured.answers++;
      measured.sumMs += nowMs - done.sentMs;
      limit.answered(nowMs - done.sentMs, done.inFlight);
    }
    const perSecond = (measured.answers * 1_000) / (nowMs - measured.fromMs);
    return { perSecond, meanMs: measured.sumMs / measured.answers, limit: limit.limit, refused };
  });
}

describe("the limit on calls in flight", () => {
  test.each([
    [1, 2],
    [4, 5],
    [16, 3],
    [32, 20],
  ])("finds what keeps %i workers busy, and sends little more", (workers, serviceMs) => {
    const [run] = simulate(new ConcurrencyLimit(), [{ workers, serviceMs, calls: 20_000 }]);
    expect(run!.perSecond).toBeGreaterThan(0.97 * ((workers * 1_000) / serviceMs));
    expect(run!.limit).toBeLessThanOrEqual(workers + 12);
    expect(run!.meanMs).toBeLessThan(serviceMs * (1 + 12 / workers));
  });

  test("gives way when the server loses workers, and takes them up again", () => {
    const many = { workers: 16, serviceMs: 4, calls: 20_000 };
    const [before, few, after] = simulate(new ConcurrencyLimit(), [many, { ...many, workers: 2 }, many]);
    expect(before!.limit).toBeGreaterThanOrEqual(16);
    expect(few!.limit).toBeLessThanOrEqual(14);
    expect(few!.perSecond).toBeGreaterThan(0.97 * 500);
    expect(after!.perSecond).toBeGreaterThan(0.97 * 4_000);
  });

  test("is not driven up for ever by a model that has become slower for good", () => {
    const [, slow] = simulate(new ConcurrencyLimit(), [
      { workers: 4, serviceMs: 2, calls: 5_000 },
      { workers: 4, serviceMs: 40, calls: 20_000 },
    ]);
    expect(slow!.perSecond).toBeGreaterThan(0.97 * 100);
    expect(slow!.limit).toBeLessThanOrEqual(14);
  });

  test("stays within what a server with a short queue accepts: few calls are refused", () => {
    const [run] = simulate(new ConcurrencyLimit(), [{ workers: 2, serviceMs: 2, calls: 20_000, queue: 2 }]);
    expect(run!.refused).toBeLessThan(0.05 * 20_000);
    expect(run!.perSecond).toBeGreaterThan(0.8 * 1_000);
  });

  test("does not grow while the caller asks for less, and never passes 64 or falls under 1", () => {
    const idle = new ConcurrencyLimit();
    for (let i = 0; i < 10_000; i++) idle.answered(5, 1);
    expect(idle.limit).toBe(4);
    const busy = new ConcurrencyLimit();
    for (let i = 0; i < 8_000; i++) busy.answered(5, busy.limit);
    expect(busy.limit).toBe(64);
    for (let i = 0; i < 100; i++) {
      busy.overloaded();
      busy.answered(5, 1);
    }
    expect(busy.limit).toBe(1);
  });

  test("halves once for calls that fail together", () => {
    const limit = new ConcurrencyLimit();
    for (let i = 0; i < 8; i++) limit.answered(5, 1);
    expect(limit.limit).toBe(4);
    for (let i = 0; i < 4; i++) limit.overloaded();
    expect(limit.limit).toBe(2);
  });
});

describe("the gate", () => {
  test("lets in as many as the limit, the others in their order as soon as one leaves", async () => {
    const gate = new Gate();
    const order: number[] = [];
    const entered = Array.from({ length: 5 }, (_, i) => gate.enter(10_000).then(() => order.push(i)));
    await Promise.all(entered.slice(0, 2));
    expect(order).toEqual([0, 1]);
    gate.leave();
    gate.leave();
    await Promise.all(entered.slice(0, 4));
    expect(order).toEqual([0, 1, 2, 3]);
    expect(gate.inFlight).toBe(2);
    gate.leave();
    await entered[4];
  });

  test("lets go of who waited too long or was called off, and of nobody else", async () => {
    const gate = new Gate();
    for (let i = 0; i < 2; i++) await gate.enter(1_000);
    const stop = new AbortController();
    const called = gate.enter(10_000, stop.signal);
    const late = gate.enter(1);
    const patient = gate.enter(10_000);
    stop.abort(new Error("stopping"));
    await expect(called).rejects.toThrow("stopping");
    expect(await late).toBe(false);
    gate.leave();
    expect(await patient).toBe(true);
    expect(gate.inFlight).toBe(2);
  });

  test("refuses whom it cannot keep waiting", async () => {
    const gate = new Gate();
    for (let i = 0; i < 2; i++) await gate.enter(1_000);
    const stop = new AbortController();
    const waiting = Array.from({ length: 4_096 }, () => gate.enter(10_000, stop.signal).catch(() => "called off"));
    await expect(gate.enter(10_000)).rejects.toEqual(expect.objectContaining({ code: "MODEL_SERVER_OVERLOADED" }));
    stop.abort();
    await Promise.all(waiting);
  });
});
