import { buildEnsemble, contributions, sumLeaves, type Tree } from "./ensemble.ts";
import type { Evaluator } from "./evaluator.ts";

interface XgboostTree {
  readonly left_children: number[];
  readonly right_children: number[];
  readonly split_indices: number[];
  /** Thresholds; leaf values at leaves. */
  readonly split_conditions: number[];
  readonly default_left: number[];
  readonly sum_hessian: number[];
  readonly categories?: number[];
}

export interface XgboostModel {
  readonly learner: {
    readonly objective: { readonly name: string };
    readonly learner_model_param: { readonly base_score: string; readonly num_feature: string };
    readonly gradient_booster: { readonly name: string; readonly model: { readonly trees: readonly XgboostTree[] } };
  };
}

/** Evaluates a model saved by XGBoost as JSON: binary:logistic, gbtree, numeric splits. Throws on anything else. */
export function xgboostEvaluator(model: XgboostModel): Evaluator {
  const { objective, learner_model_param: param, gradient_booster: booster } = model.learner;
  if (objective.name !== "binary:logistic" || booster.name !== "gbtree")
    throw new Error(`${objective.name} with ${booster.name} is not evaluated here, only binary:logistic with gbtree`);
  const trees = booster.model.trees.map((tree): Tree => {
    if (tree.categories && tree.categories.length > 0) throw new Error("categorical splits are not evaluated here");
    return {
      left: tree.left_children,
      right: tree.right_children,
      feature: tree.split_indices,
      below: tree.split_conditions,
      missingLeft: tree.default_left,
      leaf: tree.split_conditions,
      cover: tree.sum_hessian,
    };
  });
  const ensemble = buildEnsemble(trees, Number(param.num_feature));
  // A probability; since XGBoost 3.1 written as "[5E-1]".
  const baseScore = Number(param.base_score.replace(/[[\]]/g, ""));
  const base = Math.fround(-Math.log(1 / baseScore - 1));
  return {
    columns: ensemble.columns,
    score(matrix, rows) {
      const sums = new Float32Array(rows);
      sumLeaves(ensemble, matrix, sums);
      return sums.map((sum) => 1 / (1 + Math.exp(-Math.fround(sum + base))));
    },
    explain: (row) => contributions(ensemble, row),
  };
}
