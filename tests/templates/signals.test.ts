import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { signalsOf } from "../../processors/templates/index.ts";

const of = (counts: Record<string, number>) => new Map(Object.entries(counts));

/** Of a minute's lines by template, against the lines that were usual before. */
function templateSignals(counts: ReadonlyMap<string, number>, baseline: ReadonlyMap<string, number>) {
  const weights = [...counts.keys()].map((template) => baseline.get(template) ?? 0);
  const usual = [...baseline.values()].reduce((sum, weight) => sum + weight, 0);
  return signalsOf([...counts.values()], weights, usual);
}

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
  test("the order of the templates makes no difference, to the last bit", () => {
    fc.assert(
      fc.property(counts, weights, (a, b) => {
        const backwards = new Map(Object.entries(a).reverse());
        expect(templateSignals(backwards, of(b))).toEqual(templateSignals(of(a), of(b)));
      }),
    );
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
