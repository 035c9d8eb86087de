# SPDX-License-Identifier: Apache-2.0
"""The registry's own tests once more, with PostgreSQL below; and what a network adds: answers that
get lost between COMMIT and client (R5)."""
import os
import pathlib
import socket
import subprocess
import threading

import pytest

import postgres

TESTS = pathlib.Path(os.environ.get("TAPEOUT", "build/tapeout")).resolve().parent / "tests"
REASON = postgres.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.fixture(scope="module", name="server")
def a_server():
    with postgres.Server() as server:
        yield server


def run(name, url, **environment):
    program = TESTS / name
    if not program.exists():
        pytest.skip(f"{program} is not built")
    done = subprocess.run([program], env={**os.environ, "TAPEOUT_TEST_STORE": url, **environment},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=900, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("name", ["test_registry", "test_registry_entry", "test_registry_crash"])
def test_same_suite(server, name):
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'tapeout%'"
    url = server.url()
    before = int(server.sql(schemas))
    run(name, url)
    assert int(server.sql(schemas)) > before  # it was there, not in SQLite


class Forgetful:
    """Stands before the server's socket and swallows the answer to a COMMIT where `swallows` says
    so, then hangs up."""

    def __init__(self, server, folder, swallows):
        self.target = str(server.folder / ".s.PGSQL.5432")
        self.swallows = swallows  # called with the number of the COMMIT, from 1 on
        self.commits = 0
        self.is_open = True
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
                swallowed = False
                if b"COMMIT\0" in data:
                    self.commits += 1
                    swallowed = self.swallows(self.commits)
                upstream.sendall(data)
                answer = self.answer(upstream)
                if swallowed:
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


def test_lost_answers(server, tmp_path_factory):
    server.url()
    folder = tmp_path_factory.mktemp("lost")
    proxy = Forgetful(server, folder, lambda number: number > 1 and number % 3 == 0)
    out = run("test_registry_lost", url_through(folder), TAPEOUT_TEST_LOST="some")
    assert "ok test_some_answers_are_lost" in out and "not ok" not in out
    assert proxy.commits > 40


def test_server_stays_away(server, tmp_path_factory):
    server.url()
    folder = tmp_path_factory.mktemp("away")

    def swallows(number):
        if number < 2:
            return False
        proxy.is_open = False
        return True

    proxy = Forgetful(server, folder, swallows)
    out = run("test_registry_lost", url_through(folder), TAPEOUT_TEST_LOST="all")
    assert "ok test_server_stays_away" in out and "not ok" not in out


def test_committed_although_unknown(server, tmp_path_factory):
    """What was reported as unknown did happen here: the server had committed."""
    server.url("unknown")
    folder = tmp_path_factory.mktemp("committed")

    def swallows(number):
        if number < 2:
            return False
        proxy.is_open = False
        return True

    proxy = Forgetful(server, folder, swallows)
    run("test_registry_lost", url_through(folder).replace("/tapeout?", "/unknown?"),
        TAPEOUT_TEST_LOST="all")
    schema = server.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'tapeout%'",
                        database="unknown").strip()
    count = server.sql(f'SELECT count(*) FROM "{schema}".versions', database="unknown")
    assert count.strip() == "1"
