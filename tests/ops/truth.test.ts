import fc from "fast-check";
import { expect, test } from "vitest";
import { evaluateTruth, type TruthIncident, truthSlackMs } from "../../ops/index.ts";

const minute = 60_000;
const trouble = (more: Partial<TruthIncident> = {}): TruthIncident => ({
  entity: "i-1",
  entityGroup: "web",
  kind: "cpu",
  startMs: 100 * minute,
  endMs: 130 * minute,
  ...more,
});
const incident = (more: object = {}) => ({
  incidentId: "x",
  revision: 1,
  entityGroup: "web",
  members: ["i-1"],
  openedAtMs: 105 * minute,
  updatedAtMs: 110 * minute,
  resolvedAtMs: 120 * minute,
  ...more,
});

test("an incident of the entity that overlaps the trouble finds it, and the delay runs from the trouble's start", () => {
  expect(evaluateTruth([incident()], [trouble()], 2)).toEqual({
    incidents: 1,
    found: 1,
    falseAlerts: 0,
    falseAlertsPerMachineDay: 0,
    medianDelayMs: 5 * minute,
    perKind: { cpu: { incidents: 1, found: 1 } },
  });
});

test("an incident of the group alone finds it too, but the entity's own is what counts for the delay", () => {
  const ofGroup = incident({ members: ["i-2"], openedAtMs: 101 * minute });
  expect(evaluateTruth([ofGroup], [trouble()], 1)).toMatchObject({ found: 1, medianDelayMs: minute });
  const own = incident({ incidentId: "y" });
  expect(evaluateTruth([ofGroup, own], [trouble()], 1)).toMatchObject({ found: 1, medianDelayMs: 5 * minute });
});

test("trouble may show up to 15 minutes after its end, and not a millisecond later", () => {
  const opened = (openedAtMs: number) => incident({ openedAtMs, updatedAtMs: openedAtMs, resolvedAtMs: null });
  const last = 130 * minute + truthSlackMs;
  expect(evaluateTruth([opened(last)], [trouble()], 1)).toMatchObject({ found: 1, falseAlerts: 0 });
  expect(evaluateTruth([opened(last + 1)], [trouble()], 1)).toMatchObject({ found: 0, falseAlerts: 1 });
});

test("an incident resolved before the trouble began does not find it", () => {
  expect(
    evaluateTruth([incident({ resolvedAtMs: 100 * minute - 1, openedAtMs: 90 * minute })], [trouble()], 1),
  ).toMatchObject({
    found: 0,
    falseAlerts: 1,
  });
});

test("an incident of another group is a false alert, counted per machine-day", () => {
  const other = incident({ entityGroup: "db", members: ["d-1"] });
  expect(evaluateTruth([other], [trouble()], 4)).toMatchObject({
    found: 0,
    falseAlerts: 1,
    falseAlertsPerMachineDay: 0.25,
  });
});

test("revisions of one incident are one incident, as it stands last", () => {
  const revisions = [incident({ revision: 3 }), incident({ revision: 2, resolvedAtMs: 1, openedAtMs: 0 })];
  expect(evaluateTruth(revisions, [], 1)).toMatchObject({ falseAlerts: 1 });
  expect(evaluateTruth(revisions, [trouble()], 1)).toMatchObject({ found: 1, falseAlerts: 0 });
});

test("trouble of several kinds is told apart", () => {
  const truth = [trouble(), trouble({ kind: "disk", entity: "i-9", entityGroup: "batch" })];
  expect(evaluateTruth([incident()], truth, 1).perKind).toEqual({
    cpu: { incidents: 1, found: 1 },
    disk: { incidents: 1, found: 0 },
  });
});

test("nothing known and nothing found is an empty report", () => {
  expect(evaluateTruth([], [], 0)).toEqual({
    incidents: 0,
    found: 0,
    falseAlerts: 0,
    falseAlertsPerMachineDay: 0,
    medianDelayMs: null,
    perKind: {},
  });
});

test("the order of the incidents changes nothing", () => {
  const any = fc.record({
    incidentId: fc.constantFrom("a", "b", "c"),
    entityGroup: fc.constantFrom("web", "db"),
    openedAtMs: fc.integer({ min: 80, max: 160 }).map((m) => m * minute),
  });
  fc.assert(
    fc.property(fc.array(any, { maxLength: 8 }), (list) => {
      const incidents = list.map((i, revision) =>
        incident({ ...i, revision, resolvedAtMs: null, updatedAtMs: i.openedAtMs }),
      );
      const report = evaluateTruth(incidents, [trouble()], 1);
      expect(evaluateTruth(incidents.toReversed(), [trouble()], 1)).toEqual(report);
      expect(report.found).toBeLessThanOrEqual(report.incidents);
    }),
  );
});
