import { afterEach, describe, expect, test } from "vitest";
import { acceptGap, type BridgeOptions, excludeSource } from "../../sources/index.ts";
import { clockRecord, codecs, fastTime, logRecord, PARTITIONS, T0, topics, until, World } from "./harness.ts";

let worlds: World[] = [];
const newWorld = (...shards: string[]): World => {
  const world = new World();
  worlds.push(world);
  for (const shard of shards) world.kinesis.add(shard);
  return world;
};
afterEach(async () => {
  await Promise.all(worlds.map((w) => w.close()));
  worlds = [];
});

/** Runs a bridge until the condition holds, then stops it. */
async function run(world: World, holds: () => boolean, options: Partial<BridgeOptions> = {}) {
  const bridge = world.bridge(options);
  await bridge.start();
  await until("the bridge is through", holds);
  await bridge.stop();
}
const hour = 3_600_000;

describe("a quiet shard", () => {
  test("by arrival: silence counts from the last record's arrival, not from the start of the process", async () => {
    const world = newWorld("quiet", "never");
    world.kinesis.put("quiet", logRecord("web-1", ["1"]), T0);
    const tuning = { idleAfterMs: 10 * hour };
    await run(world, () => world.signs(0, "idle").length === 2, { clockMode: "arrival", tuning });
    expect(world.row("quiet")).toMatchObject({ idle: true });
  });

  test("that was called idle is idle still after a restart, without a word", async () => {
    const world = newWorld("quiet");
    world.kinesis.put("quiet", logRecord("web-1", ["1"]), T0);
    await run(world, () => world.signs(0, "idle").length === 1, { clockMode: "arrival" });
    const takenOver = () => world.row("quiet")!.counters.takeOvers === 2;
    const reads = { count: 0 };
    world.kinesis.fault = (call) => (call === "records" && takenOver() ? void reads.count++ : undefined);
    await run(world, () => takenOver() && reads.count > 3, { clockMode: "arrival" });
    expect(world.signs(0, "idle").length).toBe(1);
    expect(world.row("quiet")).toMatchObject({ idle: true });
  });
});

test("while Kinesis does not answer, the lag grows, the log says why and says when it is over", async () => {
  const world = newWorld("s0");
  world.kinesis.put("s0", clockRecord(T0));
  const bridge = world.bridge();
  await bridge.start();
  await until("it is at the tip", () => bridge.status()[0]!.lag === 0);
  world.kinesis.fault = () => "KINESIS_UNAVAILABLE";
  await until("the lag grows", () => bridge.status()[0]!.lag > 20_000);
  expect(bridge.status()[0]!.source!.stalledMs).toBeGreaterThan(10_000);
  expect(world.lines.filter((l) => l.includes("KINESIS_UNAVAILABLE")).length).toBe(1);
  world.kinesis.fault = () => undefined;
  await until("it has caught up", () => bridge.status()[0]!.lag === 0);
  expect(world.lines.at(-1)).toContain("answers again");
});

describe("a fault of the bridge itself", () => {
  /** A rule that fails on the log stream "bad". */
  class Failing extends RegExp {
    override exec(text: string): RegExpExecArray | null {
      if (text === "bad") throw new TypeError("cannot match");
      return super.exec(text);
    }
  }
  const entities = { rules: [{ stream: new Failing("x"), entity: "x" }] };

  test("on one record costs that record: a dead letter with its bytes, and the next is read", async () => {
    const world = newWorld("s0");
    const { kinesis } = world;
    for (const id of ["before", "bad", "after"]) kinesis.put("s0", logRecord(id, [id]));
    await run(world, () => world.eventIds().length === 2, { entities });
    expect(world.eventIds()).toEqual(["after", "before"]);
    const [letter] = world.letters();
    expect(letter).toMatchObject({
      code: "bridge_error",
      originOffset: "101",
      reason: expect.stringContaining("TypeError"),
    });
    expect(world.row("s0")!.counters).toMatchObject({ events: 2, dead: 1, records: 3 });
  });

  test("on a hundred records in a row stops it", async () => {
    const world = newWorld("s0");
    world.kinesis.pageSize = 1_000;
    for (let i = 0; i < 100; i++) world.kinesis.put("s0", logRecord("bad", [`${i}`]));
    const bridge = world.bridge({ entities });
    await bridge.start();
    await expect(bridge.failed).rejects.toMatchObject({ code: "BRIDGE_FAULT", disposition: "fatal" });
  });

  test("anywhere else stops it at once instead of being tried for ever", async () => {
    const world = newWorld("s0");
    const encode = (topic: string, value: unknown) => {
      if (topic === topics.checkpoints && JSON.stringify(value).includes('"takeOvers":1')) throw new TypeError("no");
      return codecs.encode(topic, value);
    };
    const bridge = world.bridge({ codecs: { ...codecs, encode } });
    await expect(bridge.start()).rejects.toMatchObject({ code: "BRIDGE_FAULT", disposition: "fatal" });
  });
});

test("a record without arrival stamp moves the clock by its events alone", async () => {
  const world = newWorld("s0");
  const { kinesis } = world;
  kinesis.put("s0", logRecord("web-1", ["1"], T0), T0 + 9 * hour, { isArrivalGuessed: true });
  kinesis.put("s0", logRecord("web-1", ["2"], T0 + 1), T0 + 9 * hour, { isArrivalGuessed: true });
  await run(world, () => world.eventIds().length === 2, { clockMode: "arrival" });
  expect(world.row("s0")).toMatchObject({ clockMs: T0 + 1 });
});

test("a shard that ends before its children are listed stays open until they are", async () => {
  const world = newWorld("p");
  const { kinesis } = world;
  kinesis.put("p", clockRecord(T0));
  kinesis.put("p", logRecord("web-1", ["last"]));
  kinesis.close("p");
  const bridge = world.bridge();
  await bridge.start();
  await until("it waits", () => world.lines.some((l) => l.includes("children are not listed yet")));
  const lists = kinesis.lists;
  await until("it has looked again", () => kinesis.lists > lists + 2);
  expect(world.eventIds()).toEqual(["last"]);
  expect(world.signs(0, "close")).toEqual([]);
  kinesis.add("c", ["p"]);
  kinesis.put("c", logRecord("web-1", ["first"]));
  await until("the child is read", () => world.eventIds().length === 2);
  expect(world.row("p")).toMatchObject({ state: "ended", children: ["c"] });
  expect(world.signs(0, "open").map((s) => s.clockMs)).toEqual([0, T0]);
});

describe("a stream made anew", () => {
  test("between the look at its life and at its shards is looked at again", async () => {
    const world = newWorld("s0");
    const { kinesis } = world;
    kinesis.put("s0", logRecord("web-1", ["new"]));
    const describe = kinesis.describe.bind(kinesis);
    let calls = 0;
    kinesis.describe = async () => {
      if (calls++ === 1) kinesis.created = 2_000;
      return describe();
    };
    await run(world, () => world.eventIds().length === 1);
    expect(world.row("s0", 1_000)).toBeUndefined();
    expect(world.row("s0", 2_000)).toMatchObject({ counters: expect.objectContaining({ events: 1 }) });
  });

  test("between its listing and its first page is not read under its old name", async () => {
    const world = newWorld("s0");
    const { kinesis } = world;
    kinesis.put("s0", logRecord("web-1", ["new"]));
    const iterator = kinesis.iterator.bind(kinesis);
    kinesis.iterator = async (...args) => {
      kinesis.created = 2_000;
      return await iterator(...args);
    };
    await run(world, () => world.row("s0", 2_000)?.counters.events === 1, { tuning: { relistMs: 500 } });
    expect(world.eventIds()).toEqual(["new"]);
    expect(world.rowsOf("s0", 1_000).filter((r) => r && r.counters.events! > 0)).toEqual([]);
  });
});

test("the row of an ended shard goes with the shard; its counts stay in the sum", async () => {
  const world = newWorld("p");
  const { kinesis } = world;
  kinesis.put("p", logRecord("web-1", ["1", "2"]));
  kinesis.add("c", ["p"]);
  const bridge = world.bridge({ tuning: { relistMs: 500 } });
  await bridge.start();
  await until("the parent has ended", () => world.row("p")?.state === "ended");
  expect(world.rowsOf("p").at(-1)).not.toBeNull();
  kinesis.expire("p");
  await until("its row is gone", () => world.rowsOf("p").at(-1) === null);
  kinesis.put("c", logRecord("web-1", ["3"]));
  await until("the child is read", () => world.eventIds().length === 3);
  expect(bridge.status().map((s) => [s.partition, s.state, s.counters.accepted])).toEqual([
    ["c", "running", 1],
    ["ended", "stopped", 2],
  ]);
});

describe("away for longer than the stream keeps records", () => {
  const decision = { source: "logs@1000/s0", by: "ann", reason: "two days without power" };

  test("a shard whose unread records are gone is refused with the gap named, and goes on once that is accepted", async () => {
    const world = newWorld("s0");
    const { kinesis } = world;
    kinesis.put("s0", logRecord("web-1", ["1"]), T0);
    await run(world, () => world.eventIds().length === 1);
    kinesis.put("s0", logRecord("web-1", ["lost"]), T0);
    kinesis.put("s0", logRecord("web-1", ["kept"]), T0);
    kinesis.trim("s0", "102");
    kinesis.retentionMs = 0;
    const bridge = world.bridge();
    await bridge.start();
    const gap = { code: "SOURCE_GAP", nextStep: "To go on without it: weir bridge accept-gap logs@1000/s0" };
    await expect(bridge.failed).rejects.toMatchObject(gap);
    await bridge.stop();
    expect(world.eventIds()).toEqual(["1"]);

    await acceptGap(world.operate, kinesis, decision);
    expect(world.letters().map((l) => [l.code, l.originOffset])).toEqual([["source_gap", "100"]]);
    expect(world.letters()[0]!.reason).toMatch(/behind sequence 100 since 20.*accepted by ann: two days without power/);
    kinesis.retentionMs = 24 * hour;
    await run(world, () => world.eventIds().length === 2);
    expect(world.eventIds()).toEqual(["1", "kept"]);
    expect(world.row("s0")!.counters).toMatchObject({ events: 2, records: 2 });
  });

  test("nothing is missing as long as the last record read is still there, or nothing is too old", async () => {
    const world = newWorld("s0");
    const { kinesis } = world;
    kinesis.put("s0", logRecord("web-1", ["1"]), T0);
    await run(world, () => world.eventIds().length === 1);
    kinesis.retentionMs = 0;
    kinesis.put("s0", logRecord("web-1", ["2"]), T0);
    await run(world, () => world.eventIds().length === 2);
    // Read to the tip a moment ago: what has gone since then had been read.
    kinesis.retentionMs = 24 * hour;
    kinesis.trim("s0", "999");
    kinesis.put("s0", logRecord("web-1", ["3"]), T0);
    await run(world, () => world.eventIds().length === 3);
  });

  test("a shard read to its tip says so now and then, also when nothing comes", async () => {
    const world = newWorld("s0");
    world.kinesis.put("s0", clockRecord(T0));
    world.kinesis.retentionMs = 40_000;
    await run(world, () => world.rowsOf("s0").length > 5);
    const tips = world.rowsOf("s0").map((r) => r!.tipMs);
    expect(tips.slice(3).every((t, i) => t >= tips[i + 2]! + 10_000)).toBe(true);
  });

  test("a shard that is gone unread is refused too; accepted, it is closed and its child goes on from its clock", async () => {
    const world = newWorld("s0");
    const { kinesis } = world;
    kinesis.put("s0", clockRecord(T0));
    await run(world, () => world.row("s0")!.counters.control === 1);
    kinesis.add("c", ["s0"]);
    kinesis.put("c", logRecord("web-1", ["c"]));
    kinesis.expire("s0");
    await expect(world.bridge().start()).rejects.toMatchObject({ code: "SOURCE_GAP" });
    expect(world.signs(1, "close")).toEqual([]);
    await acceptGap(world.operate, kinesis, decision);
    await run(world, () => world.eventIds().length === 1);
    expect(world.letters().map((l) => l.code)).toEqual(["source_gap"]);
    expect(world.signs(1, "close").map((b) => b.source)).toEqual(["logs@1000/s0"]);
    expect(world.row("c")).toMatchObject({ clockMs: T0 });
  });
});

describe("leaving a source out", () => {
  const decision = { source: "logs@1000/s0", by: "ann", reason: "its clock is broken" };

  test("closes it in every partition while it is being read, says who and why, and no bridge reads it again", async () => {
    const world = newWorld("s0", "s1");
    const { kinesis } = world;
    kinesis.put("s0", logRecord("web-1", ["1"]));
    const bridge = world.bridge();
    await bridge.start();
    await until("it is read", () => world.eventIds().length === 1);
    await excludeSource(world.operate, decision);
    for (const shard of ["s0", "s1"]) kinesis.put(shard, logRecord("web-1", [`later-${shard}`]));
    await until("the task has ended", () => bridge.status().some((s) => s.partition === "s0" && s.state === "stopped"));
    await until("the other is read on", () => world.eventIds().includes("later-s1"));
    await bridge.stop();
    await run(world, () => world.row("s1")!.counters.takeOvers === 2);
    expect(world.eventIds()).toEqual(["1", "later-s1"]);
    for (let p = 0; p < PARTITIONS; p++) expect(world.signs(p, "close").map((b) => b.source)).toEqual(["logs@1000/s0"]);
    expect(world.letters().map((l) => [l.code, l.reason])).toEqual([
      ["source_excluded", "logs@1000/s0 was left out at 100 by ann: its clock is broken"],
    ]);
  });

  test("its children are read when they come", async () => {
    const world = newWorld("s0");
    world.kinesis.put("s0", clockRecord(T0));
    await run(world, () => world.row("s0")!.counters.control === 1);
    await excludeSource(world.operate, decision);
    world.kinesis.add("c", ["s0"]);
    world.kinesis.put("c", logRecord("web-1", ["c"]));
    await run(world, () => world.eventIds().length === 1);
    expect(world.row("c")).toMatchObject({ clockMs: T0 });
  });

  test.each(["logs@1000/s9", "logs@1000/s0"])("there must be such a source that is still open (%s)", async (source) => {
    const world = newWorld("s0", "s1");
    await run(world, () => world.row("s0")?.counters.takeOvers === 1);
    await excludeSource(world.operate, decision);
    const again = excludeSource(world.operate, { ...decision, source });
    await expect(again).rejects.toMatchObject({ code: "SOURCE_UNKNOWN", nextStep: "Name one of: logs@1000/s1." });
    expect(world.letters().length).toBe(1);
  });
});

test("a shard waits for the slowest of all streams' checkpoints, not only for those of its own process", async () => {
  const world = newWorld("s0");
  const other = new World();
  worlds.push(other);
  other.kinesis.add("slow");
  other.kinesis.put("slow", clockRecord(T0 - hour));
  const slow = world.bridge({ kinesis: other.kinesis, stream: "other" });
  await slow.start();
  await until("the slow one stands", () => slow.status()[0]!.watermarkMs === T0 - hour);
  world.kinesis.pageSize = 1;
  world.kinesis.put("s0", clockRecord(T0));
  world.kinesis.put("s0", logRecord("web-1", ["1"]));
  const bridge = world.bridge();
  await bridge.start();
  await until("it has come to its bound", () => world.row("s0")?.clockMs === T0);
  const until50 = fastTime.now() + 5_000;
  await until("some polls have passed", () => fastTime.now() > until50);
  expect(world.eventIds()).toEqual([]);
  other.kinesis.put("slow", clockRecord(T0 - 1));
  await until("it goes on", () => world.eventIds().length === 1);
});

test("each step of a shard's way is called out right before its effect", async () => {
  const world = newWorld("p");
  const { kinesis } = world;
  kinesis.put("p", logRecord("web-1", ["1"]));
  kinesis.add("c", ["p"]);
  const steps: string[] = [];
  const seen = (source: string, step: string) => {
    if (source.endsWith("/p")) steps.push(`${step} ${world.row("p")?.counters.records ?? 0} ${world.row("p")?.state}`);
  };
  await run(world, () => world.row("c")?.counters.takeOvers === 1, { onStep: seen });
  expect(steps).toEqual([
    "SEND 0 active",
    "COMMIT 0 active",
    "COMMITTED 0 active",
    "READ 0 active",
    "SHARD_END 0 active",
    "COMMIT 0 active",
    "COMMITTED 1 ended",
  ]);
});
