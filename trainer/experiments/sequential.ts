import type { Estimate } from "./clusters.ts";

/**
 * Tests that may be looked at after every row. With H0: no difference, the estimate's likelihood ratio is mixed over
 * N(0, τ²) alternatives: Λ = √(V/(V + τ²)) · exp(τ² d² / (2V(V + τ²))), and P(Λ ever ≥ 1/α) ≤ α (Robbins 1970; for two
 * proportions with V estimated: Johari, Koomen, Pekelis & Walsh 2022, "Always Valid Inference"). V being estimated,
 * the bound is asymptotic (Waudby-Smith et al. 2024, "Time-uniform central limit theory"): ask for a minimum of rows.
 */
export function mixtureLikelihoodRatio({ difference, variance }: Estimate, tau: number): number {
  return Math.exp(logRatio(difference, variance, tau));
}

/** The always-valid p of this look, min(1, 1/Λ). Stop at the first look below α: wrong in at most α of all A/A runs. */
export function alwaysValidP({ difference, variance }: Estimate, tau: number): number {
  return Math.min(1, Math.exp(-logRatio(difference, variance, tau)));
}

/**
 * The interval that covers the true difference at all looks at once with chance 1 − α: the differences that the test
 * above does not refuse. It leaves 0 out exactly where the p falls below α.
 */
export function confidenceSequence(
  { difference, variance }: Estimate,
  tau: number,
  alpha: number,
): { readonly low: number; readonly high: number } {
  const both = variance + tau * tau;
  const square = ((variance * both) / (tau * tau)) * (2 * Math.log(1 / alpha) + Math.log(both / variance));
  const width = Math.sqrt(square);
  return { low: difference - width, high: difference + width };
}

/**
 * The τ that makes the confidence sequence narrowest at a variance, that is, at the rows one expects. It is set before
 * the first look. With x = τ²/V the squared width is (1 + 1/x)(c + ln(1 + x)), c = 2 ln(1/α): least at x = c + ln(1 + x).
 */
export function tauFor(variance: number, alpha: number): number {
  const c = 2 * Math.log(1 / alpha);
  let x = c;
  for (let i = 0; i < 50; i++) x = c + Math.log1p(x);
  return Math.sqrt(x * variance);
}

function logRatio(difference: number, variance: number, tau: number): number {
  const both = variance + tau * tau;
  return 0.5 * Math.log(variance / both) + (tau * tau * difference * difference) / (2 * variance * both);
}
