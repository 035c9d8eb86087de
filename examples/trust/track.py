# SPDX-License-Identifier: Apache-2.0
"""Tracks a run and registers a model with MLflow's own client: only address and key are ours."""
import os
import pathlib
import tempfile

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402

mlflow.set_experiment("demo")
with mlflow.start_run(run_name="first") as run:
    mlflow.log_param("trees", 300)
    mlflow.log_metric("auc", 0.89)
    with tempfile.TemporaryDirectory() as folder:
        note = pathlib.Path(folder, "note.txt")
        note.write_text("what was tried\n", encoding="utf-8")
        mlflow.log_artifact(str(note))
client = MlflowClient()
client.create_registered_model("notes", description="registered by mlflow " + mlflow.__version__)
version = client.create_model_version("notes", f"runs:/{run.info.run_id}/note.txt",
                                      run_id=run.info.run_id)
client.set_registered_model_alias("notes", "staging", version.version)
print(f"run {run.info.run_name}: auc {client.get_run(run.info.run_id).data.metrics['auc']}")
print(f"notes:{version.version} is staging:",
      client.get_model_version_by_alias("notes", "staging").version == version.version)
try:
    client.set_registered_model_alias("notes", "prod", version.version)
except mlflow.exceptions.MlflowException as refused:
    print(f"as prod: {refused.error_code}")
