import { belowFor, buildEnsemble, contributions, sumLeaves, type Tree } from "./ensemble.ts";
import type { Evaluator } from "./evaluator.ts";

export interface ForestModel {
  readonly format: "isolation-forest-json";
  readonly columns: number;
  /** Stand in for missing values. */
  readonly medians: readonly number[];
  /** Mean depth at which a random tree isolates a row of the training sample. */
  readonly norm: number;
  readonly trees: readonly {
    readonly left: number[];
    readonly right: number[];
    readonly feature: number[];
    /** A value at or below it goes left. */
    readonly threshold: number[];
    /** At leaves: depth plus c(rows left there). */
    readonly pathLength: number[];
  }[];
}

/** Evaluates an isolation forest as scikit-learn scores it, sign turned: 2^(-mean path length / norm). */
export function forestEvaluator(model: ForestModel): Evaluator {
  if (model.medians.length !== model.columns) throw new Error("medians is not one number a column");
  const trees = model.trees.map(
    (tree): Tree => ({
      left: tree.left,
      right: tree.right,
      feature: tree.feature,
      below: tree.threshold.map(belowFor),
      missingLeft: new Uint8Array(tree.left.length),
      leaf: tree.pathLength,
      cover: rowsAtLeaves(tree),
    }),
  );
  const ensemble = buildEnsemble(trees, model.columns);
  const medians = Float32Array.from(model.medians);
  const filled = (matrix: Float32Array) => matrix.map((x, i) => (Number.isNaN(x) ? medians[i % medians.length]! : x));
  const perPathUnit = -Math.LN2 / (model.trees.length * model.norm);
  return {
    columns: ensemble.columns,
    score(matrix, rows) {
      const sums = new Float64Array(rows);
      sumLeaves(ensemble, filled(matrix), sums);
      return Float32Array.from(sums, (sum) => Math.exp(sum * perPathUnit));
    },
    // There are no odds in a forest: shares of the logarithm of its score.
    explain: (row) => contributions(ensemble, filled(row)).map((share) => share * perPathUnit),
  };
}

/** c(n): the mean depth at which a random tree over n rows isolates one of them. */
function averagePathLength(n: number): number {
  if (n <= 2) return n === 2 ? 1 : 0;
  return 2 * (Math.log(n - 1) + 0.5772156649015329) - (2 * (n - 1)) / n;
}

/** How many training rows ended in each leaf, read back out of its path length: what exceeds its depth is c(rows). */
function rowsAtLeaves(tree: ForestModel["trees"][number]): Float64Array {
  const rows = new Float64Array(tree.left.length);
  const walk: [node: number, depth: number][] = [[0, 0]];
  for (let next = walk.pop(); next; next = walk.pop()) {
    const [node, depth] = next;
    if (tree.left[node]! >= 0) walk.push([tree.left[node]!, depth + 1], [tree.right[node]!, depth + 1]);
    else rows[node] = rowsWith(tree.pathLength[node]! - depth);
  }
  return rows;
}

function rowsWith(pathLength: number): number {
  let low = 1;
  let high = 2 ** 31;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (averagePathLength(middle) <= pathLength + 1e-6) low = middle;
    else high = middle;
  }
  return low;
}
