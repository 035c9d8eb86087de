# SPDX-License-Identifier: Apache-2.0
"""The wall clock is set back a day and forward a year under a running server (R6): what is written
keeps its order, keys expire by the clock, limits and timeouts do not, and nothing hangs."""
import json
import mmap
import pathlib
import shutil
import struct
import subprocess
import time

import pytest

from conftest import Server

SHIM = pathlib.Path(__file__).parents[1] / "support" / "clock_shift.c"
DAY_S, YEAR_S = 86400, 365 * 86400
CREATE = "/api/2.0/mlflow/experiments/create"


@pytest.fixture(scope="module", name="shim")
def a_shim(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the library that sets the clock")
    library = tmp_path_factory.mktemp("shim") / "clock_shift.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SHIM], check=True)
    return library


class Clock:
    def __init__(self, folder, shim):
        path = folder / "clock"
        path.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(shim), "TAPEOUT_TEST_CLOCK": str(path)}
        with path.open("r+b") as file:
            self.shift_s = mmap.mmap(file.fileno(), 8)

    def set(self, shift_s):
        self.shift_s[:] = struct.pack("=q", shift_s)


def bearer(key):
    return "-H", "Authorization: Bearer " + key


def test_a_clock_that_jumps(toy, own, shim, tmp_path):
    clock = Clock(tmp_path, shim)
    forever = own.ok("access", "key", "new", "forever", "--role", "admin").strip()
    month = own.ok("access", "key", "new", "month", "--role", "admin", "--days", "30").strip()
    few = own.ok("access", "key", "new", "few", "--role", "admin",
                 "--limit", "requests=4/86400").strip()
    names = []
    with Server(own, toy.name, "--receipts", env=clock.environment, auth=True) as server:
        for _ in range(4):
            assert server.post("/score", toy.records[0], *bearer(few))[0] == 200
        for turn, shift_s in enumerate([0, -DAY_S, YEAR_S, -DAY_S, 0]):
            clock.set(shift_s)
            begin = time.monotonic()
            is_over = shift_s == YEAR_S
            status = server.post("/score", toy.records[0], *bearer(month))[0]
            assert status == (401 if is_over else 200), shift_s
            assert server.post("/score", toy.records[0], *bearer(forever))[0] == 200
            # A quota for a day is no shorter for it, and none that was used up comes back.
            assert server.post("/score", toy.records[0], *bearer(few))[0] == 429, shift_s
            for i in range(3):
                names.append(f"turn {turn}, {i}")
                assert server.post(CREATE, {"name": names[-1]}, *bearer(forever))[0] == 200
            status, answer = server.post("/registry/models/toy/aliases/prod/promote",
                                         {"version": 1}, *bearer(forever))
            # Before it was made, a key vouches for nothing.
            assert status == (403 if shift_s < 0 else 200), answer
            assert server.curl("/readyz")[0] == 200
            assert time.monotonic() - begin < 20
        status, found = server.post("/api/2.0/mlflow/experiments/search",
                                    {"max_results": 100, "order_by": ["experiment_id ASC"]},
                                    *bearer(forever))
        assert status == 200
    found = [one["name"] for one in found["experiments"]]
    assert [name for name in found if name.startswith("turn")] == names
    entries = [json.loads(line) for line in own.ok("audit", "list", "--json").splitlines()]
    assert [entry["seq"] for entry in entries] == list(range(len(entries)))
    times = [entry["time"] for entry in entries]
    assert times != sorted(times)  # it was another clock
    assert sum(entry["kind"] == "model.promoted" for entry in entries) == 3
    assert own.json("audit", "verify")["ok"]
