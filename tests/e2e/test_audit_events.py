# SPDX-License-Identifier: Apache-2.0
"""Everything that those who answer for a server want to find in its audit log, done from outside by
commands and over HTTP and then looked for; and that nothing is done of which the log can't tell.
"""
import json
import time

import pytest

from conftest import TOY_COLUMNS, TOY_SPEC, Server, toy_rows, write_csv

API = "/api/2.0/mlflow"


def entries(command, *words):
    return [json.loads(line) for line in command.ok("audit", "list", "--json", *words).splitlines()]


def told(command, kind):
    """Of each entry of the kind, what it says."""
    return [entry["what"] for entry in entries(command, "--kind", kind) if entry["kind"] == kind]


def changed(home, kind):
    """What was told of changes, without their deeds, of which each has its own."""
    entries = told(home, kind)
    deeds = [one.pop("deed") for one in entries]
    assert len(set(deeds)) == len(deeds) and all("-" in deed for deed in deeds)
    return entries


def bearer(key):
    return "-H", f"Authorization: Bearer {key}"


def test_keys_and_users(tapeout):
    key = tapeout.ok("access", "key", "new", "robot", "--role", "viewer,scorer:toy", "--tenant",
                     "acme", "--limit", "requests=5/60", "--days", "1").strip()
    tapeout.ok("access", "key", "rotate", "robot")
    tapeout.ok("access", "key", "revoke", "robot")
    tapeout.ok("access", "user", "new", "ann", "--role", "viewer", stdin=b"correct horse\n")
    tapeout.ok("access", "user", "password", "ann", stdin=b"battery staple\n")
    tapeout.ok("access", "user", "revoke", "ann")
    made = told(tapeout, "key.made")
    assert [(one["name"], one["prefix"], one["tenant"], one["roles"]) for one in made] == [
        ("robot", key.split("_")[1], "acme", "viewer,scorer:toy")]
    assert made[0]["limits"] == "requests=5/60"
    assert int(made[0]["ends_us"]) > time.time() * 1e6 + 86_000e6
    assert [one["name"] for one in told(tapeout, "key.rotated")] == ["robot"]
    assert changed(tapeout, "key.revoked") == [{"name": "robot"}]
    assert [one["roles"] for one in told(tapeout, "user.made")] == ["viewer"]
    for kind in ("user.password", "user.revoked"):
        assert changed(tapeout, kind) == [{"name": "ann"}]
    log = b"".join(path.read_bytes() for path in (tapeout.home / "audit").glob("*.log"))
    for secret in (key, key[15:], "correct horse", "battery staple"):
        assert secret.encode() not in log
    assert tapeout.json("audit", "verify")["ok"]


def test_what_the_log_cannot_take_is_not_done(tapeout):
    tapeout.ok("access", "key", "new", "first", "--role", "viewer")
    tapeout.ok("keys", "new", "ada", "--no-passphrase")
    tapeout.ok("trust", "add", "ada")
    (tapeout.home / "audit").rename(tapeout.home / "kept")
    (tapeout.home / "audit").write_text("a file, no folder")
    tapeout.fails("access", "key", "new", "second", "--role", "viewer")
    tapeout.fails("access", "key", "revoke", "first")
    tapeout.fails("trust", "revoke", "ada", "--reason", "lost")
    listed = tapeout.json("access", "key", "list")["identities"]
    assert [(one["name"], one["revoked"]) for one in listed] == [("first", None)]
    assert "revoked" not in tapeout.json("trust", "list")["keys"][0]
    (tapeout.home / "audit").unlink()
    (tapeout.home / "kept").rename(tapeout.home / "audit")
    tapeout.ok("access", "key", "revoke", "first")
    assert tapeout.json("audit", "verify")["ok"]


@pytest.fixture
def home(tapeout, tmp_path):
    write_csv(tmp_path / "toy.csv", TOY_COLUMNS, list(toy_rows(400, 1)))
    (tmp_path / "toy.yaml").write_text(TOY_SPEC)
    tapeout.made = tapeout.json("train", tmp_path / "toy.yaml")
    return tapeout


def test_no_version_without_its_entry(home, tmp_path):
    home.ok("keys", "new", "ada", "--no-passphrase")
    signatures = home.json("verify", "toy:1")["signatures"]
    log = home.home / "audit"
    log.rename(home.home / "kept")
    log.write_text("a file, no folder")
    home.fails("train", tmp_path / "toy.yaml")
    home.fails("tag", "set", "toy:1", "licence", "MIT")
    home.fails("rm", "toy:1")
    home.fails("sign", "toy:1", "--key", "ada")
    (tmp_path / "policy.yaml").write_text("gated: [live]\n")
    home.fails("policy", "set", tmp_path / "policy.yaml")
    assert home.json("verify", "toy:1")["signatures"] == signatures
    home.fails("policy", "show")  # none was ever set
    listed = home.json("list")["models"]
    assert [(one["name"], len(one["versions"])) for one in listed] == [("toy", 1)]
    log.unlink()
    (home.home / "kept").rename(log)
    assert home.json("train", tmp_path / "toy.yaml")["version"] == 2
    assert [one["version"] for one in changed(home, "model.registered")] == ["1", "2"]
    home.ok("sign", "toy:1", "--key", "ada")
    home.ok("policy", "set", tmp_path / "policy.yaml")
    assert len(changed(home, "model.signed")) == len(changed(home, "policy.changed")) == 1
    assert not told(home, "change.not_done")  # nothing had been told


def leave_open(mark, kind):
    """As a process leaves it that dies between its entry and its commit; hands back the deed."""
    number, deed, state, _ = mark.read_text().split()
    assert state == "done"
    killed = f"{number} {int(deed) + 1:020} open {kind}"
    mark.write_text(f"{killed:127}\n")
    return f"{number}-{int(deed) + 1}"


NEVER_DONE = "the process ended or the answer was lost"


def test_a_server_takes_back_what_a_killed_process_told(home, serve):
    deed = leave_open(home.home / "changes", "model.tagged")
    with serve("toy", command=home) as server:
        server.wait_until_ready()
        taken_back = told(home, "change.not_done")
    assert taken_back == [{"what": "model.tagged", "deed": deed, "why": NEVER_DONE}]
    home.ok("tag", "set", "toy:1", "licence", "MIT")
    assert told(home, "change.not_done") == taken_back  # once
    assert home.json("audit", "verify")["ok"]


def test_a_tenants_changes_are_taken_back_too(home):
    key = home.ok("access", "key", "new", "robot", "--role", "publisher", "--tenant",
                  "acme").strip()
    with Server(home, "toy", auth=True) as server:
        status, _ = server.post(f"{API}/registered-models/create", {"name": "theirs"}, *bearer(key))
        assert status == 200
    assert not told(home, "change.not_done")
    deed = leave_open(home.home / "tenants/acme/changes", "model.created")
    with Server(home, "toy", auth=True) as server:
        server.wait_until_ready()
    assert told(home, "change.not_done") == [
        {"tenant": "acme", "what": "model.created", "deed": deed, "why": NEVER_DONE}]
    assert home.json("audit", "verify")["ok"]


def test_models_keys_of_signers_and_exports(home, tmp_path):
    bundle = home.made["sha256"]
    home.ok("keys", "new", "ada", "--person", "Ada", "--no-passphrase")
    home.ok("trust", "add", "ada")
    home.ok("sign", "toy:1", "--key", "ada")
    home.ok("trust", "revoke", "ada", "--reason", "laptop stolen")
    home.ok("alias", "set", "toy", "staging", "1")
    home.ok("alias", "rm", "toy", "staging")
    home.ok("tag", "set", "toy:1", "licence", "MIT")
    home.ok("tag", "rm", "toy:1", "licence")
    home.ok("backup", tmp_path / "copy")
    home.ok("gc")
    assert [one["name"] for one in told(home, "signing_key.made")] == ["home", "ada"]
    assert [one["name"] for one in told(home, "trust.added")] == ["home", "ada"]
    revoked = told(home, "trust.revoked")
    assert [(one["name"], one["person"], one["reason"]) for one in revoked] == [
        ("ada", "Ada", "laptop stolen")]
    signed = changed(home, "model.signed")
    assert [(one["model"], one["bundle"], one["key"]) for one in signed] == [
        ("toy", bundle, "ada")]
    assert changed(home, "alias.set") == [{"model": "toy", "alias": "staging", "version": "1"}]
    assert changed(home, "alias.removed") == [{"model": "toy", "alias": "staging"}]
    assert changed(home, "model.tagged") == [{"model": "toy:1", "key": "licence", "value": "MIT"}]
    assert changed(home, "model.untagged") == [{"model": "toy:1", "key": "licence"}]
    export = told(home, "export")
    assert [(one["what"], one["folder"]) for one in export] == [
        ("registry", str(tmp_path / "copy"))]
    assert json.loads(export[0]["answer"])["blobs"] == 1
    assert len(told(home, "registry.collected")) == 1
    other = type(home)(home.binary, tmp_path / "restored")
    other.ok("restore", tmp_path / "copy")
    assert [entry["kind"] for entry in entries(other)] == ["registry.restored"]


def test_the_registry_over_mlflows_api(home):
    with Server(home, "toy", auth=True) as server:
        admin = [line.strip() for line in server.told if line.strip().startswith("tpk_")][0]

        def post(path, value, wanted=200, method="POST"):
            status, answer = server.post(API + path, value, *bearer(admin), "-X", method)
            assert status == wanted, answer
            return answer
        run = post("/runs/create", {"experiment_id": "0"})["run"]["info"]
        put = f"/api/2.0/mlflow-artifacts/artifacts/0/{run['run_id']}/artifacts/a.txt"
        assert server.curl(put, *bearer(admin), "-X", "PUT", body=b"hello")[0] == 200
        assert server.curl(put, *bearer(admin))[2] == b"hello"
        assert server.curl(put + "x", *bearer(admin))[0] == 404
        post("/registered-models/create", {"name": "R"})
        source = run["artifact_uri"]
        for _ in range(2):
            post("/model-versions/create", {"name": "R", "source": source})
        post("/model-versions/set-tag", {"name": "R", "version": "1", "key": "k", "value": "v"})
        post("/registered-models/alias", {"name": "R", "alias": "best", "version": "1"})
        post("/registered-models/alias", {"name": "R", "alias": "prod", "version": "1"}, 403)
        post("/registered-models/alias", {"name": "R", "alias": "best"}, method="DELETE")
        post("/model-versions/transition-stage", {"name": "R", "version": "1", "stage": "Staging"})
        post("/model-versions/delete", {"name": "R", "version": "2"}, method="DELETE")
        post("/registered-models/rename", {"name": "R", "new_name": "S"})
    found = [entry for entry in entries(home, "--since", "3") if entry["who"].startswith("key:")]
    prefix = admin.split("_")[1]
    assert {entry["who"] for entry in found} == {f"key:{prefix}"}
    assert {entry["what"]["tenant"] for entry in found} == {"default"}
    seen = [(entry["kind"], entry["what"].get("model"), entry["what"].get("version"))
            for entry in found]
    assert seen == [("export", None, None), ("model.created", "R", None),
                    ("model.registered", "R", "1"), ("model.registered", "R", "2"),
                    ("model.tagged", "R:1", None), ("alias.set", "R", "1"),
                    ("alias.removed", "R", None), ("model.staged", "R:1", None),
                    ("model.removed", "R:2", None), ("model.renamed", "R", None)]
    assert found[0]["what"] | {"path": ""} == {"what": "artifact", "tenant": "default", "path": "",
                                               "bytes": "5"}
    assert found[0]["what"]["path"].endswith("a.txt")
    assert told(home, "key.made")[0]["name"] == "admin"
    assert home.json("audit", "verify")["ok"]


def test_refused_logins_do_not_fill_the_log(home, tmp_path):
    """One address, ever other users and reasons: 8 kinds and one for the rest, and their counts."""
    config = tmp_path / "serve.yaml"
    config.write_text("models: [{ref: toy}]\n")
    with Server(home, "--config", config, auth=True) as server:
        for i in range(40):
            assert server.curl("/v2/models", "-H", f"Authorization: Scheme{i} x")[0] in (401, 429)
            assert server.curl("/v2/models", "-H", f"X-Api-Key: tpk_{i}")[0] in (401, 429)
        assert server.curl("/v2/models", "-H", "Authorization: Bearer a.b.c")[0] in (401, 429)
    refused = told(home, "login.refused")
    assert 0 < len(refused) <= 18
    assert sum(one["count"] for one in refused) == 81
    assert {one["peer"] for one in refused} == {"::ffff:127.0.0.1"}
    started = told(home, "server.started")[0]
    assert len(started["config"]) == 64 and started["issuers"] == 0
