"""One function per kind of model: fits on the given rows, writes the artefact into a folder, says what it relied on.

Each returns {"importance": one share per column, "rounds": trees kept}. Rows are float32, NaN where missing; targets
are 0 or 1. Everything runs on the given number of threads with the job's seed, so equal jobs give equal bytes.
"""

import json
import os
import tempfile

import numpy as np


def shares(values):
    values = np.maximum(np.asarray(values, dtype=np.float64), 0.0)
    total = values.sum()
    return (values / total if total > 0 else values).tolist()


def average_path_length(rows):
    """c(n): the mean depth at which a random search tree over n rows isolates one of them."""
    n = np.asarray(rows, dtype=np.float64)
    many = np.maximum(n, 3.0)
    length = 2.0 * (np.log(many - 1.0) + np.euler_gamma) - 2.0 * (many - 1.0) / many
    return np.where(n > 2, length, np.where(n == 2, 1.0, 0.0))


def isolation_forest(rows, parameters, folder, threads):
    from sklearn.ensemble import IsolationForest

    seen = ~np.isnan(rows).all(axis=0)
    medians = np.zeros(rows.shape[1], dtype=np.float32)
    medians[seen] = np.nanmedian(rows[:, seen], axis=0)
    filled = np.where(np.isnan(rows), medians, rows)
    forest = IsolationForest(n_jobs=threads, **parameters).fit(filled)
    trees, depth, used = [], 0, np.zeros(rows.shape[1])
    for estimator, columns in zip(forest.estimators_, forest.estimators_features_):
        tree = estimator.tree_
        level = np.zeros(tree.node_count, dtype=np.int64)
        for node in range(tree.node_count):  # parents stand before their children
            if tree.children_left[node] >= 0:
                level[[tree.children_left[node], tree.children_right[node]]] = level[node] + 1
        leaf = tree.children_left < 0
        depth = max(depth, int(level.max()))
        trees.append(
            {
                "left": tree.children_left.tolist(),
                "right": tree.children_right.tolist(),
                "feature": [-1 if end else int(columns[index]) for end, index in zip(leaf, tree.feature)],
                "threshold": [0.0 if end else float(cut) for end, cut in zip(leaf, tree.threshold)],
                # Where a leaf still holds n rows, c(n) stands for the splits that were not made.
                "pathLength": np.where(leaf, level + average_path_length(tree.n_node_samples), 0.0).tolist(),
            }
        )
    document = {
        "format": "isolation-forest-json",
        "columns": rows.shape[1],
        "medians": [float(value) for value in medians],
        "norm": float(average_path_length(forest.max_samples_)),
        "depth": depth,
        "trees": trees,
    }
    with open(os.path.join(folder, "forest.json"), "w", encoding="utf-8") as file:
        json.dump(document, file, separators=(",", ":"))
    return {"importance": None, "rounds": len(trees)}


def forest_importance(scorer, rows):
    """How much the score of the strangest rows falls when one column goes missing, which means its median."""
    strangest = rows[np.argsort(-scorer(rows), kind="stable")[:512]]
    before = scorer(strangest).mean(dtype=np.float64)
    falls = []
    for column in range(rows.shape[1]):
        changed = strangest.copy()
        changed[:, column] = np.nan
        falls.append(before - scorer(changed).mean(dtype=np.float64))
    return shares(falls)


def xgboost_folds(folds, parameters, threads, each):
    """One output array per fold, and the rounds that suit them: the median of the folds' best ones.

    `folds` = [(rows, target, rows to score, their target)]; `each` maps over them. All folds keep that many rounds, as
    the final fit will.
    """
    import xgboost

    settings = dict(parameters)
    rounds = settings.pop("num_boost_round")
    settings.pop("early_stopping_rounds")

    def fold(part):
        train, target, scored, truth = part
        told = {}
        booster = xgboost.train(
            {**settings, "nthread": threads},
            xgboost.QuantileDMatrix(train, target, nthread=threads),
            num_boost_round=rounds,
            evals=[(xgboost.DMatrix(scored, truth), "fold")],
            evals_result=told,
            verbose_eval=False,
        )
        is_told = 0 < truth.sum() < len(truth)
        return booster, int(np.argmax(told["fold"][settings["eval_metric"]])) + 1 if is_told else None

    fitted = list(each(fold, folds))
    best = [at for _, at in fitted if at is not None]
    kept = int(np.median(best)) if best else rounds
    outputs = [
        booster[:kept].inplace_predict(scored, validate_features=False)
        for (booster, _), (_, _, scored, _) in zip(fitted, folds)
    ]
    return outputs, kept


def xgboost_anomaly(train, target, validation, parameters, folder, threads):
    """`validation` = (rows, target) for early stopping, or None: then all rounds are kept."""
    import xgboost

    settings = dict(parameters)
    rounds, patience = settings.pop("num_boost_round"), settings.pop("early_stopping_rounds")
    watched = [] if validation is None else [(xgboost.DMatrix(validation[0], validation[1]), "validation")]
    booster = xgboost.train(
        {**settings, "nthread": threads},
        xgboost.QuantileDMatrix(train, target, nthread=threads),
        num_boost_round=rounds,
        evals=watched,
        early_stopping_rounds=patience if watched else None,
        verbose_eval=False,
    )
    if watched:
        booster = booster[: booster.best_iteration + 1]
    booster.save_model(os.path.join(folder, "xgboost.json"))
    gain = booster.get_score(importance_type="total_gain")
    importance = shares([gain.get(f"f{column}", 0.0) for column in range(train.shape[1])])
    return {"importance": importance, "rounds": booster.num_boosted_rounds()}


def catboost_anomaly(train, target, parameters, folder, threads):
    import catboost
    import onnx

    model = catboost.CatBoostClassifier(
        thread_count=threads, verbose=False, allow_writing_files=False, **parameters
    ).fit(train, target)
    with tempfile.TemporaryDirectory() as scratch:
        raw = os.path.join(scratch, "raw.onnx")
        model.save_model(raw, format="onnx")
        exported = onnx.load(raw)
    cut_zip_map(exported)
    del exported.metadata_props[:]  # a time stamp and a random id: equal fits must give equal bytes
    onnx.save(exported, os.path.join(folder, "model.onnx"))
    return {"importance": shares(model.get_feature_importance()), "rounds": int(model.tree_count_)}


def cut_zip_map(model):
    """CatBoost ends its graph in a sequence of maps, which model servers refuse: publish the tensor before it."""
    import onnx

    graph = model.graph
    zip_map = next(node for node in graph.node if node.op_type == "ZipMap")
    tensor = zip_map.input[0]
    graph.node.remove(zip_map)
    for node in graph.node:
        node.output[:] = ["probabilities" if name == tensor else name for name in node.output]
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, ["N", 2]))
    onnx.checker.check_model(model)
