"""python -m weir_trainer JOB: reads a job folder, writes one folder per model, tells its progress as JSON lines.

Job version 1 (paths are relative to the job file; numbers little-endian):
  matrix    {file, rows, columns}: float32, row-major, NaN where missing
  label     int8 per row: 1 anomaly, 0 normal, -1 unknown (fitted as normal)
  slice     int8 per row: 1 fit on it, 2 hold it out for the operating point, 0 neither
  entity, windowEndMs  int32 and float64 per row: they tell whose row it is; nothing here is decided by them
  threads, pseudoLabelShare, forest: parameters of the isolation forest that gives pseudo-labels
  models    [{name, format, columns: indices into the matrix, labels, parameters}] in the order to fit them in;
            labels "pseudo": the share of training rows that an isolation forest finds strangest count as anomalies
Written to `out/<name>/`: the artefact, raw.f32 (output for the held-out rows in their order), golden.json, fit.json.
"""

import json
import os
import platform
import sys
import time
from importlib.metadata import version

import numpy as np

from . import fit
from .model import load

GOLDEN_ROWS = 64
LIBRARIES = {
    "isolation-forest-json": ["scikit-learn", "numpy"],
    "xgboost-json": ["xgboost-cpu", "numpy"],
    "catboost-onnx": ["catboost", "onnx", "onnxruntime", "numpy"],
}


def tell(**event):
    print(json.dumps(event), flush=True)


def write_json(folder, name, document):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(document, file, separators=(",", ":"), allow_nan=False)


def golden(rows, raw, scorer):
    """One row of missing values only, and held-out rows spread evenly over the order of their scores."""
    order = np.argsort(raw, kind="stable")
    spread = np.linspace(0, len(order) - 1, min(GOLDEN_ROWS - 1, len(order))).astype(np.int64)
    chosen = np.vstack([np.full((1, rows.shape[1]), np.nan, dtype=np.float32), rows[order[spread]]])
    cells = [[None if np.isnan(value) else float(value) for value in row] for row in chosen]
    return {"rows": cells, "raw": [float(value) for value in scorer(chosen)]}


def pseudo_target(rows, share, parameters, folder, threads):
    """The forest's confident opinion in place of labels: its strangest rows, at least one."""
    os.makedirs(folder)
    fit.isolation_forest(rows, parameters, folder, threads)
    raw = load("isolation-forest-json", folder)(rows)
    target = np.zeros(len(rows), dtype=np.int8)
    target[np.argsort(-raw, kind="stable")[: max(1, int(len(rows) * share))]] = 1
    return target


def main(path):
    with open(path, encoding="utf-8") as file:
        job = json.load(file)
    if job["version"] != 1:
        raise SystemExit(f"job version {job['version']} is not known to this trainer (1)")
    home, threads = os.path.dirname(os.path.abspath(path)), job["threads"]
    shape = (job["matrix"]["rows"], job["matrix"]["columns"])
    matrix = np.fromfile(os.path.join(home, job["matrix"]["file"]), dtype="<f4").reshape(shape)
    label = np.fromfile(os.path.join(home, job["label"]), dtype="i1")
    part = np.fromfile(os.path.join(home, job["slice"]), dtype="i1")
    train, held = part == 1, part == 2
    known = held & (label >= 0)
    early_stopping = 0 < (label[known] == 1).sum() < known.sum()
    for model in job["models"]:
        tell(step="fit", model=model["name"], detail=f"{train.sum()} rows x {len(model['columns'])} columns")
        started = time.monotonic()
        folder = os.path.join(home, "out", model["name"])
        os.makedirs(folder)
        rows = np.ascontiguousarray(matrix[train][:, model["columns"]])
        target = (label[train] == 1).astype(np.int8)
        if model["labels"] == "pseudo":
            scratch = os.path.join(home, "pseudo", model["name"])
            target = pseudo_target(rows, job["pseudoLabelShare"], job["forest"], scratch, threads)
        if model["format"] == "isolation-forest-json":
            result = fit.isolation_forest(rows, model["parameters"], folder, threads)
        elif model["format"] == "xgboost-json":
            check = matrix[known][:, model["columns"]], (label[known] == 1).astype(np.int8)
            result = fit.xgboost_anomaly(
                rows, target, check if early_stopping else None, model["parameters"], folder, threads
            )
        else:
            result = fit.catboost_anomaly(rows, target, model["parameters"], folder, threads)
        fitted = time.monotonic()
        tell(step="score", model=model["name"], detail=f"{result['rounds']} trees in {fitted - started:.1f} s")
        scorer = load(model["format"], folder)
        rows = np.ascontiguousarray(matrix[held][:, model["columns"]])
        raw = scorer(rows)
        raw.astype("<f4").tofile(os.path.join(folder, "raw.f32"))
        write_json(folder, "golden.json", golden(rows, raw, scorer))
        if result["importance"] is None:
            result["importance"] = fit.forest_importance(scorer, rows)
        libraries = {name: version(name) for name in LIBRARIES[model["format"]]}
        report = {**result, "seconds": time.monotonic() - started, "positives": int(target.sum())}
        write_json(folder, "fit.json", {**report, "libraries": {"python": platform.python_version(), **libraries}})


if __name__ == "__main__":
    main(sys.argv[1])
