import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type ArmHealth,
  type ArmScores,
  type LadderFacts,
  type LadderName,
  type LadderState,
  ladders,
  nextStep,
  startLadder,
  sumClusters,
} from "../../trainer/experiments/index.ts";

const MINUTE = 60_000;
const healthy: ArmHealth = { rows: 3000, errors: 0, requests: 400, slowRequests: 0, scores: null };
const at = (state: LadderState, challenger: Partial<ArmHealth> = {}, rest: Partial<LadderFacts> = {}): LadderFacts => ({
  sinceMs: state.stepStartedMs,
  challenger: { ...healthy, ...challenger },
  champion: { ...healthy, rows: 20_000, requests: 2_000 },
  alerts: [],
  ...rest,
});
/** The weights in force, minute by minute, until the ladder is over. */
function climb(name: LadderName, factsAt: (state: LadderState, minute: number) => LadderFacts): number[] {
  let state = startLadder(name, 0);
  const weights = [state.weightPercent];
  for (let minute = 1; state.status === "running" && minute < 200; minute++) {
    state = nextStep(state, factsAt(state, minute), minute * MINUTE).state;
    weights.push(state.weightPercent);
  }
  return weights;
}

test("the normal ladder climbs 10, 30, 50, 100 percent in steps of ten minutes and ends at exactly 100", () => {
  const weights = climb("normal", (state) => at(state));
  expect(weights).toHaveLength(41);
  expect([0, 9, 10, 19, 20, 29, 30, 40].map((minute) => weights[minute])).toEqual([10, 10, 30, 30, 50, 50, 100, 100]);
});

test("the emergency ladder climbs 5, 20, 50, 100 percent in steps of five minutes", () => {
  const weights = climb("emergency", (state) => at(state));
  expect(weights).toHaveLength(21);
  expect([0, 4, 5, 9, 10, 14, 15, 20].map((minute) => weights[minute])).toEqual([5, 5, 20, 20, 50, 50, 100, 100]);
});

test("every ladder only rises and ends at exactly 100", () => {
  for (const { weights } of Object.values(ladders)) {
    expect(weights).toEqual([...new Set(weights)].sort((a, b) => a - b));
    expect(weights.at(-1)).toBe(100);
  }
});

test("both ladders are looked at each minute, and no more once they are over", () => {
  for (const name of ["normal", "emergency"] as const) {
    const state = startLadder(name, 500);
    expect(nextStep(state, at(state), 500 + MINUTE).nextLookMs).toBe(500 + 2 * MINUTE);
    const back = nextStep(state, at(state, {}, { alerts: ["ModelServerDown"] }), 500 + MINUTE);
    expect(back.nextLookMs).toBeNull();
    expect(nextStep(back.state, at(back.state), 500 + 9 * MINUTE)).toMatchObject({ action: "none", state: back.state });
  }
});

const first = startLadder("normal", 0);

test("no step ends below 1,000 scored rows: it holds, and is inconclusive once its time is over", () => {
  expect(nextStep(first, at(first, { rows: 999 }), 9 * MINUTE)).toMatchObject({ action: "hold", inconclusive: false });
  const late = nextStep(first, at(first, { rows: 999 }), 60 * MINUTE);
  expect(late).toMatchObject({ action: "hold", reasons: ["rows"], inconclusive: true, state: first });
  expect(nextStep(first, at(first, { rows: 1000 }), 60 * MINUTE).action).toBe("advance");
});

test("a step ends at its time and is still held one millisecond before", () => {
  expect(nextStep(first, at(first), 10 * MINUTE - 1)).toMatchObject({ action: "hold", reasons: ["time"] });
  expect(nextStep(first, at(first), 10 * MINUTE).action).toBe("advance");
});

test("however late the look, one step is climbed, and the new step has its whole time before it", () => {
  const { state } = nextStep(first, at(first), 500 * MINUTE);
  expect(state).toMatchObject({ step: 1, weightPercent: 30, stepStartedMs: 500 * MINUTE });
  expect(nextStep(state, at(state), 509 * MINUTE).action).toBe("hold");
});

test("an error rate of 1 percent rolls back, one row less does not", () => {
  const champion = { ...healthy, rows: 1000, errors: 9 };
  const look = (errors: number) => nextStep(first, at(first, { rows: 1000, errors }, { champion }), MINUTE);
  expect(look(10)).toMatchObject({
    action: "rollback",
    reasons: ["error-rate"],
    state: { status: "rolled-back", weightPercent: 0 },
  });
  expect(look(9).action).toBe("hold");
});

test("a P95 of 1000 ms rolls back: more than a twentieth of the requests slow", () => {
  const champion = { ...healthy, requests: 200, slowRequests: 10 };
  const look = (slowRequests: number) =>
    nextStep(first, at(first, { requests: 200, slowRequests }, { champion }), MINUTE);
  expect(look(11)).toMatchObject({ action: "rollback", reasons: ["slow"] });
  expect(look(10).action).toBe("hold");
});

test("a firing alert rolls back", () => {
  const decision = nextStep(first, at(first, {}, { alerts: ["TritonDown"] }), MINUTE);
  expect(decision).toMatchObject({ action: "rollback", reasons: ["alert"], shared: false });
});

test("few rows: two errors in a hundred may be chance, a model that fails always is withdrawn at the first look", () => {
  expect(
    nextStep(first, at(first, { rows: 100, errors: 2 }, { champion: { ...healthy, rows: 0 } }), MINUTE).action,
  ).toBe("hold");
  expect(nextStep(first, at(first, { rows: 20, errors: 20 }), MINUTE)).toMatchObject({
    action: "rollback",
    reasons: ["error-rate", "error-rate-above-champion"],
  });
});

test("a P95 of few requests above the limit holds the step, and one below lets it pass", () => {
  const none = { champion: { ...healthy, requests: 0 } };
  const slow = nextStep(first, at(first, { requests: 40, slowRequests: 3 }, none), 10 * MINUTE);
  expect(slow).toMatchObject({ action: "hold", reasons: ["requests"], inconclusive: true });
  expect(nextStep(first, at(first, { requests: 40, slowRequests: 2 }, none), 10 * MINUTE).action).toBe("advance");
});

test("relative harm: errors below 1 percent roll back where the champion has hardly any in the same window", () => {
  const champion = { ...healthy, rows: 20_000, errors: 4 };
  const decision = nextStep(first, at(first, { errors: 24 }, { champion }), MINUTE);
  expect(decision).toMatchObject({ action: "rollback", reasons: ["error-rate-above-champion"], shared: false });
});

test("relative harm: slow requests below P95 roll back where the champion has hardly any", () => {
  const champion = { ...healthy, requests: 2_000, slowRequests: 2 };
  const decision = nextStep(first, at(first, { slowRequests: 16 }, { champion }), MINUTE);
  expect(decision).toMatchObject({ action: "rollback", reasons: ["slower-than-champion"] });
});

test("a fault that both arms have withdraws the challenger but is not laid at its door", () => {
  const champion = { ...healthy, rows: 20_000, errors: 420 };
  expect(nextStep(first, at(first, { errors: 60 }, { champion }), MINUTE)).toMatchObject({
    action: "rollback",
    reasons: ["error-rate"],
    shared: true,
  });
  expect(nextStep(first, at(first, { errors: 60 }), MINUTE).shared).toBe(false);
});

const scores = (entities: number, hits: number, histogram: number[]): ArmScores => ({
  histogram,
  flagged: sumClusters(Array.from({ length: entities }, () => ({ rows: 100, hits }))),
});

test("before labels: a flood of alerts rolls back, another score distribution holds for people to judge", () => {
  const champion = { ...healthy, rows: 20_000, scores: scores(30, 2, [2000, 940, 60]) };
  const look = (challenger: ArmScores) => nextStep(first, at(first, { scores: challenger }, { champion }), 10 * MINUTE);
  expect(look(scores(30, 2, [1990, 950, 60])).action).toBe("advance");
  expect(look(scores(30, 20, [1500, 900, 600]))).toMatchObject({ action: "rollback", reasons: ["alert-rate"] });
  expect(look(scores(30, 2, [600, 2340, 60]))).toMatchObject({
    action: "hold",
    reasons: ["score-distribution"],
    inconclusive: true,
  });
});

test("at 100 percent the champion has no rows left and the limits still hold", () => {
  const last: LadderState = { ...first, step: 3, weightPercent: 100 };
  const champion = { rows: 0, errors: 0, requests: 0, slowRequests: 0, scores: null };
  expect(nextStep(last, at(last, {}, { champion }), 10 * MINUTE)).toMatchObject({
    action: "complete",
    state: { status: "done", weightPercent: 100 },
  });
  expect(nextStep(last, at(last, { errors: 30 }, { champion }), 9 * MINUTE).state.weightPercent).toBe(0);
});

test("counts of another step, impossible counts and a look before the step are refused together", () => {
  const facts = at(first, { errors: 4000, requests: 0.5 }, { sinceMs: 1 });
  expect(() => nextStep(first, facts, -1)).toThrow(
    expect.objectContaining({
      code: "LADDER_FACTS_INVALID",
      message: expect.stringMatching(/counted since 1.*before the step.*whole number.*4000 errors in 3000/s),
    }),
  );
});

test("whatever happens: the weight is one of the ladder's or 0, never falls but to 0, and never rises on harm", () => {
  const arm = fc.record({
    rows: fc.integer({ min: 0, max: 5000 }),
    bad: fc.double({ min: 0, max: 0.03, noNaN: true }),
    requests: fc.integer({ min: 0, max: 500 }),
    slow: fc.double({ min: 0, max: 0.1, noNaN: true }),
  });
  const health = ({ rows, bad, requests, slow }: { rows: number; bad: number; requests: number; slow: number }) => ({
    rows,
    errors: Math.floor(rows * bad),
    requests,
    slowRequests: Math.floor(requests * slow),
    scores: null,
  });
  const look = fc.record({
    challenger: arm,
    champion: arm,
    minutes: fc.integer({ min: 0, max: 30 }),
    alert: fc.nat(20),
  });
  fc.assert(
    fc.property(
      fc.constantFrom<LadderName>("normal", "emergency"),
      fc.array(look, { maxLength: 12 }),
      (name, looks) => {
        let state = startLadder(name, 0);
        let nowMs = 0;
        for (const { challenger, champion, minutes, alert } of looks) {
          nowMs += minutes * MINUTE;
          const alerts = alert === 0 ? ["one"] : [];
          const facts = {
            sinceMs: state.stepStartedMs,
            challenger: health(challenger),
            champion: health(champion),
            alerts,
          };
          const { action, state: after } = nextStep(state, facts, nowMs);
          expect([0, ...ladders[name].weights]).toContain(after.weightPercent);
          if (after.weightPercent < state.weightPercent) expect(action).toBe("rollback");
          if (action === "advance" || action === "complete") {
            expect(facts.challenger.rows).toBeGreaterThanOrEqual(1000);
            expect(facts.challenger.errors / facts.challenger.rows).toBeLessThan(0.01);
            expect(alerts).toEqual([]);
          }
          state = after;
        }
      },
    ),
  );
});
