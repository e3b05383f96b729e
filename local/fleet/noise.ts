/**
 * Randomness without state: every value is a function of the seed and of where it is asked for. Any minute can be
 * computed without those before it, so a run that is resumed says the same as one that never stopped.
 */

/** A hash of up to four whole numbers, 0 to 2^32 − 1. */
export function hash(seed: number, a: number, b = 0, c = 0): number {
  let h = seed | 0;
  for (const word of [a, b, c]) {
    h = Math.imul(h ^ word ^ (h >>> 15), 0x2c1b3c6d);
    h = Math.imul(h ^ (h >>> 12) ^ 0x9e3779b9, 0x297a2d39);
    h ^= h >>> 15;
  }
  return h >>> 0;
}

/** Uniform, 0 inclusive to 1 exclusive. */
export const uniform = (seed: number, a: number, b = 0, c = 0): number => hash(seed, a, b, c) / 4_294_967_296;

/** A whole number from 0 to n − 1. */
export const below = (n: number, seed: number, a: number, b = 0, c = 0): number =>
  Math.floor(uniform(seed, a, b, c) * n);

/** Bell-shaped with mean 0 and deviation 1, within ±3: the sum of three uniforms of one hash. */
export function bell(seed: number, a: number, b = 0, c = 0): number {
  const h = hash(seed, a, b, c);
  return ((h & 1023) + ((h >>> 10) & 1023) + ((h >>> 20) & 1023)) / 511.5 - 3;
}

/** A curve through random points `period` apart, −1 to 1: noise whose neighbours resemble each other. */
export function drift(period: number, seed: number, a: number, at: number): number {
  const cell = Math.floor(at / period);
  const along = (1 - Math.cos((at / period - cell) * Math.PI)) / 2;
  const from = uniform(seed, a, cell, period);
  return 2 * (from + (uniform(seed, a, cell + 1, period) - from) * along) - 1;
}

/** How many happen where `rate` are expected (Poisson), at most 40. */
export function count(rate: number, u: number): number {
  let p = Math.exp(-rate);
  let sum = p;
  let n = 0;
  while (u > sum && n < 40) {
    n++;
    p *= rate / n;
    sum += p;
  }
  return n;
}

/** The numbers 0 to n − 1 in an order chosen by the seed. */
export function shuffled(n: number, seed: number, a: number): number[] {
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = below(i + 1, seed, a, i);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}
