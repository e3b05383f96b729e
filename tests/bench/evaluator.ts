/**
 * Rows per second of the built-in evaluator on one core: 100 complete trees of depth 6 over 37 columns with random splits,
 * batches of 256 rows, one value in a hundred missing. Random rows, so that no path can be foretold. The figure is the
 * median of the rounds; the same trees as an isolation forest and batches without missing values stand in the lines above.
 */
import { loadavg } from "node:os";
import { type Evaluator, forestEvaluator, xgboostEvaluator } from "../../triton/index.ts";

const TREES = 100;
const DEPTH = 6;
const COLUMNS = 37;
const BATCH = 256;
/** Distinct batches, so that no branch predictor learns them by heart. */
const BATCHES = 64;
const ROUNDS = 7;
const ROUND_MS = 400;

let state = 1;
const random = () => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
};
const inner = 2 ** DEPTH - 1;
const nodes = Array.from({ length: 2 * inner + 1 }, (_, i) => i);
const isLeaf = (i: number) => i >= inner;
const column = () => Math.floor(random() * COLUMNS);

function xgboost(): Evaluator {
  const trees = Array.from({ length: TREES }, () => ({
    left_children: nodes.map((i) => (isLeaf(i) ? -1 : 2 * i + 1)),
    right_children: nodes.map((i) => (isLeaf(i) ? -1 : 2 * i + 2)),
    split_indices: nodes.map(column),
    split_conditions: nodes.map((i) => Math.fround(isLeaf(i) ? random() - 0.5 : random())),
    default_left: nodes.map(() => Math.round(random())),
    sum_hessian: nodes.map(() => 1),
  }));
  return xgboostEvaluator({
    learner: {
      objective: { name: "binary:logistic" },
      learner_model_param: { base_score: "5E-1", num_feature: String(COLUMNS) },
      gradient_booster: { name: "gbtree", model: { trees } },
    },
  });
}

function forest(): Evaluator {
  const trees = Array.from({ length: TREES }, () => ({
    left: nodes.map((i) => (isLeaf(i) ? -1 : 2 * i + 1)),
    right: nodes.map((i) => (isLeaf(i) ? -1 : 2 * i + 2)),
    feature: nodes.map(column),
    threshold: nodes.map(random),
    pathLength: nodes.map(() => DEPTH + random()),
  }));
  const medians = Array.from({ length: COLUMNS }, () => 0.5);
  return forestEvaluator({ format: "isolation-forest-json", columns: COLUMNS, medians, norm: 10, trees });
}

const batches = (missing: number) =>
  Array.from({ length: BATCHES }, () =>
    Float32Array.from({ length: BATCH * COLUMNS }, () => (random() < missing ? Number.NaN : random())),
  );

/** Rows per second of each round, ascending. */
function measure(evaluator: Evaluator, matrices: readonly Float32Array[]): number[] {
  const rounds = Array.from({ length: ROUNDS }, () => {
    const startedAt = performance.now();
    let rows = 0;
    while (performance.now() - startedAt < ROUND_MS) {
      for (const matrix of matrices) evaluator.score(matrix, BATCH);
      rows += BATCH * matrices.length;
    }
    return (rows * 1_000) / (performance.now() - startedAt);
  });
  return rounds.sort((a, b) => a - b);
}

const [gaps, whole] = [batches(0.01), batches(0)];
const [boosted, isolation] = [xgboost(), forest()];
const runs = [
  ["xgboost, 1 % missing", measure(boosted, gaps)],
  ["xgboost, none missing", measure(boosted, whole)],
  ["isolation forest, 1 % missing", measure(isolation, gaps)],
] as const;
for (const [name, rounds] of runs)
  console.log(`${name.padEnd(30)} rows/s ${rounds.map((rate) => Math.round(rate)).join(", ")}`);
console.log(
  JSON.stringify({
    bench: "evaluator",
    figures: { rowsPerSecond: Math.round(runs[0][1][ROUNDS >> 1]!) },
    conditions: {
      trees: TREES,
      depth: DEPTH,
      columns: COLUMNS,
      batchRows: BATCH,
      rounds: ROUNDS,
      process: "one thread, one process; XGBoost's format, 1 % missing; median of the rounds",
      node: process.version,
      loadAverage: loadavg().map((v) => Math.round(v * 100) / 100),
    },
  }),
);
