# SPDX-License-Identifier: Apache-2.0
"""What MLflow's API refuses (cases P2 and D5): each with a status, MLflow's code and a sentence."""
import json

import pytest

from conftest import Server

API = "/api/2.0/mlflow/"
FILES = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture(scope="module")
def server(toy, tmp_path_factory):
    command = type(toy.command)(toy.command.binary, tmp_path_factory.mktemp("hostile"))
    with Server(command, toy.bundle) as running:
        yield running


@pytest.fixture(scope="module")
def run_id(server):
    _, answer = server.post(API + "runs/create", {"experiment_id": "0"})
    return answer["run"]["info"]["run_id"]


def refused(server, path, value, status=400, code="INVALID_PARAMETER_VALUE"):
    got, answer = server.post(API + path, value)
    assert got == status and answer["error_code"] == code and answer["message"], answer


def metric(**fields):
    return {"key": "m", "value": 1, "timestamp": 1, "step": 0, **fields}


def test_batches_beyond_the_limits(server, run_id):
    refused(server, "runs/log-batch", {"run_id": run_id, "metrics": [metric()] * 1000000})
    refused(server, "runs/log-batch", {"run_id": run_id, "metrics": [metric()] * 1001})
    pair = {"key": "k", "value": "v"}
    refused(server, "runs/log-batch", {"run_id": run_id, "params": [pair] * 101})
    refused(server, "runs/log-batch", {"run_id": run_id, "metrics": [metric()] * 950,
                                       "params": [pair] * 60})
    refused(server, "runs/log-metric", {"run_id": run_id, **metric(key="k" * 10_000_000)})
    refused(server, "runs/log-parameter", {"run_id": run_id, "key": "k" * 251, "value": ""})


@pytest.mark.parametrize("fields", [
    {"timestamp": -1}, {"timestamp": "x"}, {"timestamp": 1.5}, {"timestamp": 2 ** 63},
    {"value": "many"}, {"value": [1]}, {"value": "1e999"}, {"step": 2 ** 63}, {"key": ""},
    {"key": "../x"}, {"key": "/etc/passwd"}, {"key": "a//b"}, {"key": "a/./b"}, {"key": "a/"},
    {"key": "a\u0000b"}, {"key": "a\nb"}, {"key": 3}])
def test_metrics_that_are_none(server, run_id, fields):
    refused(server, "runs/log-metric", {"run_id": run_id, **metric(**fields)})


def test_a_batch_is_all_or_nothing(server, run_id):
    refused(server, "runs/log-batch", {
        "run_id": run_id, "metrics": [metric(key="half"), metric(key="half", timestamp=-1)]})
    _, _, body = server.curl(f"{API}metrics/get-history?run_id={run_id}&metric_key=half")
    assert json.loads(body)["metrics"] == []


@pytest.mark.parametrize("body", ["[]", "3", "{", '{"a":1,"a":2}', '"x"', "\xff"])
def test_bodies_that_are_none(server, body):
    status, _, answer = server.curl(API + "runs/create", "-X", "POST", body=body.encode("latin-1"))
    assert status == 400 and json.loads(answer)["error_code"] == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize("path", [
    "../x", "a/../../x", "..%2f..%2fetc%2fpasswd", "%2e%2e/x", "%252e%252e%252fx", "a%5cb",
    "..%5cx", "%2fetc/passwd", "a%00b", "a%23b", "a%3fb", "C:x", "file:%2f%2f/etc/passwd", "a//b",
    "a/"])
def test_paths_that_lead_elsewhere(server, path):
    for words in (["-X", "PUT", "--path-as-is"], ["--path-as-is"]):
        status, _, _ = server.curl(f"{FILES}/{path}", *words,
                                   body=b"x" if "PUT" in words else None)
        assert status == 400, (path, words)


def test_folders_that_lead_elsewhere(server):
    for path in ("..", "/etc", "a%2f..%2f..", "..%255c", "%252e%252e"):
        status, _, answer = server.curl(f"{FILES}?path={path}")
        assert status == 400 and json.loads(answer)["error_code"] == "INVALID_PARAMETER_VALUE"


def test_a_file_is_no_folder(server):
    put = ["-X", "PUT", "-H", "Content-Type: application/octet-stream"]
    assert server.curl(FILES + "/clash/a", *put, body=b"1")[0] == 200
    assert server.curl(FILES + "/clash", *put, body=b"1")[0] == 400
    assert server.curl(FILES + "/clash/a/b", *put, body=b"1")[0] == 400
    assert server.curl(FILES + "/clash")[0] == 404
    assert server.curl(FILES + "/clash/a")[2] == b"1"
    for _ in range(2):  # what is gone may go again
        status, _, answer = server.curl(FILES + "/clash", "-X", "DELETE", body=b"")
        assert status == 200 and json.loads(answer) == {}
    assert server.curl(FILES + "/clash/a")[0] == 404


def test_unknown_routes_say_so_in_json(server):
    for path in ("/api/2.0/mlflow/traces", "/ajax-api/2.0/mlflow/nothing", "/api/3.0/mlflow/x"):
        status, _, answer = server.curl(path)
        assert status == 404 and json.loads(answer)["error_code"] == "ENDPOINT_NOT_FOUND"
    status, answer = server.post("/ajax-api/2.0/mlflow/experiments/search", {"max_results": 5})
    assert status == 200 and answer["experiments"][0]["name"] == "Default"


def test_files_for_pages(server, run_id):
    """By run and by version, as MLflow's own pages ask; nothing beside the folder that is named."""
    _, _, body = server.curl(f"{API}runs/get?run_id={run_id}")
    folder = json.loads(body)["run"]["info"]["artifact_uri"].split(":/", 1)[1]
    assert server.curl(f"{FILES}/{folder}/model/a.txt", "-X", "PUT", body=b"words")[0] == 200
    server.post(API + "registered-models/create", {"name": "files"})
    server.post(API + "model-versions/create", {
        "name": "files", "source": f"mlflow-artifacts:/{folder}/model"})
    status, headers, got = server.curl(f"/get-artifact?run_id={run_id}&path=model/a.txt")
    assert status == 200 and got == b"words"
    assert headers["content-disposition"] == "attachment"
    assert server.curl("/model-versions/get-artifact?name=files&version=1&path=a.txt")[2] == got
    for path, want in ((f"/get-artifact?run_id={run_id}&path=model", 404),
                       (f"/get-artifact?run_id={run_id}&path=../a", 400),
                       (f"/get-artifact?run_id={run_id}", 400), ("/get-artifact?path=a", 400),
                       (f"/get-artifact?run_id={'0' * 32}&path=a", 404),
                       ("/model-versions/get-artifact?name=files&version=2&path=a.txt", 404),
                       ("/model-versions/get-artifact?name=files&version=1&path=/etc/passwd", 400),
                       ("/model-versions/get-artifact?name=files&version=1&path=..%2Fa", 400)):
        status, _, body = server.curl(path)
        assert status == want and json.loads(body)["error_code"], (path, status, body)
