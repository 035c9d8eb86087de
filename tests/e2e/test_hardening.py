# SPDX-License-Identifier: Apache-2.0
"""What the program gives up, and how it was built: --airgap and --user on a real server, importers
in their sandbox, and the protections that the ELF file says it has.
"""
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import time

import pytest
from conftest import FULL, ROOT, Command, Server

PT_DYNAMIC, PT_GNU_STACK, PT_GNU_RELRO, ET_DYN = 2, 0x6474E551, 0x6474E552, 3
DT_FLAGS, DT_FLAGS_1, DF_BIND_NOW, DF_1_NOW, DF_1_PIE = 30, 0x6FFFFFFB, 8, 1, 0x08000000


def facts(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as lines:
        return dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)


def needs_seccomp(command):
    checks = {check["name"]: check for check in command.json("doctor")["checks"]}
    if checks["sandbox"]["state"] != "ok":
        pytest.skip(checks["sandbox"]["words"])


def test_airgap_is_tried(tapeout):
    needs_seccomp(tapeout)
    found = tapeout.json("doctor", "--airgap")
    assert found["ok"]
    names = {check["name"] for check in found["checks"]}
    assert {"tcp_socket", "udp_socket", "connect", "send_to", "fast_open", "answer"} <= names
    assert all(check["state"] == "ok" for check in found["checks"])


def test_airgapped_server_answers(toy):
    needs_seccomp(toy.command)
    with Server(toy.command, toy.bundle, "--airgap") as server:
        assert facts(server)["Seccomp"] == "2"
        assert facts(server)["NoNewPrivs"] == "1"
        # Every thread has the filter, those that were there before it too.
        for task in os.listdir(f"/proc/{server.process.pid}/task"):
            with open(f"/proc/{server.process.pid}/task/{task}/status", encoding="ascii") as lines:
                assert "Seccomp:\t2" in lines.read()
        status, body = server.post("/invocations", {"dataframe_records": toy.records[:50]})
        assert status == 200
        assert len(body["predictions"]) == 50


def test_root_is_given_up(toy, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    binary = shutil.copy(toy.command.binary, tmp_path / "tapeout")
    home = tmp_path / "home"
    home.mkdir()
    bundle = shutil.copy(toy.bundle, tmp_path / "toy.tapeout")
    for path in (home, pathlib.Path(bundle)):
        os.chown(path, 65534, 65534)
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        if not folder.stat().st_mode & 1 and folder.owner() == "root":
            folder.chmod(folder.stat().st_mode | 0o011)
    with Server(Command(pathlib.Path(binary), home), bundle, "--user", "nobody") as server:
        assert facts(server)["Uid"].split() == ["65534"] * 4
        assert facts(server)["Gid"].split() == ["65534"] * 4
        assert "0" not in facts(server)["Groups"].split()
        assert facts(server)["NoNewPrivs"] == "1"
        assert server.curl("/readyz")[0] == 200
    line = toy.command.fails("serve", toy.bundle, "--no-auth", "--user", "nobody-at-all")
    assert "nobody-at-all" in line


def test_imports_leave_nothing(tapeout, tmp_path):
    """A file that is refused in the sandbox is told as before, and no folder stays."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1))
    line = tapeout.fails("import", broken)
    assert "broken.gguf" in line
    assert not [path for path in tapeout.home.iterdir() if path.name.startswith(".sandbox")]
    tapeout.fails("import", broken, "--out", tmp_path / "out.tapeout")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.gguf", "home"]


def faults_of_children(server):
    """Pages that those processes touched which the server has started and seen end."""
    with open(f"/proc/{server.process.pid}/stat", encoding="ascii") as stat:
        return int(stat.read().rsplit(")", 1)[1].split()[8])


def reload_count(server):
    return sum(event["event"] in ("reload_failed", "reloaded") for event in server.log)


def test_hostile_models_by_their_path(tapeout, serve, tmp_path):
    """Each is read by a child of the server's, which refuses it; what is served is served on."""
    needs_seccomp(tapeout)
    ask = {"model": "model", "prompt": "x", "max_tokens": 4, "temperature": 0}
    model = tmp_path / "model.gguf"
    shutil.copy(ROOT / "tests/conformance/llm_tiny/llama-q4_1.gguf", model)
    with serve(model) as server:
        server.wait_until_ready()
        assert faults_of_children(server) > 0
        want = server.post("/v1/completions", ask)[1]["choices"]
        for hostile in sorted((ROOT / "tests/fuzz/corpus/gguf").iterdir()):
            before, reloads = faults_of_children(server), reload_count(server)
            shutil.copy(hostile, tmp_path / "next.gguf")
            (tmp_path / "next.gguf").rename(model)
            server.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + 30
            while reload_count(server) == reloads:
                assert time.monotonic() < deadline, hostile
                time.sleep(0.01)
            refused = [event for event in server.log if event["event"] == "reload_failed"][-1]
            assert "model.gguf" in str(refused) or "gguf" in str(refused) or "llm" in str(refused)
            if hostile.read_bytes()[:4] == b"GGUF":
                assert faults_of_children(server) > before, hostile
        assert server.post("/v1/completions", ask)[1]["choices"] == want


# How it was built.

def segments(data):
    """(type, flags, offset, size) of an ELF file of 64 bits."""
    offset, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for i in range(count):
        kind, flags, place, _, _, length = struct.unpack_from("<IIQQQQ", data, offset + i * size)
        yield kind, flags, place, length


@pytest.mark.parametrize("name", ["tapeout", "libtapeout.so"])
def test_elf_is_hardened(binary, name):
    if "asan" in str(binary) or "tsan" in str(binary):
        pytest.skip("sanitizer builds are not released")
    path = binary if name == "tapeout" else next(binary.parent.glob("src/libtapeout.so"), None)
    assert path is not None
    data = path.read_bytes()
    assert data[:4] == b"\x7fELF"
    assert struct.unpack_from("<H", data, 16)[0] == ET_DYN
    found = {kind: (flags, place, length) for kind, flags, place, length in segments(data)}
    assert PT_GNU_RELRO in found
    assert not found[PT_GNU_STACK][0] & 1, "the stack can be executed"
    _, place, length = found[PT_DYNAMIC]
    tags = dict(struct.iter_unpack("<qQ", data[place:place + length]))
    now = tags.get(DT_FLAGS, 0) & DF_BIND_NOW or tags.get(DT_FLAGS_1, 0) & DF_1_NOW
    assert now, "symbols are bound late, so RELRO is partial"
    if name == "tapeout":
        assert tags[DT_FLAGS_1] & DF_1_PIE
    symbols = subprocess.run(["nm", "-D", "--undefined-only", path], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
    assert "__stack_chk_fail" in symbols
    assert "_chk@" in symbols.replace("__stack_chk", ""), "no fortified function is called"


def test_two_builds_are_the_same():
    if not FULL:
        pytest.skip("two whole builds take minutes; make torture makes them")
    done = subprocess.run([ROOT / "tools/reproduce"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
