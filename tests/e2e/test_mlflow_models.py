# SPDX-License-Identifier: Apache-2.0
"""A model that MLflow's own client logs and registers is served without further steps, and answers
with the original's bits."""
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

from conftest import ROOT, read_csv

CLIENT = ROOT / ".deps/mlflow3"


# onnx: a model of tests/conformance/onnx, of which onnxruntime's answers stand beside it.
@pytest.mark.parametrize("kind", ["lightgbm", "xgboost", "onnx"])
def test_a_logged_model_answers_as_the_original(kind, toy, tapeout, serve, tmp_path):
    if not CLIENT.exists():
        pytest.skip("mlflow3 is not there; run make setup")
    needed = "onnxruntime" if kind == "onnx" else kind  # without it the client logs no ONNX model
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not there; run make setup")
    with serve(toy.bundle, "--quiet-requests") as server:
        done = subprocess.run(
            [sys.executable, str(ROOT / "tests/e2e/mlflow_models.py"), server.url, str(tmp_path),
             kind], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
            env={**os.environ, "PYTHONPATH": str(CLIENT), "HOME": str(tmp_path)}, check=False)
        assert done.returncode == 0, done.stdout.decode()[-3000:]
    want = json.loads((tmp_path / "want.json").read_text(encoding="utf-8"))
    got = tapeout.ok("predict", f"{kind}:1", tmp_path / "rows.csv")
    assert [float(row["probability"]) for row in read_csv(got)] == want
    rows = read_csv(pathlib.Path(tmp_path / "rows.csv").read_text(encoding="utf-8"))
    records = [{key: float(value) if value else None for key, value in row.items()}
               for row in rows]
    with serve(f"{kind}:1", "--quiet-requests") as server:
        status, answer = server.post("/invocations", {"dataframe_records": records})
    assert status == 200, answer
    assert [row["probability"] for row in answer["predictions"]] == want
