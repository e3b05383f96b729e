"""reproduce.py REPOSITORY TRAINING_ROWS: the golden rows' outputs by other means than the trainer's, as JSON.

`library`: by the libraries' own calls on the published artefact (the forest: fitted again by scikit-learn on
TRAINING_ROWS, float32 and row-major). `served`: by model.py the way Triton's python backend calls it, two requests
merged into one batch.
"""

import importlib.util
import json
import os
import sys
import types

import numpy as np
import onnxruntime
import xgboost
from sklearn.ensemble import IsolationForest


def xgboost_output(folder, rows):
    booster = xgboost.Booster()
    booster.load_model(os.path.join(folder, "xgboost.json"))
    return booster.predict(xgboost.DMatrix(rows))


def onnx_output(folder, rows):
    session = onnxruntime.InferenceSession(os.path.join(folder, "model.onnx"), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["probabilities"]
    return session.run(None, {"features": rows})[0][:, 1]


def forest_output(_, rows):
    train = np.fromfile(sys.argv[2], dtype="<f4").reshape(-1, rows.shape[1])
    medians = np.nanmedian(train, axis=0)
    forest = IsolationForest(n_estimators=100, max_samples=256, contamination=0.05, random_state=42)
    forest.fit(np.where(np.isnan(train), medians, train))
    return -forest.score_samples(np.where(np.isnan(rows), medians, rows))


class Tensor:
    def __init__(self, name, values):
        self.name, self.values = name, values

    def as_numpy(self):
        return self.values


class InferenceResponse:
    def __init__(self, tensors):
        self.tensors = tensors


def served_output(model_folder, version, rows):
    """Stands in for Triton's side of the python backend: names and shapes only."""
    triton = types.ModuleType("triton_python_backend_utils")
    triton.Tensor, triton.InferenceResponse = Tensor, InferenceResponse
    triton.get_input_tensor_by_name = lambda request, name: request[name]
    sys.modules[triton.__name__] = triton
    spec = importlib.util.spec_from_file_location("model", os.path.join(model_folder, version, "model.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.TritonPythonModel()
    model.initialize({"model_repository": model_folder, "model_version": version})
    replies = model.execute([{"input__0": Tensor("input__0", part)} for part in (rows[:5], rows[5:])])
    outputs = [reply.tensors[0] for reply in replies]
    assert [output.name for output in outputs] == ["output__0"] * 2
    assert [output.values.shape for output in outputs] == [(5, 1), (len(rows) - 5, 1)]
    return np.concatenate([output.values[:, 0] for output in outputs])


def main(repository):
    answer = {}
    for name in sorted(os.listdir(repository)):
        folder = os.path.join(repository, name)
        version = max(entry for entry in os.listdir(folder) if entry.isdigit())
        with open(os.path.join(folder, version, "golden.json"), encoding="utf-8") as file:
            rows = np.array(json.load(file)["rows"], dtype=np.float32)
        with open(os.path.join(folder, version, "manifest.json"), encoding="utf-8") as file:
            by_library = {
                "xgboost-json": xgboost_output,
                "catboost-onnx": onnx_output,
                "isolation-forest-json": forest_output,
            }[json.load(file)["format"]]
        answer[name] = {
            "library": by_library(os.path.join(folder, version), rows).tolist(),
            "served": served_output(folder, version, rows).tolist(),
        }
    print(json.dumps(answer))


main(sys.argv[1])
