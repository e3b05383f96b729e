/** A seeded source of uniform numbers in [0, 1): mulberry32. */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Draws from binomial distributions with one chance p and up to `most` trials, by inversion of tables. */
export function binomialSampler(p: number, most: number, random: () => number): (trials: number) => number {
  if ((1 - p) ** most < 1e-290) throw new RangeError(`no table for ${most} trials of chance ${p}`);
  const tables = Array.from({ length: most + 1 }, (_, n) => {
    const cumulative = new Float64Array(n + 1);
    let mass = (1 - p) ** n;
    let sum = 0;
    for (let k = 0; k <= n; k++) {
      sum += mass;
      cumulative[k] = sum;
      mass *= ((n - k) / (k + 1)) * (p / (1 - p));
    }
    return cumulative;
  });
  return (trials) => {
    const table = tables[trials]!;
    const u = random();
    let k = Math.max(0, Math.floor(trials * p));
    while (k > 0 && table[k - 1]! > u) k--;
    while (k < trials && table[k]! <= u) k++;
    return k;
  };
}
