/** Lines of one entity in one minute by template key. */
export type TemplateCounts = ReadonlyMap<string, number>;

/** What is usual: each template's lines, older ones counting less. */
export type TemplateBaseline = ReadonlyMap<string, number>;

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

/** A day back a line counts half. */
const HALF_LIFE_MINUTES = 1_440;
const RARE_BELOW = 0.01;
/** A line this faded is forgotten, after some ten days. */
const FORGOTTEN_BELOW = 1e-3;
/** Of one entity: its live templates and as many that gave way to them. */
const MAX_KNOWN = 256;

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

/** The baseline after a minute, `elapsedMinutes` after the last one it took. Pure. At most 256 templates are known. */
export function advanceBaseline(
  baseline: TemplateBaseline,
  counts: TemplateCounts,
  elapsedMinutes: number,
): Map<string, number> {
  const fade = 0.5 ** (Math.max(0, elapsedMinutes) / HALF_LIFE_MINUTES);
  const next = new Map<string, number>();
  for (const [key, weight] of baseline) {
    const left = weight * fade;
    if (left >= FORGOTTEN_BELOW) next.set(key, left);
  }
  for (const [key, count] of counts) next.set(key, (next.get(key) ?? 0) + count);
  if (next.size <= MAX_KNOWN) return next;
  const heaviest = [...inOrder(next)].sort((a, b) => b[1] - a[1]).slice(0, MAX_KNOWN);
  return new Map(heaviest);
}

/**
 * Counts or a baseline under the keys that templates have now: a template that widened keeps what it had, so it is
 * neither new nor rare for that. `renamed` leads from an old key to the next one; chains are followed.
 */
export function rekey(counts: TemplateCounts, renamed: ReadonlyMap<string, string>): Map<string, number> {
  const next = new Map<string, number>();
  for (const [old, count] of counts) {
    let key = old;
    for (let i = 0; i <= renamed.size && renamed.has(key); i++) key = renamed.get(key)!;
    next.set(key, (next.get(key) ?? 0) + count);
  }
  return next;
}

const inOrder = (counts: ReadonlyMap<string, number>): [string, number][] =>
  [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
