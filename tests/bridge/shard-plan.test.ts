import { describe, expect, test } from "vitest";
import type { ShardCheckpoint, ShardState } from "../../schemas/index.ts";
import { planShards } from "../../sources/kinesis/shard-plan.ts";

const stream = { name: "logs", createdMs: 2_000 };
const listed = (...shards: (string | [string, ...string[]])[]) =>
  shards.map((s) => (typeof s === "string" ? { shard: s, parents: [] } : { shard: s[0], parents: s.slice(1) }));
const row = (shard: string, state: ShardState, clockMs = 0, streamCreatedMs = 2_000): ShardCheckpoint => ({
  stream: "logs",
  streamCreatedMs,
  shard,
  state,
  sequence: "",
  subSequence: 0,
  eventIndex: 0,
  parents: [],
  children: [],
  clockMs,
  arrivalMs: 0,
  tipMs: 0,
  idle: false,
  counters: {},
});
const opened = (plan: ReturnType<typeof planShards>) => plan.open.map((s) => [s.shard, s.clockMs, s.closes]);

test("a new stream: every shard is opened at the epoch and read", () => {
  const plan = planShards(stream, listed("a", "b"), []);
  expect(opened(plan)).toEqual([
    ["a", 0, []],
    ["b", 0, []],
  ]);
  expect(plan.read).toEqual(["a", "b"]);
});

test("known shards are read on, ended ones are not", () => {
  const plan = planShards(stream, listed("a", "b"), [row("a", "active"), row("b", "ended")]);
  expect(plan).toEqual({ open: [], close: [], forget: [], lost: [], read: ["a"] });
});

describe("parents come before children", () => {
  //   a ──► b, c   (split)
  test("a split's children wait while the parent is unread or being read", () => {
    const shards = listed("a", ["b", "a"], ["c", "a"]);
    expect(planShards(stream, shards, []).read).toEqual(["a"]);
    expect(planShards(stream, shards, [row("a", "active")]).read).toEqual(["a"]);
  });

  test("children that the parent's end did not open are opened at its clock", () => {
    const plan = planShards(stream, listed("a", ["b", "a"], ["c", "a"]), [row("a", "ended", 70)]);
    expect(opened(plan)).toEqual([
      ["b", 70, ["a"]],
      ["c", 70, ["a"]],
    ]);
  });

  //   a ─┐
  //   b ─┴─► c   (merge)
  test("a merge's child waits for both parents and takes the lower clock", () => {
    const shards = listed("a", "b", ["c", "a", "b"]);
    expect(planShards(stream, shards, [row("a", "ended", 70), row("b", "active", 50)]).read).toEqual(["b"]);
    const plan = planShards(stream, shards, [row("a", "ended", 70), row("b", "ended", 90)]);
    expect(opened(plan)).toEqual([["c", 70, ["a", "b"]]]);
  });

  test("an expired parent counts as finished, known or not", () => {
    expect(opened(planShards(stream, listed(["c", "a", "b"]), []))).toEqual([["c", 0, []]]);
    expect(opened(planShards(stream, listed("b", ["c", "a", "b"]), [row("b", "ended", 5)]))).toEqual([["c", 5, ["b"]]]);
  });
});

test("a shard that expired before it was read to its end is lost", () => {
  const plan = planShards(stream, listed(["b", "a"]), [row("a", "active", 70)]);
  expect(plan.lost.map((r) => r.shard)).toEqual(["a"]);
});

describe("rows of ended shards are forgotten", () => {
  const forgotten = (...args: Parameters<typeof planShards>) => planShards(...args).forget.map((r) => r.shard);
  test("once the shard has gone from the stream, not before", () => {
    const rows = [row("a", "ended"), row("b", "active")];
    expect(forgotten(stream, listed("a", ["b", "a"]), rows)).toEqual([]);
    expect(forgotten(stream, listed(["b", "a"]), rows)).toEqual(["a"]);
  });

  test("not while a child that inherits the clock is still to be opened", () => {
    const rows = [row("a", "ended", 70), row("b", "active", 50)];
    expect(forgotten(stream, listed("b", ["c", "a", "b"]), rows)).toEqual([]);
  });

  test("at once where the stream was made anew, and the row of their counts never", () => {
    const rows = [row("a", "ended", 1, 1_000), row("", "ended", 0, 0)];
    expect(forgotten(stream, listed("a"), rows)).toEqual(["a"]);
  });
});

test("a recreated stream reuses its shard ids: the old sources are closed, the new ones opened", () => {
  const old = [row("a", "active", 70, 1_000), row("b", "ended", 60, 1_000)];
  const plan = planShards(stream, listed("a", "b"), old);
  expect(plan.close).toEqual([old[0]]);
  expect(opened(plan)).toEqual([
    ["a", 0, []],
    ["b", 0, []],
  ]);
});
