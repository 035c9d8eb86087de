# SPDX-License-Identifier: Apache-2.0
"""What an unmodified mlflow client does against a server, and what it saw, as JSON on stdout.

Run by test_mlflow_client.py in a process of its own, since two versions of the client can't live
in one: `mlflow_session.py URI FOLDER STEP...`. Each step is a function below.
"""
import json
import math
import os
import pathlib
import sys
import threading

os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true",
                  MLFLOW_HTTP_REQUEST_MAX_RETRIES="1", GIT_PYTHON_REFRESH="quiet",
                  MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false")

import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

URI, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
MAJOR = int(mlflow.__version__.split(".")[0])
CLIENT = None


def refused(call, *words, **options):
    """The error code of a call that must fail."""
    try:
        call(*words, **options)
    except MlflowException as error:
        return error.error_code
    return "OK"


def tracking():
    experiment = mlflow.set_experiment("first")
    again = mlflow.set_experiment("first")
    with mlflow.start_run(run_name="one", tags={"kind": "a b"}) as run:
        mlflow.log_param("depth", 3)
        mlflow.log_params({"rate": 0.1, "text": "Ä 'quoted'"})
        mlflow.log_metric("loss", 0.5, step=0)
        mlflow.log_metric("loss", 0.25, step=1)
        mlflow.log_metrics({"nan": math.nan, "inf": math.inf, "minus": -math.inf}, step=2)
        mlflow.set_tags({"stage": "x", "empty": ""})
        mlflow.set_tag("stage", "y")
        mlflow.log_param("depth", 3)
        changed = refused(mlflow.log_param, "depth", 4)
    found = CLIENT.get_run(run.info.run_id)
    history = CLIENT.get_metric_history(run.info.run_id, "loss")
    special = found.data.metrics
    with mlflow.start_run() as unnamed:
        pass
    return {
        "same_experiment": experiment.experiment_id == again.experiment_id,
        "location": experiment.artifact_location == f"mlflow-artifacts:/{experiment.experiment_id}",
        "params": found.data.params, "loss": special["loss"],
        "special": [math.isnan(special["nan"]), special["inf"] == math.inf,
                    special["minus"] == -math.inf],
        "history": [[m.value, m.step] for m in history],
        "stage": found.data.tags["stage"], "empty": found.data.tags["empty"],
        "status": found.info.status, "ended": found.info.end_time >= found.info.start_time,
        "name": found.info.run_name, "made_up": bool(CLIENT.get_run(
            unnamed.info.run_id).info.run_name),
        "changed_param": changed,
        "no_history": CLIENT.get_metric_history(run.info.run_id, "none") == [],
        "unknown_run": refused(CLIENT.get_run, "0" * 32),
        "unknown_experiment": CLIENT.get_experiment_by_name("nobody") is None,
        "default": CLIENT.get_experiment("0").name,
        "duplicate": refused(CLIENT.create_experiment, "first"),
        "disk": refused(CLIENT.create_experiment, "disk", artifact_location="file:///etc"),
    }


def artifacts():
    mlflow.set_experiment("files")
    folder = FOLDER / "things"
    (folder / "deep/er").mkdir(parents=True)
    (folder / "empty").write_bytes(b"")
    (folder / "deep/a b#c.txt".replace("#", "-")).write_text("blank")
    (folder / "deep/er/100%.txt").write_text("percent")
    (folder / "bytes.bin").write_bytes(bytes(range(256)) * 4000)
    (FOLDER / "one.txt").write_text("one")
    with mlflow.start_run() as run:
        mlflow.log_artifact(FOLDER / "one.txt")
        mlflow.log_artifacts(folder, "things")
        mlflow.log_text("", "empty/of/text")
        mlflow.log_dict({"a": 1}, "dict.json")
    run_id = run.info.run_id

    def listing(path=None):
        return [[f.path, f.is_dir, f.file_size] for f in CLIENT.list_artifacts(run_id, path)]
    back = pathlib.Path(CLIENT.download_artifacts(run_id, "", FOLDER / "back")
                        if (FOLDER / "back").mkdir() is None else "")
    return {
        "root": listing(), "things": listing("things"), "nothing": listing("nothing"),
        "file": listing("one.txt"), "text": mlflow.artifacts.load_text(
            f"runs:/{run_id}/one.txt"),
        "same": (back / "things/bytes.bin").read_bytes() == (folder / "bytes.bin").read_bytes(),
        "empty": (back / "things/empty").read_bytes() == b"",
        "odd": [(back / "things/deep/a b-c.txt").read_text(),
                (back / "things/deep/er/100%.txt").read_text()],
    }


def search():
    experiment = mlflow.set_experiment("search").experiment_id
    for i in range(25):
        with mlflow.start_run(run_name=f"run_{i}"):
            mlflow.log_metric("acc", i / 10)
            mlflow.log_params({"model": "CNN" if i % 2 else "mlp", "i": i})
            if i % 3 == 0:
                mlflow.set_tag("third", "yes_%")

    def names(text, **options):
        runs = CLIENT.search_runs([experiment], text, **options)
        return sorted(int(run.info.run_name.split("_")[1]) for run in runs)
    pages, token = [], None
    while True:
        page = CLIENT.search_runs([experiment], max_results=10, page_token=token)
        pages.append(len(page))
        token = page.token
        if not token:
            break
    ordered = CLIENT.search_runs([experiment], order_by=["metrics.acc DESC"], max_results=3)
    frame = []
    if "pandas" in sys.modules or MAJOR >= 3:
        frame = mlflow.search_runs(experiment_names=["search"], output_format="list",
                                   filter_string="params.i = '7'")
    return {
        "greater": names("metrics.acc >= 2.3"), "and": names(
            "metrics.acc < 0.5 AND params.model = 'CNN'"),
        "like": names("params.model LIKE 'C%'"), "case": names("params.model LIKE 'c%'"),
        "ilike": names("params.model ILIKE 'c_n' and metrics.acc < 0.4"),
        "tag": names("tags.third = 'yes_%' AND metrics.acc < 1"),
        "not_null": names("tags.third IS NOT NULL AND metrics.acc < 1"),
        "null": names("tags.third IS NULL AND metrics.acc < 0.5"),
        "name": names("attributes.run_name = 'run_3'"),
        "ids": len(CLIENT.search_runs([experiment], "run_id IN ('%s')" % ordered[0].info.run_id)),
        "pages": pages, "best": [run.data.metrics["acc"] for run in ordered],
        "frame": len(frame),
        "bad": refused(names, "metrics.acc ~ 3"), "dangling": refused(
            names, "params.i = '1' AND"),
        "experiments": [e.name for e in CLIENT.search_experiments(
            filter_string="name LIKE 'sear%'")],
    }


def deleting():
    experiment = CLIENT.create_experiment("gone", tags={"a": "b"})
    run = CLIENT.create_run(experiment)
    CLIENT.delete_run(run.info.run_id)
    log_deleted = refused(CLIENT.log_metric, run.info.run_id, "a", 1.0)
    stage = CLIENT.get_run(run.info.run_id).info.lifecycle_stage
    CLIENT.restore_run(run.info.run_id)
    CLIENT.set_experiment_tag(experiment, "c", "d")
    CLIENT.rename_experiment(experiment, "renamed")
    CLIENT.delete_experiment(experiment)
    hidden = [e.name for e in CLIENT.search_experiments() if e.name == "renamed"]
    CLIENT.restore_experiment(experiment)
    back = CLIENT.get_experiment(experiment)
    CLIENT.set_tag(run.info.run_id, "t", "v")
    CLIENT.delete_tag(run.info.run_id, "t")
    CLIENT.set_terminated(run.info.run_id, "KILLED")
    return {"log_deleted": log_deleted, "stage": stage, "hidden": hidden,
            "back": [back.name, back.lifecycle_stage, back.tags],
            "tags": "t" in CLIENT.get_run(run.info.run_id).data.tags,
            "status": CLIENT.get_run(run.info.run_id).info.status}


def race():
    """Threads that set one tag, and threads that make one experiment."""
    run = CLIENT.create_run("0")
    tags, made = [], []

    def set_tag(value):
        tags.append(refused(CLIENT.set_tag, run.info.run_id, "same", value))

    def create():
        made.append(refused(CLIENT.create_experiment, "contested"))
    threads = [threading.Thread(target=set_tag, args=(str(i),)) for i in range(16)]
    threads += [threading.Thread(target=create) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"tags": sorted(set(tags)), "made": made.count("OK"),
            "refused": made.count("RESOURCE_ALREADY_EXISTS")}


def main():
    global CLIENT
    mlflow.set_tracking_uri(URI)
    CLIENT = MlflowClient()
    seen = {"version": mlflow.__version__}
    for step in sys.argv[3:]:
        seen[step] = globals()[step]()
    print(json.dumps(seen))


main()
