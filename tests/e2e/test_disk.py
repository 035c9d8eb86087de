# SPDX-License-Identifier: Apache-2.0
"""A disk that is full, read-only or failing under a running server (R4): nothing is acknowledged
that is not stored, predictions go on, a full or read-only disk is no reason to restart, and after a
sync that failed the server only reads and says so."""
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess

import pytest

SHIM = pathlib.Path(__file__).parents[1] / "support" / "disk_fault.c"
CREATE = "/api/2.0/mlflow/experiments/create"
FIND = "/api/2.0/mlflow/experiments/get-by-name?experiment_name="


@pytest.fixture(scope="session", name="shim")
def a_shim(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the library that makes calls fail")
    library = tmp_path_factory.mktemp("shim") / "disk_fault.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SHIM], check=True)
    return library


class Disk:
    """The home's disk as the server sees it."""

    def __init__(self, folder, home, shim):
        self.said = folder / "fault"
        self.environment = {"LD_PRELOAD": str(shim), "TAPEOUT_TEST_FAULT": str(self.said),
                            "TAPEOUT_TEST_DISK": str(home)}

    def fail(self, call, number):
        fresh = self.said.with_suffix(".new")
        fresh.write_text(f"{call} {number}")
        os.replace(fresh, self.said)

    def heal(self):
        self.said.unlink()


def metric(server, name):
    lines = server.curl("/metrics")[2].decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(name + " ")))


def is_there(server, name):
    return server.curl(FIND + name)[0] == 200


def audited(command, kind):
    lines = command.ok("audit", "list", "--json", "--kind", kind).splitlines()
    return [json.loads(line)["what"] for line in lines]


@pytest.mark.parametrize("number", [28, 30], ids=["full", "read-only"])
def test_a_disk_that_takes_nothing_for_a_while(toy, own, serve, shim, tmp_path, number):
    disk = Disk(tmp_path, own.home, shim)
    with serve(toy.name, "--receipts", command=own, env=disk.environment) as server:
        assert server.post(CREATE, {"name": "before"})[0] == 200
        for turn in range(3):
            disk.fail("write", number)
            for attempt in range(3):
                status, answer = server.post(CREATE, {"name": f"during-{turn}-{attempt}"})
                assert (status, answer["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
                assert "full or read-only" in answer["message"]
                assert str(own.home) not in answer["message"]
                status, answer = server.post("/registry/models/toy/aliases/prod/promote",
                                             {"version": 1})
                assert status == 503, answer
            assert server.post("/score", toy.records[turn])[0] == 200
            assert is_there(server, "before") and not is_there(server, "during-0-0")
            assert server.curl("/readyz")[0] == 200
            disk.heal()
            assert server.post(CREATE, {"name": f"after-{turn}"})[0] == 200
        assert server.post("/registry/models/toy/aliases/prod/promote", {"version": 1})[0] == 200
        assert metric(server, "tapeout_read_only") == 0
    with serve(toy.name, command=own) as server:
        assert all(is_there(server, f"after-{turn}") for turn in range(3))
        assert not is_there(server, "during-2-2")
    assert len(audited(own, "model.promoted")) == 1
    assert len(audited(own, "prediction")) == 3  # those of a full disk waited for room
    assert own.json("audit", "verify")["ok"]


def upload(server, name, body):
    status, _, answer = server.curl(f"/api/2.0/mlflow-artifacts/artifacts/{name}", "-X", "PUT",
                                    "-H", "Expect:", body=body)
    return status, answer.decode()


@pytest.mark.parametrize("number", [28, 30], ids=["full", "read-only"])
def test_an_artifact_that_the_disk_does_not_take(toy, own, serve, shim, tmp_path, number):
    disk = Disk(tmp_path, own.home, shim)
    large = bytes(1 << 20)  # in pieces, of which one fails
    with serve(toy.name, command=own, env=disk.environment) as server:
        assert upload(server, "before", large)[0] == 200
        for body in (large, b"small"):
            disk.fail("write", number)
            status, answer = upload(server, "during", body)
            assert status == 503 and "full or read-only" in answer
            assert str(own.home) not in answer
            assert not list(own.home.glob("blobs/incoming/.*"))
            disk.heal()
            assert server.curl("/api/2.0/mlflow-artifacts/artifacts/during")[0] == 404
        assert server.curl("/readyz")[0] == 200
        assert upload(server, "after", large + b"after")[0] == 200
        assert server.curl("/api/2.0/mlflow-artifacts/artifacts/after")[2] == large + b"after"


@pytest.mark.parametrize("call", ["write", "sync"])
def test_an_artifact_on_a_disk_that_fails(toy, own, serve, shim, tmp_path, call):
    disk = Disk(tmp_path, own.home, shim)
    with serve(toy.name, command=own, env=disk.environment) as server:
        assert upload(server, "before", b"before")[0] == 200
        disk.fail(call, 5)
        assert upload(server, "during", bytes(1 << 20))[0] == 503
        disk.heal()
        assert not list(own.home.glob("blobs/incoming/.*"))
        status, answer = upload(server, "refused", bytes(1 << 20))
        assert status == 503 and "only reads" in answer
        assert metric(server, "tapeout_read_only") == 1
        status, _, answer = server.curl("/api/2.0/mlflow-artifacts/artifacts")
        assert status == 200 and [file["path"] for file in json.loads(answer)["files"]] == [
            "before"]


def test_after_a_failed_sync_the_server_only_reads(toy, own, serve, shim, tmp_path):
    disk = Disk(tmp_path, own.home, shim)
    with serve(toy.name, command=own, env=disk.environment) as server:
        assert server.post(CREATE, {"name": "before"})[0] == 200
        assert server.curl("/readyz")[0] == 200 and metric(server, "tapeout_read_only") == 0
        disk.fail("sync", 5)
        assert server.post(CREATE, {"name": "lost"})[0] == 503
        disk.heal()
        for _ in range(2):
            status, answer = server.post(CREATE, {"name": "refused"})
            assert status == 503 and "only reads" in answer["message"]
            status, answer = server.post("/registry/models/toy/aliases/prod/promote",
                                         {"version": 1})
            assert status == 503 and "only reads" in answer["error"]
        status, _, body = server.curl("/readyz")
        assert status == 503 and body.startswith(b"read-only")
        assert metric(server, "tapeout_read_only") == 1 and metric(server, "tapeout_ready") == 1
        assert server.curl("/v2/health/ready")[0] == 200
        assert server.post("/score", toy.records[0])[0] == 200
        assert is_there(server, "before")
    with serve(toy.name, command=own) as server:
        assert server.curl("/readyz")[0] == 200
        assert is_there(server, "before") and not is_there(server, "refused")
        assert server.post(CREATE, {"name": "refused"})[0] == 200
    assert own.json("audit", "verify")["ok"]


def test_a_failed_sync_of_the_log_stops_the_registry_too(toy, own, serve, shim, tmp_path):
    """The promotion's entry is what fails first: registry.sqlite is out of the shim's reach."""
    disk = Disk(tmp_path, own.home / "audit", shim)
    with serve(toy.name, command=own, env=disk.environment) as server:
        disk.fail("sync", 28)  # whatever number a sync fails with
        assert server.post("/registry/models/toy/aliases/prod/promote", {"version": 1})[0] == 503
        disk.heal()
        assert server.curl("/readyz")[0] == 503 and metric(server, "tapeout_read_only") == 1
        status, answer = server.post(CREATE, {"name": "refused"})
        assert status == 503 and "only reads" in answer["message"]
    assert audited(own, "model.promoted") == []
    assert own.json("list")["models"][0]["versions"][0]["aliases"] == []


def test_a_quota_of_the_process(toy, own, serve):
    """Without a shim: the kernel refuses to let files grow."""
    with serve(toy.name, command=own) as server:
        assert server.post(CREATE, {"name": "before"})[0] == 200
        free = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (100, free[1]))
        assert server.post(CREATE, {"name": "during"})[0] == 503
        assert server.post("/score", toy.records[0])[0] == 200
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, free)
        assert not is_there(server, "during")
        assert server.post(CREATE, {"name": "during"})[0] == 200
        assert server.curl("/readyz")[0] == 200
    assert signal.SIGXFSZ != server.process.returncode


@pytest.fixture(name="small")
def a_small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tapeout", folder],
                          stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("may not mount: " + done.stderr.strip())
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_really_full(toy, serve, small):
    own = toy.own(small / "home")
    with serve(toy.name, "--receipts", command=own) as server:
        assert server.post(CREATE, {"name": "before"})[0] == 200
        filler = small / "filler"
        with open(filler, "wb", buffering=0) as out:
            with pytest.raises(OSError):
                while True:
                    out.write(bytes(4096))
        stored = {}
        for number in range(40):  # a log may have room in its last page
            name = f"during-{number}" + "x" * 300
            status, _ = server.post(CREATE, {"name": name})
            assert status in (200, 503)
            stored[name] = status == 200
        assert not all(stored.values())
        assert server.post("/score", toy.records[0])[0] == 200
        filler.unlink()
        for name, is_stored in stored.items():
            assert is_there(server, name) == is_stored
            assert is_stored or server.post(CREATE, {"name": name})[0] == 200
        assert server.curl("/readyz")[0] == 200
    assert own.json("audit", "verify")["ok"]
