import type { Fold } from "./folds.ts";
import type { CrossValidation, MeanAndSpread } from "./job.ts";
import { measure } from "./metrics.ts";
import type { LabelledScores } from "./operating-point.ts";

/** How a model did in each block: what its figures over all blocks hide. `scores`: every labelled row, out of fold. */
export function crossValidation(
  { raw, label, windowEndMs }: LabelledScores,
  blocks: readonly Pick<Fold, "fromMs" | "toMs">[],
  threshold: number,
  fitted: CrossValidation["fitted"],
): CrossValidation {
  const folds = blocks.map(({ fromMs, toMs }) => {
    const isInside = (_: number, row: number) => windowEndMs[row]! >= fromMs && windowEndMs[row]! <= toMs;
    const truth = label.filter(isInside);
    const positives = truth.reduce((sum, value) => sum + value, 0);
    const { prAuc, f1 } = measure(raw.filter(isInside), truth, threshold);
    return { fromMs, toMs, rows: truth.length, positives, prAuc, f1: positives > 0 ? f1 : null };
  });
  return {
    fitted,
    folds,
    prAuc: meanAndSpread(folds.map((fold) => fold.prAuc)),
    f1: meanAndSpread(folds.map((fold) => fold.f1)),
  };
}

function meanAndSpread(values: readonly (number | null)[]): MeanAndSpread {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return { mean: null, spread: null };
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  const squares = known.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, spread: known.length > 1 ? Math.sqrt(squares / (known.length - 1)) : null };
}
