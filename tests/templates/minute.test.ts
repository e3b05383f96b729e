import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_TEMPLATES, maskedText, mineMinute, TemplateMiner } from "../../processors/templates/index.ts";
import { smallVocabulary } from "./lines.ts";

const DAY = 1_440;
const of = (texts: Record<string, number>) => new Map(Object.entries(texts));
const weights = (miner: TemplateMiner) => [...miner.templates()].map((t) => [t.text, t.weight]);

test("lines that differ only in what is masked are one text", () => {
  expect(maskedText("took 12 ms at 10.0.0.1")).toBe(maskedText("took  7 ms at 10.0.0.99"));
  expect(maskedText("   ")).toBe("");
});

describe("a minute", () => {
  test("its first lines have no baseline: what is new or rare cannot be told", () => {
    const { signals } = mineMinute(new TemplateMiner(), of({ "a b": 3, c: 1 }), 100);
    expect(signals).toMatchObject({ distinct: 2, fresh: Number.NaN, rareShare: Number.NaN, topShare: 0.75 });
  });

  test("a template not seen before is new and rare, one seen before is neither", () => {
    const miner = new TemplateMiner();
    mineMinute(miner, of({ "a b": 99, "c d e": 1 }), 100);
    const { signals } = mineMinute(miner, of({ "a b": 3, "x y z w": 1 }), 101);
    expect(signals).toMatchObject({ distinct: 2, fresh: 1, rareShare: 0.25, topShare: 0.75 });
  });

  test("lines of one template count together, whatever it widened from", () => {
    const miner = new TemplateMiner();
    mineMinute(miner, of({ "user ann logged in": 2 }), 100);
    const { signals } = mineMinute(miner, of({ "user bob logged in": 1, "user cid logged in": 1 }), 101);
    expect(signals).toMatchObject({ distinct: 1, fresh: 0, rareShare: 0, topShare: 1 });
    expect(weights(miner)[0]).toEqual(["user <*> logged in", expect.closeTo(4, 2)]);
  });

  test("a day back a line counts half, in one step or in many", () => {
    const [one, many] = [new TemplateMiner(), new TemplateMiner()];
    for (const miner of [one, many]) mineMinute(miner, of({ a: 64 }), 0);
    mineMinute(one, of({ a: 1 }), DAY);
    expect(weights(one)).toEqual([["a", 33]]);
    for (let m = 1; m <= 600; m++) mineMinute(many, of({ "b b": 1 }), m);
    mineMinute(many, of({ a: 1 }), DAY);
    expect(weights(many)[0]).toEqual(["a", 33]);
  });

  test("what has faded for some ten days is new when it comes again", () => {
    const miner = new TemplateMiner();
    mineMinute(miner, of({ a: 1, "b b": 1e6 }), 0);
    expect(mineMinute(miner, of({ a: 1 }), 9 * DAY).signals.fresh).toBe(0);
    expect(mineMinute(miner, of({ a: 1 }), 20 * DAY).signals.fresh).toBe(1);
  });

  test("a template that gave way is told, and is new when it comes again", () => {
    const miner = new TemplateMiner();
    const many = Array.from({ length: MAX_TEMPLATES }, (_, i): [string, number] => [
      `${letters(i)} is${" up".repeat(i % 2)}`,
      1,
    ]);
    mineMinute(miner, new Map(many), 0);
    const { changes } = mineMinute(miner, of({ "one more line": 1 }), 1);
    const evicted = changes.filter((change) => change.evicted);
    expect(evicted).toHaveLength(1);
    expect(mineMinute(miner, of({ [evicted[0]!.template.text]: 1 }), 2).signals.fresh).toBe(1);
  });

  test("taken back, minutes are as if they had never been, however many templates gave way in them", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e6 }), (seed) => {
        const lines = smallVocabulary(seed, 200);
        const minuteOf = (m: number) =>
          new Map(lines.slice(m * 50, m * 50 + 50).map((line) => [maskedText(line), m + 1]));
        const miner = new TemplateMiner({ maxTemplates: 8 });
        mineMinute(miner, minuteOf(0), 0);
        const before = miner.snapshot();
        const run = () => [1, 2, 3].map((m) => mineMinute(miner, minuteOf(m), m));
        const taken = run();
        const after = miner.snapshot();
        for (const { changes } of taken.toReversed()) miner.undo(changes);
        expect(miner.snapshot()).toEqual(before);
        expect(run().map(({ signals }) => signals)).toEqual(taken.map(({ signals }) => signals));
        expect(miner.snapshot()).toEqual(after);
      }),
      { numRuns: 50 },
    );
  });

  test("the order of its lines makes no difference, and a miner from a snapshot goes on alike", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e6 }), (seed) => {
        const lines = smallVocabulary(seed, 300);
        const run = (ordered: readonly string[], again: boolean) => {
          let miner = new TemplateMiner({ maxTemplates: 20 });
          const found = [0, 1, 2].map((minute) => {
            const counts = new Map<string, number>();
            for (const line of ordered.slice(minute * 100, minute * 100 + 100)) {
              counts.set(maskedText(line), (counts.get(maskedText(line)) ?? 0) + 1);
            }
            const { signals } = mineMinute(miner, counts, minute);
            if (again) {
              const snapshot = JSON.parse(JSON.stringify(miner.snapshot().toReversed()));
              miner = new TemplateMiner({ maxTemplates: 20 }, snapshot);
            }
            return signals;
          });
          return { found, templates: miner.snapshot() };
        };
        const turned = [0, 1, 2].flatMap((minute) => lines.slice(minute * 100, minute * 100 + 100).toReversed());
        expect(run(turned, false)).toEqual(run(lines, false));
        expect(run(lines, true)).toEqual(run(lines, false));
      }),
      { numRuns: 50 },
    );
  });
});

function letters(i: number): string {
  return `w${String.fromCharCode(97 + (i % 26), 97 + (Math.floor(i / 26) % 26))}`;
}
