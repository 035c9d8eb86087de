# SPDX-License-Identifier: Apache-2.0
"""Trains a model (or takes an ONNX one), logs it with MLflow's own client and registers it:
mlflow_models.py URI FOLDER KIND. Leaves rows.csv and what the original predicts for them,
want.json, in the folder. Run by test_mlflow_models.py in a process of its own, for the client lies
in a folder of its own."""
import csv
import json
import os
import pathlib
import sys

os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true", GIT_PYTHON_REFRESH="quiet",
                  MLFLOW_HTTP_REQUEST_MAX_RETRIES="1",
                  MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false")

import mlflow  # noqa: E402
import numpy as np  # noqa: E402

URI, FOLDER, KIND = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
ONNX = pathlib.Path(__file__).resolve().parent.parent / "conformance/onnx/forest_two"
COLUMNS = ["age", "income", "rate", "score"]

draw = np.random.default_rng(7)
rows = draw.normal(size=(400, len(COLUMNS)))
rows[draw.random(rows.shape) < 0.05] = np.nan
target = (np.nan_to_num(rows[:, 0]) + np.nan_to_num(rows[:, 1] * rows[:, 2]) > 0).astype(int)



def onnx_rows():
    """The columns and rows of the ONNX model, and the score of its second class for each."""
    with open(ONNX.with_suffix(".csv"), encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    names = [name for name in table[0] if not name.startswith("=")]
    cells = [[float(row[name] or "nan") for name in names] for row in table]
    return names, np.array(cells), [float(row["=score_1"]) for row in table]


mlflow.set_tracking_uri(URI)
mlflow.set_experiment("models")
with mlflow.start_run():
    if KIND == "lightgbm":
        import lightgbm
        import mlflow.lightgbm
        data = lightgbm.Dataset(rows, target, feature_name=COLUMNS)
        model = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 20)
        mlflow.lightgbm.log_model(model, name="model", registered_model_name=KIND,
                                  pip_requirements=["lightgbm"])
        want = model.predict(rows)
    elif KIND == "onnx":
        import mlflow.onnx
        import onnx
        mlflow.onnx.log_model(onnx.load(ONNX.with_suffix(".onnx")), name="model",
                              registered_model_name=KIND, pip_requirements=["onnx"])
        COLUMNS, rows, want = onnx_rows()
    else:
        import mlflow.xgboost
        import xgboost
        data = xgboost.DMatrix(rows, target, feature_names=COLUMNS)
        model = xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 20)
        mlflow.xgboost.log_model(model, name="model", registered_model_name=KIND,
                                 pip_requirements=["xgboost"])
        want = model.predict(data)

with open(FOLDER / "rows.csv", "w", encoding="utf-8") as out:
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(["" if np.isnan(v) else repr(float(v)) for v in row] for row in rows)
(FOLDER / "want.json").write_text(json.dumps([float(p) for p in want]), encoding="utf-8")
