/**
 * Tail probabilities of the distributions that the tests need. Each is accurate to about 1e-10 relative where the
 * answer is above 1e-300 (tests/experiments/vectors.json). Arguments outside the domain throw RangeError.
 */

const MAX_ITERATIONS = 100_000;
const EPSILON = 1e-16;
/** Stands for zero in Lentz's method, which divides by its terms. */
const TINY = 1e-300;

const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
] as const;

/** ln Γ(x) for x > 0: Lanczos's approximation with g = 7 and nine terms (Lanczos 1964). */
export function logGamma(x: number): number {
  need(x > 0, `logGamma(${x})`);
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const t = x + 6.5;
  let sum: number = LANCZOS[0];
  for (let i = 1; i < LANCZOS.length; i++) sum += LANCZOS[i]! / (x - 1 + i);
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}

/**
 * The regularised upper incomplete gamma function Q(a, x) for a > 0, x ≥ 0: by its series below a + 1
 * (Abramowitz & Stegun 6.5.29), by its continued fraction above (6.5.31, evaluated after Lentz).
 */
export function gammaUpper(a: number, x: number): number {
  need(a > 0 && x >= 0, `gammaUpper(${a}, ${x})`);
  if (x === 0) return 1;
  if (x === Number.POSITIVE_INFINITY) return 0;
  const front = Math.exp(a * Math.log(x) - x - logGamma(a));
  if (x < a + 1) {
    let term = 1 / a;
    let sum = term;
    for (let n = 1; n < MAX_ITERATIONS && term > sum * EPSILON; n++) {
      term *= x / (a + n);
      sum += term;
    }
    return clamp(1 - front * sum);
  }
  return clamp(front / lentz(x + 1 - a, (n) => ({ numerator: -n * (n - a), denominator: x + 2 * n + 1 - a })));
}

/**
 * The regularised incomplete beta function I_x(a, b) for a, b > 0 and 0 ≤ x ≤ 1, by its continued fraction
 * (Abramowitz & Stegun 26.5.8, evaluated after Lentz) on the side where that converges fast.
 */
export function betaLower(x: number, a: number, b: number): number {
  need(a > 0 && b > 0 && x >= 0 && x <= 1, `betaLower(${x}, ${a}, ${b})`);
  if (x === 0 || x === 1) return x;
  const front = Math.exp(a * Math.log(x) + b * Math.log1p(-x) + logGamma(a + b) - logGamma(a) - logGamma(b));
  if (x < (a + 1) / (a + b + 2)) return clamp(front / a / betaFraction(x, a, b));
  return clamp(1 - front / b / betaFraction(1 - x, b, a));
}

function betaFraction(x: number, a: number, b: number): number {
  return lentz(1, (n) => {
    const m = Math.floor(n / 2);
    const numerator =
      n % 2 === 0
        ? (m * (b - m) * x) / ((a + n - 1) * (a + n))
        : -((a + m) * (a + b + m) * x) / ((a + n - 1) * (a + n));
    return { numerator, denominator: 1 };
  });
}

/** P(Z ≥ z) of the standard normal distribution, as Q(½, z²/2)/2 (Abramowitz & Stegun 6.5.17, 26.2.29). */
export function normalTail(z: number): number {
  const tail = gammaUpper(0.5, (z * z) / 2) / 2;
  return z >= 0 ? tail : 1 - tail;
}

/** The z with P(Z ≥ z) = tail, for 0 < tail < 1. */
export function normalQuantile(tail: number): number {
  return quantile(tail, normalTail);
}

/** P(T ≥ t) of Student's distribution (Abramowitz & Stegun 26.5.27). */
export function studentTail(t: number, degrees: number): number {
  const tail = betaLower(degrees / (degrees + t * t), degrees / 2, 0.5) / 2;
  return t >= 0 ? tail : 1 - tail;
}

/** The t with P(T ≥ t) = tail, for 0 < tail < 1. */
export function studentQuantile(tail: number, degrees: number): number {
  return quantile(tail, (t) => studentTail(t, degrees));
}

/** By halving: it is asked for once a decision. The distribution is symmetric about 0. */
function quantile(tail: number, tailAt: (x: number) => number): number {
  need(tail > 0 && tail < 1, `quantile(${tail})`);
  if (tail > 0.5) return -quantile(1 - tail, tailAt);
  let [low, high] = [0, 1];
  while (tailAt(high) > tail) high *= 2;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (tailAt(middle) > tail) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** P(X ≥ x) of the chi-square distribution (Abramowitz & Stegun 26.4.19). */
export function chiSquareTail(x: number, degrees: number): number {
  return gammaUpper(degrees / 2, x / 2);
}

/** P(X ≥ k) of n trials that succeed with chance p, as I_p(k, n − k + 1) (Abramowitz & Stegun 26.5.24). */
export function binomialTail(k: number, n: number, p: number): number {
  need(Number.isInteger(k) && Number.isInteger(n) && n >= 0 && p >= 0 && p <= 1, `binomialTail(${k}, ${n}, ${p})`);
  if (k <= 0) return 1;
  return k > n ? 0 : betaLower(p, k, n - k + 1);
}

/** The continued fraction first + n₁/(d₁ + n₂/(d₂ + …)), by Lentz's method as modified by Thompson & Barnett (1986). */
function lentz(first: number, termAt: (n: number) => { numerator: number; denominator: number }): number {
  let value = first === 0 ? TINY : first;
  let c = value;
  let d = 0;
  for (let n = 1; n < MAX_ITERATIONS; n++) {
    const { numerator, denominator } = termAt(n);
    d = 1 / nonZero(denominator + numerator * d);
    c = nonZero(denominator + numerator / c);
    value *= c * d;
    if (Math.abs(c * d - 1) < 2 * EPSILON) break;
  }
  return value;
}

const nonZero = (x: number): number => (Math.abs(x) < TINY ? TINY : x);
const clamp = (p: number): number => Math.min(1, Math.max(0, p));

function need(holds: boolean, call: string): void {
  if (!holds) throw new RangeError(`${call} is not defined`);
}
