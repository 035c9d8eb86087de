# SPDX-License-Identifier: Apache-2.0
"""The registry's own tests once more, with PostgreSQL below; and what a network adds: answers that
get lost between COMMIT and client (R5)."""
import json
import os
import socket
import subprocess
import threading

import pytest

import postgres
from conftest import ROOT, TOY_COLUMNS, TOY_SPEC, Command, Server, toy_rows, write_csv

TESTS = ROOT / os.environ.get("BUILD", "build") / "tests"
REASON = postgres.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.fixture(scope="module", name="server")
def a_server():
    with postgres.Server() as server:
        yield server


BEFORE, AFTER = "before", "after"


def run(name, url, **environment):
    program = TESTS / name
    if not program.exists():
        pytest.skip(f"{program} is not built")
    done = subprocess.run([program], env={**os.environ, "TAPEOUT_TEST_STORE": url, **environment},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=900, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("name", ["test_registry", "test_registry_entry", "test_registry_crash",
                                  "test_telling", "test_telling_deaths"])
def test_same_suite(server, name):
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'tapeout%'"
    url = server.url()
    before = int(server.sql(schemas))
    run(name, url)
    assert int(server.sql(schemas)) > before  # it was there, not in SQLite


class Forgetful:
    """Stands before the server's socket and swallows a COMMIT (BEFORE) or the answer to it (AFTER)
    where `swallows` says so, then hangs up."""

    def __init__(self, server, folder, swallows):
        self.target = str(server.folder / ".s.PGSQL.5432")
        self.swallows = swallows  # called with the number of the COMMIT, from 1 on
        self.commits = 0
        self.is_open = True
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / ".s.PGSQL.5432"))
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            if not self.is_open:
                client.close()
                continue
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(self.target)
        try:
            while data := client.recv(65536):
                swallowed = None
                if b"COMMIT\0" in data:
                    with self.lock:
                        self.commits += 1
                        swallowed = self.swallows(self.commits)
                if swallowed == BEFORE:
                    return
                upstream.sendall(data)
                answer = self.answer(upstream)
                if swallowed == AFTER:
                    return
                client.sendall(answer)
        except OSError:
            pass
        finally:
            client.close()
            upstream.close()

    @staticmethod
    def answer(upstream):
        """All up to ReadyForQuery; a question for a password or encryption is one byte or more."""
        upstream.settimeout(30)
        data = b""
        while True:
            part = upstream.recv(65536)
            if not part:
                return data
            data += part
            if len(data) == 1 or data[-6:-1] == b"Z\0\0\0\x05":
                return data


def url_through(folder):
    return f"postgresql:///tapeout?host={folder}&user=tapeout&sslmode=disable&gssencmode=disable"


def played(number, how):
    """Every third COMMIT, but the first that makes the tables."""
    if number < 2 or number % 3:
        return None
    return how if how != "either" else (BEFORE if number % 2 else AFTER)


def test_serialization_failures(server):
    out = run("test_registry_lost", server.url(), TAPEOUT_TEST_LOST="conflicts")
    assert "ok test_serialization_failures" in out and "not ok" not in out


@pytest.mark.parametrize("how", [BEFORE, AFTER, "either"])
def test_lost_answers(server, tmp_path_factory, how):
    server.url()
    folder = tmp_path_factory.mktemp("lost")
    proxy = Forgetful(server, folder, lambda number: played(number, how))
    out = run("test_registry_lost", url_through(folder), TAPEOUT_TEST_LOST="some")
    assert "ok test_some_answers_are_lost" in out and "not ok" not in out
    # What was not committed is done again, what was is not.
    assert proxy.commits == 31 if how == AFTER else proxy.commits > 34


def test_server_stays_away(server, tmp_path_factory):
    server.url()
    folder = tmp_path_factory.mktemp("away")

    def swallows(number):
        if number < 2:
            return None
        proxy.is_open = False
        return AFTER

    proxy = Forgetful(server, folder, swallows)
    out = run("test_registry_lost", url_through(folder), TAPEOUT_TEST_LOST="all")
    assert "ok test_server_stays_away" in out and "not ok" not in out


def test_committed_although_unknown(server, tmp_path_factory):
    """What was reported as unknown did happen here: the server had committed."""
    server.url("unknown")
    folder = tmp_path_factory.mktemp("committed")

    def swallows(number):
        if number < 2:
            return None
        proxy.is_open = False
        return AFTER

    proxy = Forgetful(server, folder, swallows)
    run("test_registry_lost", url_through(folder).replace("/tapeout?", "/unknown?"),
        TAPEOUT_TEST_LOST="all")
    schema = server.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'tapeout%'",
                        database="unknown").strip()
    count = server.sql(f'SELECT count(*) FROM "{schema}".versions', database="unknown")
    assert count.strip() == "1"


def test_a_server_settles_what_was_lost(server, tmp_path, tmp_path_factory, binary, monkeypatch):
    """Through MLflow's API and the gate, where no client sends a key: every answer says what
    happened, and nothing happened twice."""
    server.url("settled")
    folder = tmp_path_factory.mktemp("settled")
    direct = server.url("settled")
    command = Command(binary, tmp_path / "home")
    write_csv(tmp_path / "toy.csv", TOY_COLUMNS, toy_rows(800, seed=1))
    (tmp_path / "toy.yaml").write_text(TOY_SPEC, encoding="utf-8")
    for seed in (1, 2):
        done = command("train", tmp_path / "toy.yaml", "--seed", seed,
                       env={"TAPEOUT_STORE": direct})
        assert done.returncode == 0, done.stderr
    proxy = Forgetful(server, folder, lambda number: (None, BEFORE, AFTER)[number % 3])
    through = url_through(folder).replace("/tapeout?", "/settled?")
    api = "/api/2.0/mlflow/"
    with Server(command, "toy:1", env={"TAPEOUT_STORE": through}) as running:
        for number in range(20):
            name = f"m{number}"
            status, answer = running.post(api + "registered-models/create", {"name": name})
            assert status == 200, answer
            for version in (1, 2):
                status, answer = running.post(api + "model-versions/create",
                                              {"name": name, "source": "mlflow-artifacts:/0/r/a"})
                assert status == 200 and answer["model_version"]["version"] == str(version), answer
        path = "/registry/models/toy/aliases/staging/"
        assert running.post(path + "promote", {"version": 1})[0] == 200
        for _ in range(10):
            status, answer = running.post(path + "promote", {"version": 2})
            assert status == 200, answer
            status, answer = running.post(path + "rollback", {})
            assert status == 200 and answer["version"] == 1, answer
    assert proxy.commits > 80
    counts = server.sql("SELECT count(*) FROM tapeout.versions UNION ALL SELECT count(*) FROM "
                        "tapeout.alias_moves", database="settled").split()
    moves = [json.loads(line) for line in command.ok("audit", "list", "--json").splitlines()]
    kinds = [entry["kind"] for entry in moves]
    assert counts[0] == "42"
    assert int(counts[1]) == kinds.count("model.promoted") + kinds.count("model.rolled_back")
    assert int(counts[0]) == kinds.count("model.registered") and "change.not_done" not in kinds
