import { inOrder } from "./in-order.ts";

export interface TemplateSignals {
  /** Templates seen in the minute. */
  readonly distinct: number;
  /** Of these, those the baseline does not know; NaN while there is no baseline, for then all are. */
  readonly fresh: number;
  /** Share of the lines whose template makes up less than 1 % of the baseline; NaN without baseline or lines. */
  readonly rareShare: number;
  /** Of the distribution of lines over templates, in bits; 0 for none or one template. */
  readonly entropyBits: number;
  /** Entropy over its maximum for this many templates, 0 to 1. */
  readonly evenness: number;
  /** Share of the lines that the commonest template has; NaN without lines. */
  readonly topShare: number;
}

export const templateSignalNames = ["distinct", "fresh", "rareShare", "entropyBits", "evenness", "topShare"] as const;
export type TemplateSignal = (typeof templateSignalNames)[number];

const RARE_BELOW = 0.01;

/**
 * The signals of one minute, given each template's lines, its weight in the baseline (what is usual, older lines counting
 * less; 0: not known there), and the baseline's sum. Pure. The order of the templates makes no difference.
 */
export function signalsOf(counts: readonly number[], weights: readonly number[], usual: number): TemplateSignals {
  let lines = 0;
  let top = 0;
  for (const count of counts) {
    lines += count;
    if (count > top) top = count;
  }
  let fresh = 0;
  let rare = 0;
  for (let i = 0; i < counts.length; i++) {
    if (weights[i] === 0) fresh++;
    if (weights[i]! < RARE_BELOW * usual) rare += counts[i]!;
  }
  return {
    distinct: counts.length,
    fresh: usual > 0 ? fresh : Number.NaN,
    rareShare: usual > 0 && lines > 0 ? rare / lines : Number.NaN,
    ...entropyOf(counts, lines),
    topShare: lines > 0 ? top / lines : Number.NaN,
  };
}

function entropyOf(counts: readonly number[], lines: number): { entropyBits: number; evenness: number } {
  // Floating-point sums depend on their order, and features may not depend on the order of lines.
  const sorted = inOrder(counts);
  let bits = 0;
  for (let i = 0; i < sorted.length; i++) bits -= (sorted[i]! / lines) * Math.log2(sorted[i]! / lines);
  return { entropyBits: Math.max(0, bits), evenness: counts.length > 1 ? bits / Math.log2(counts.length) : 0 };
}
