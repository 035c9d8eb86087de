# SPDX-License-Identifier: Apache-2.0
"""Blobs in S3: what is registered and logged lies in the bucket before it is acknowledged, is
served from a checked copy, and is collected, backed up and restored as in a home. The server is
moto's, which checks every signature; what goes wrong on the way is made by a proxy before it."""
import concurrent.futures
import hashlib
import json
import os
import shutil
import subprocess
import time

import pytest

import s3_server
from conftest import ROOT, Command, read_csv
from test_gate import RECORD, train_versions
from test_mlflow_client import session

FILES = "/api/2.0/mlflow-artifacts/artifacts"
SUITES = ["test_registry_upkeep", "test_registry_entry", "test_registry"]


@pytest.fixture(scope="module", name="s3")
def an_s3_server():
    with s3_server.Server() as server:
        server.url()
        server.guard()
        yield server


class Bucketed(Command):
    """The program with its blobs in a bucket."""

    def environment(self, **extra):
        return super().environment(**{**self.blobs, **extra})

    def forget_copies(self):
        shutil.rmtree(self.home / "blobs", ignore_errors=True)


@pytest.fixture(name="stored")
def a_stored_command(s3, tapeout, request):
    command = Bucketed(tapeout.binary, tapeout.home)
    command.prefix = request.node.name.replace("[", "-").replace("]", "")
    command.blobs = s3.env(prefix=command.prefix)
    s3.faults.clear()
    yield command
    assert not s3.faults, "a fault that nothing ran into"


def key_of(command, digest):
    return f"{command.prefix}/sha256/{digest[:2]}/{digest[2:]}"


def objects(s3, command):
    return {key: size for key, size in s3.keys().items()
            if key.startswith(command.prefix + "/") and not key.endswith("/registry-id")}


def versions(command):
    models = command.json("list")["models"]
    return models[0]["versions"] if models else []


def spoil(s3, key):
    """One flipped bit in the object."""
    body = bytearray(s3.client().get_object(Bucket="models", Key=key)["Body"].read())
    body[len(body) // 2] ^= 1
    s3.client().put_object(Bucket="models", Key=key, Body=bytes(body))


def wait_for(server, event):
    for _ in range(200):
        for line in server.log:
            if line["event"] == event:
                return line
        time.sleep(0.05)
    raise AssertionError(f"no {event}: {server.log[-3:]}")


def test_from_training_to_serving(s3, stored, serve, tmp_path):
    train_versions(stored, tmp_path, [1, 2])
    listed = versions(stored)
    assert objects(s3, stored) == {key_of(stored, version["sha256"]): version["size"]
                                   for version in listed}
    want = stored.ok("predict", "toy:1", tmp_path / "toy.csv")
    stored.forget_copies()
    assert stored.ok("predict", "toy:1", tmp_path / "toy.csv") == want
    copy = stored.home / "blobs/sha256" / listed[0]["sha256"][:2] / listed[0]["sha256"][2:]
    assert copy.stat().st_mode & 0o777 == 0o444
    stored.forget_copies()
    with serve("toy", command=stored) as server:
        status, answer = server.post("/score", RECORD)
        assert status == 200 and answer["sha256"] == listed[1]["sha256"]
    # Each body was signed by its own hash.
    for method, path, headers, size in s3.seen:
        if method == "PUT" and stored.prefix in path and "/sha256/" in path:
            assert headers["x-amz-content-sha256"] == "".join(path.split("/")[-2:]) and size > 0


def test_the_same_for_whoever_shares_the_rows(s3, stored, serve, tmp_path):
    """A second home with the same rows finds the bytes in the bucket."""
    train_versions(stored, tmp_path, [1])
    other = Bucketed(stored.binary, tmp_path / "other")
    other.blobs, other.prefix = stored.blobs, stored.prefix
    shutil.copytree(stored.home, other.home, ignore=shutil.ignore_patterns("blobs"))
    assert stored.ok("predict", "toy", tmp_path / "toy.csv") == other.ok(
        "predict", "toy", tmp_path / "toy.csv")
    assert (other.home / "blobs").exists()


def test_credentials(stored, tmp_path):
    wrong = stored.fails("list", env={"AWS_SECRET_ACCESS_KEY": ""})
    assert "AWS_SECRET_ACCESS_KEY is missing" in wrong
    train_versions(stored, tmp_path, [1])
    wrong = stored.fails("train", tmp_path / "toy.yaml", "--seed", "2",
                         env={"AWS_SECRET_ACCESS_KEY": "wrong"})
    assert "403 SignatureDoesNotMatch" in wrong and "wrong" not in wrong
    wrong = stored.fails("gc", env={"AWS_ACCESS_KEY_ID": "AKIANOBODY"})
    assert "403" in wrong
    assert len(versions(stored)) == 1


def test_addresses(stored):
    for address, words in (("https://x", "s3://BUCKET"), ("s3://Models", "is no bucket"),
                           ("s3://models?endpoint=http://example.org", "without TLS"),
                           ("s3://models?regio=x", "the parameters are")):
        assert words in stored.fails("gc", env={"TAPEOUT_BLOBS": address})
    stored.ok("list")


def test_a_bucket_that_is_not_there(stored, s3, tmp_path):
    blobs = s3.url().replace("models", "nowhere")
    train_versions(stored, tmp_path, [1])
    assert "404 NoSuchBucket" in stored.fails("gc", env={"TAPEOUT_BLOBS": blobs})
    assert "404 NoSuchBucket" in stored.fails("train", tmp_path / "toy.yaml", "--seed", "2",
                                              env={"TAPEOUT_BLOBS": blobs})


# -- what goes wrong on the way ------------------------------------------------------------------
def test_a_server_that_fails_twice(s3, stored, tmp_path):
    s3.faults.extend([("PUT", s3_server.answer(500)), ("PUT", s3_server.answer(503))])
    train_versions(stored, tmp_path, [1])
    assert len(versions(stored)) == len(objects(s3, stored)) == 1


def test_a_server_that_keeps_failing(s3, stored, tmp_path):
    train_versions(stored, tmp_path, [1])
    busy = b"<Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>"
    s3.faults.extend([("PUT", s3_server.answer(503, busy))] * 5)
    said = stored.fails("train", tmp_path / "toy.yaml", "--seed", "2")
    assert "503 SlowDown: Please reduce your rate." in said
    assert len(versions(stored)) == 1
    stored.ok("train", tmp_path / "toy.yaml", "--seed", "2")
    assert [version["version"] for version in versions(stored)] == [1, 2]


def test_acknowledged_and_not_stored(s3, stored, tmp_path):
    """A server that says 200 and has nothing: asked again, sent again, and then not believed."""
    train_versions(stored, tmp_path, [1])
    gone = s3_server.answer(404)
    s3.faults.extend([("HEAD", gone)])
    stored.ok("train", tmp_path / "toy.yaml", "--seed", "2")
    s3.faults.extend([("HEAD", gone), ("HEAD", gone)])
    said = stored.fails("train", tmp_path / "toy.yaml", "--seed", "3")
    assert "has answered that" in said and len(versions(stored)) == 2


def test_a_body_that_breaks_off(s3, stored, tmp_path):
    train_versions(stored, tmp_path, [1])
    want = stored.ok("predict", "toy", tmp_path / "toy.csv")
    stored.forget_copies()
    s3.faults.extend([("GET", s3_server.shorten)] * 2)
    assert stored.ok("predict", "toy", tmp_path / "toy.csv") == want
    stored.forget_copies()
    s3.faults.extend([("GET", s3_server.shorten)] * 5)
    assert "toy:1" in stored.fails("predict", "toy", tmp_path / "toy.csv")
    assert not list(stored.home.glob("blobs/**/*.partial"))
    assert not [path for path in stored.home.glob("blobs/**/*") if path.is_file()]


def test_a_flipped_bit(s3, stored, serve, tmp_path):
    """Refused by name; what is served is served on."""
    train_versions(stored, tmp_path, [1, 2])
    first, second = versions(stored)
    stored.ok("alias", "set", "toy", "live", "1")
    with serve("toy@live", command=stored) as server:
        before = server.post("/score", RECORD)
        stored.forget_copies()
        spoil(s3, key_of(stored, second["sha256"]))
        stored.ok("alias", "set", "toy", "live", "2")
        refused = json.dumps(wait_for(server, "reload_failed"))
        assert "toy:2" in refused and "is damaged" in refused
        assert key_of(stored, second["sha256"]) in refused
        assert server.post("/score", RECORD) == before
        time.sleep(0.7)
        damaged = key_of(stored, second["sha256"])
        fetched = [seen for seen in s3.seen if seen[0] == "GET" and damaged in seen[1]]
        assert len(fetched) == 1, "it is not looked for again and again"
    assert before[1]["sha256"] == first["sha256"]
    assert "is damaged" in stored.fails("predict", "toy:2", tmp_path / "toy.csv")
    # The same bytes again repair it.
    stored.ok("train", tmp_path / "toy.yaml", "--seed", "2")
    stored.forget_copies()
    stored.ok("predict", "toy:2", tmp_path / "toy.csv")


def test_nobody_answers_any_more(toy, tapeout, serve, tmp_path):
    stored = Bucketed(tapeout.binary, tapeout.home)
    with s3_server.Server() as s3:
        stored.blobs = s3.env(prefix="p")
        train_versions(stored, tmp_path, [1])
        with serve("toy", command=stored) as server:
            assert server.curl(f"{FILES}/1/kept.txt", "-X", "PUT", body=b"kept")[0] == 200
            s3.go()
            assert server.post("/score", RECORD)[0] == 200
            assert server.curl(f"{FILES}/1/kept.txt")[2] == b"kept"
            status, _, body = server.curl(f"{FILES}/1/other.txt", "-X", "PUT", body=b"other")
            assert status == 503 and json.loads(body)["error_code"] == "TEMPORARILY_UNAVAILABLE"
            assert server.curl(f"{FILES}/1/other.txt")[0] == 404
        with serve("toy", command=stored) as server:
            assert server.post("/score", RECORD)[0] == 200, "the copy is all that it needs"
        stored.forget_copies()
        assert "toy:1" in stored.fails("predict", "toy", tmp_path / "toy.csv")


def test_calling_nobody(stored, toy):
    said = stored.fails("serve", toy.bundle, "--airgap", "--no-auth", "--listen", "127.0.0.1:0")
    assert "--airgap" in said and f"s3://models/{stored.prefix}" in said and "endpoint" not in said


def test_named_in_the_configuration(s3, stored, serve, toy, tmp_path):
    config = tmp_path / "serve.yaml"
    config.write_text(f"blobs: {stored.blobs.pop('TAPEOUT_BLOBS')}\n"
                      f"models: [{{path: {toy.bundle}}}]\n", encoding="utf-8")
    with serve("--config", config, command=stored) as server:
        assert server.curl(f"{FILES}/1/a.txt", "-X", "PUT", body=b"a")[0] == 200
        assert len(objects(s3, stored)) == 1


def test_one_prefix_one_registry(s3, stored, tmp_path):
    """Who finds another registry's blobs neither adds to them nor takes any; reading is free."""
    train_versions(stored, tmp_path, [1])
    other = Bucketed(stored.binary, tmp_path / "other")
    other.blobs = stored.blobs
    assert "another registry" in other.fails("train", tmp_path / "toy.yaml")
    assert versions(other) == []
    assert "another registry" in other.fails("gc", "--grace", "0")
    assert len(objects(s3, stored)) == 1
    other.blobs = s3.env(prefix=stored.prefix + "/own")
    other.ok("train", tmp_path / "toy.yaml")
    other.blobs = stored.blobs
    assert "another registry" in other.fails("rm", "toy:1")
    assert stored.json("gc", "--grace", "0")["kept"] == 1


def test_many_come_first_at_once(s3, stored, tmp_path):
    """Of registries that find a fresh prefix in the same instant one gets it."""
    train_versions(stored, tmp_path, [1])
    comers = [Bucketed(stored.binary, tmp_path / f"comer-{i}") for i in range(4)]
    for comer in comers:
        comer.blobs = s3.env(prefix=stored.prefix + "/fresh")
    with concurrent.futures.ThreadPoolExecutor(len(comers)) as crowd:
        done = list(crowd.map(lambda comer: comer("train", tmp_path / "toy.yaml"), comers))
    assert sum(one.returncode == 0 for one in done) == 1, [one.stderr for one in done]
    assert all(one.returncode == 0 or "another registry" in one.stderr for one in done)


# -- large ones ----------------------------------------------------------------------------------
def test_in_parts(s3, stored, serve, toy):
    stored.blobs = s3.env(prefix=stored.prefix, more="&part_mib=5")
    data = os.urandom(12 << 20)
    with serve(toy.bundle, command=stored) as server:
        assert server.curl(f"{FILES}/1/small.bin", "-X", "PUT", body=b"")[0] == 200
        (small, _), = objects(s3, stored).items()
        assert server.curl(f"{FILES}/1/small.bin", "-X", "DELETE")[0] == 200
        s3.client().delete_object(Bucket="models", Key=small)
        s3.faults.append(("PUT", s3_server.answer(500)))
        assert server.curl(f"{FILES}/1/large.bin", "-X", "PUT", body=data)[0] == 200
        (key, size), = objects(s3, stored).items()
        assert size == len(data)
        assert s3.client().get_object(Bucket="models", Key=key)["Body"].read() == data
        parts = [seen for seen in s3.seen if "partNumber" in seen[1] and key in seen[1]]
        assert [seen[3] for seen in parts] == [5 << 20, 5 << 20, 5 << 20, 2 << 20]
        stored.forget_copies()
        assert server.curl(f"{FILES}/1/large.bin")[2] == data
        # What can't be finished does not stay.
        s3.faults.append(("PUT", s3_server.answer(400)))
        assert server.curl(f"{FILES}/1/other.bin", "-X", "PUT", body=data[1:])[0] != 200
        left = s3.client().list_multipart_uploads(Bucket="models")
        assert not left.get("Uploads") and len(objects(s3, stored)) == 1


# -- copies in the home --------------------------------------------------------------------------
def copy_of(command, body):
    digest = hashlib.sha256(body).hexdigest()
    return command.home / "blobs/sha256" / digest[:2] / digest[2:]


def used_ago(copy, hours):
    """As if it had been used then last."""
    about = copy.stat()
    os.utime(copy, ns=(time.time_ns() - hours * 3600 * 10**9, about.st_mtime_ns))


def test_copies_are_bounded(s3, stored, serve, toy):
    """With room for two copies the one goes that was used longest ago; S3 has it still."""
    stored.blobs = s3.env(prefix=stored.prefix, more="&copies_mib=3")
    names = ("a", "b", "c", "d")
    bodies = {name: name.encode() * (5 << 18) for name in names}
    copies = {name: copy_of(stored, bodies[name]) for name in names}

    def there():
        return "".join(name for name in names if copies[name].exists())

    with serve(toy.bundle, command=stored) as server:
        def put(name):
            assert server.curl(f"{FILES}/1/{name}.bin", "-X", "PUT", body=bodies[name])[0] == 200

        def has(name):
            return server.curl(f"{FILES}/1/{name}.bin")[2] == bodies[name]

        put("a")
        put("b")
        used_ago(copies["a"], 3)
        used_ago(copies["b"], 2)
        assert has("a") and time.time() - copies["a"].stat().st_atime < 60, "using it is noted"
        used_ago(copies["a"], 1)
        put("c")
        assert there() == "ac"
        # It is fetched, and what makes room for it is the one that was not used just now.
        fetched = len(s3.seen)
        assert has("b") and there() == "bc"
        assert any(seen[0] == "GET" and copies["b"].name in seen[1] for seen in s3.seen[fetched:])
        # A copy whose object is gone is all that there is.
        used_ago(copies["b"], 5)
        used_ago(copies["c"], 4)
        s3.client().delete_object(
            Bucket="models", Key=key_of(stored, hashlib.sha256(bodies["b"]).hexdigest()))
        put("d")
        assert there() == "bd" and has("b") and has("c") and has("d")
    assert stored.json("gc", "--grace", "0")["kept"] == 3, "b has no object any more"


def test_two_servers_on_one_home(s3, stored, serve, toy):
    """Both make room for what is new and fetch what is old; every answer has its bytes."""
    stored.blobs = s3.env(prefix=stored.prefix, more="&copies_mib=2")
    bodies = [bytes([48 + i]) * (3 << 18) for i in range(6)]
    with serve(toy.bundle, command=stored) as one, serve(toy.bundle, command=stored) as two:
        def ask(i, *words, **body):
            return (one, two)[i % 2].curl(f"{FILES}/1/{i // 2}.bin", *words, **body)[::2]

        for i, body in enumerate(bodies):
            assert ask(2 * i, "-X", "PUT", body=body)[0] == 200
        for again in range(5):
            for copy in stored.home.glob("blobs/sha256/*/*"):
                used_ago(copy, 1)
            assert ask(100 + again, "-X", "PUT", body=b"%d" % again * (1 << 19))[0] == 200
            with concurrent.futures.ThreadPoolExecutor(8) as crowd:
                fresh = crowd.submit(ask, 200 + again, "-X", "PUT", body=b"%d" % again * (1 << 18))
                got = list(crowd.map(ask, range(12)))
                assert fresh.result()[0] == 200
            assert got == [(200, bodies[i // 2]) for i in range(12)]
    place = f"{stored.prefix}/sha256/"
    fetched = [seen for seen in s3.seen if seen[0] == "GET" and place in seen[1]]
    assert len(fetched) >= len(bodies), "none had gone"


# -- upkeep --------------------------------------------------------------------------------------
def test_collecting(s3, stored, tmp_path):
    train_versions(stored, tmp_path, [1, 2])
    first, second = versions(stored)
    stored.ok("rm", "toy:1")
    assert list(objects(s3, stored)) == [key_of(stored, second["sha256"])]
    # More than two pages of what a crash left, and what is none of ours.
    client = s3.client()
    left = 2 * s3_server.PAGE_KEYS + 5
    for i in range(left):
        client.put_object(Bucket="models", Key=key_of(stored, f"{i:064x}"), Body=b"left")
    for name in ("note.txt", "sha256/ab/short", f"x/sha256/ab/{'c' * 62}"):
        client.put_object(Bucket="models", Key=f"{stored.prefix}/{name}", Body=b"foreign")
    young = stored.json("gc")
    assert (young["removed"], young["kept"]) == (0, left + 1)
    swept = stored.json("gc", "--grace", "0")
    assert (swept["removed"], swept["removed_bytes"], swept["kept"]) == (left, 4 * left, 1)
    assert len(objects(s3, stored)) == 4 and key_of(stored, second["sha256"]) in objects(s3, stored)
    assert first["sha256"] != second["sha256"]
    s3.faults.extend([("GET", s3_server.answer(503))] * 5)
    assert "503" in stored.fails("gc")


def test_backup_and_restore(s3, stored, tmp_path):
    train_versions(stored, tmp_path, [1, 2])
    want = stored.ok("predict", "toy", tmp_path / "toy.csv")
    stored.forget_copies()
    made = stored.json("backup", tmp_path / "backup")
    assert made["blobs"] == 2
    again = Bucketed(stored.binary, tmp_path / "again")
    again.prefix = stored.prefix + "/again"
    again.blobs = s3.env(prefix=again.prefix)
    # Keys, trust and signatures are files like any others.
    shutil.copytree(stored.home, again.home,
                    ignore=shutil.ignore_patterns("blobs", "registry*", "audit"))
    again.ok("restore", tmp_path / "backup")
    assert len(objects(s3, again)) == 2
    again.forget_copies()
    assert again.ok("predict", "toy", tmp_path / "toy.csv") == want
    # A backup of damaged bytes is none.
    stored.forget_copies()
    spoil(s3, key_of(stored, versions(stored)[0]["sha256"]))
    assert "is damaged" in stored.fails("backup", tmp_path / "other")
    assert not (tmp_path / "other/backup.json").exists()


@pytest.mark.parametrize("name", SUITES)
def test_same_suite(s3, name):
    """The registry's own tests, with blobs here: writers, collectors and crashes side by side."""
    program = ROOT / os.environ.get("BUILD", "build") / "tests" / name
    if not program.exists():
        pytest.skip(f"{program} is not built")
    env = {**os.environ, **s3.environment, "TAPEOUT_TEST_BLOBS": s3.url(prefix=name)}
    before = len(s3.seen)
    done = subprocess.run([program], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout
    assert len(s3.seen) > before


@pytest.mark.parametrize("client", ["mlflow3", "mlflow2"])
def test_the_unmodified_client(s3, stored, serve, toy, tmp_path, client):
    with serve(toy.bundle, command=stored) as server:
        seen = session(server.url, tmp_path, client, "artifacts", "models")
        assert seen["artifacts"]["same"] and seen["artifacts"]["empty"]
        assert all(seen["models"]["same"]) and seen["models"]["pyfunc"]
    assert len(objects(s3, stored)) > 5
    # All of it comes back from the bucket.
    stored.forget_copies()
    want = json.loads((tmp_path / "expected.json").read_text(encoding="utf-8"))
    got = read_csv(stored.ok("predict", "lgb:1", tmp_path / "rows.csv"))
    assert [float(row["prediction"]) for row in got] == want
    with serve("lgb", command=stored) as server:
        records = [{name: float(value) for name, value in row.items()}
                   for row in read_csv((tmp_path / "rows.csv").read_text(encoding="utf-8"))]
        status, answer = server.post("/invocations", {"dataframe_records": records})
        assert status == 200 and [row["prediction"] for row in answer["predictions"]] == want
