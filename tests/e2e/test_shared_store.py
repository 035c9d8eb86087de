# SPDX-License-Identifier: Apache-2.0
"""Two servers, two homes, one PostgreSQL: the same identities, a revocation that both follow within
a second, and a signature made through one that admits the model on the other. What the two share
besides is the secret that keys are checked by, and the bytes of models.
"""
import json
import shutil
import sqlite3
import time

import pytest

import postgres
from conftest import TOY_COLUMNS, TOY_SPEC, Command, Server, toy_rows, write_csv

REASON = postgres.missing()
needs_postgres = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.fixture(scope="module", name="database")
def a_database():
    with postgres.Server() as server:
        yield server


def bearer(key):
    return "-H", f"Authorization: Bearer {key}"


def first_key(server):
    return [line.strip() for line in server.told if line.strip().startswith("tpk_")]


def wait_for(server, key, wanted):
    begin = time.monotonic()
    while server.curl("/v2/models", *bearer(key))[0] != wanted:
        assert time.monotonic() - begin < 1.0, f"not {wanted} after a second"
        time.sleep(0.05)


@pytest.fixture
def two(tapeout, tmp_path, database):
    """Commands of two homes on a database of their own, with a model that the first registered."""
    url = database.url("two_" + tmp_path.name.replace("-", "_"))
    write_csv(tmp_path / "toy.csv", TOY_COLUMNS, list(toy_rows(400, 1)))
    (tmp_path / "toy.yaml").write_text(TOY_SPEC)
    one = Command(tapeout.binary, tmp_path / "one")
    other = Command(tapeout.binary, tmp_path / "other")
    one.url = other.url = url
    one.made = one.json("train", tmp_path / "toy.yaml", "--store", url)
    one.ok("access", "key", "list", "--store", url)  # makes the secret
    other.home.mkdir(mode=0o700)
    (other.home / "blobs").symlink_to(one.home / "blobs")
    shutil.copy2(one.home / "access.secret", other.home / "access.secret")
    return one, other


@needs_postgres
def test_two_servers_are_one_service(two, tmp_path, database):
    one, other = two
    url = one.url
    assert "nobody here trusts" in other.fails("verify", "toy:1", "--store", url)
    public = tmp_path / "one.pub"
    public.write_text(one.ok("keys", "export", "home"))
    other.ok("trust", "add", public, "--name", "one")
    config = tmp_path / "serve.yaml"
    config.write_text(f"models: [{{ref: toy}}]\nstore: {url}\n")
    with Server(one, "toy", "--store", url, auth=True) as a:
        with Server(other, "--config", config, auth=True) as b:
            a.wait_until_ready()
            b.wait_until_ready()
            admin = first_key(a) + first_key(b)
            assert len(admin) == 1  # whoever came first made it
            for server in (a, b):
                assert server.curl("/v2/models", *bearer(admin[0]))[0] == 200
                assert server.curl("/score", *bearer(admin[0]), body=b"{}")[0] == 200
            key = other.ok("access", "key", "new", "robot", "--role", "viewer", "--store",
                           url).strip()
            wait_for(a, key, 200)
            wait_for(b, key, 200)
            one.ok("access", "key", "revoke", "robot", env={"TAPEOUT_STORE": url})
            begin = time.monotonic()
            wait_for(a, key, 401)
            wait_for(b, key, 401)
            assert time.monotonic() - begin <= 1.0
            # MLflow's registry, written through the one, is read through the other.
            status, _ = a.post("/api/2.0/mlflow/registered-models/create", {"name": "shared"},
                               *bearer(admin[0]))
            assert status == 200
            found = b.curl("/api/2.0/mlflow/registered-models/get?name=shared",
                           *bearer(admin[0]))
            assert found[0] == 200, found
    tables = "SELECT count(*) FROM tapeout.identities"
    name = url.split("///")[1].split("?")[0]
    assert int(database.sql(tables, database=name)) == 2
    assert not (other.home / "registry.sqlite").exists()
    assert not (one.home / "signatures").exists()


@needs_postgres
def test_signatures_and_revoked_keys_are_shared(two, tmp_path):
    one, other = two
    store = ("--store", one.url)
    for command, name in ((one, "ada"), (other, "bob")):
        command.ok("keys", "new", name, "--person", name.title(), "--no-passphrase")
        (tmp_path / f"{name}.pub").write_text(command.ok("keys", "export", name))
    other.ok("trust", "add", tmp_path / "ada.pub", *store)
    # The other home does not know the first one's own key; ada's signature is what lets it in.
    other.fails("predict", "toy:1", tmp_path / "toy.csv", *store)
    one.ok("sign", "toy:1", "--key", "ada", *store)
    assert other.ok("predict", "toy:1", tmp_path / "toy.csv", *store)
    other.ok("sign", "toy:1", "--key", "bob", *store)
    seen = one.json("verify", "toy:1", *store)
    assert seen["signature"] == "registry"
    assert {sign["state"] for sign in seen["signatures"]} == {"good", "unknown key"}
    assert len(seen["signatures"]) == 3
    one.ok("trust", "add", "ada", *store)
    one.ok("trust", "revoke", "ada", "--reason", "stolen", *store)
    assert "revoked" in other.fails("predict", "toy:1", tmp_path / "toy.csv", *store)
    assert "stolen" in other.fails("trust", "add", tmp_path / "ada.pub", *store)
    listed = {key["name"]: key for key in other.json("trust", "list", *store)["keys"]}
    assert listed["ada"]["reason"] == "stolen"


@needs_postgres
def test_the_gate_is_shared(two, tmp_path):
    one, other = two
    store = ("--store", one.url)
    policy = tmp_path / "policy.yaml"
    policy.write_text("gated: [prod]\nsignatures: 1\n")
    one.ok("policy", "set", policy, *store)
    (tmp_path / "one.pub").write_text(one.ok("keys", "export", "home"))
    other.ok("trust", "add", tmp_path / "one.pub", "--name", "one")
    # A home's own key is nobody's, under whatever name it is trusted: no person has signed.
    assert "signatures" in other.fails("promote", "toy:1", "prod", *store)
    other.ok("keys", "new", "bob", "--person", "Bob", "--no-passphrase")
    other.ok("trust", "add", "bob")
    other.ok("sign", "toy:1", "--key", "bob", *store)
    other.ok("promote", "toy:1", "prod", *store)
    moves = one.json("alias", "log", "toy", *store)["moves"]
    assert [(move["alias"], move["kind"], move["to"]) for move in moves] == [("prod", "promote", 1)]
    assert not (other.home / "registry.sqlite").exists()


@needs_postgres
def test_who_writes_the_database_can_vouch_for_nothing(two, database, tmp_path):
    one, other = two
    name = one.url.split("///")[1].split("?")[0]
    database.sql("UPDATE tapeout.signatures SET envelope = replace(envelope, 'e', 'f')",
                 database=name)
    one.fails("predict", "toy:1", tmp_path / "toy.csv", "--store", one.url)
    one.fails("predict", "toy:1", tmp_path / "toy.csv", "--store", one.url, "--allow-unsigned")
    database.sql("DELETE FROM tapeout.signatures", database=name)
    assert "no signature" in one.fails("predict", "toy:1", tmp_path / "toy.csv", "--store", one.url)
    (other.home / "access.secret").unlink()
    assert "another secret" in other.fails("access", "key", "list", "--store", one.url)


@needs_postgres
def test_a_home_brings_its_identities(tapeout, database, tmp_path):
    key = tapeout.ok("access", "key", "new", "robot", "--role", "viewer").strip()
    tapeout.ok("access", "key", "new", "gone", "--role", "viewer")
    tapeout.ok("access", "key", "revoke", "gone")
    url = database.url("brought")
    listed = tapeout.json("access", "key", "list", "--store", url)["identities"]
    assert [(item["name"], item["revoked"] is None) for item in listed] == [
        ("robot", True), ("gone", False)]
    tapeout.ok("access", "key", "revoke", "robot", "--store", url)
    # Once only: what happened since is not undone by what the file still says.
    listed = tapeout.json("access", "key", "list", "--store", url)["identities"]
    assert [item["revoked"] is None for item in listed] == [False, False]
    config = tmp_path / "serve.yaml"
    config.write_text("models: []\n")
    assert key.startswith("tpk_")


def test_signatures_in_files_move_into_the_registry(tapeout, tmp_path):
    """A home of tapeout 0.1: files count where they are, and are rows after the next signature."""
    write_csv(tmp_path / "toy.csv", TOY_COLUMNS, list(toy_rows(400, 1)))
    (tmp_path / "toy.yaml").write_text(TOY_SPEC)
    made = tapeout.json("train", tmp_path / "toy.yaml")["sha256"]
    path = tapeout.home / "registry.sqlite"
    file = tapeout.home / "signatures/sha256" / made[:2] / made[2:]
    with sqlite3.connect(path) as rows:
        lines = [row[0] for row in rows.execute("SELECT envelope FROM signatures")]
        rows.execute("DROP TABLE signatures")
        rows.execute("DROP TABLE revoked_keys")
        rows.execute("DELETE FROM schema_parts WHERE part = 'trust'")
    rows.close()
    assert len(lines) == 1
    assert "no signature" in tapeout.fails("predict", "toy", tmp_path / "toy.csv")
    file.parent.mkdir(parents=True)
    file.write_text(lines[0] + "\n")
    assert tapeout.ok("predict", "toy", tmp_path / "toy.csv")
    tapeout.ok("keys", "new", "ada", "--no-passphrase")
    tapeout.ok("trust", "add", "ada")
    tapeout.ok("sign", "toy", "--key", "ada")
    assert not file.exists() and file.with_name(file.name + ".moved").exists()
    assert [sign["name"] for sign in tapeout.json("verify", "toy")["signatures"]] == ["home", "ada"]
    assert json.loads(tapeout.ok("verify", "toy", "--json"))["signature"] == "registry"
