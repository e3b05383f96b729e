import { inOrder } from "./in-order.ts";
import { maskedTokens } from "./mask.ts";
import { signalsOf, type TemplateSignals } from "./signals.ts";
import type { Template } from "./template.ts";
import type { MinerChange, TemplateMiner } from "./template-miner.ts";

/** A day back a line counts half. */
const HALF_LIFE_MINUTES = 1_440;
/** A template this faded is as good as new, after some ten days. */
const FORGOTTEN_BELOW = 1e-3;

/** A log line with what varies masked, as one text: lines of equal text are of one template. */
export const maskedText = (line: string): string => maskedTokens(line).join(" ");

/** Texts whose words are remembered. */
const MAX_KNOWN_TEXTS = 2_048;
const MAX_KNOWN_TEXT_LENGTH = 512;
const knownTexts = new Map<string, readonly string[]>();

/** Machines of a kind write the same lines: their words are found once, lie in memory once and are equal at a glance. */
function wordsOf(text: string): readonly string[] {
  const known = knownTexts.get(text);
  if (known) return known;
  const words = text === "" ? [] : text.split(" ");
  if (text.length > MAX_KNOWN_TEXT_LENGTH) return words;
  if (knownTexts.size >= MAX_KNOWN_TEXTS) knownTexts.clear();
  knownTexts.set(text, words);
  return words;
}

export interface MinedMinute {
  readonly signals: TemplateSignals;
  /** What takes the minute back. */
  readonly changes: readonly MinerChange[];
}

/**
 * Mines the lines of one closed minute, given by how many there were of each masked text. They are taken in the order
 * of their texts, so that neither the order of the lines nor how they were split makes a difference. Changes the miner.
 */
export function mineMinute(miner: TemplateMiner, texts: ReadonlyMap<string, number>, minute: number): MinedMinute {
  let usual = 0;
  for (const template of miner.templates()) usual += usualOf(fadedWeight(template, minute));
  const sorted = inOrder(texts.keys());
  const changes = miner.mineAll(
    sorted.map(wordsOf),
    sorted.map((text) => texts.get(text)!),
  );
  const counts: number[] = [];
  const weights: number[] = [];
  for (const { template, before, evicted } of changes) {
    if (evicted) continue;
    const count = template.count - (before?.count ?? 0);
    const weight = fadedWeight(template, minute);
    counts.push(count);
    weights.push(usualOf(weight));
    miner.weigh(template, weight + count, minute);
  }
  return { signals: signalsOf(counts, weights, usual), changes };
}

/** 0: the template is as good as new. */
const usualOf = (weight: number): number => (weight < FORGOTTEN_BELOW ? 0 : weight);

/** What is left of a weight of 1 after so many minutes: most templates were there a few minutes ago. */
const leftAfter = Float64Array.from(
  { length: HALF_LIFE_MINUTES },
  (_, minutes) => 0.5 ** (minutes / HALF_LIFE_MINUTES),
);

function fadedWeight({ weight, weightMinute }: Template, minute: number): number {
  if (weight === 0) return 0;
  const minutes = Math.max(0, minute - weightMinute);
  return weight * (leftAfter[minutes] ?? 0.5 ** (minutes / HALF_LIFE_MINUTES));
}
