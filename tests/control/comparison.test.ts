import { describe, expect, test } from "vitest";
import { explainDecisions } from "../../control/index.ts";
import { addRow, noSums, readVerdict, verdictAt, verdictOf, withVerdict } from "../../control/tally.ts";
import type { Label } from "../../schemas/index.ts";
import { sumClusters } from "../../trainer/index.ts";
import { fleet, Lab, MINUTE, type Says, T } from "./support.ts";

/** Every tenth machine is in trouble. */
const inTrouble = (entity: string): boolean => Number(entity.slice(2)) % 10 === 0;
const right: Says = (entity) => ({ score: inTrouble(entity) ? 0.95 : 0.2 });
/** Misses every other machine in trouble and flags some that are well; flags as many as `right`. */
const poor: Says = (entity) => {
  const n = Number(entity.slice(2));
  return { score: n % 20 === 0 || n % 20 === 5 ? 0.95 : 0.2 };
};
const entities = fleet(400);

function labelAll(l: Lab, minute: number, delayMinutes: number): void {
  for (const entity of entities) {
    const windowEndMs = T + minute * MINUTE;
    const knownAtMs = windowEndMs + delayMinutes * MINUTE;
    const rest = { author: "ann", source: "test", modelVersion: "", note: "" };
    l.labels.push({ entity, windowEndMs, anomalous: inTrouble(entity), knownAtMs, ...rest } satisfies Label);
  }
}

const compared = (champion: Says, challenger: Says, more: object = {}): Lab => {
  const l = new Lab({ "a/1": champion, "b/1": champion, "a/2": challenger });
  l.minute(entities);
  l.startComparison(more);
  for (let minute = 2; minute <= 7; minute++) labelAll(l, minute, 3);
  for (let i = 0; i < 80 && !l.decisions.at(-1)!.ended; i++) l.minute(entities);
  return l;
};

test("a challenger that labels show to be better is promoted to all of the traffic", () => {
  const l = compared(poor, right);
  expect(l.decisions.at(-1)).toMatchObject({ kind: "verdict", action: "promote", reasons: ["better"], ended: true });
  expect(l.arms).toBe("a/2 100");
  expect(explainDecisions(l.decisions).every((e) => e.again === null || e.again.equal)).toBe(true);
});

test("a worse one is kept out, and what was before comes back", () => {
  const l = compared(right, poor, { weightPercent: 50 });
  expect(l.decisions.at(-1)).toMatchObject({ kind: "verdict", action: "keep", reasons: ["worse"], ended: true });
  expect(l.arms).toBe("a/1 70, b/1 30");
});

test("between equal ones nothing is said before the final look, and then what the rows can bear", () => {
  const l = compared(right, right);
  const last = l.decisions.at(-1)!;
  expect(last.ended).toBe(true);
  expect(["keep", "inconclusive"]).toContain(last.action);
  expect(last.atMs).toBeGreaterThanOrEqual(T + 62 * MINUTE);
  expect(l.arms).toBe("a/1 70, b/1 30");
});

test("without a single label the final look is inconclusive and says so", () => {
  const l = new Lab({ "a/1": right, "b/1": right, "a/2": right });
  l.minute(entities);
  l.startComparison();
  for (let i = 0; i < 80 && !l.decisions.at(-1)!.ended; i++) l.minute(entities);
  expect(l.decisions.at(-1)).toMatchObject({ action: "inconclusive", reasons: ["labels-missing"] });
});

test("labels count from the time on that they were known, for the arm that scored the row", () => {
  const l = new Lab({ "a/1": poor, "b/1": poor, "a/2": right });
  l.minute(entities);
  l.startComparison({ leastRows: 1_000_000 });
  labelAll(l, 3, 5);
  labelAll(l, 1, 0); // before the experiment
  const outcomesAt = () => JSON.parse(l.decisions.at(-1)!.record).facts.outcomes;
  l.minutes(6, entities);
  expect(outcomesAt()).toBeNull();
  l.minute(entities);
  const { champion, challenger, paired, unlabelled } = outcomesAt();
  expect(champion.rows + challenger.rows).toBe(400);
  expect(challenger.hits).toBe(challenger.rows);
  expect(champion.hits).toBeLessThan(champion.rows);
  expect(paired.rows).toBe(400);
  expect(unlabelled).toBe(7 * 400 - 400);
});

test("a paired comparison judges rows that both scored", () => {
  const l = compared(poor, right, { compare: "paired" });
  expect(l.decisions.at(-1)).toMatchObject({ action: "promote", reasons: ["better"] });
});

test("where the other arm was not asked there are no paired rows", () => {
  const l = new Lab({ "a/1": poor, "b/1": poor, "a/2": right });
  l.asksBoth = false;
  l.minute(entities);
  l.startComparison({ leastRows: 1_000_000 });
  labelAll(l, 3, 0);
  l.minutes(5, entities);
  const { champion, challenger, paired } = JSON.parse(l.decisions.at(-1)!.record).facts.outcomes;
  expect([champion.rows + challenger.rows, paired.rows]).toEqual([400, 0]);
});

test("a challenger that labels show to be better but that alerts far more often is for people to judge", () => {
  const blind: Says = () => ({ score: 0.2 });
  const l = compared(blind, right, { weightPercent: 50, leastRows: 1_000 });
  expect(l.decisions.at(-1)).toMatchObject({
    kind: "verdict",
    action: "inconclusive",
    reasons: ["better", "alert-rate"],
  });
});

test("rows scored after the experiment's time do not count, whatever is awaited of labels", () => {
  const l = new Lab({ "a/1": right, "b/1": right, "a/2": right });
  l.minute(entities);
  l.startComparison({ durationMs: 10 * MINUTE, labelDelayMs: 20 * MINUTE });
  for (let i = 0; i < 80 && !l.decisions.at(-1)!.ended; i++) l.minute(entities);
  const last = l.decisions.at(-1)!;
  expect(last.atMs).toBe(T + 32 * MINUTE);
  const { scores } = JSON.parse(last.record).facts;
  expect(scores.champion.flagged.rows + scores.challenger.flagged.rows).toBe(10 * 400);
});

test("a challenger that fails is withdrawn from a comparison too", () => {
  const l = new Lab({ "a/1": right, "b/1": right, "a/2": () => null });
  l.minute(entities);
  l.startComparison();
  for (let i = 0; i < 80 && !l.decisions.at(-1)!.ended; i++) l.minute(entities);
  expect(l.decisions.at(-1)).toMatchObject({
    kind: "ladder",
    action: "rollback",
    reasons: expect.arrayContaining(["error-rate"]),
  });
});

describe("what is kept of a row", () => {
  test("is its verdict and the other arm's, an hour together, each in its minute", () => {
    for (const flagged of [true, false])
      for (const otherFlagged of [true, false, null])
        expect(readVerdict(verdictOf(flagged, otherFlagged))).toEqual({ flagged, otherFlagged });
    const hour = withVerdict(withVerdict(undefined, T + 59 * MINUTE, "3"), T, "1");
    expect(hour.length).toBe(60);
    expect([T, T + MINUTE, T + 59 * MINUTE].map((at) => verdictAt(hour, at))).toEqual(["1", null, "3"]);
    expect(verdictAt(undefined, T)).toBeNull();
  });

  test("adds up row by row to the sums that all rows together give", () => {
    const entityRows = [[1, 0, 1, 1], [0, 0], [1]];
    let sums = noSums;
    for (const rows of entityRows) {
      rows.forEach((hit, i) => {
        const hits = rows.slice(0, i).reduce((a, b) => a + b, 0);
        sums = addRow(sums, { rows: i, hits }, hit as 0 | 1);
      });
    }
    const clusters = entityRows.map((rows) => ({ rows: rows.length, hits: rows.reduce((a, b) => a + b, 0) }));
    expect(sums).toEqual(sumClusters(clusters));
  });
});
