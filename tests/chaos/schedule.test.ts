import { expect, test } from "vitest";
import { roles, stageRoles } from "../../commands/roles.ts";
import { crew, Deck, draw, kinds, members, pointsOf, rolesOf } from "./schedule.ts";

test("a run's faults follow from its seed alone", () => {
  expect(draw(7, 50)).toEqual(draw(7, 50));
  expect(draw(7, 50)).not.toEqual(draw(8, 50));
});

test.each([20, 100, 1_000])("at least half of %d faults stand at named points", (count) => {
  const faults = draw(3, count);
  expect(faults).toHaveLength(count);
  expect(faults.filter((f) => f.kind === "point").length).toBeGreaterThanOrEqual(count / 2);
});

test("a hundred and fifty faults are of every kind and meet every named point", () => {
  const faults = draw(5, 150);
  expect(new Set(faults.map((f) => f.kind))).toEqual(new Set(kinds));
  const met = new Set(faults.flatMap((f) => (f.kind === "point" ? [`${f.stage} ${f.step}`] : [])));
  const all = Object.values(crew).flatMap((stages) =>
    stages.flatMap((s) => pointsOf[s]!.map((step) => `${s} ${step}`)),
  );
  expect(all.filter((point) => !met.has(point))).toEqual([]);
});

test("every stage of the pipeline from Kinesis can be killed, in one process each, by its role", () => {
  expect(Object.values(rolesOf).flat().sort()).toEqual([...stageRoles].sort());
  const named = stageRoles.flatMap((role) => roles[role].stages.map((stage) => stage.name as string));
  expect(Object.values(crew).flat().sort()).toEqual(named.sort());
  expect(Object.keys(pointsOf).sort()).toEqual(named.sort());
});

test("what a member is scaled to is drawn of all but the bridge", () => {
  const scaled = new Set(draw(2, 200, ["scale"]).map((fault) => fault.kind === "scale" && fault.member));
  expect(scaled).toEqual(new Set(members.filter((member) => member !== "bridge")));
});

test("only the kinds asked for are drawn", () => {
  expect(new Set(draw(1, 30, ["kill", "broker"]).map((f) => f.kind))).toEqual(new Set(["kill", "broker"]));
});

test("each fault of a deck comes once, and one that was not met is made up for by another of its kind", () => {
  const deck = new Deck(4, 30);
  const drawn = Array.from({ length: 30 }, () => deck.next(() => true)!);
  expect(drawn).toEqual(draw(4, 30));
  expect(deck.next(() => true)).toBeUndefined();
  const point = drawn.find((fault) => fault.kind === "point")!;
  deck.replace(point);
  deck.replace(point);
  expect([deck.next(() => true)?.kind, deck.next(() => true)?.kind]).toEqual(["point", "point"]);
  expect(deck.next(() => true)).toBeUndefined();
});

test("a lane takes the first fault that is its own and leaves the others", () => {
  const deck = new Deck(4, 30);
  const kills = draw(4, 30).filter((fault) => fault.kind === "kill");
  expect(deck.next((fault) => fault.kind === "kill")).toEqual(kills[0]);
  expect(deck.next((fault) => fault.kind === "kill")).toEqual(kills[1]);
  expect(deck.next((fault) => fault.kind !== "kill")).toEqual(draw(4, 30).find((fault) => fault.kind !== "kill"));
});
