# SPDX-License-Identifier: Apache-2.0
"""Who may use the server: the first key, keys made and revoked while it runs, people with
passwords, clients as they are, and that no secret is ever written down."""
import base64
import json
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from conftest import Command, Server

BODY = {"instances": [{}]}


def status_of(server, path, *headers, body=None):
    words = [word for header in headers for word in ("-H", header)]
    return server.curl(path, *words, body=None if body is None else json.dumps(body).encode())


def bearer(key):
    return f"Authorization: Bearer {key}"


@pytest.fixture
def guarded(tapeout, toy):
    """A server with identities; .admin is the key that it made at its first start."""
    with Server(tapeout, toy.bundle, auth=True) as server:
        keys = [line.strip() for line in server.told if line.strip().startswith("tpk_")]
        assert len(keys) == 1, server.told
        server.admin = keys[0]
        yield server


def make_key(command, name, roles, *words):
    done = command("access", "key", "new", name, "--role", roles, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def wait_for(server, key, wanted, limit_s):
    """Seconds until the key is answered so."""
    begin = time.monotonic()
    while status_of(server, "/v2/models", bearer(key))[0] != wanted:
        assert time.monotonic() - begin < limit_s, f"not {wanted} after {limit_s} s"
        time.sleep(0.1)  # each refusal counts: after 20 the address waits
    return time.monotonic() - begin


def test_the_first_key_is_told_once(guarded, tapeout, toy):
    assert status_of(guarded, "/v2/models", bearer(guarded.admin))[0] == 200
    assert status_of(guarded, "/v2/models")[0] == 401
    assert status_of(guarded, "/readyz")[0] == 200
    listed = tapeout.json("access", "key", "list")["identities"]
    assert [(item["name"], item["roles"]) for item in listed] == [("admin", "admin")]
    with Server(tapeout, toy.bundle, auth=True) as again:
        assert again.told == []
        assert status_of(again, "/v2/models", bearer(guarded.admin))[0] == 200
    log = json.dumps(guarded.log)
    assert guarded.admin not in log and guarded.admin[15:] not in log


def test_a_key_is_revoked_within_a_second(guarded, tapeout):
    key = make_key(tapeout, "robot", "viewer")
    wait_for(guarded, key, 200, 1.0)
    tapeout.ok("access", "key", "revoke", "robot")
    assert wait_for(guarded, key, 401, 1.0) <= 1.0
    assert status_of(guarded, "/v2/models", bearer(guarded.admin))[0] == 200
    why = [event.get("refused") for event in guarded.log if event.get("status") == 401]
    assert why and set(why) == {"unknown or revoked key"}


def test_a_rotated_key_holds_on_for_a_while(guarded, tapeout):
    old = make_key(tapeout, "robot", "viewer")
    new = tapeout.ok("access", "key", "rotate", "robot", "--overlap", "1").strip()
    wait_for(guarded, new, 200, 1.0)
    assert status_of(guarded, "/v2/models", bearer(old))[0] == 200
    newest = tapeout.ok("access", "key", "rotate", "robot", "--overlap", "0").strip()
    wait_for(guarded, newest, 200, 1.0)
    assert status_of(guarded, "/v2/models", bearer(old))[0] == 401
    assert status_of(guarded, "/v2/models", bearer(new))[0] == 401


def test_people_come_with_a_password(guarded, tapeout):
    done = tapeout("access", "user", "new", "ann", "--role", "viewer", stdin=b"correct horse\n")
    assert done.returncode == 0, done.stderr
    time.sleep(0.6)
    assert guarded.curl("/v2/models", "--user", "ann:correct horse")[0] == 200
    assert guarded.curl("/v2/models", "--user", "ann:correct horsf")[0] == 401
    begin = time.monotonic()
    for _ in range(20):
        assert guarded.curl("/v2/models", "--user", "ann:correct horse")[0] == 200
    assert time.monotonic() - begin < 20 * 0.2
    assert tapeout("access", "user", "password", "ann", stdin=b"battery staple\n").returncode == 0
    time.sleep(0.6)
    assert guarded.curl("/v2/models", "--user", "ann:correct horse")[0] == 401
    assert guarded.curl("/v2/models", "--user", "ann:battery staple")[0] == 200
    tapeout.ok("access", "user", "revoke", "ann")
    time.sleep(0.6)
    assert guarded.curl("/v2/models", "--user", "ann:battery staple")[0] == 401


def test_roles_and_bodies_of_refusals(guarded, tapeout):
    viewer = make_key(tapeout, "viewer", "viewer")
    scorer = make_key(tapeout, "scorer", "scorer:toy")
    wait_for(guarded, scorer, 200, 1.0)
    score = "/v1/models/toy:predict"
    assert status_of(guarded, score, bearer(scorer), body=BODY)[0] == 200
    assert status_of(guarded, score, bearer(viewer), body=BODY)[0] == 403
    status, headers, body = status_of(guarded, "/invocations", body={"inputs": [{}]})
    assert status == 401 and json.loads(body)["error_code"] == "UNAUTHENTICATED"
    assert headers["www-authenticate"] == 'Basic realm="mlflow"'
    status, _, body = status_of(guarded, "/invocations", bearer(viewer), body={"inputs": [{}]})
    assert status == 403 and json.loads(body)["error_code"] == "PERMISSION_DENIED"
    status, _, body = status_of(guarded, "/v1/models", "Authorization: Bearer tpk_nonsense")
    assert status == 401 and json.loads(body)["error"]["code"] == "invalid_api_key"
    assert status_of(guarded, "/metrics", bearer(scorer))[0] == 403
    assert status_of(guarded, "/metrics", bearer(viewer))[0] == 200


def test_limits_are_told_and_kept(guarded, tapeout):
    key = make_key(tapeout, "slow", "scorer", "--limit", "requests=5/60,rows=4/60")
    time.sleep(0.6)
    score = "/v1/models/toy:predict"
    status, headers, _ = status_of(guarded, score, bearer(key), body={"instances": [{}] * 3})
    assert status == 200 and headers["x-ratelimit-remaining-requests"] == "4"
    assert headers["x-ratelimit-remaining-rows"] == "1"
    status, headers, _ = status_of(guarded, score, bearer(key), body={"instances": [{}] * 3})
    assert status == 429 and 28 <= int(headers["retry-after"]) <= 30
    statuses = [status_of(guarded, "/v2/models", bearer(key))[0] for _ in range(4)]
    assert statuses == [200, 200, 200, 429]


def test_tenants_are_separate_worlds(tapeout, toy, tmp_path):
    config = tmp_path / "serve.yaml"
    config.write_text(f"""
models:
  - {{path: "{toy.bundle}"}}
  - {{path: "{toy.bundle}", name: theirs, tenant: acme}}
""")
    with Server(tapeout, "--config", config, auth=True) as server:
        ours = make_key(tapeout, "ours", "admin")
        acme = make_key(tapeout, "acme", "admin", "--tenant", "acme")
        wait_for(server, acme, 200, 1.0)
        for key, own, other in ((ours, "toy", "theirs"), (acme, "theirs", "toy")):
            assert json.loads(status_of(server, "/v2/models", bearer(key))[2])["models"] == [own]
            assert status_of(server, f"/v2/models/{own}", bearer(key))[0] == 200
            absent = status_of(server, "/v2/models/absent", bearer(key))
            hidden = status_of(server, f"/v2/models/{other}", bearer(key))
            assert absent[0] == hidden[0] == 404
            assert hidden[2] == absent[2].replace(b"absent", other.encode())
        assert status_of(server, "/metrics", bearer(acme))[0] == 403


def test_secrets_are_written_down_nowhere(guarded, tapeout):
    """T24: canaries in headers, URLs, bodies and passwords, then a look at all that was written."""
    key = make_key(tapeout, "robot", "admin")
    password = "canary-password-7261"
    tapeout("access", "user", "new", "ann", "--role", "viewer", stdin=password.encode())
    wait_for(guarded, key, 200, 1.0)
    replies = [
        status_of(guarded, f"/v2/models?api_key={key}"),
        status_of(guarded, f"/v2/models/{key}", bearer(key)),
        status_of(guarded, f"/no/such/{key}?x={key}", bearer(key)),
        status_of(guarded, f"/v2/models/%74pk{key[3:]}", bearer(key)),
        status_of(guarded, "/v1/chat/completions", bearer(key), body={"model": key}),
        status_of(guarded, f"/v1/models/{key}:predict", bearer(key), body=BODY),
        guarded.curl("/v2/models", "--user", f"ann:{password}"),
        guarded.curl("/v2/models", "--user", f"{password}:{password}"),
        status_of(guarded, "/v2/models", "X-Api-Key: " + key[:-1]),
    ]
    assert [reply[0] for reply in replies[:4]] == [400, 400, 400, 400]
    metrics = status_of(guarded, "/metrics", bearer(key))[2].decode()
    written = json.dumps(guarded.log) + metrics + "".join(str(reply[1]) for reply in replies)
    encoded = base64.b64encode(f"ann:{password}".encode()).decode()
    for secret in (key, key[15:], password, encoded, guarded.admin[15:]):
        assert secret not in written
    stored = b"".join(path.read_bytes() for path in tapeout.home.rglob("*") if path.is_file())
    for secret in (key, key[15:], password, guarded.admin[15:]):
        assert secret.encode() not in stored


def test_openai_client_with_a_key(smollm, tapeout):
    openai = pytest.importorskip("openai")
    with Server(tapeout, smollm, "--context", "1024", auth=True) as server:
        server.wait_until_ready()
        key = make_key(tapeout, "chat", "scorer", "--limit", "tokens=700/60")
        time.sleep(0.6)
        ask = {"model": "SmolLM2-135M-Instruct.Q4_1", "max_tokens": 4,
               "messages": [{"role": "user", "content": "hi"}]}
        with openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0) as client:
            raw = client.chat.completions.with_raw_response.create(**ask)
            used = raw.parse().usage.total_tokens
            assert int(raw.headers["x-ratelimit-limit-tokens"]) == 700
            assert client.models.list().data[0].id == ask["model"]
            # The price of an answer without an end is the rest of the context: more than the limit.
            with pytest.raises(openai.RateLimitError) as refused:
                client.chat.completions.create(**{**ask, "max_tokens": None})
            assert refused.value.response.headers["x-should-retry"] == "false"
            # What was priced and not used is given back.
            raw = client.chat.completions.with_raw_response.create(**{**ask, "max_tokens": 600,
                                                                     "stop": ["e", "a", "i", "o"]})
            assert raw.parse().usage.completion_tokens < 300
            raw = client.chat.completions.with_raw_response.create(**ask)
            assert int(raw.headers["x-ratelimit-remaining-tokens"]) > 300
            assert used < 100
        with openai.OpenAI(base_url=server.url + "/v1", api_key="tpk_nonsense",
                           max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError) as refused:
                client.models.list()
            assert refused.value.code == "invalid_api_key"
        viewer = make_key(tapeout, "look", "viewer")
        time.sleep(0.6)
        with openai.OpenAI(base_url=server.url + "/v1", api_key=viewer, max_retries=0) as client:
            with pytest.raises(openai.PermissionDeniedError):
                client.chat.completions.create(**ask)


def test_without_keys_it_says_so(toy):
    with Server(toy.command, toy.bundle) as server:
        assert server.curl("/v2/models")[0] == 200
        assert any(event["event"] == "no_auth" for event in server.log)
