import { expect, test } from "vitest";
import { explainDecisions } from "../../control/index.ts";
import { fleet, Lab, MINUTE, routing, type Says, T } from "./support.ts";

const calm: Says = (entity) => ({ score: (Number(entity.slice(2)) % 100) / 200 });
/** Flags every fifth row, where the champion flags none. */
const flooding: Says = (entity) => ({ score: Number(entity.slice(2)) % 5 === 0 ? 0.99 : 0.1 });
const lab = (challenger: Says, options = {}) => new Lab({ "a/1": calm, "b/1": calm, "a/2": challenger }, options);
const actions = (of: Lab) => of.decisions.map((d) => d.action);
const changes = (of: Lab) => of.decisions.filter((d) => !["hold", "continue"].includes(d.action));

test("a good challenger climbs 10, 30, 50, 100 percent in four steps of ten minutes and then has all", () => {
  const l = lab(calm);
  l.minute(fleet(1_500));
  expect(l.startCanary()).toMatchObject({ kind: "started", routingVersion: 2, request: "c1", author: "ann" });
  const shares: string[] = [l.arms];
  for (let i = 0; i < 60 && !l.decisions.at(-1)!.ended; i++) {
    l.minute(fleet(1_500));
    if (shares.at(-1) !== l.arms) shares.push(l.arms);
  }
  expect(shares).toEqual(["a/1 90, a/2 10", "a/1 70, a/2 30", "a/1 50, a/2 50", "a/1 0, a/2 100", "a/2 100"]);
  expect(changes(l).map((d) => d.action)).toEqual(["start", "advance", "advance", "advance", "complete"]);
  const steps = changes(l).map((d) => d.atMs);
  for (const [i, at] of steps.slice(1).entries()) expect(at - steps[i]!).toBeGreaterThanOrEqual(10 * MINUTE);
  expect(l.newest).toMatchObject({ mode: "split", experiment: "", salt: "s", author: "control" });
});

test("each step's rows are counted anew: no step ends below 1,000 of its own", () => {
  const l = lab(calm);
  l.minute(fleet(300));
  l.startCanary();
  l.minutes(25, fleet(300));
  expect(l.arms).toBe("a/1 90, a/2 10");
  expect(l.decisions.at(-1), "people should know").toMatchObject({ action: "hold", reasons: ["rows", "inconclusive"] });
  for (let i = 0; i < 300 && changes(l).length < 3; i++) l.minute(fleet(300));
  const rowsAt = changes(l)
    .slice(1)
    .map((d) => JSON.parse(d.record).facts.challenger.rows as number);
  expect(rowsAt[0]).toBeGreaterThanOrEqual(1_000);
  expect(rowsAt[0]).toBeLessThan(1_100);
  expect(rowsAt[1]).toBeGreaterThanOrEqual(1_000);
  expect(rowsAt[1]).toBeLessThan(1_200);
});

test.each<[string, string, Says]>([
  ["floods people with alerts", "alert-rate", flooding],
  ["gives no answers", "error-rate", () => null],
  ["is served by the fallback", "error-rate", (entity) => ({ ...calm(entity, 0)!, fallback: true })],
  ["is slow", "slow", (entity) => ({ ...calm(entity, 0)!, latencyMs: 1_500 })],
])("a challenger that %s is withdrawn by itself, and what was before comes back", (_what, reason, says) => {
  const l = lab(says);
  l.minute(fleet(1_500));
  l.startCanary();
  for (let i = 0; i < 200 && !l.decisions.at(-1)!.ended; i++) l.minute(fleet(1_500));
  expect(l.decisions.at(-1)).toMatchObject({
    action: "rollback",
    ended: true,
    reasons: expect.arrayContaining([reason]),
  });
  expect(l.arms).toBe("a/1 70, b/1 30");
  expect(l.newest).toMatchObject({ mode: "split", salt: "s", experiment: "" });
  const before = l.decisions.length;
  l.minutes(15, fleet(1_500));
  expect(l.decisions.length, "an experiment that is over is not looked at").toBe(before);
});

test("errors bring a rollback at the first look after the rows are scored, not at the step's end", () => {
  const l = lab(() => null);
  l.minute(fleet(1_500));
  const startedMs = l.startCanary().atMs;
  l.minutes(4, fleet(1_500));
  expect(l.decisions.at(-1)).toMatchObject({ action: "rollback" });
  expect(l.decisions.at(-1)!.atMs - startedMs).toBe(2 * MINUTE);
});

test("an alert withdraws the challenger with the next report; one that is over does not", () => {
  const l = lab(calm);
  l.minute(fleet(100));
  l.startCanary();
  l.minutes(3, fleet(100));
  l.command({ action: "alert", alert: "HighErrorRate", firing: true } as never);
  l.command({ action: "alert", alert: "HighErrorRate", firing: false } as never);
  l.minutes(2, fleet(100));
  expect(l.decisions.at(-1)!.action).toBe("hold");
  l.command({ action: "alert", alert: "HighErrorRate", firing: true } as never);
  l.minute(fleet(100));
  expect(l.decisions.at(-1)).toMatchObject({ action: "rollback", reasons: ["alert"] });
});

test("before every partition has spoken no time has passed: nothing can begin", () => {
  const l = lab(calm);
  l.minute(fleet(100), { partitions: [0] });
  expect(l.startCanary()).toMatchObject({ kind: "refused", reasons: ["no scored row has been seen yet"] });
  l.minute(fleet(100));
  expect(l.startCanary().kind).toBe("started");
});

test("an experiment spreads the entities anew, by its own name", () => {
  const l = lab(calm);
  l.minute(fleet(100));
  l.startCanary();
  expect(l.newest).toMatchObject({ salt: "try", mode: "canary", experiment: "try", labelledUntilMs: 0 });
});

test("each step is counted from the window on that its version takes effect with", () => {
  const l = lab(calm);
  l.minute(fleet(1_500));
  l.startCanary();
  l.minutes(30, fleet(1_500));
  const steps = l.decisions.filter((d) => d.kind === "ladder" && JSON.parse(d.record).before.step > 0);
  expect(steps.length).toBeGreaterThan(5);
  for (const { record, routingVersion, action } of steps) {
    if (action !== "hold") continue;
    const inForce = l.table.versions().find((v) => v.version === routingVersion)!;
    expect(JSON.parse(record).facts.sinceMs).toBe(inForce.effectiveFromMs);
  }
});

test("rows of an experiment that is over are forgotten ten minutes later", () => {
  const l = lab(calm);
  l.minute(fleet(100));
  l.startCanary();
  l.minutes(3, fleet(100));
  l.command({ action: "keep", reason: "" });
  l.minutes(10, fleet(100));
  expect(l.reported).toEqual([2]);
  l.minutes(3, fleet(100));
  expect(l.reported).toEqual([]);
});

test("time is the slowest partition's: a look waits for its report", () => {
  const l = lab(calm);
  l.minute(fleet(100));
  l.startCanary();
  l.minutes(3, fleet(100));
  const looks = l.decisions.length;
  for (let i = 0; i < 5; i++) l.minute(fleet(100), { partitions: [0] });
  expect(l.decisions.length).toBe(looks);
});

test("a person's verdict ends it: promote gives all, keep brings back what was before", () => {
  for (const [action, arms] of [
    ["promote", "a/2 100"],
    ["keep", "a/1 70, b/1 30"],
  ] as const) {
    const l = lab(calm);
    l.minute(fleet(100));
    l.startCanary();
    l.minute(fleet(100));
    const said = l.command({ action, reason: "seen enough" });
    expect(said).toMatchObject({ kind: "operator", action, ended: true, reasons: ["seen enough"], author: "ann" });
    expect(l.arms).toBe(arms);
  }
});

test("a routing version written by somebody else stays in force and ends the experiment", () => {
  const l = lab(calm);
  l.minute(fleet(100));
  l.startCanary();
  l.minute(fleet(100));
  l.table.offer(routing({ version: 3, effectiveFromMs: l.nowMs, author: "bob" }));
  l.minute(fleet(100));
  expect(l.decisions.at(-1)).toMatchObject({ kind: "interrupted", ended: true, reasons: ["routing version 3 by bob"] });
  expect(l.newest.version).toBe(3);
});

test("of two records of one version the first stands; if that is not the experiment's own, it ends", () => {
  const l = lab(calm);
  l.minute(fleet(100));
  const offer = l.table.offer.bind(l.table);
  l.table.offer = (config) =>
    config.author === "control" ? offer(routing({ version: 2, author: "bob" })) : offer(config);
  l.startCanary();
  l.minute(fleet(100));
  expect(l.decisions.at(-1)).toMatchObject({ kind: "interrupted", reasons: ["routing version 2 by bob"] });
});

test("a start is refused with every reason named", () => {
  const l = lab(calm);
  const refused = (said: unknown) => (said as { kind: string; reasons: string[] }).reasons.join("; ");
  expect(refused(l.startCanary({ challenger: "c/9" }))).toBe(
    "no scored row has been seen yet; c/9 is not in the model repository",
  );
  l.minute(fleet(10));
  expect(refused(l.startCanary({ challenger: "a/1" }))).toBe("champion and challenger are the same");
  expect(l.newest.version).toBe(1);
  expect(l.startCanary().kind).toBe("started");
  expect(refused(l.startCanary({ experiment: "second" }))).toBe("experiment try is still running");
  expect(refused(l.command({ action: "keep", experiment: "second", reason: "" }))).toBe(
    "experiment second is not running",
  );
  l.command({ action: "keep", reason: "" });
  expect(refused(l.startCanary())).toBe("there was an experiment try before; give another name");
  expect(l.startCanary({ experiment: "second" })).toMatchObject({ kind: "started", routingVersion: 4 });
});

test("a command that cannot be read is a dead letter with every fault named, and nothing else happens", () => {
  const l = lab(calm);
  l.raw("{");
  l.raw(JSON.stringify({ action: "start-canary", id: "1", author: "ann", experiment: "Not Good", challenger: "a" }));
  expect(l.rejected.map((r) => r.code)).toEqual(["command_invalid", "command_invalid"]);
  expect(l.rejected[1]!.reason).toMatch(/experiment must be.*challenger must be.*champion must be.*ladder is/);
  expect(l.decisions).toEqual([]);
});

test("a task that is thrown away and restored after every minute decides the same", () => {
  const runs = [false, true].map((restoring) => {
    const l = lab(calm, { restoring });
    l.minute(fleet(1_500));
    l.startCanary();
    l.minutes(48, fleet(1_500));
    return l.decisions;
  });
  expect(actions({ decisions: runs[0]! } as Lab)).toContain("complete");
  expect(runs[1]).toEqual(runs[0]);
});

test("spread over one or five partitions the fleet's sums, and with them the decisions, are the same", () => {
  const runs = [1, 5].map((partitions) => {
    const l = lab(flooding, { partitions });
    l.minute(fleet(1_500));
    l.startCanary();
    l.minutes(30, fleet(1_500));
    return l.decisions.map(({ action, reasons, record }) => ({
      action,
      reasons,
      flagged: JSON.parse(record).facts?.challenger.scores,
    }));
  });
  // Requests are counted a batch, of which more partitions make more; rows and entities are not.
  expect(runs[1]).toEqual(runs[0]);
});

test("every decision made by rule comes out the same when it is made again from its record; a changed record does not", () => {
  const l = lab(flooding);
  l.minute(fleet(1_500));
  l.startCanary();
  l.minutes(20, fleet(1_500));
  const explained = explainDecisions(l.decisions);
  expect(explained.filter((e) => e.again !== null).length).toBeGreaterThan(1);
  expect(explained.every((e) => e.again === null || e.again.equal)).toBe(true);
  const last = l.decisions.at(-1)!;
  const forged = { ...last, record: last.record.replace(/"alerts":\[\]/, '"alerts":["HighErrorRate"]') };
  expect(forged.record).not.toBe(last.record);
  expect(explainDecisions([forged])[0]!.again).toMatchObject({ equal: false });
  expect(explainDecisions([{ ...last, action: "hold" }])[0]!.again!.differences).toEqual(["action"]);
});

test("rows are counted from the window on that the version takes effect with, under that version alone", () => {
  const l = lab(calm);
  l.minute(fleet(1_500));
  l.startCanary();
  l.minutes(3, fleet(1_500));
  const facts = JSON.parse(l.decisions.at(-1)!.record).facts;
  // Effective from minute 2; looked at in minute 4.
  expect(facts.sinceMs).toBe(T + 2 * MINUTE);
  expect(facts.challenger.rows + facts.champion.rows).toBe(3 * 1_500);
});

test("what was written last counts though the topic was not read up to it: a withdrawn challenger does not come back", () => {
  const l = lab(calm);
  l.minute(fleet(100));
  l.startCanary();
  l.read = l.newest;
  l.command({ action: "keep", reason: "" } as never);
  l.startCanary({ experiment: "next" });
  l.command({ action: "keep", experiment: "next", reason: "" } as never);
  expect(l.arms).toBe("a/1 70, b/1 30");
  expect(l.newest).toMatchObject({ mode: "split", salt: "s", version: 5 });
});
