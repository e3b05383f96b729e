import { expect, test } from "vitest";
import { rulesForHop } from "../../processors/incidents/index.ts";
import type { Anomaly } from "../../schemas/index.ts";
import { anomaly, MINUTE, Runner } from "./support.ts";

const minutesOf = (r: Runner) => r.collected.incidents.map((i) => [i.state, i.updatedAtMs / MINUTE]);

test("three anomalous windows of the last five open an incident, at the third", () => {
  //                              123456789
  expect(new Runner().play({ a: "x..xx...." }, 9)).toEqual(["open opened @5"]);
  expect(new Runner().play({ a: "xxx......" }, 9)).toEqual(["open opened @3"]);
});

test("a window six minutes back no longer counts", () => {
  //                              123456789
  expect(new Runner().play({ a: "x...xx..." }, 9)).toEqual([]);
  expect(new Runner().play({ a: "x....xx.x" }, 9)).toEqual(["open opened @9"]);
});

test("windows of different machines do not add up", () => {
  expect(new Runner().play({ a: "x.x", b: ".x.", c: "x.." }, 6)).toEqual([]);
});

test("a silent machine opens an incident at once, and that it ended in silence is said", () => {
  const r = new Runner();
  expect(r.play({ a: "s" }, 20)).toEqual(["open opened @1", "resolved silence @16"]);
  expect(r.collected.incidents[0]).toMatchObject({
    type: "silence",
    severity: "medium",
    dedupKey: "shop/silence",
    incidentId: "shop/silence/60000",
  });
});

test("an incident is resolved when it was quiet for 15 minutes, and not a minute before", () => {
  const r = new Runner();
  expect(r.play({ a: "xxx" }, 16)).toEqual(["open opened @3"]);
  r.tick(18);
  expect(minutesOf(r)).toEqual([
    ["open", 3],
    ["resolved", 18],
  ]);
  expect(r.collected.incidents[1]).toMatchObject({ resolvedAtMs: 18 * MINUTE, reason: "recovered", revision: 2 });
});

test("two of the last five windows hold an open incident, one alone does not", () => {
  //                              123456789012345678901234567890123456
  expect(new Runner().play({ a: "xxx..........x.x..................." }, 34)).toEqual([
    "open opened @3",
    "resolved recovered @31",
  ]);
  expect(new Runner().play({ a: "xxx..........x....................." }, 34)).toEqual([
    "open opened @3",
    "resolved recovered @18",
  ]);
});

test("the same trouble later is another incident under the same key", () => {
  const r = new Runner();
  //       12345678901234567890123
  r.play({ a: "xxx.................xxx" }, 24);
  const [first, , second] = r.collected.incidents;
  expect([first?.state, second?.state]).toEqual(["open", "open"]);
  expect(second?.dedupKey).toBe(first?.dedupKey);
  expect(second?.incidentId).not.toBe(first?.incidentId);
  expect(second).toMatchObject({ anomalyCount: 3, members: ["a"], revision: 1 });
});

test("a machine joins once it qualifies by itself, and new members are told at most each five minutes", () => {
  const r = new Runner();
  //                          123456789012
  const said = r.play({ a: "xxxxxxxxxxxx", b: "..xxx.......", c: "..x........." }, 12);
  expect(said).toEqual(["open opened @3", "update member @8"]);
  expect(r.collected.incidents.at(-1)?.members).toEqual(["a", "b"]);
});

test("the third member raises the severity, which is told at once", () => {
  const r = new Runner();
  //                          123456
  expect(r.play({ a: "xxxxxx", b: ".xxxxx", c: "...xxx" }, 6)).toEqual(["open opened @3", "update escalated @6"]);
  expect(r.collected.incidents.map((i) => i.severity)).toEqual(["low", "medium"]);
});

test("a join that nobody was told of is told five minutes after the last record even if nothing else happens", () => {
  const r = new Runner();
  //                          1234567890
  expect(r.play({ a: "xxx", b: ".xxx" }, 9)).toEqual(["open opened @3", "update member @8"]);
});

test("records are bounded: an hour of anomalies on one machine is told in a handful", () => {
  const r = new Runner();
  r.play({ a: "x".repeat(60) }, 60);
  expect(r.collected.incidents.map((i) => i.reason)).toEqual(["opened", "escalated"]);
  expect(r.collected.incidents[1]?.evidence.length).toBeLessThanOrEqual(20);
  r.tick(80);
  const last = r.collected.incidents.at(-1);
  expect(last).toMatchObject({ state: "resolved", anomalyCount: 60 });
  expect(last?.evidence.map((e) => e.windowEndMs / MINUTE)).toEqual(
    [...Array(10).keys()].map((i) => i + 1).concat([...Array(10).keys()].map((i) => i + 51)),
  );
});

test("an incident that turns out to have another cause as well becomes mixed, once", () => {
  const r = new Runner();
  const net = { topFeatures: [{ name: "network_in_sum", value: 1, contribution: 9 }] };
  for (const m of [1, 2, 3]) r.anomaly(anomaly("a", m));
  for (const m of [4, 5, 6]) r.anomaly(anomaly("a", m, net));
  for (const m of [7, 8, 9]) r.anomaly(anomaly("a", m));
  r.tick(10);
  expect(r.collected.incidents.map((i) => i.type)).toEqual(["cpu", "mixed"]);
  expect(r.collected.incidents[0]?.dedupKey).toBe(r.collected.incidents[1]?.dedupKey);
});

test("with windows that tumble each 15 minutes the first one opens and 45 quiet minutes close", () => {
  const r = new Runner(["score/0"], rulesForHop(15 * MINUTE));
  r.anomaly(anomaly("a", 15));
  r.tick(30);
  r.tick(60);
  expect(minutesOf(r)).toEqual([
    ["open", 15],
    ["resolved", 60],
  ]);
});

test("nothing is decided before every expected source has spoken", () => {
  const r = new Runner(["score/0", "score/1"]);
  for (const m of [1, 2, 3]) r.anomaly(anomaly("a", m));
  r.tick(30);
  expect(r.collected.incidents).toEqual([]);
  r.tick(4, "score/1");
  expect(minutesOf(r)).toEqual([["open", 3]]);
});

test("a window waits for others that end at the same time", () => {
  const r = new Runner(["score/0", "score/1"]);
  for (const m of [1, 2, 3]) r.anomaly(anomaly("a", m));
  r.tick(4);
  r.tick(3, "score/1");
  expect(r.collected.incidents).toEqual([]);
});

test("an anomaly below its own source's clock is a dead letter; the sum of outcomes is what came in", () => {
  const r = new Runner();
  r.tick(10);
  r.anomaly(anomaly("a", 9));
  r.anomaly(anomaly("a", 10));
  expect(r.collected.rejections.map((d) => d.code)).toEqual(["below_source_clock"]);
  expect(r.collected.counts).toEqual({ control: 1, accepted: 1 });
});

test("anomalies that opened nothing leave the state", () => {
  const r = new Runner();
  r.anomaly(anomaly("a", 1));
  r.tick(7);
  const keys = r.processor.stores.filter((s) => s.name !== "clocks").map((s) => s.size.keys);
  expect(keys).toEqual([0, 0, 0]);
});

test("a task restored from its stores goes on as if it had never stopped", () => {
  const picture = (m: number): Anomaly[] => (m % 4 ? [anomaly("a", m)] : [anomaly("b", m), anomaly("a", m)]);
  const whole = new Runner(["score/0", "score/1"]);
  let parts = new Runner(["score/0", "score/1"]);
  const written: unknown[] = [];
  for (let m = 1; m <= 40; m++) {
    for (const r of [whole, parts]) {
      if (m < 20) for (const a of picture(m)) r.anomaly(a);
      r.tick(m, "score/1");
      r.tick(m + 1);
    }
    if (m % 7 === 0) {
      written.push(...parts.collected.incidents);
      const next = new Runner(["score/0", "score/1"]);
      parts.processor.stores.forEach((from, i) => {
        from.flush((key, value) => next.processor.stores[i]!.restore(key, value));
        for (const [key, value] of from.entries())
          next.processor.stores[i]!.restore(key, Buffer.from(JSON.stringify(value)));
      });
      parts = next;
    }
  }
  written.push(...parts.collected.incidents);
  expect(written).toEqual(whole.collected.incidents);
  expect(written.length).toBeGreaterThan(1);
});
