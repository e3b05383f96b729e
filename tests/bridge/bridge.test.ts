import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import type { BridgeOptions } from "../../sources/index.ts";
import type { Fault } from "./fake-broker.ts";
import { clockRecord, logRecord, PARTITIONS, T0, topics, until, World } from "./harness.ts";

let worlds: World[] = [];
const newWorld = (): World => {
  const world = new World();
  worlds.push(world);
  return world;
};
afterEach(async () => {
  await Promise.all(worlds.map((w) => w.close()));
  worlds = [];
});

const ids = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => `${prefix}${i}`);
const total = (bridge: { status(): readonly { counters: { in: number } }[] }) =>
  bridge.status().reduce((sum, s) => sum + s.counters.in, 0);

/** Twelve records in two shards: data of several streams, control, clocks, rubbish; 22 events, 2 control, 4 clock, 2 dead. */
function fill(world: World): string[] {
  const { kinesis } = world;
  kinesis.add("s0");
  kinesis.add("s1");
  for (const shard of ["s0", "s1"]) {
    kinesis.put(shard, clockRecord(T0 - 60_000));
    kinesis.put(shard, logRecord("web-1", ids(`${shard}-a`, 4)));
    kinesis.put(shard, { messageType: "CONTROL_MESSAGE" });
    kinesis.put(shard, logRecord("i-0a1b2c3d", ids(`${shard}-b`, 7)));
    kinesis.put(shard, Buffer.from("rubbish"));
    kinesis.put(shard, clockRecord(T0));
  }
  return ["s0", "s1"].flatMap((s) => [...ids(`${s}-a`, 4), ...ids(`${s}-b`, 7)]).sort();
}
const IN = 22 + 2 + 4 + 2;

async function runThrough(world: World, options: Partial<BridgeOptions> = {}, expected = IN) {
  const bridge = world.bridge(options);
  await bridge.start();
  await until("everything is committed", () => total(bridge) === expected && bridge.status().every((s) => s.lag === 0));
  await bridge.stop();
  return bridge.status();
}

describe("the way of the records", () => {
  test("every event, dead letter and control message is counted once, and each shard's clock reaches every partition", async () => {
    const world = newWorld();
    const expected = fill(world);
    const status = await runThrough(world);
    expect(world.eventIds()).toEqual(expected);
    expect(status.map((s) => [s.partition, s.state, s.watermarkMs, s.counters])).toEqual(
      ["s0", "s1"].map((shard) => [
        shard,
        "stopped",
        T0,
        { in: 15, accepted: 11, dead: 1, control: 3, late: 0, duplicate: 0, out: expect.any(Number) },
      ]),
    );
    expect(world.letters().map((l) => [l.code, l.originTopic, l.originPartition])).toEqual(
      expect.arrayContaining(["s0", "s1"].map((shard) => ["not_gzip", "kinesis:logs", shard])),
    );
    for (let p = 0; p < PARTITIONS; p++)
      for (const shard of ["s0", "s1"]) {
        const own = world.logs(p).filter((b) => b.source === `logs@1000/${shard}`);
        expect(own[0]).toMatchObject({ kind: "open", clockMs: 0 });
        expect(own.at(-1)).toMatchObject({ kind: "tick", clockMs: T0 });
      }
  });

  test("event records carry the clock known before them", async () => {
    const world = newWorld();
    fill(world);
    await runThrough(world);
    const clocks = world.allLogs().flatMap((b) => (b.kind === "events" ? [b.clockMs] : []));
    expect(new Set(clocks)).toEqual(new Set([T0 - 60_000]));
  });

  test("all sources are opened in one transaction, before any shard is read", async () => {
    const world = newWorld();
    fill(world);
    world.kinesis.fault = () => "KINESIS_THROTTLED";
    await world.bridge().start();
    expect(world.signs(0, "open").map((b) => b.source)).toEqual(["logs@1000/s0", "logs@1000/s1"]);
    expect(world.eventIds()).toEqual([]);
    expect(world.row("s0")).toMatchObject({ state: "active", sequence: "", clockMs: 0 });
  });

  test("a restart goes on behind the checkpoint and keeps the counts", async () => {
    const world = newWorld();
    const expected = fill(world);
    await runThrough(world);
    world.kinesis.put("s0", logRecord("web-1", ["later"]));
    await runThrough(world, {}, IN + 1);
    expect(world.eventIds()).toEqual([...expected, "later"].sort());
    expect(world.row("s0")!.counters).toMatchObject({ events: 12, dead: 1, control: 3, records: 7, takeOvers: 2 });
    expect(world.signs(0, "open").length).toBe(2);
  });

  test("another partition count than the pipeline's is refused", async () => {
    const world = newWorld();
    await expect(world.bridge({ partitions: PARTITIONS + 1 }).start()).rejects.toMatchObject({
      code: "PARTITIONS_CHANGED",
    });
  });
});

/** What readers may rely on: everything but the number and place of ticks. */
const story = (world: World) => ({
  logs: Array.from({ length: PARTITIONS }, (_, p) =>
    ["s0", "s1"].map((shard) =>
      world
        .logs(p)
        .filter((b) => b.source === `logs@1000/${shard}` && b.kind !== "tick")
        .flatMap((b) => (b.kind === "events" ? b.events.map((e) => [b.entity, b.clockMs, e.id]) : [b.kind, b.clockMs])),
    ),
  ),
  letters: world
    .letters()
    .map((l) => `${l.code} ${l.originPartition}/${l.originOffset}`)
    .sort(),
  rows: ["s0", "s1"].map((shard) => {
    const { counters, tipMs: _, ...row } = world.row(shard)!;
    return {
      ...row,
      events: counters.events,
      control: counters.control,
      dead: counters.dead,
      records: counters.records,
    };
  }),
});

describe("exactly once", () => {
  test("any cut into pages and transactions, and any crash of the producers, gives the same committed records", async () => {
    const plain = newWorld();
    fill(plain);
    await runThrough(plain);
    const expected = story(plain);
    const fault = fc.record({
      at: fc.integer({ min: 0, max: 25 }),
      when: fc.constantFrom<Fault["when"]>("before", "after"),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 7 }),
        fc.constantFrom(1, 150, 400, 1_000_000),
        fc.array(fault, { maxLength: 4 }),
        async (pageSize, commitBytes, faults) => {
          const world = newWorld();
          fill(world);
          world.kinesis.pageSize = pageSize;
          let calls = 0;
          world.broker.fault = () => {
            const now = calls++;
            return faults.find((f) => f.at === now)?.when;
          };
          await runThrough(world, { tuning: { commitBytes } });
          expect(story(world)).toEqual(expected);
        },
      ),
      { numRuns: 40 },
    );
  }, 60_000);

  const calls = ["init", "send", "commit"] as const;
  const steps = calls.flatMap((call) =>
    [0, 1, 2].flatMap((nth) => (["before", "after"] as const).map((when) => [when, nth, call] as const)),
  );
  test.each(steps)(
    "a crash %s call %i of %s of a shard's producer loses and doubles nothing",
    async (when, nth, call) => {
      const world = newWorld();
      const expected = fill(world);
      world.kinesis.pageSize = 2;
      let seen = 0;
      let struck = 0;
      world.broker.fault = (name, id) => {
        if (!id.endsWith(".s0") || name !== call || seen++ !== nth) return undefined;
        struck++;
        return when;
      };
      await runThrough(world);
      // A producer is initialised by the process at its start and by the task at its take over.
      expect(struck).toBe(call === "init" && nth > 1 ? 0 : 1);
      expect(world.eventIds()).toEqual(expected);
      expect(world.row("s0")!.counters).toMatchObject({ events: 11, control: 3, dead: 1, records: 6 });
    },
  );

  test("what was in flight is not seen before its transaction is committed", async () => {
    const world = newWorld();
    fill(world);
    world.broker.fault = (name, id) => (id.endsWith(".s0") && name === "commit" ? "before" : undefined);
    const bridge = world.bridge({ tuning: { maxTakeOversPerMinute: 5 } });
    await expect(bridge.start()).rejects.toMatchObject({ code: "TAKE_OVERS_EXHAUSTED", disposition: "fatal" });
    await expect(bridge.failed).rejects.toMatchObject({ code: "TAKE_OVERS_EXHAUSTED" });
    expect(world.eventIds().filter((id) => id.startsWith("s0"))).toEqual([]);
    expect(world.row("s0")!.counters.takeOvers).toBe(0);
  });

  test("transactions that a killed predecessor left open do not stand in the way", async () => {
    const world = newWorld();
    const expected = fill(world);
    for (const id of ["test.bridge.logs", "test.bridge.logs@1000.s0", "test.bridge.logs@1000.s1"]) {
      const killed = world.broker.producer(id);
      await killed.init();
      const records = [topics.logsRaw, topics.checkpoints].flatMap((topic) =>
        [0, 1].map((partition) => ({ topic, partition, key: "k", value: Buffer.from("half"), timestampMs: T0 })),
      );
      await killed.send(records);
    }
    await runThrough(world);
    expect(world.eventIds()).toEqual(expected);
  });

  test("a newer bridge takes the shards over, and the older stops by itself", async () => {
    const world = newWorld();
    const expected = fill(world);
    world.kinesis.pageSize = 1;
    const older = world.bridge();
    await older.start();
    await until("the older has begun", () => total(older) > 0);
    const newer = world.bridge();
    await newer.start();
    world.kinesis.put("s0", logRecord("web-1", ["later"]));
    world.kinesis.put("s1", clockRecord(T0 + 1));
    await expect(older.failed).rejects.toMatchObject({ code: "ALL_SHARDS_LOST", disposition: "fenced" });
    await until("the newer has read on", () => total(newer) === IN + 2);
    expect(world.eventIds()).toEqual([...expected, "later"].sort());
    expect(older.status().map((s) => s.state)).toEqual(["failed", "failed"]);
  });

  test("an older bridge that has lost its shards leaves their children to the newer", async () => {
    const world = newWorld();
    const { kinesis } = world;
    kinesis.add("p");
    kinesis.put("p", clockRecord(T0 - 1));
    const older = world.bridge({ tuning: { relistMs: 500 } });
    await older.start();
    const newer = world.bridge({ tuning: { relistMs: 500 } });
    await newer.start();
    kinesis.put("p", clockRecord(T0));
    await expect(older.failed).rejects.toMatchObject({ code: "ALL_SHARDS_LOST" });
    kinesis.add("c", ["p"]);
    kinesis.put("c", logRecord("web-1", ["c"]));
    await until("the child is read", () => world.eventIds().includes("c"));
    const lists = kinesis.lists;
    await until("both have looked again", () => kinesis.lists > lists + 6);
    expect(world.row("c")!.counters.takeOvers).toBe(1);
    expect(newer.status().find((s) => s.partition === "c")).toMatchObject({ state: "running", counters: { in: 1 } });
  });

  test("a transaction that timed out is no newer owner: the task takes over again", async () => {
    const world = newWorld();
    const expected = fill(world);
    const bridge = world.bridge();
    await bridge.start();
    await until("everything is committed", () => total(bridge) === IN);
    // The broker bumps the epoch when a transaction times out; nobody commits a claim.
    await world.broker.producer("test.bridge.logs@1000.s0").init();
    world.kinesis.put("s0", logRecord("web-1", ["later"]));
    await until("the task goes on", () => total(bridge) === IN + 1);
    expect(world.eventIds()).toEqual([...expected, "later"].sort());
    expect(world.row("s0")!.counters.takeOvers).toBe(2);
  });
});

describe("Kinesis and its moods", () => {
  test("a shard with nothing to say leaves room for the others, even where no pause between polls is asked", async () => {
    const world = newWorld();
    const expected = fill(world);
    await runThrough(world, { tuning: { minPollMs: 0 } });
    expect(world.eventIds()).toEqual(expected);
  });

  test("an expired iterator is renewed behind the last record read, a throttled one is kept", async () => {
    const world = newWorld();
    const expected = fill(world);
    world.kinesis.pageSize = 2;
    let reads = 0;
    world.kinesis.fault = (call, shard) => {
      if (call !== "records" || shard !== "s0") return undefined;
      reads++;
      if (reads === 2) return "KINESIS_THROTTLED";
      return reads === 4 ? "KINESIS_ITERATOR_EXPIRED" : undefined;
    };
    await runThrough(world);
    expect(world.eventIds()).toEqual(expected);
    const renewals = world.kinesis.iterators.filter((i) => i.startsWith("s0"));
    const thirdRecord = "103";
    expect(renewals).toEqual(["s0 after horizon", `s0 after ${thirdRecord}`]);
  });

  test.each([true, false])(
    "a split: last events, children and the end in one transaction (children named: %s)",
    async (named) => {
      const world = newWorld();
      const { kinesis } = world;
      kinesis.namesChildren = named;
      kinesis.add("p");
      kinesis.put("p", clockRecord(T0));
      kinesis.put("p", logRecord("web-1", ["last"]));
      kinesis.add("c1", ["p"]);
      kinesis.add("c2", ["p"]);
      kinesis.put("c1", logRecord("web-1", ["c1"]));
      kinesis.put("c2", logRecord("web-2", ["c2"]));
      const status = await runThrough(world, {}, 4);
      expect(world.eventIds()).toEqual(["c1", "c2", "last"]);
      for (let p = 0; p < PARTITIONS; p++) {
        const signs = world
          .logs(p)
          .filter((b) => b.kind !== "events" && (b.kind !== "tick" || b.source.endsWith("/p")));
        expect(signs.map((b) => [b.kind, b.source.split("/")[1], b.clockMs])).toEqual([
          ["open", "p", 0],
          ["tick", "p", T0],
          ["open", "c1", T0],
          ["open", "c2", T0],
          ["close", "p", T0],
        ]);
      }
      expect(world.row("p")).toMatchObject({ state: "ended", children: ["c1", "c2"] });
      expect(world.row("c1")).toMatchObject({ state: "active", parents: ["p"], clockMs: T0 });
      expect(status.map((s) => [s.partition, s.counters.in])).toEqual(
        expect.arrayContaining([
          ["p", 2],
          ["c1", 1],
          ["c2", 1],
        ]),
      );
    },
  );

  test("nothing behind the last sequence of a closed shard is its end too", async () => {
    const world = newWorld();
    const { kinesis } = world;
    kinesis.add("p");
    kinesis.put("p", logRecord("web-1", ["last"]));
    await runThrough(world, {}, 1);
    kinesis.add("c", ["p"]);
    kinesis.put("c", logRecord("web-1", ["first"]));
    kinesis.fault = (call, shard) => (call === "iterator" && shard === "p" ? "KINESIS_AT_END" : undefined);
    await runThrough(world, {}, 2);
    expect(world.eventIds()).toEqual(["first", "last"]);
    expect(world.row("p")).toMatchObject({ state: "ended", children: ["c"] });
  });

  test("a merge: the child waits for both parents, and the one that ended first holds the watermark until then", async () => {
    const world = newWorld();
    const { kinesis } = world;
    kinesis.add("a");
    kinesis.add("b");
    kinesis.put("a", clockRecord(T0 - 5));
    kinesis.put("b", clockRecord(T0));
    kinesis.put("b", logRecord("web-1", ["b"]));
    kinesis.add("c", ["a", "b"]);
    kinesis.put("c", logRecord("web-1", ["c"]));
    kinesis.pageSize = 1;
    kinesis.fault = (_, shard) => (shard === "b" && world.row("b")!.clockMs > 0 ? "KINESIS_THROTTLED" : undefined);
    const bridge = world.bridge({ tuning: { relistMs: 1_000 } });
    await bridge.start();
    await until("a has ended", () => world.row("a")?.state === "ended");
    const lists = kinesis.lists;
    await until("the coordinator has looked again", () => kinesis.lists > lists + 1);
    expect(world.row("c")).toBeUndefined();
    expect(world.signs(0, "close")).toEqual([]);
    kinesis.fault = () => undefined;
    await until("the child is read", () => world.eventIds().includes("c"));
    for (let p = 0; p < PARTITIONS; p++) {
      const signs = world.logs(p).filter((b) => ["open", "close"].includes(b.kind));
      expect(signs.map((s) => [s.kind, s.source.split("/")[1], s.clockMs])).toEqual([
        ["open", "a", 0],
        ["open", "b", 0],
        ["open", "c", T0 - 5],
        ["close", "a", T0 - 5],
        ["close", "b", T0 - 5],
      ]);
    }
  });

  test("a stream recreated under a running bridge: old sources end, its shards are read from the start", async () => {
    const world = newWorld();
    const { kinesis } = world;
    kinesis.add("s0");
    kinesis.put("s0", logRecord("web-1", ["old"]));
    const bridge = world.bridge({ tuning: { relistMs: 500 } });
    await bridge.start();
    await until("the old event is in", () => world.eventIds().length === 1);
    kinesis.created = 2_000;
    kinesis.expire("s0");
    kinesis.add("s0");
    kinesis.put("s0", logRecord("web-1", ["new"]));
    await until("the new event is in", () => world.row("s0", 2_000)?.counters.events === 1);
    expect(world.eventIds()).toEqual(["new", "old"]);
    expect(world.rowsOf("s0", 1_000).findLast((r) => r !== null)).toMatchObject({ state: "ended" });
    expect(world.signs(0, "close").map((b) => b.source)).toEqual(["logs@1000/s0"]);
    expect(bridge.status().map((s) => s.counters.in)).toEqual([1, 1]);
    expect(world.letters().map((l) => [l.code, l.originPartition])).toEqual([["source_gap", "s0"]]);
  });
});

describe("time", () => {
  test("by arrival: the newest event moves the clock, never past its arrival, and arrival minus the allowance does too", async () => {
    const world = newWorld();
    const { kinesis } = world;
    kinesis.add("s0");
    kinesis.put("s0", logRecord("web-1", ["1"], T0 - 1_000), T0);
    kinesis.put("s0", logRecord("web-1", ["fast"], T0 + 30_000), T0);
    kinesis.put("s0", logRecord("web-1", ["old"], T0 - 999_000), T0 + 400_000);
    kinesis.put("s0", logRecord("web-1", ["last"], T0 - 999_000), T0);
    await runThrough(world, { clockMode: "arrival" }, 4);
    const clocks = world.allLogs().flatMap((b) => (b.kind === "events" ? [[b.events[0]!.id, b.clockMs]] : []));
    expect(clocks).toEqual([
      ["1", 0],
      ["fast", T0 - 1_000],
      ["old", T0],
      ["last", T0 + 100_000],
    ]);
    expect(world.row("s0")).toMatchObject({ clockMs: T0 + 100_000 });
  });

  test("by arrival: a shard read to its tip and silent says idle once, and the next record ends that everywhere", async () => {
    const world = newWorld();
    world.kinesis.add("s0");
    world.kinesis.put("s0", logRecord("web-1", ["1"]), T0);
    const bridge = world.bridge({ clockMode: "arrival", tuning: { idleAfterMs: 2_000 } });
    await bridge.start();
    await until("the shard is idle", () => world.signs(0, "idle").length > 0);
    const commits = world.broker.commits;
    const reads = Date.now() + 100;
    await until("it was read many times more", () => Date.now() > reads);
    expect(world.broker.commits).toBe(commits);
    world.kinesis.put("s0", { messageType: "CONTROL_MESSAGE" }, T0 - 1);
    await until("it is awake", () => world.signs(0, "tick").length === 2);
    for (let p = 0; p < PARTITIONS; p++)
      expect(
        world
          .logs(p)
          .flatMap((b) => (b.kind === "events" ? [] : [b.kind]))
          .slice(0, 4),
      ).toEqual(["open", "tick", "idle", "tick"]);
  });

  test("by clock records: a silent shard is never called idle", async () => {
    const world = newWorld();
    fill(world);
    const bridge = world.bridge({ tuning: { idleAfterMs: 0 } });
    await bridge.start();
    await until("everything is committed", () => total(bridge) === IN);
    const later = Date.now() + 100;
    await until("some polls have passed", () => Date.now() > later);
    expect(world.allLogs().filter((b) => b.kind === "idle")).toEqual([]);
  });

  test.each([1, 100])(
    "a shard more than ten minutes ahead of the slowest waits for it, also within a page (of %i)",
    async (size) => {
      const world = newWorld();
      const { kinesis } = world;
      kinesis.pageSize = size;
      for (const shard of ["fast", "slow"]) kinesis.add(shard);
      for (const minute of [0, 10, 11, 12]) {
        kinesis.put("fast", clockRecord(T0 - 3_600_000 + minute * 60_000));
        kinesis.put("fast", logRecord("web-1", [`fast${minute}`]));
      }
      kinesis.put("slow", clockRecord(T0 - 3_600_000));
      let isHeld = true;
      kinesis.fault = (call, shard) =>
        isHeld && call === "records" && shard === "slow" && world.row("slow")!.clockMs > 0
          ? "KINESIS_THROTTLED"
          : undefined;
      const bridge = world.bridge();
      await bridge.start();
      await until("the fast one is past its bound", () => world.row("fast")?.clockMs === T0 - 3_600_000 + 11 * 60_000);
      const later = Date.now() + 100;
      await until("some polls have passed", () => Date.now() > later);
      expect(world.eventIds()).toEqual(["fast0", "fast10"]);
      isHeld = false;
      kinesis.put("slow", clockRecord(T0 - 3_600_000 + 120_000));
      await until("both are through", () => world.eventIds().length === 4);
    },
  );
});

test("what the bridge has committed can be read as soon as it has stopped, however late the broker marks it", async () => {
  const world = newWorld();
  world.broker.marksLate = true;
  const expected = fill(world);
  await runThrough(world);
  expect(world.eventIds()).toEqual(expected);
});

test("stop ends a page early, and the next start takes up the rest", async () => {
  const world = newWorld();
  const expected = fill(world);
  world.kinesis.pageSize = 100;
  const first = world.bridge({ tuning: { commitBytes: 1 } });
  let commits = 0;
  world.broker.fault = (name, id) => {
    if (name === "commit" && id.endsWith(".s0") && ++commits === 3) void first.stop();
    return undefined;
  };
  await first.start().catch(() => {});
  await first.stop();
  expect(world.eventIds().length).toBeLessThan(expected.length);
  world.broker.fault = () => undefined;
  await runThrough(world);
  expect(world.eventIds()).toEqual(expected);
});
