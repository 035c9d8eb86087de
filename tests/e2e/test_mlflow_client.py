# SPDX-License-Identifier: Apache-2.0
"""The unmodified mlflow client, newest 3.x and newest 2.x, tracks on a server of ours.

Each client runs its whole session in a process of its own (mlflow_session.py), with a name and a
password and with an API key, on SQLite and on PostgreSQL; the tests look at what it saw.
"""
import contextlib
import json
import os
import subprocess
import sys
import time

import pytest

import postgres
from conftest import FULL, ROOT, Server

CLIENTS = {"mlflow3": "3.18.0", "mlflow2": "2.22.5"}
LOGINS = ("basic", "bearer")
# Each client, store and login with each other one, by two; all eight with --full.
CASES = [f"{client}-{store}-{login}" for j, store in enumerate(("sqlite", "postgresql"))
         for i, client in enumerate(CLIENTS) for k, login in enumerate(LOGINS)
         if FULL or (i + j + k) % 2 == 0]
STEPS = ["tracking", "artifacts", "search", "deleting", "race", "registry", "models"]


def client_path(name):
    folder = ROOT / ".deps" / name
    if not folder.exists():
        pytest.skip(f"{name} is not there; run make setup")
    return folder


def session(uri, folder, name, *steps, **extra):
    env = {**os.environ, "PYTHONPATH": str(client_path(name)), "HOME": str(folder), **extra}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/e2e/mlflow_session.py"), uri, str(folder), *steps],
        env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600,
        check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return json.loads((folder / "seen.json").read_text())


def log_in(command, login, env):
    """What MLflow's client finds in its environment: a person's password, or a program's key."""
    if login == "basic":
        done = command("access", "user", "new", "ann", "--role", "publisher", env=env,
                       stdin=b"correct horse\n")
        assert done.returncode == 0, done.stderr
        return {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "correct horse"}
    key = command.ok("access", "key", "new", "robot", "--role", "publisher", env=env).strip()
    return {"MLFLOW_TRACKING_TOKEN": key}


@pytest.fixture(scope="module", params=CASES)
def seen(request, toy, tmp_path_factory):
    client, store, login = request.param.split("-")
    if store == "postgresql" and postgres.missing() is not None:
        pytest.skip(postgres.missing())
    folder = tmp_path_factory.mktemp(request.param)
    command = type(toy.command)(toy.command.binary, folder / "home")
    with contextlib.ExitStack() as stack:
        env = {}
        if store == "postgresql":
            database = stack.enter_context(postgres.Server())
            env["TAPEOUT_STORE"] = database.url()
        server = stack.enter_context(Server(command, toy.bundle, env=env, auth=True))
        credentials = log_in(command, login, env)
        time.sleep(1)  # within which a server knows of them
        result = session(server.url, folder, client, *STEPS, **credentials)
        refused = server.curl("/api/2.0/mlflow/experiments/get?experiment_id=0")
        assert refused[0] == 401 and json.loads(refused[2])["error_code"] == "UNAUTHENTICATED"
        if store == "postgresql":
            tables = ("SELECT count(*) FROM information_schema.tables "
                      "WHERE table_name LIKE 'mlflow%'")
            assert int(database.sql(tables)) > 5  # it was there, not in SQLite
    assert result["version"] == CLIENTS[client]
    return result


def test_experiments_and_runs(seen):
    assert seen["tracking"] == {
        "same_experiment": True, "location": True,
        "params": {"depth": "3", "rate": "0.1", "text": "Ä 'quoted'"}, "loss": 0.25,
        "special": [True, True, True], "history": [[0.5, 0], [0.25, 1]], "stage": "y", "empty": "",
        "status": "FINISHED", "ended": True, "name": "one", "made_up": True,
        "changed_param": "INVALID_PARAMETER_VALUE", "no_history": True,
        "unknown_run": "RESOURCE_DOES_NOT_EXIST", "unknown_experiment": True,
        "default": "Default", "duplicate": "RESOURCE_ALREADY_EXISTS",
        "disk": "INVALID_PARAMETER_VALUE"}


def test_artifacts(seen):
    saw = seen["artifacts"]
    assert saw["root"] == [["dict.json", False, 12], ["empty", True, None],
                           ["one.txt", False, 3], ["things", True, None]]
    assert saw["things"] == [["things/bytes.bin", False, 1024000], ["things/deep", True, None],
                             ["things/empty", False, saw["things"][2][2]]]
    assert saw["things"][2][2] in (0, None)
    assert saw["nothing"] == [] and saw["file"] == [] and saw["text"] == "one"
    assert saw["same"] and saw["empty"] and saw["odd"] == ["blank", "percent"]


def test_searches(seen):
    saw = seen["search"]
    below, above = list(range(22)), [23, 24]
    assert saw["signs"] == [[22], below + above, below, below + [22], above, [22] + above]
    assert saw["and"] == [1, 3]
    assert saw["like"] == list(range(1, 25, 2)) and saw["case"] == [] and saw["ilike"] == [1, 3]
    assert saw["tag"] == saw["not_null"] == [0, 3, 6, 9] and saw["null"] == [1, 2, 4]
    assert saw["name"] == [3] and saw["ids"] == 1 and saw["pages"] == [10, 10, 5]
    assert saw["best"] == [2.4, 2.3, 2.2] and saw["frame"] in (0, 1)
    assert saw["bad"] == saw["dangling"] == "INVALID_PARAMETER_VALUE"
    assert saw["experiments"] == ["search"]


def test_deleting_and_restoring(seen):
    assert seen["deleting"] == {
        "log_deleted": "INVALID_PARAMETER_VALUE", "stage": "deleted", "hidden": [],
        "back": ["renamed", "active", {"a": "b", "c": "d"}], "tags": False, "status": "KILLED"}


def test_threads_do_not_disturb_each_other(seen):
    assert seen["race"] == {"tags": ["OK"], "made": 1, "refused": 63}


def test_registered_models(seen):
    saw = seen["registry"]
    assert saw["numbers"] in (["1", "2", "3"], [1, 2, 3]) and str(saw["champion"]) == "2"
    assert saw["delete_used"] == "RESOURCE_CONFLICT"
    assert saw["unknown_alias"] == "INVALID_PARAMETER_VALUE"
    assert saw["gated"] == ["PERMISSION_DENIED"] * 3
    assert saw["model"] == ["second words", {"k": "v"}, {}]
    assert saw["first"] == ["of the version", {"k": "v"}, "Archived", True]
    assert [str(v) for v in saw["in_stage"]] == ["2"]
    assert [[str(v), stage] for v, stage in saw["latest"]] == [
        ["1", "Archived"], ["2", "Staging"], ["3", "None"]]
    assert saw["found"] == {
        "models": ["R"], "by_tag": ["R"], "absent": ["T"], "by_run": 3,
        "versions": saw["numbers"][::-1], "by_number": [saw["numbers"][2]]}
    assert saw["uri"] and saw["gone"] == ["RESOURCE_DOES_NOT_EXIST"] * 2
    assert saw["duplicate"] == "RESOURCE_ALREADY_EXISTS"
    assert saw["outside"] == saw["bad_stage"] == "INVALID_PARAMETER_VALUE"
    assert set(saw["bad"]) == set(saw["bad_alias"]) == {"INVALID_PARAMETER_VALUE"}


def test_logged_models_load_as_they_were(seen):
    saw = seen["models"]
    assert saw["same"] == [True] * 5 and saw["pyfunc"]
    assert saw["status"] == "READY" and saw["run"]
    assert saw["message"] == "imported, to be served under its name"
    assert str(saw["version"]) == "1" and str(saw["next"]) == "2"
    if "logged" in saw:
        assert saw["logged"] == ["READY", True, "rmse"]
        assert saw["found"] == [2, True] and saw["tags"] and saw["outputs"]
        assert saw["model_tag"] is False
