import { expect, test } from "vitest";
import { joinLabels, type RowLabel, type ScoredRow } from "../../trainer/experiments/index.ts";

const row = (entity: string, windowEndMs: number, flagged: boolean, more: Partial<ScoredRow> = {}): ScoredRow => ({
  entity,
  windowEndMs,
  flagged,
  arm: "champion",
  otherFlagged: null,
  ...more,
});
const label = (entity: string, windowEndMs: number, anomalous: boolean, knownAtMs = 100): RowLabel => ({
  entity,
  windowEndMs,
  anomalous,
  knownAtMs,
});

test("a label counts for the arm that scored the row, and rows without one are counted apart", () => {
  const rows = [row("a", 1, true), row("b", 1, false, { arm: "challenger" }), row("b", 2, true, { arm: "challenger" })];
  const outcomes = joinLabels(rows, [label("a", 1, true), label("b", 1, true)], 100);
  expect(outcomes.champion).toMatchObject({ clusters: 1, rows: 1, hits: 1 });
  expect(outcomes.challenger).toMatchObject({ clusters: 1, rows: 1, hits: 0 });
  expect(outcomes.unlabelled).toBe(1);
});

test("a label that is known later does not count yet; of several the newest known counts, whatever their order", () => {
  const labels = [label("a", 1, false, 50), label("a", 1, true, 10), label("a", 1, true, 90)];
  const rightAt = (asOfMs: number) => joinLabels([row("a", 1, true)], labels, asOfMs).champion.hits;
  expect([10, 49, 50, 89, 90].map(rightAt)).toEqual([1, 1, 0, 0, 1]);
  expect(joinLabels([row("a", 1, true)], labels, 9).unlabelled).toBe(1);
});

test("a row that was replayed counts once", () => {
  const outcomes = joinLabels([row("a", 1, true), row("a", 1, true)], [label("a", 1, true)], 100);
  expect(outcomes.champion.rows).toBe(1);
});

test("shadow rows are paired from the challenger's side, whichever arm's verdict counted", () => {
  const rows = [
    row("a", 1, true, { otherFlagged: false }), // champion alone right
    row("a", 2, false, { otherFlagged: true }), // challenger alone right
    row("b", 1, true, { arm: "challenger", otherFlagged: false }), // challenger alone right
    row("b", 2, true, { arm: "challenger", otherFlagged: true }), // both
    row("b", 3, true),
  ];
  const labels = rows.map((r) => label(r.entity, r.windowEndMs, true));
  const outcomes = joinLabels(rows, labels, 100);
  expect(outcomes).toMatchObject({ championOnly: 1, challengerOnly: 2 });
  expect(outcomes.paired).toMatchObject({ clusters: 2, rows: 4, hits: 1 });
});
