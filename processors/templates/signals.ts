/** Whatever tells templates apart. */
export type TemplateId = string | number;

/** Lines of one entity in one minute by template. */
export type TemplateCounts = ReadonlyMap<TemplateId, number>;

/** What is usual: each template's lines, older ones counting less. */
export type TemplateBaseline = ReadonlyMap<TemplateId, number>;

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

/** The signals of one minute against the baseline before it. Pure. The order of the counts makes no difference. */
export function templateSignals(counts: TemplateCounts, baseline: TemplateBaseline): TemplateSignals {
  let usual = 0;
  for (const [, weight] of [...baseline].sort(([a], [b]) => (a < b ? -1 : 1))) usual += weight;
  const weights = [...counts.keys()].map((key) => baseline.get(key) ?? 0);
  return signalsOf([...counts.values()], weights, usual);
}

/** The same, given each template's lines, its weight in the baseline (0: not known there), and the baseline's sum. */
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

/** Put in one by one: mostly they are two or three. */
function inOrder(counts: readonly number[]): number[] {
  const sorted: number[] = [];
  for (const count of counts) {
    let at = sorted.length;
    sorted.push(count);
    for (; at > 0 && sorted[at - 1]! > count; at--) sorted[at] = sorted[at - 1]!;
    sorted[at] = count;
  }
  return sorted;
}
