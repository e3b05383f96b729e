"""Scores rows with one exported model version.

This file is copied into every version folder of the model repository, where Triton's python backend loads it; the
trainer runs the same file to compute the raw outputs that calibration and golden rows rest on. It may therefore
import only what the serving environment has: numpy, and xgboost or onnxruntime where the format asks for it.

Input: float32 rows x columns, NaN where a value is missing. Output: one float32 a row in 0..1, higher is stranger.
"""

import json
import os

import numpy as np

ARTEFACTS = {
    "xgboost-json": "xgboost.json",
    "catboost-onnx": "model.onnx",
    "isolation-forest-json": "forest.json",
}


class XgboostScorer:
    def __init__(self, path):
        import xgboost

        self.booster = xgboost.Booster()
        self.booster.load_model(path)
        self.booster.set_param({"nthread": 1})

    def __call__(self, rows):
        return self.booster.inplace_predict(rows, validate_features=False)


class CatboostScorer:
    def __init__(self, path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def __call__(self, rows):
        return self.session.run(["probabilities"], {"features": rows})[0][:, 1]


class ForestScorer:
    """All trees walk at once: `at` holds, per row and tree, the node reached; leaves point at themselves."""

    CHUNK_ROWS = 2048  # 2,048 rows x 100 trees of 8-byte indices stay near the cache

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            forest = json.load(file)
        self.medians = np.array(forest["medians"], dtype=np.float32)
        self.norm = forest["norm"]
        left, right, feature, threshold, length, self.roots = [], [], [], [], [], []
        for tree in forest["trees"]:
            root = len(left)
            self.roots.append(root)
            for node, child in enumerate(tree["left"]):
                leaf = child < 0
                left.append(root + (node if leaf else child))
                right.append(root + (node if leaf else tree["right"][node]))
                feature.append(0 if leaf else tree["feature"][node])
            threshold += tree["threshold"]
            length += tree["pathLength"]
        self.left, self.right, self.feature = np.array(left), np.array(right), np.array(feature)
        self.threshold, self.length = np.array(threshold, dtype=np.float64), np.array(length, dtype=np.float64)
        self.roots, self.depth = np.array(self.roots), forest["depth"]

    def __call__(self, rows):
        filled = np.where(np.isnan(rows), self.medians, rows)
        parts = [filled[at : at + self.CHUNK_ROWS] for at in range(0, len(filled), self.CHUNK_ROWS)]
        return np.concatenate([self.score(part) for part in parts]) if parts else np.empty(0)

    def score(self, rows):
        at = np.broadcast_to(self.roots, (len(rows), len(self.roots)))
        row = np.arange(len(rows))[:, None]
        for _ in range(self.depth):
            goes_left = rows[row, self.feature[at]] <= self.threshold[at]
            at = np.where(goes_left, self.left[at], self.right[at])
        return np.exp2(-self.length[at].mean(axis=1) / self.norm)


SCORERS = {"xgboost-json": XgboostScorer, "catboost-onnx": CatboostScorer, "isolation-forest-json": ForestScorer}


def load(model_format, folder):
    """The scorer of the artefact in `folder`: float32 rows x columns in, float32 rows out."""
    scorer = SCORERS[model_format](os.path.join(folder, ARTEFACTS[model_format]))
    return lambda rows: np.asarray(scorer(rows), dtype=np.float32).reshape(-1)


class TritonPythonModel:
    def initialize(self, args):
        folder = os.path.join(args["model_repository"], args["model_version"])
        with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
            self.scorer = load(json.load(file)["format"], folder)

    def execute(self, requests):
        """The dynamic batcher hands over several requests at once; they are scored as one matrix."""
        import triton_python_backend_utils as triton

        inputs = [triton.get_input_tensor_by_name(request, "input__0").as_numpy() for request in requests]
        raw = self.scorer(inputs[0] if len(inputs) == 1 else np.concatenate(inputs)).reshape(-1, 1)
        replies, start = [], 0
        for rows in inputs:
            part = np.ascontiguousarray(raw[start : start + len(rows)])
            replies.append(triton.InferenceResponse([triton.Tensor("output__0", part)]))
            start += len(rows)
        return replies
