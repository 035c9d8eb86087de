# SPDX-License-Identifier: Apache-2.0
"""What an unmodified mlflow client does against a server, and what it saw, as FOLDER/seen.json.

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
        "signs": [names(f"metrics.acc {sign} 2.2") for sign in ("=", "!=", "<", "<=", ">", ">=")],
        "and": names(
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


def booster():
    import lightgbm
    import numpy
    rows = numpy.random.default_rng(7).normal(size=(200, 3))
    data = lightgbm.Dataset(rows, rows[:, 0] + rows[:, 1] ** 2, feature_name=["a", "b", "c"])
    return lightgbm.train({"verbosity": -1, "num_leaves": 7, "num_threads": 1}, data, 10), rows


def models():
    """log_model, and the ways to load what it logged."""
    import mlflow.lightgbm
    import numpy
    model, rows = booster()
    mlflow.set_experiment("models")
    name = {"name": "model"} if MAJOR >= 3 else {"artifact_path": "model"}
    with mlflow.start_run() as run:
        mlflow.log_metric("rmse", 0.5)
        info = mlflow.lightgbm.log_model(model, registered_model_name="lgb",
                                         input_example=rows[:3], **name)
    again = mlflow.lightgbm.log_model(model, registered_model_name="lgb", **name)
    version = CLIENT.get_model_version("lgb", "1")
    expected = model.predict(rows).tolist()
    CLIENT.set_registered_model_alias("lgb", "champion", "2")
    uris = ["models:/lgb/1", "models:/lgb@champion", "models:/lgb/latest", info.model_uri,
            f"runs:/{run.info.run_id}/model"]
    same = [mlflow.lightgbm.load_model(uri).predict(rows).tolist() == expected for uri in uris]
    numpy.savetxt(FOLDER / "rows.csv", rows, delimiter=",", header="a,b,c", comments="",
                  fmt="%.17g")
    (FOLDER / "expected.json").write_text(json.dumps(expected))
    seen = {"same": same, "status": version.status, "message": version.status_message,
            "run": version.run_id == run.info.run_id, "version": info.registered_model_version,
            "next": again.registered_model_version, "pyfunc": mlflow.pyfunc.load_model(
                "models:/lgb/2").predict(rows).tolist() == expected}
    if MAJOR >= 3:
        logged = mlflow.get_logged_model(info.model_id)
        seen["logged"] = [logged.status.value, logged.source_run_id == run.info.run_id,
                          logged.metrics[0].key if logged.metrics else None]
        found = mlflow.search_logged_models(
            experiment_ids=[logged.experiment_id], output_format="list",
            filter_string="name = 'model'", order_by=[{"field_name": "creation_timestamp",
                                                       "ascending": False}])
        seen["found"] = [len(found), found[-1].model_id == info.model_id]
        seen["tags"] = "mlflow.modelVersions" in logged.tags
        seen["outputs"] = [out.model_id for out in CLIENT.get_run(
            run.info.run_id).outputs.model_outputs] == [info.model_id]
        mlflow.set_logged_model_tags(info.model_id, {"k": "v"})
        mlflow.delete_logged_model_tag(info.model_id, "k")
        seen["model_tag"] = "k" in mlflow.get_logged_model(info.model_id).tags
    return seen


def registry():
    """Registered models without files behind them: names, aliases, tags, stages, searches."""
    run = CLIENT.create_run("0")
    CLIENT.create_registered_model("R", tags={"team": "a"}, description="first words")
    source = run.info.artifact_uri + "/model"
    versions = [CLIENT.create_model_version("R", source, run.info.run_id, tags={"n": str(i)})
                for i in range(3)]
    CLIENT.set_registered_model_alias("R", "champion", "1")
    CLIENT.set_registered_model_alias("R", "champion", "2")
    champion = CLIENT.get_model_version_by_alias("R", "champion").version
    delete_used = refused(CLIENT.delete_model_version, "R", "2")
    CLIENT.delete_registered_model_alias("R", "champion")
    CLIENT.delete_registered_model_alias("R", "champion")
    unknown_alias = refused(CLIENT.get_model_version_by_alias, "R", "champion")
    CLIENT.update_registered_model("R", "second words")
    CLIENT.update_model_version("R", "1", "of the version")
    CLIENT.set_registered_model_tag("R", "k", "v")
    CLIENT.delete_registered_model_tag("R", "team")
    CLIENT.set_model_version_tag("R", "1", "k", "v")
    CLIENT.delete_model_version_tag("R", "1", "n")
    gated = [refused(CLIENT.transition_model_version_stage, "R", "1", "Production"),
             refused(CLIENT.set_registered_model_alias, "R", "prod", "1"),
             refused(CLIENT.delete_registered_model_alias, "R", "prod")]
    CLIENT.transition_model_version_stage("R", "1", "Staging")
    CLIENT.transition_model_version_stage("R", "2", "staging", archive_existing_versions=True)
    latest = [[v.version, v.current_stage] for v in CLIENT.get_latest_versions("R")]
    in_stage = [v.version for v in CLIENT.get_latest_versions("R", ["Staging"])]
    CLIENT.transition_model_version_stage("R", "2", "None")
    model = CLIENT.get_registered_model("R")
    first = CLIENT.get_model_version("R", "1")
    CLIENT.create_registered_model("S")
    CLIENT.rename_registered_model("S", "T")
    found = {
        "models": [m.name for m in CLIENT.search_registered_models("name LIKE 'R%'")],
        "by_tag": [m.name for m in CLIENT.search_registered_models("tags.k = 'v'")],
        "absent": [m.name for m in CLIENT.search_registered_models(
            "tag.k != 'v' AND name ILIKE '_'")],
        "versions": [v.version for v in CLIENT.search_model_versions(
            "name = 'R'", order_by=["version_number DESC"])],
        "by_run": len(CLIENT.search_model_versions(f"run_id = '{run.info.run_id}'")),
        "by_number": [v.version for v in CLIENT.search_model_versions(
            "name = 'R' AND version_number > 1 AND tags.n = '2'")],
    }
    CLIENT.delete_model_version("R", "3")
    CLIENT.delete_registered_model("T")
    return {
        "numbers": [v.version for v in versions], "champion": champion,
        "delete_used": delete_used, "unknown_alias": unknown_alias,
        "model": [model.description, model.tags, dict(model.aliases)],
        "first": [first.description, first.tags, first.current_stage, first.run_id ==
                  run.info.run_id], "gated": gated, "latest": latest,
        "in_stage": in_stage, "found": found,
        "uri": CLIENT.get_model_version_download_uri("R", "1") == source,
        "gone": [refused(CLIENT.get_model_version, "R", "3"),
                 refused(CLIENT.get_registered_model, "T")],
        "duplicate": refused(CLIENT.create_registered_model, "R"),
        "outside": refused(CLIENT.create_model_version, "R", "file:///etc"),
        "bad": [refused(CLIENT.create_registered_model, name)
                for name in ("a/b", "a:b", "..", "")],
        "bad_alias": [refused(CLIENT.set_registered_model_alias, "R", alias, "1")
                      for alias in ("latest", "v1")],
        "bad_stage": refused(CLIENT.transition_model_version_stage, "R", "1", "Nowhere"),
    }


def main():
    global CLIENT
    mlflow.set_tracking_uri(URI)
    CLIENT = MlflowClient()
    seen = {"version": mlflow.__version__}
    for step in sys.argv[3:]:
        seen[step] = globals()[step]()
    (FOLDER / "seen.json").write_text(json.dumps(seen))


main()
