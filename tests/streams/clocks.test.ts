import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { closedBefore, isLate, minuteOf } from "../../processors/features/time.ts";
import { SourceClocks } from "../../streams/index.ts";
import { watermarksOf } from "./marbles.ts";

const pictures: readonly (readonly [rule: string, picture: string])[] = [
  [
    "the watermark is the lowest clock of the open sources",
    `
    shard-1    o0  .   e50  .   .
    shard-2    .   o0  .    e30 e60
    watermark  0   0   0    30  50`,
  ],
  [
    "silence holds the watermark; a tick moves it without an event",
    `
    shard-1    o0  e40 .   .   .
    shard-2    o0  .   .   t20 t45
    watermark  0   0   0   20  40`,
  ],
  [
    "an idle source holds nothing, and its next record makes it count again",
    `
    shard-1    o0  e40 .   e60 .   e80
    shard-2    o0  .   i   .   t65 .
    watermark  0   0   40  60  60  65`,
  ],
  [
    "a source that wakes up below the watermark does not pull it back, and holds it until it has caught up",
    `
    shard-1    o0  e90 .   .   e95 .
    shard-2    o0  t10 i   t20 .   t99
    watermark  0   10  90  90  90  95`,
  ],
  [
    "while all are idle time stands still",
    `
    shard-1    o0  e40 i   .   .
    shard-2    o0  e30 .   i   t70
    watermark  0   30  30  30  70`,
  ],
  [
    "a closed source no longer counts, and when the last one is closed time stands still",
    `
    shard-1    o0  e10 .   x   .   .
    shard-2    o0  e90 .   .   t95 x
    watermark  0   10  10  90  95  95`,
  ],
  [
    "a split: the children stand where their parent stood, before it is closed, so that time goes on without a jump",
    `
    parent     o0  e50 .   x   .   .
    child-1    .   .   o50 .   e60 .
    child-2    .   .   o50 .   .   e55
    watermark  0   50  50  50  50  55`,
  ],
  [
    "a merge: the child starts at the lower of its parents' clocks",
    `
    parent-1   o0  e50 .   x   .   .
    parent-2   o0  e30 .   x   .   .
    child      .   .   o30 .   e45 e70
    watermark  0   30  30  30  45  70`,
  ],
  [
    "a clock never moves back",
    `
    shard-1    o5  e50 t20 o10 .
    watermark  5   50  50  50  50`,
  ],
  [
    "a source that was never opened here is opened by its first record",
    `
    shard-1    o0  e40 .   .
    shard-2    .   .   e20 t60
    watermark  0   40  40  40`,
  ],
];

describe("the watermark, also across restarts between any two records", () => {
  test.each(pictures)("%s", (_, picture) => {
    const { expected, found } = watermarksOf(picture);
    expect(found).toEqual(expected);
  });
});

describe("lateness and closing", () => {
  const GRACE_MS = 60_000;

  test("an event is late by its own source's clock alone; the minute that it lies in closes by the slowest source", () => {
    //           minute 0   minute 1   minute 2   minute 3
    //  fast     ──────────────────────────────────●            clock 180 s: its own events below 120 s are late
    //  slow     ──────────●                                    clock 60 s: its events from 0 s on are in time
    //  closed   nothing: 60 s − grace = 0
    const clocks = new SourceClocks();
    clocks.advance("fast", 180_000);
    clocks.advance("slow", 60_000);
    expect(isLate(119_999, clocks.clockOf("fast"), GRACE_MS)).toBe(true);
    expect(isLate(120_000, clocks.clockOf("fast"), GRACE_MS)).toBe(false);
    expect(isLate(0, clocks.clockOf("slow"), GRACE_MS)).toBe(false);
    expect(closedBefore(clocks.watermarkMs, GRACE_MS)).toBe(0);
    clocks.advance("slow", 120_000);
    expect(closedBefore(clocks.watermarkMs, GRACE_MS)).toBe(1);
  });

  interface Word {
    readonly source: string;
    readonly kind: "open" | "event" | "tick" | "close";
    readonly clockMs: number;
    readonly timestampMs: number;
  }

  /** Counts events a minute as a stage would: judged by the source's own clock, given out when the minute closes. */
  function counted(words: readonly Word[]) {
    const clocks = new SourceClocks();
    const open = new Map<number, number>();
    const rows: [minute: number, events: number][] = [];
    const late: number[] = [];
    let closed = 0;
    for (const { source, kind, clockMs, timestampMs } of words) {
      if (kind === "open") clocks.open(source, clockMs);
      else if (kind === "close") clocks.close(source);
      else {
        if (kind === "event" && isLate(timestampMs, clocks.clockOf(source), GRACE_MS)) late.push(timestampMs);
        else if (kind === "event") {
          const minute = minuteOf(timestampMs);
          if (minute < closed) throw new Error(`Accepted into minute ${minute}, closed before ${closed}.`);
          open.set(minute, (open.get(minute) ?? 0) + 1);
        }
        clocks.advance(source, clockMs);
      }
      for (const to = closedBefore(clocks.watermarkMs, GRACE_MS); closed < to; closed++) {
        rows.push([closed, open.get(closed) ?? 0]);
        open.delete(closed);
      }
    }
    return { rows, late: late.sort((a, b) => a - b), open: [...open].sort(([a], [b]) => a - b) };
  }

  /** A source's words in its own order; its clock moves on by its records, which lie somewhere about it. */
  const wordsOf = (source: string) =>
    fc
      .array(
        fc.record({ stepMs: fc.nat(90_000), offMs: fc.integer({ min: -150_000, max: 30_000 }), tick: fc.boolean() }),
        {
          maxLength: 25,
        },
      )
      .map((steps): Word[] => {
        let clockMs = 300_000;
        const words: Word[] = [{ source, kind: "open", clockMs, timestampMs: 0 }];
        for (const { stepMs, offMs, tick } of steps) {
          clockMs += stepMs;
          words.push({ source, kind: tick ? "tick" : "event", clockMs, timestampMs: clockMs - stepMs + offMs });
        }
        return words;
      });

  test("any interleaving of the same sources gives equal rows, equal late events, and none meets a closed minute", () => {
    const orders = fc.array(fc.nat(2), { minLength: 1, maxLength: 80 });
    let lateSeen = 0;
    fc.assert(
      fc.property(fc.tuple(wordsOf("a"), wordsOf("b"), wordsOf("c")), orders, orders, (sources, one, other) => {
        // Every source is opened before any is read, as the bridge does; after that any order, each source in its own.
        const merged = (order: readonly number[]) => {
          const rest = sources.map((words) => words.slice(1));
          const words = sources.map((s) => s[0]!);
          for (let i = 0; rest.some((r) => r.length > 0); i++) {
            const wanted = rest[order[i % order.length]!]!;
            words.push((wanted.length > 0 ? wanted : rest.find((r) => r.length > 0)!).shift()!);
          }
          return words;
        };
        const first = counted(merged(one));
        expect(counted(merged(other))).toEqual(first);
        lateSeen += first.late.length;
      }),
      { numRuns: 300 },
    );
    expect(lateSeen).toBeGreaterThan(0);
  });
});

test("neither a clock nor the watermark ever moves back, whatever comes", () => {
  const step = fc.record({
    source: fc.constantFrom("a", "b", "c"),
    clockMs: fc.nat(1_000),
    kind: fc.constantFrom("advance", "idle", "close", "open"),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const clocks = new SourceClocks();
      let last = 0;
      for (const s of steps) {
        const before = clocks.clockOf(s.source);
        if (s.kind === "advance" || s.kind === "open") clocks[s.kind](s.source, s.clockMs);
        else if (s.kind === "idle") clocks.idle(s.source);
        else clocks.close(s.source);
        if (s.kind !== "close") expect(clocks.clockOf(s.source)).toBeGreaterThanOrEqual(before);
        expect(clocks.watermarkMs).toBeGreaterThanOrEqual(last);
        last = clocks.watermarkMs;
      }
    }),
  );
});
