# SPDX-License-Identifier: Apache-2.0
"""A server from start to end: its log, what it holds in memory, draining, models by name, swaps."""
import json
import subprocess
import threading
import time
import urllib.request

import pytest

from conftest import ROOT


def ask(server, records):
    request = urllib.request.Request(
        server.url + "/invocations", json.dumps({"dataframe_records": records}).encode(),
        {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def test_the_log_is_json_lines_with_request_ids(toy, serve):
    with serve(toy.bundle, command=toy.command) as server:
        _, headers, _ = server.curl("/livez", "-H", "X-Request-Id: abc-1")
        assert headers.get("x-request-id") == "abc-1"
        ask(server, toy.records[:1])
    assert server.log[0]["event"] == "listening" or any(
        event["event"] == "listening" for event in server.log)


def test_a_registered_name_is_served(toy, serve):
    with serve(toy.name, command=toy.command) as server:
        status, answer = server.post("/invocations", {"dataframe_records": toy.records[:3]})
        assert status == 200 and len(answer["predictions"]) == 3


def test_an_answer_says_which_bundle_and_what_was_unseen(toy, serve):
    with serve(toy.bundle, command=toy.command) as server:
        record = {**toy.records[0], "city": "Atlantis", "shoe_size": 43}
        del record["income"]
        status, headers, body = server.curl(
            "/invocations", "-H", "Content-Type: application/json",
            body=json.dumps({"dataframe_records": [record]}).encode())
        text = json.dumps(headers) + body.decode()
        assert status == 200
        assert toy.json["sha256"] in text
        assert "income" in text and "shoe_size" in text and "city" in text


def test_sigterm_lets_running_requests_end(toy, serve):
    """Many at once, a stop in the middle: each request is answered in full or never accepted."""
    failed, done = [], []

    def client(server):
        for _ in range(1000):
            try:
                answer = ask(server, toy.records[:20])
                done.append(len(answer["predictions"]))
            except (urllib.error.URLError, ConnectionError) as reason:
                if "refused" not in str(reason).lower():
                    failed.append(repr(reason))
                return

    with serve(toy.bundle, command=toy.command) as server:
        threads = [threading.Thread(target=client, args=(server,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        assert server.stop() == 0
        for thread in threads:
            thread.join(timeout=30)
    assert done and set(done) == {20}
    assert not [words for words in failed if "JSON" in words or "Incomplete" in words], failed


def test_a_server_needs_at_most_30_mb(flights, serve):
    with serve(flights.bundle, command=flights.command) as server:
        record = {"carrier": "UA", "origin": "EWR", "dest": "IAH", "distance": 1400,
                  "time_hour": "2013-01-01T10:00:00Z", "dep_delay": 2}
        for _ in range(200):
            ask(server, [record])
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
            resident_kb = next(int(line.split()[1]) for line in status
                               if line.startswith("VmRSS"))
    assert resident_kb <= 30 * 1024, f"{resident_kb} kB resident"


def test_the_demo_s_record_is_answered_by_curl(flights, serve):
    record = (ROOT / "examples/flights/record.json").read_bytes()
    with serve(flights.bundle, command=flights.command) as server:
        status, _, body = server.curl("/score", "-H", "Content-Type: application/json",
                                      body=record)
    answer = json.loads(body)
    assert status == 200 and 0 <= answer["probability"] <= 1
    assert answer["sha256"] == flights.json["sha256"] and answer["missing"] == []


def test_a_taken_port_is_an_error(toy, serve):
    with serve(toy.bundle, command=toy.command) as server:
        line = toy.command.fails("serve", toy.bundle, "--no-auth", "--listen", server.address)
        assert server.address in line or "in use" in line


def test_openapi_describes_the_routes(toy, serve):
    with serve(toy.bundle, command=toy.command) as server:
        found = None
        for path in ("/openapi.json", "/v2/openapi.json", "/docs/openapi.json"):
            status, _, body = server.curl(path)
            found = found or (status == 200 and json.loads(body))
        assert found and "/invocations" in found["paths"]


def test_an_old_client_with_http_10_and_close(toy, serve):
    with serve(toy.bundle, command=toy.command) as server:
        done = subprocess.run(["curl", "-s", "-0", "-i", server.url + "/livez"],
                              stdout=subprocess.PIPE, check=True)
        assert b" 200 " in done.stdout.split(b"\r\n")[0]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE"])
def test_methods_that_a_route_does_not_know(toy, serve, method):
    with serve(toy.bundle, command=toy.command) as server:
        words = ["-I"] if method == "HEAD" else ["-X", method]
        status, _, _ = server.curl("/livez", *words)
        assert status in ((200,) if method == "HEAD" else (200, 204, 405))


def test_a_registry_without_a_model(tapeout, serve, tmp_path):
    """What MLflow's clients log to; predictions have nobody to answer them, and say so."""
    assert "--registry" in tapeout.fails("serve", "--no-auth", "--listen", "127.0.0.1:0")
    with serve("--registry") as server:
        assert server.curl("/readyz")[0] == 200
        assert server.post("/v2/models/toy/infer", {"inputs": []})[0] == 404
        status, made = server.post("/api/2.0/mlflow/experiments/create", {"name": "first"})
        assert status == 200
        status, found = server.post("/api/2.0/mlflow/experiments/search", {"max_results": 10})
        assert made["experiment_id"] in [one["experiment_id"] for one in found["experiments"]]
        server.process.send_signal(1)  # a reload finds nothing to load, and nothing to mourn
        assert server.post("/score", {})[0] == 404
        assert server.curl("/readyz")[0] == 200
