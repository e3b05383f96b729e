import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { advanceBaseline, rekey, templateSignals } from "../../processors/templates/index.ts";

const of = (counts: Record<string, number>) => new Map(Object.entries(counts));
const DAY = 1_440;

describe("signals of a minute", () => {
  test("four templates evenly: two bits, even, a quarter each", () => {
    expect(templateSignals(of({ a: 5, b: 5, c: 5, d: 5 }), of({ a: 1, b: 1, c: 1, d: 1 }))).toEqual({
      distinct: 4,
      fresh: 0,
      rareShare: 0,
      entropyBits: 2,
      evenness: 1,
      topShare: 0.25,
    });
  });

  test("one template alone has no entropy and the whole share", () => {
    expect(templateSignals(of({ a: 9 }), of({ a: 1 }))).toMatchObject({ entropyBits: 0, evenness: 0, topShare: 1 });
  });

  test("a template the baseline does not know is new and rare", () => {
    expect(templateSignals(of({ a: 3, b: 1 }), of({ a: 100 }))).toMatchObject({ fresh: 1, rareShare: 0.25 });
  });

  test("rare is below one in a hundred, not at it", () => {
    expect(templateSignals(of({ b: 1 }), of({ a: 99, b: 1 })).rareShare).toBe(0);
    expect(templateSignals(of({ b: 1 }), of({ a: 99.1, b: 1 })).rareShare).toBe(1);
  });

  test("without a baseline nothing is known to be new or rare", () => {
    const { fresh, rareShare, distinct } = templateSignals(of({ a: 3 }), new Map());
    expect([fresh, rareShare, distinct]).toEqual([Number.NaN, Number.NaN, 1]);
  });

  test("a minute without lines has no shares", () => {
    expect(templateSignals(new Map(), of({ a: 1 }))).toEqual({
      distinct: 0,
      fresh: 0,
      rareShare: Number.NaN,
      entropyBits: 0,
      evenness: 0,
      topShare: Number.NaN,
    });
  });

  const counts = fc.dictionary(fc.string({ maxLength: 3 }), fc.integer({ min: 1, max: 1_000 }), { maxKeys: 40 });
  const weights = fc.dictionary(fc.string({ maxLength: 3 }), fc.double({ min: 1e-3, max: 1e6, noNaN: true }), {
    maxKeys: 40,
  });
  test("the order of counts and baseline makes no difference, to the last bit", () => {
    fc.assert(
      fc.property(counts, weights, (a, b) => {
        const backwards = (c: Record<string, number>) => new Map(Object.entries(c).reverse());
        expect(templateSignals(backwards(a), backwards(b))).toEqual(templateSignals(of(a), of(b)));
      }),
    );
  });

  test("a template just at one in a hundred is rare or not whatever the order of the baseline's sum", () => {
    // Added to the large one by one, the ones are lost in rounding; added up first, they are not.
    const ones = Array.from({ length: 10 }, (_, i): [string, number] => [`one${i}`, 1]);
    const limit: [string, number] = ["x", (1e16 + 5) / 99];
    const rareIn = (baseline: [string, number][]) => templateSignals(of({ x: 1 }), new Map(baseline)).rareShare;
    expect(rareIn([["large", 1e16], ...ones, limit])).toBe(rareIn([...ones, ["large", 1e16], limit]));
  });

  test("shares, entropy and evenness stay within their bounds", () => {
    fc.assert(
      fc.property(counts, (a) => {
        const { entropyBits, evenness, distinct } = templateSignals(of(a), new Map());
        expect(entropyBits).toBeGreaterThanOrEqual(0);
        expect(entropyBits).toBeLessThanOrEqual(Math.log2(Math.max(1, distinct)) + 1e-9);
        expect(evenness).toBeLessThanOrEqual(1 + 1e-9);
      }),
    );
  });
});

describe("baseline", () => {
  test("a day back counts half", () => {
    expect(advanceBaseline(of({ a: 8 }), of({ a: 1 }), DAY)).toEqual(of({ a: 5 }));
    expect(advanceBaseline(of({ a: 8 }), new Map(), 2 * DAY)).toEqual(of({ a: 2 }));
  });

  test("one step over many minutes equals many steps", () => {
    let steps: Map<string, number> = of({ a: 64 });
    for (let i = 0; i < 600; i++) steps = advanceBaseline(steps, new Map(), 1);
    expect(steps.get("a")).toBeCloseTo(advanceBaseline(of({ a: 64 }), new Map(), 600).get("a")!, 9);
  });

  test("what has faded is forgotten, and is new when it comes again", () => {
    const later = advanceBaseline(of({ a: 1, b: 1e6 }), new Map(), 11 * DAY);
    expect([...later.keys()]).toEqual(["b"]);
    expect(templateSignals(of({ a: 1 }), later).fresh).toBe(1);
  });

  test("no more than 256 templates are known: the heaviest", () => {
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`k${i}`, i + 1]));
    const kept = advanceBaseline(new Map(), of(many), 0);
    expect(kept.size).toBe(256);
    expect(Math.min(...kept.values())).toBe(45);
  });

  test("time that goes backwards fades nothing and adds", () => {
    expect(advanceBaseline(of({ a: 8 }), of({ a: 1 }), -5)).toEqual(of({ a: 9 }));
  });
});

test("a template that widened keeps its counts under its new key; chains are followed, circles end", () => {
  const renamed = new Map([
    ["a", "b"],
    ["b", "c"],
  ]);
  expect(rekey(of({ a: 1, b: 2, c: 4, d: 8 }), renamed)).toEqual(of({ c: 7, d: 8 }));
  const circle = new Map([
    ["a", "b"],
    ["b", "a"],
  ]);
  expect([...rekey(of({ a: 1 }), circle).values()]).toEqual([1]);
});
