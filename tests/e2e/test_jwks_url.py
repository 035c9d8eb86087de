# SPDX-License-Identifier: Apache-2.0
"""Key sets that a server fetches from their issuer (docs/access.md): over TLS of an authority that
the test makes, when they change, when the issuer is away or hostile, and the addresses that are not
called (case W6).
"""
import base64
import contextlib
import http.server
import json
import socket
import ssl
import subprocess
import threading
import time

import pytest

from authority import Authority
from conftest import Server

ISSUER = "https://idp.example/realm"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    """An Ed25519 key of the issuer's, by openssl."""

    def __init__(self, folder, kid):
        self.kid, self.path = kid, folder / f"{kid}.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", self.path],
                       check=True)
        der = subprocess.run(["openssl", "pkey", "-in", self.path, "-pubout", "-outform", "DER"],
                             check=True, stdout=subprocess.PIPE).stdout
        self.jwk = {"kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "x": b64(der[-32:])}

    def token(self, kid=None, head=(), **claims):
        head = {"alg": "EdDSA", "kid": kid or self.kid, "typ": "JWT", **dict(head)}
        body = {"iss": ISSUER, "aud": "tapeout", "sub": "ann", "roles": ["team"],
                "exp": int(time.time()) + 600, **claims}
        text = b64(json.dumps(head).encode()) + "." + b64(json.dumps(body).encode())
        self.path.with_suffix(".in").write_text(text)
        signature = subprocess.run(
            ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self.path, "-in",
             self.path.with_suffix(".in")], check=True, stdout=subprocess.PIPE).stdout
        return text + "." + b64(signature)


class Issuer:
    """A server for key sets; what it answers is its .answer(handler)."""

    def __init__(self, keys, pair=None):
        self.keys, self.requests, self.connections = keys, [], 0
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # pylint: disable=invalid-name
                issuer.requests.append(self.path)
                issuer.answer(self)

            def log_message(self, *_):
                pass

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self):
                issuer.connections += 1
                return super().get_request()

            def handle_error(self, *_):
                pass  # clients hang up on purpose
        self.listener = Listener(("127.0.0.1", 0), Handler)
        self.scheme = "http"
        if pair is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*pair)
            self.listener.socket = context.wrap_socket(self.listener.socket, server_side=True,
                                                       do_handshake_on_connect=False)
            self.scheme = "https"
        self.port = self.listener.server_address[1]
        threading.Thread(target=self.listener.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, handler):
        body = json.dumps({"keys": [key.jwk for key in self.keys]}).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def url(self, host="127.0.0.1"):
        return f"{self.scheme}://{host}:{self.port}/keys"

    def close(self):
        self.listener.shutdown()
        self.listener.server_close()


@pytest.fixture(scope="module", name="authority")
def an_authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def issuer(authority, tmp_path):
    made = Issuer([Key(tmp_path, "first")], authority.sign("idp"))
    yield made
    made.close()


def write_config(folder, toy, url, *more):
    lines = [f"issuer: {ISSUER}", "audience: tapeout", f"jwks: '{url}'", "algorithms: [EdDSA]",
             "roles: {team: viewer}", *more]
    path = folder / "serve.yaml"
    path.write_text(f"models: [{{path: '{toy.bundle}'}}]\naccess:\n  issuers:\n    - " +
                    "\n      ".join(lines) + "\n")
    return path


def local(authority, *more, interval=1):
    return (f"jwks_ca: '{authority.cert}'", "jwks_networks: [127.0.0.0/8]",
            f"jwks_interval: {interval}", *more)


@contextlib.contextmanager
def served(tapeout, config, **options):
    with Server(tapeout, "--config", config, auth=True, **options) as server:
        server.ask = lambda token: server.curl("/v2/models", "-H",
                                               f"Authorization: Bearer {token}")[0]
        yield server


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def events(server, name):
    return [event for event in server.log if event.get("event") == name]


def test_keys_come_from_their_issuer(tapeout, toy, authority, issuer, tmp_path):
    config = write_config(tmp_path, toy, issuer.url(), *local(authority))
    # A proxy would see whom we call and could answer in its place.
    with served(tapeout, config, env={"https_proxy": "http://127.0.0.1:9"}) as server:
        wait_for(lambda: events(server, "jwks_fetched"))
        assert server.ask(issuer.keys[0].token()) == 200
        assert server.ask(issuer.keys[0].token(aud="other")) == 401
        for name in ("jku", "x5u"):  # J4: a token does not say where keys are to be had
            assert server.ask(issuer.keys[0].token(head={name: issuer.url() + "/evil"})) == 401
        assert len(issuer.requests) == 1 and issuer.requests[0] == "/keys"
    log = [json.loads(line) for line in tapeout.ok("audit", "list", "--json", "--kind",
                                                   "access.keys_changed").splitlines()]
    assert [(entry["what"]["issuer"], entry["what"]["from"]) for entry in log] == [
        (ISSUER, issuer.url())]


def test_a_new_key_is_fetched_at_most_once_an_interval(tapeout, toy, authority, issuer, tmp_path):
    config = write_config(tmp_path, toy, issuer.url(), *local(authority))
    with served(tapeout, config) as server:
        wait_for(lambda: events(server, "jwks_fetched"))
        other = Key(tmp_path, "second")
        begin, asked = time.monotonic(), len(issuer.requests)
        for i in range(60):  # strangers with ever other names of keys
            assert server.ask(other.token(kid=f"stranger-{i}")) in (401, 429)
        seconds = time.monotonic() - begin
        assert len(issuer.requests) - asked <= seconds + 1
        issuer.keys = [other]
        wait_for(lambda: server.ask(other.token()) == 200)
        assert server.ask(Key(tmp_path, "first").token()) in (401, 429)


def test_a_set_is_refreshed_and_used_on_for_a_while(tapeout, toy, authority, issuer, tmp_path):
    config = write_config(tmp_path, toy, issuer.url(),
                          *local(authority, "jwks_refresh: 1", "jwks_stale: 4"))
    good = Issuer.answer
    with served(tapeout, config) as server:
        wait_for(lambda: len(issuer.requests) > 2)  # refreshed without being asked
        token = issuer.keys[0].token()
        issuer.answer = lambda handler: handler.send_error(500)
        wait_for(lambda: events(server, "jwks_failed"))
        assert "500" in events(server, "jwks_failed")[0]["error"]
        assert server.ask(token) == 200
        wait_for(lambda: events(server, "jwks_stale"))
        assert server.ask(token) == 401
        issuer.answer = lambda handler: good(issuer, handler)
        wait_for(lambda: events(server, "jwks_fetched_again"))
        assert server.ask(token) == 200
        assert len(events(server, "jwks_failed")) == 1  # told once, not each time


@pytest.mark.parametrize("kind", ["redirect", "large", "slow", "nonsense", "empty"])
def test_a_hostile_issuer_gets_nowhere(tapeout, toy, authority, issuer, tmp_path, kind):
    def answer(handler):
        if kind == "redirect":
            handler.send_response(302)
            handler.send_header("Location", issuer.url() + "/elsewhere")
            handler.end_headers()
            return
        handler.send_response(200)
        handler.end_headers()
        for _ in range(4000 if kind == "large" else 200 if kind == "slow" else 1):
            handler.wfile.write(b" " * 256 if kind == "large" else b" " if kind == "slow" else
                                b"no JSON" if kind == "nonsense" else b'{"keys":[]}')
            handler.wfile.flush()
            time.sleep(0.1 if kind == "slow" else 0)
    issuer.answer = answer
    config = write_config(tmp_path, toy, issuer.url(), *local(authority, interval=3600))
    with served(tapeout, config) as server:
        admin = [line.strip() for line in server.told if line.strip().startswith("tpk_")][0]
        begin = time.monotonic()
        while not events(server, "jwks_failed"):
            assert server.ask(admin) == 200  # nobody waits for it
            assert time.monotonic() - begin < 9
        assert server.ask(issuer.keys[0].token()) == 401
    assert issuer.requests == ["/keys"]
    why = events(server, "jwks_failed")[0]["error"]
    assert {"redirect": "302", "large": "body", "slow": "imed out", "nonsense": "JSON",
            "empty": "key"}[kind] in why, why


def test_certificates_of_others_are_not_believed(tapeout, toy, authority, issuer, tmp_path):
    stranger = Authority(tmp_path, "stranger")
    for url, words in ((issuer.url(), local(stranger)),
                       (issuer.url(), ("jwks_networks: [127.0.0.0/8]",)),
                       (issuer.url("127.0.0.2"), local(authority))):  # another name
        with served(tapeout, write_config(tmp_path, toy, url, *words)) as server:
            wait_for(lambda: events(server, "jwks_failed"))
            assert server.ask(issuer.keys[0].token()) == 401
    assert issuer.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1",
                                  "0x7f000001", "169.254.169.254", "[fd00:ec2::254]", "10.0.0.1"])
def test_addresses_that_are_not_called(tapeout, toy, authority, issuer, tmp_path, host):
    """W6: no connection is made where the address is not of the public internet, however it is
    written, and whatever name leads there."""
    config = write_config(tmp_path, toy, issuer.url(host), f"jwks_ca: '{authority.cert}'")
    with served(tapeout, config) as server:
        wait_for(lambda: events(server, "jwks_failed"))
        assert "not of the public internet" in events(server, "jwks_failed")[0]["error"]
    assert issuer.connections == 0


def test_http_to_this_machine_alone(tapeout, toy, tmp_path):
    key = Key(tmp_path, "plain")
    plain = Issuer([key])
    try:
        config = write_config(tmp_path, toy, plain.url(), "jwks_networks: ['127.0.0.1']")
        with served(tapeout, config) as server:
            wait_for(lambda: events(server, "jwks_fetched"))
            assert server.ask(key.token()) == 200
    finally:
        plain.close()


@pytest.mark.parametrize("url", ["http://idp.example/keys", "http://169.254.169.254/keys",
                                 "file:///etc/passwd", "ftp://idp.example/keys",
                                 "https://user:secret@idp.example/keys", "gopher://127.0.0.1/",
                                 "http://127.0.0.1.idp.example/keys", "https:///keys"])
def test_urls_that_are_refused_at_the_start(tapeout, toy, tmp_path, url):
    config = write_config(tmp_path, toy, url)
    assert "jwks" in tapeout.fails("serve", "--config", config, "--listen", "127.0.0.1:0")


def test_networks_must_be_networks(tapeout, toy, tmp_path):
    config = write_config(tmp_path, toy, "https://idp.example/keys", "jwks_networks: [10.0.0.1/8]")
    assert "10.0.0.1/8" in tapeout.fails("serve", "--config", config, "--listen", "127.0.0.1:0")


def test_who_calls_nobody_fetches_nothing(tapeout, toy, tmp_path):
    config = write_config(tmp_path, toy, "https://idp.example/keys")
    message = tapeout.fails("serve", "--config", config, "--airgap", "--listen", "127.0.0.1:0")
    assert "--airgap" in message and "idp.example/keys" in message


def test_a_dead_issuer_delays_no_start(tapeout, toy, authority, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{closed.getsockname()[1]}/keys"
        begin = time.monotonic()
        with served(tapeout, write_config(tmp_path, toy, url, *local(authority))) as server:
            server.wait_until_ready()
            assert time.monotonic() - begin < 5
            wait_for(lambda: events(server, "jwks_failed"))
