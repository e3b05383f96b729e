import fc from "fast-check";
import { expect, test } from "vitest";
import {
  betaLower,
  binomialTail,
  chiSquareTail,
  gammaUpper,
  logGamma,
  normalQuantile,
  normalTail,
  studentQuantile,
  studentTail,
} from "../../trainer/experiments/index.ts";
import vectors from "./vectors.json" with { type: "json" };

const functions: Readonly<Record<string, (...args: number[]) => number>> = {
  logGamma,
  gammaUpper,
  betaLower,
  normalTail,
  normalQuantile,
  chiSquareTail,
  binomialTail,
  studentTail,
  studentQuantile,
};

test.each(Object.keys(functions))("%s agrees with SciPy", (name) => {
  for (const row of vectors[name as "logGamma"]) {
    const [args, expected] = [row.slice(0, -1), row.at(-1)!];
    const got = functions[name]!(...args);
    const scale = Math.max(Math.abs(expected), name === "logGamma" || name.endsWith("Quantile") ? 1 : 1e-300);
    expect(Math.abs(got - expected) / scale, `${name}(${args}) = ${got}, SciPy has ${expected}`).toBeLessThan(1e-10);
  }
});

/** Upper critical values as textbooks print them: to the last digit that they give. */
const printed = {
  normal: { 0.05: 1.645, 0.025: 1.96, 0.01: 2.326, 0.005: 2.576 },
  chiSquare: {
    0.05: { 1: 3.841, 2: 5.991, 5: 11.07, 10: 18.307, 30: 43.773 },
    0.01: { 1: 6.635, 2: 9.21, 5: 15.086, 10: 23.209, 30: 50.892 },
  },
  student: {
    0.05: { 1: 6.314, 5: 2.015, 10: 1.812, 30: 1.697 },
    0.025: { 1: 12.706, 5: 2.571, 10: 2.228, 30: 2.042 },
  },
};

test("tails and quantiles are those of the printed tables of the normal, chi-square and Student's distribution", () => {
  const between = (tail: (at: number) => number, chance: string, critical: number) => {
    expect(tail(critical - 0.0005)).toBeGreaterThanOrEqual(Number(chance));
    expect(tail(critical + 0.0005)).toBeLessThanOrEqual(Number(chance));
  };
  for (const [chance, critical] of Object.entries(printed.normal)) between(normalTail, chance, critical);
  for (const [chance, row] of Object.entries(printed.chiSquare))
    for (const [degrees, critical] of Object.entries(row))
      between((at) => chiSquareTail(at, Number(degrees)), chance, critical);
  for (const [chance, row] of Object.entries(printed.student))
    for (const [degrees, critical] of Object.entries(row))
      between((at) => studentTail(at, Number(degrees)), chance, critical);
});

const positive = fc.double({ min: 0.05, max: 500, noNaN: true });
/** Where 1 − x still tells x. */
const inside = fc.double({ min: 1e-9, max: 1 - 1e-9, noNaN: true });
const chance = fc.double({ min: 0, max: 1, noNaN: true });

test("every tail is a probability and falls as its argument grows", () => {
  fc.assert(
    fc.property(positive, positive, positive, chance, (a, b, x, p) => {
      for (const tail of [
        (at: number) => gammaUpper(a, at),
        (at: number) => normalTail(at - 250),
        (at: number) => betaLower(p / (1 + at), a, b),
      ]) {
        expect(tail(x)).toBeGreaterThanOrEqual(0);
        expect(tail(x)).toBeLessThanOrEqual(1);
        expect(tail(x * 1.01)).toBeLessThanOrEqual(tail(x) + 1e-12);
      }
    }),
  );
});

test("both sides of a distribution add up to 1", () => {
  fc.assert(
    fc.property(positive, positive, inside, fc.double({ min: -37, max: 37, noNaN: true }), (a, b, x, z) => {
      expect(betaLower(x, a, b) + betaLower(1 - x, b, a)).toBeCloseTo(1, 8);
      expect(normalTail(z) + normalTail(-z)).toBeCloseTo(1, 12);
    }),
  );
});

test("the binomial tail is the sum of its terms", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.double({ min: 0.01, max: 0.99, noNaN: true }), (n, p) => {
      let mass = (1 - p) ** n;
      let above = 1;
      for (let k = 0; k <= n; k++) {
        expect(binomialTail(k, n, p)).toBeCloseTo(above, 9);
        above -= mass;
        mass *= ((n - k) / (k + 1)) * (p / (1 - p));
      }
    }),
  );
});

test("the quantile undoes the tail", () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-9, max: 1 - 1e-9, noNaN: true }), (tail) => {
      expect(Math.abs(normalTail(normalQuantile(tail)) / tail - 1)).toBeLessThan(1e-9);
    }),
  );
});

test("what is not defined is refused", () => {
  expect(() => logGamma(0)).toThrow(RangeError);
  expect(() => gammaUpper(1, -1)).toThrow(RangeError);
  expect(() => gammaUpper(Number.NaN, 1)).toThrow(RangeError);
  expect(() => betaLower(1.1, 1, 1)).toThrow(RangeError);
  expect(() => normalQuantile(0)).toThrow(RangeError);
  expect(() => binomialTail(1.5, 2, 0.5)).toThrow(RangeError);
});
