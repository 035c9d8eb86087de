# SPDX-License-Identifier: Apache-2.0
"""Signatures as a user meets them: what is registered is signed, what is not is refused, by command
and server; people's keys; revocation while a server runs; no secret in any output."""
import http.client
import json
import os
import pty
import random
import shutil
import signal
import sqlite3
import time

import pytest

from conftest import FULL, TOY_SPEC, TOY_COLUMNS, toy_rows, write_csv

HEADER_BYTES, HEADER_STEP = 128, 1 if FULL else 32
RANDOM_FLIPS = 10_000 if FULL else 30
PASSPHRASE = {"TAPEOUT_PASSPHRASE": "correct horse battery staple"}


@pytest.fixture
def home(tapeout, tmp_path):
    """A home of the test's own with one registered model: (command, train's JSON, data)."""
    write_csv(tmp_path / "toy.csv", TOY_COLUMNS, list(toy_rows(400, 1)))
    (tmp_path / "toy.yaml").write_text(TOY_SPEC)
    made = tapeout.json("train", tmp_path / "toy.yaml")
    return tapeout, made, tmp_path / "toy.csv"


def blob(command, made):
    name = made["sha256"]
    return command.home / "blobs/sha256" / name[:2] / name[2:]


def rows(command, sql, *values):
    """What a statement on the registry's database gives, committed."""
    with sqlite3.connect(command.home / "registry.sqlite") as database:
        found = list(database.execute(sql, values))
    database.close()
    return found


def unsign(command, made):
    assert rows(command, "DELETE FROM signatures WHERE sha256 = ? RETURNING 1",
                made["sha256"]) == [(1,)]


def test_what_is_registered_is_signed(home):
    command, made, data = home
    verdict = command.json("verify", "toy")
    assert verdict["verified"] and verdict["sha256"] == made["sha256"]
    assert [s["name"] for s in verdict["signatures"]] == ["home"]
    assert command.json("inspect", "toy")["signed"] == "home"
    assert command.ok("predict", "toy", data)
    assert (command.home / "keys/home.key").stat().st_mode & 0o777 == 0o600


def test_unsigned_is_refused_and_allowed_aloud(home, serve):
    command, made, data = home
    unsign(command, made)
    for words in (["predict", "toy", data], ["evaluate", "toy", data], ["inspect", "toy"],
                  ["serve", "toy", "--no-auth", "--listen", "127.0.0.1:0"]):
        assert "no signature" in command.fails(*words)
    assert command.ok("predict", "toy", data, "--allow-unsigned")
    with serve("toy", "--allow-unsigned", command=command) as server:
        server.wait_until_ready()
        _, headers, _ = server.curl("/score", body=b"{}")
        assert headers["x-tapeout-model"].endswith(";unsigned")
    assert [event["signed"] for event in server.log if event["event"] == "model"] == ["unsigned"]
    # A path is its owner's.
    assert command.json("inspect", blob(command, made))["signed"] == "unsigned"


def test_the_configuration_may_allow_unsigned(home, serve, tmp_path):
    command, made, _ = home
    unsign(command, made)
    config = tmp_path / "serve.yaml"
    config.write_text("models: [{ref: toy}]\nallow_unsigned: true\n")
    with serve("--config", config, command=command) as server:
        server.wait_until_ready()


def test_another_signed_bundle_in_its_place_is_refused(home, tmp_path):
    """A good bundle with its good signature is still not the one that the row names."""
    command, made, data = home
    (tmp_path / "toy.yaml").write_text(TOY_SPEC.replace("trees: 30", "trees: 29"))
    other = command.json("train", tmp_path / "toy.yaml")
    assert other["sha256"] != made["sha256"]
    blob(command, made).chmod(0o644)
    shutil.copyfile(blob(command, other), blob(command, made))
    rows(command, "UPDATE signatures SET envelope = (SELECT envelope FROM signatures WHERE "
         "sha256 = ?) WHERE sha256 = ?", other["sha256"], made["sha256"])
    assert "other bytes" in command.fails("predict", "toy:1", data)
    assert "other bytes" in command.fails("predict", "toy:1", data, "--allow-unsigned")
    assert "not the bundle of toy:1" in command.fails("verify", "toy:1")
    assert command.ok("predict", "toy:2", data)


def test_a_flipped_bit_is_refused(home):
    """M4: in the weights, in the manifest, in the signature."""
    command, made, data = home
    path = blob(command, made)
    whole = path.read_bytes()
    path.chmod(0o644)
    for where in (3000, -20):
        damaged = bytearray(whole)
        damaged[where] ^= 1
        path.write_bytes(damaged)
        command.fails("predict", "toy", data)
        command.fails("predict", "toy", data, "--allow-unsigned")
        path.write_bytes(whole)
    envelope = rows(command, "SELECT envelope FROM signatures")[0][0]
    for where in (20, 200, len(envelope) - 20):
        damaged = envelope[:where] + chr(ord(envelope[where]) ^ 1) + envelope[where + 1:]
        rows(command, "UPDATE signatures SET envelope = ?", damaged)
        command.fails("predict", "toy", data)
        command.fails("predict", "toy", data, "--allow-unsigned")
        rows(command, "UPDATE signatures SET envelope = ?", envelope)
    assert command.ok("predict", "toy", data)


def test_people_sign_and_others_verify(home, tmp_path):
    command, made, _ = home
    bundle = tmp_path / "m.tapeout"
    shutil.copyfile(blob(command, made), bundle)
    command.ok("keys", "new", "ada", "--person", "Ada", env=PASSPHRASE)
    command.ok("keys", "new", "bob", "--no-passphrase", "--person", "Bob")
    assert "wrong passphrase" in command.fails("sign", bundle, "--key", "ada",
                                               env={"TAPEOUT_PASSPHRASE": "x"})
    command.ok("sign", bundle, "--key", "ada", env=PASSPHRASE)
    command.ok("sign", bundle, "--key", "bob")
    public = tmp_path / "ada.pub"
    public.write_text(command.ok("keys", "export", "ada"))
    # Another machine, which knows Ada's public key and nothing else.
    other = type(command)(command.binary, tmp_path / "elsewhere")
    assert "nobody here trusts" in other.fails("verify", bundle)
    assert other.json("verify", bundle, "--key", public)["verified"]
    other.ok("trust", "add", public, "--until", "2020-01-01", "--from", "2019-01-01")
    assert "not valid" in other.fails("verify", bundle)
    other.ok("trust", "add", public)
    verdict = other.json("verify", bundle)
    assert {s["state"] for s in verdict["signatures"]} == {"good", "unknown key"}
    other.ok("trust", "revoke", "ada", "--reason", "lost")
    assert "revoked" in other.fails("verify", bundle)
    assert "lost" in other.fails("trust", "add", public)
    done = other("verify", bundle, "--json")  # tells what it checked all the same
    assert done.returncode == 1 and json.loads(done.stdout)["verified"] is False


def test_revocation_reaches_a_running_server(home, serve):
    """The reload fails and says so; what was served before is served on."""
    command, _, _ = home
    with serve("toy", command=command) as server:
        server.wait_until_ready()
        command.ok("trust", "revoke", "home", "--reason", "stolen")
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while not any(event["event"] == "reload_failed" for event in server.log):
            assert time.monotonic() < deadline, server.log
            time.sleep(0.05)
        failed = [event for event in server.log if event["event"] == "reload_failed"][0]
        assert "revoked" in failed["error"]
        assert server.curl("/score", body=b"{}")[0] == 200
    assert "revoked" in command.fails("serve", "toy", "--no-auth", "--listen", "127.0.0.1:0")


def flips(size):
    """Which bits: one of each byte of the header, the last one, and what chance says."""
    chance = random.Random(20261126)
    yield from ((where, chance.randrange(8)) for where in range(0, HEADER_BYTES, HEADER_STEP))
    yield size - 1, 7
    for _ in range(RANDOM_FLIPS):
        yield chance.randrange(size), chance.randrange(8)


def failed_reloads(server):
    """Steps on with each reload that the server says has failed."""
    seen = 0
    while True:
        deadline = time.monotonic() + 20
        while seen == len(server.log) or server.log[seen]["event"] != "reload_failed":
            seen += seen < len(server.log)
            assert time.monotonic() < deadline, server.log[-3:]
            time.sleep(0.001)
        seen += 1
        yield


def test_a_damaged_new_version_leaves_the_old_one_serving(home, serve, tmp_path):
    """T19 and M4: whatever bit of it is flipped; 10,000 of them with --full."""
    command, made, _ = home
    (tmp_path / "toy.yaml").write_text(TOY_SPEC.replace("trees: 30", "trees: 29"))
    with serve("toy", command=command) as server:
        server.wait_until_ready()
        newer = command.json("train", tmp_path / "toy.yaml")
        path = blob(command, newer)
        path.chmod(0o644)
        whole = path.read_bytes()
        failures = failed_reloads(server)
        client = http.client.HTTPConnection(server.address)
        for where, bit in flips(len(whole)):
            damaged = bytearray(whole)
            damaged[where] ^= 1 << bit
            path.write_bytes(damaged)
            server.process.send_signal(signal.SIGHUP)
            next(failures)
            client.request("POST", "/score", b"{}", {"content-type": "application/json"})
            reply = client.getresponse()
            reply.read()
            assert reply.status == 200
            assert made["sha256"] in reply.headers["x-tapeout-model"], (where, bit)
        path.write_bytes(whole)
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while newer["sha256"] not in server.curl("/score", body=b"{}")[1]["x-tapeout-model"]:
            assert time.monotonic() < deadline, server.log
            time.sleep(0.05)


def converse(command, words, answers):
    """Runs the command on a terminal of its own and types; (status, all that was shown)."""
    child, terminal = pty.fork()
    if child == 0:
        os.execve(command.binary, [str(command.binary), *words], command.environment())
    shown = b""
    for answer in answers:
        while not shown.rstrip().endswith(b":"):
            shown += os.read(terminal, 1024)
        shown += b"|"  # so that the same question is not answered twice
        os.write(terminal, answer.encode() + b"\n")
    try:
        while True:
            shown += os.read(terminal, 1024)
    except OSError:  # the other end is gone
        pass
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode()


def test_a_passphrase_is_asked_for_without_an_echo(tapeout):
    status, shown = converse(tapeout, ["keys", "new", "ada"], ["open sesame", "open sesame"])
    assert status == 0 and "sesame" not in shown and "sealed" in shown
    status, shown = converse(tapeout, ["keys", "new", "bob"], ["one thing", "another"])
    assert status == 1 and "differ" in shown and "thing" not in shown
    assert not (tapeout.home / "keys/bob.key").exists()


def test_secrets_stay_where_they_are(home, tmp_path):
    command, _, _ = home
    said = ""
    file = tmp_path / "pass"
    file.write_text(PASSPHRASE["TAPEOUT_PASSPHRASE"] + "\n")
    for words in (["new", "ada", "--passphrase-file", file], ["new", "p", "--no-passphrase"],
                  ["list", "--json"], ["show", "ada", "--json"], ["export", "ada"],
                  ["export", "p", "--pem"]):
        done = command("keys", *words)
        said += done.stdout + done.stderr
    for words in (["sign", "toy", "--key", "ada", "--passphrase-file", file],
                  ["sign", "toy", "--key", "p"], ["verify", "toy", "--json"], ["trust", "list"]):
        done = command(*words)
        said += done.stdout + done.stderr
    secrets = [json.loads((command.home / "keys" / name).read_text())["secret"]
               for name in ("p.key", "home.key", "ada.key")]
    assert PASSPHRASE["TAPEOUT_PASSPHRASE"] not in said
    for secret in secrets:
        for value in secret.values():
            assert str(value) == "3" or str(value) not in said
    assert "seed" not in secrets[2] and "seed" in secrets[0]
    text = (command.home / "keys/ada.key").read_text()
    (command.home / "keys/ada.key").chmod(0o644)
    assert "others than its owner" in command.fails("sign", "toy", "--key", "ada",
                                                    "--passphrase-file", file)
    assert text == (command.home / "keys/ada.key").read_text()
