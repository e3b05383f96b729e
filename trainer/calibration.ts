import { type Calibration, SCORE_THRESHOLD } from "../schemas/index.ts";
import type { LabelledScores, OperatingPoint } from "./operating-point.ts";

/** Score that half of the normal rows stay below, so that a person reads a normal row as near zero. */
const NORMAL_SCORE = 0.1;
/** Chance of an anomaly at the operating point where no label can tell. */
const UNKNOWN_PROBABILITY = 0.5;

/** The maps of a model's raw output, from rows that it was not fitted on. */
export function calibrate(scores: Pick<LabelledScores, "raw" | "label">, point: OperatingPoint): Calibration {
  const normal = scores.raw.filter((_, row) => scores.label[row] === 0).sort();
  const median = normal[normal.length >> 1] ?? 0;
  const scoreKnots: Knot[] = [{ raw: 0, value: 0 }];
  if (median > 0 && median < point.raw / 2) scoreKnots.push({ raw: median, value: NORMAL_SCORE });
  scoreKnots.push({ raw: point.raw, value: SCORE_THRESHOLD }, { raw: 1, value: 1 });

  const labelled = scores.label.includes(1) && scores.label.includes(0);
  const probabilityKnots = labelled
    ? isotonic(scores)
    : scoreKnots.map(({ raw, value }) => ({ raw, value: (value / SCORE_THRESHOLD) * UNKNOWN_PROBABILITY }));

  const raw = [...new Set([...scoreKnots, ...probabilityKnots].map((knot) => knot.raw))].sort((a, b) => a - b);
  return {
    raw,
    probability: raw.map((x) => interpolate(probabilityKnots, x)),
    score: raw.map((x) => interpolate(scoreKnots, x)),
  };
}

interface Knot {
  readonly raw: number;
  readonly value: number;
}

/** Piecewise linear through knots of ascending `raw`, flat outside; exact at each knot. */
function interpolate(knots: readonly Knot[], x: number): number {
  const after = knots.findIndex((knot) => knot.raw >= x);
  const high = knots[after];
  const low = knots[after - 1];
  if (high === undefined) return knots.at(-1)!.value;
  if (low === undefined || high.raw === x) return high.value;
  // Rounding must not lift a point above the knot to its right.
  return Math.min(high.value, low.value + ((x - low.raw) / (high.raw - low.raw)) * (high.value - low.value));
}

/**
 * Isotonic regression of label on raw output: the ascending step function nearest to the labels, by merging
 * neighbouring blocks that stand in the wrong order.
 *
 * A block's share is drawn towards the overall share by one row's weight: ten anomalies of ten do not prove certainty.
 */
function isotonic({ raw, label }: Pick<LabelledScores, "raw" | "label">): Knot[] {
  const order = Int32Array.from(raw.keys()).sort((a, b) => raw[a]! - raw[b]!);
  const share = label.reduce((sum, value) => sum + value, 0) / label.length;
  const blocks: { from: number; to: number; positives: number; rows: number }[] = [];
  for (const row of order) {
    const x = raw[row]!;
    const last = blocks.at(-1);
    if (last?.from === x) {
      last.positives += label[row]!;
      last.rows++;
    } else {
      blocks.push({ from: x, to: x, positives: label[row]!, rows: 1 });
    }
  }
  const merged: typeof blocks = [];
  for (const block of blocks) {
    let grown = block;
    for (let last = merged.at(-1); last !== undefined && mean(last) >= mean(grown); last = merged.at(-1)) {
      merged.pop();
      grown = {
        from: last.from,
        to: grown.to,
        positives: last.positives + grown.positives,
        rows: last.rows + grown.rows,
      };
    }
    merged.push(grown);
  }
  let floor = 0;
  return merged.flatMap((block) => {
    floor = Math.max(floor, (block.positives + share) / (block.rows + 1));
    const ends = block.from === block.to ? [block.from] : [block.from, block.to];
    return ends.map((x) => ({ raw: x, value: floor }));
  });
}

const mean = (block: { positives: number; rows: number }): number => block.positives / block.rows;
