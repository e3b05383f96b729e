import { maskedTokens } from "./mask.ts";
import { type TemplateSignals, templateSignals } from "./signals.ts";
import type { Template, TemplateMiner } from "./template-miner.ts";

/** A day back a line counts half. */
const HALF_LIFE_MINUTES = 1_440;
/** A template this faded is as good as new, after some ten days. */
const FORGOTTEN_BELOW = 1e-3;

/** A log line with what varies masked, as one text: lines of equal text are of one template. */
export const maskedText = (line: string): string => maskedTokens(line).join(" ");

export interface MinedMinute {
  readonly signals: TemplateSignals;
  /** Templates that are not what they were. */
  readonly changed: ReadonlySet<Template>;
  readonly evicted: readonly Template[];
}

/**
 * Mines the lines of one closed minute, given by how many there were of each masked text. They are taken in the order
 * of their texts, so that neither the order of the lines nor how they were split makes a difference. Changes the miner.
 */
export function mineMinute(miner: TemplateMiner, texts: ReadonlyMap<string, number>, minute: number): MinedMinute {
  const baseline = new Map<number, number>();
  for (const template of miner.templates()) {
    const weight = fadedWeight(template, minute);
    if (weight >= FORGOTTEN_BELOW) baseline.set(template.made, weight);
  }
  const lines = new Map<Template, number>();
  const evicted: Template[] = [];
  for (const [text, count] of [...texts].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const mined = miner.mineTokens(text === "" ? [] : text.split(" "), count);
    lines.set(mined.template, (lines.get(mined.template) ?? 0) + count);
    if (mined.evicted) evicted.push(mined.evicted);
  }
  const counts = new Map<number, number>();
  for (const [template, count] of lines) counts.set(template.made, count);
  const signals = templateSignals(counts, baseline);
  for (const [template, count] of lines) miner.weigh(template, fadedWeight(template, minute) + count, minute);
  for (const template of evicted) lines.delete(template);
  return { signals, changed: new Set(lines.keys()), evicted };
}

const fadedWeight = ({ weight, weightMinute }: Template, minute: number): number =>
  weight === 0 ? 0 : weight * 0.5 ** (Math.max(0, minute - weightMinute) / HALF_LIFE_MINUTES);
