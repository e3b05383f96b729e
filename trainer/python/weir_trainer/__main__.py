"""python -m weir_trainer JOB: reads a job folder, writes one folder per model, tells its progress as JSON lines.

Job version 2 (paths are relative to the job file; numbers little-endian):
  matrix    {file, rows, columns}: float32, row-major, NaN where missing
  label     int8 per row: 1 anomaly, 0 normal, -1 unknown (fitted as normal)
  fit       int8 per row: 1 where the published model is fitted on it
  held      int8 per row: 1 where an output is asked for, to choose the operating point
  folds     files of int8 per row: 1 fit, 2 score, 0 neither. Supervised models are fitted once per fold for the held
            rows' outputs and once more to be published; without folds, and for the forest, the published model scores
  entity, windowEndMs  int32 and float64 per row: they tell whose row it is; nothing here is decided by them
  threads, pseudoLabelShare, forest: parameters of the isolation forest that gives pseudo-labels
  models    [{name, format, columns: indices into the matrix, labels, parameters}] in the order to fit them in;
            labels "pseudo": the share of fitted rows that an isolation forest finds strangest count as anomalies
Written to `out/<name>/`: the artefact, raw.f32 (output for the held rows in their order), golden.json, fit.json.
"""

import json
import os
import platform
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import numpy as np

from . import fit
from .model import load

GOLDEN_ROWS = 64
# Fits at a time. Each has threads of its own as the job says, so how many there are changes no model; memory grows with them.
FITS = ThreadPoolExecutor(min(4, len(os.sched_getaffinity(0))))
LIBRARIES = {
    "isolation-forest-json": ["scikit-learn", "numpy"],
    "xgboost-json": ["xgboost-cpu", "numpy"],
    "catboost-onnx": ["catboost", "onnx", "onnxruntime", "numpy"],
}


def tell(**event):
    print(f"{json.dumps(event)}\n", end="", flush=True)


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
    os.makedirs(folder, exist_ok=True)
    fit.isolation_forest(rows, parameters, folder, threads)
    raw = load("isolation-forest-json", folder)(rows)
    target = np.zeros(len(rows), dtype=np.int8)
    target[np.argsort(-raw, kind="stable")[: max(1, int(len(rows) * share))]] = 1
    return target


class Rows:
    """The job's rows as one model sees them."""

    def __init__(self, job, home, matrix, label, model):
        self.job, self.home, self.model = job, home, model
        self.matrix, self.label = matrix[:, model["columns"]], label

    def of(self, chosen):
        return np.ascontiguousarray(self.matrix[chosen])

    def truth(self, chosen):
        return (self.label[chosen] == 1).astype(np.int8)

    def target(self, chosen, rows):
        if self.model["labels"] != "pseudo":
            return self.truth(chosen)
        scratch = os.path.join(self.home, "pseudo", self.model["name"])
        return pseudo_target(rows, self.job["pseudoLabelShare"], self.job["forest"], scratch, self.job["threads"])


def catboost_fold(part, parameters, threads):
    train, target, scored, _ = part
    with tempfile.TemporaryDirectory() as folder:
        fit.catboost_anomaly(train, target, parameters, folder, threads)
        return load("catboost-onnx", folder)(scored)


def out_of_fold(rows, folds, parameters, threads):
    """The output for every row by the fold that scores it, and the parameters for the fit on all rows."""
    parts = []
    for part in folds:
        train = rows.of(part == 1)
        parts.append((train, rows.target(part == 1, train), rows.of(part == 2), rows.truth(part == 2)))
    if rows.model["format"] == "xgboost-json":
        outputs, kept = fit.xgboost_folds(parts, parameters, threads, FITS.map)
        parameters = {**parameters, "num_boost_round": kept}
    else:
        outputs = FITS.map(lambda part: catboost_fold(part, parameters, threads), parts)
    raw = np.full(len(rows.label), np.nan, dtype=np.float32)
    for part, output in zip(folds, outputs):
        raw[part == 2] = output
    return raw, parameters


class Fitting:
    """What all models of a job share: its rows, and what they are for."""

    def __init__(self, job, home, matrix, label, train, held, folds):
        self.job, self.home, self.matrix, self.label = job, home, matrix, label
        self.train, self.held, self.folds = train, held, folds

    def model(self, model):
        tell(step="fit", model=model["name"], detail=f"{self.train.sum()} rows x {len(model['columns'])} columns")
        started = time.monotonic()
        folder = os.path.join(self.home, "out", model["name"])
        os.makedirs(folder)
        parameters, data = model["parameters"], Rows(self.job, self.home, self.matrix, self.label, model)
        by_fold = None
        if self.folds and model["format"] != "isolation-forest-json":
            by_fold, parameters = out_of_fold(data, self.folds, parameters, self.job["threads"])
        rows = data.of(self.train)
        target = data.target(self.train, rows)
        result = FITS.submit(self.published, data, rows, target, parameters, folder).result()
        fitted = time.monotonic()
        tell(step="score", model=model["name"], detail=f"{result['rounds']} trees in {fitted - started:.1f} s")
        scorer = load(model["format"], folder)
        rows = data.of(self.held)
        raw = scorer(rows)
        (raw if by_fold is None else by_fold[self.held]).astype("<f4").tofile(os.path.join(folder, "raw.f32"))
        write_json(folder, "golden.json", golden(rows, raw, scorer))
        if result["importance"] is None:
            result["importance"] = fit.forest_importance(scorer, rows)
        libraries = {name: version(name) for name in LIBRARIES[model["format"]]}
        report = {**result, "seconds": time.monotonic() - started, "positives": int(target.sum())}
        write_json(folder, "fit.json", {**report, "libraries": {"python": platform.python_version(), **libraries}})

    def published(self, data, rows, target, parameters, folder):
        threads, model_format = self.job["threads"], data.model["format"]
        if model_format == "isolation-forest-json":
            return fit.isolation_forest(rows, parameters, folder, threads)
        if model_format == "catboost-onnx":
            return fit.catboost_anomaly(rows, target, parameters, folder, threads)
        known = self.held & (self.label >= 0)
        stops_early = not self.folds and 0 < (self.label[known] == 1).sum() < known.sum()
        check = (data.of(known), data.truth(known)) if stops_early else None
        return fit.xgboost_anomaly(rows, target, check, parameters, folder, threads)


def main(path):
    with open(path, encoding="utf-8") as file:
        job = json.load(file)
    if job["version"] != 2:
        raise SystemExit(f"job version {job['version']} is not known to this trainer (2)")
    home, threads = os.path.dirname(os.path.abspath(path)), job["threads"]
    shape = (job["matrix"]["rows"], job["matrix"]["columns"])
    matrix = np.fromfile(os.path.join(home, job["matrix"]["file"]), dtype="<f4").reshape(shape)
    flags = lambda name: np.fromfile(os.path.join(home, name), dtype="i1")
    label, train, held = flags(job["label"]), flags(job["fit"]) == 1, flags(job["held"]) == 1
    folds = [flags(name) for name in job["folds"]]
    fitting = Fitting(job, home, matrix, label, train, held, folds)
    with ThreadPoolExecutor(len(job["models"])) as models:
        list(models.map(fitting.model, job["models"]))


if __name__ == "__main__":
    main(sys.argv[1])
