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
  let lines = 0;
  let top = 0;
  for (const count of counts.values()) {
    lines += count;
    top = Math.max(top, count);
  }
  let usual = 0;
  for (const weight of inOrder(baseline)) usual += weight[1];
  let fresh = 0;
  let rare = 0;
  const parts: number[] = [];
  for (const [key, count] of counts) {
    const weight = baseline.get(key);
    if (weight === undefined) fresh++;
    if ((weight ?? 0) < RARE_BELOW * usual) rare += count;
    parts.push(count / lines);
  }
  // Floating-point sums depend on their order, and features may not depend on the order of lines.
  const entropyBits = parts.sort((a, b) => a - b).reduce((sum, p) => sum - p * Math.log2(p), 0);
  return {
    distinct: counts.size,
    fresh: usual > 0 ? fresh : Number.NaN,
    rareShare: usual > 0 && lines > 0 ? rare / lines : Number.NaN,
    entropyBits: Math.max(0, entropyBits),
    evenness: counts.size > 1 ? entropyBits / Math.log2(counts.size) : 0,
    topShare: lines > 0 ? top / lines : Number.NaN,
  };
}

const inOrder = (counts: ReadonlyMap<TemplateId, number>): [TemplateId, number][] =>
  [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
