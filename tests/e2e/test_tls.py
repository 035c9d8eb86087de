# SPDX-License-Identifier: Apache-2.0
"""TLS of the server itself, asked by curl, Python's ssl, requests and openai.

Large bodies both ways, streams, pipelining, both ends of a conversation; certificates that change
while connections are open; clients with and without certificates; and case W4: handshakes that
begin and never end.
"""
import contextlib
import json
import multiprocessing
import os
import resource
import socket
import ssl
import struct
import subprocess
import time

import pytest
import requests
from authority import Authority, openssl
from conftest import FULL, Command, Server

ABORTS = 100_000 if FULL else 2_000
IDLE_COUNT = 10_000 if FULL else 300
IDLE_BYTES = 32 << 10


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def pair(authority):
    return authority.sign("server")


def tls_words(pair):
    return "--tls-cert", pair[0], "--tls-key", pair[1]


@pytest.fixture(scope="module")
def server(toy, authority, pair):
    with Server(toy.command, toy.bundle, *tls_words(pair)) as running:
        running.authority = authority
        yield running


def place(server):
    host, port = server.address.rsplit(":", 1)
    return host, int(port)


def context_for(authority):
    context = ssl.create_default_context(cafile=authority.cert)
    context.set_alpn_protocols(["http/1.1"])
    return context


def connect(server, context=None):
    context = context or context_for(server.authority)
    return context.wrap_socket(socket.create_connection(place(server), timeout=30),
                               server_hostname="localhost")


def read_all(connection):
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def settle(server, most):
    """Waits until the server has given descriptors back."""
    deadline = time.monotonic() + 30
    while descriptors(server) > most and time.monotonic() < deadline:
        time.sleep(0.1)
    assert descriptors(server) <= most


def wait_for(server, event, since=0):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for line in server.log[since:]:
            if line["event"] == event:
                return line
        time.sleep(0.05)
    pytest.fail(f"no {event} in {server.log[since:]}")


# Clients.

def test_curl(server, authority):
    assert server.url.startswith("https://")
    status, headers, body = server.curl("/readyz", "--cacert", authority.cert)
    assert (status, body.strip()) == (200, b"ok")
    assert headers["strict-transport-security"] == "max-age=31536000"
    status, _, _ = server.curl("/readyz", "--cacert", authority.cert, "--http2", "--tls-max", "1.2")
    assert status == 200
    with pytest.raises(subprocess.CalledProcessError):
        server.curl("/readyz")


def test_plain_http_is_told(server):
    answer = requests.get(f"http://{server.address}/readyz", timeout=10)
    assert answer.status_code == 400
    assert "https://" in answer.json()["error"]


def test_versions_and_suites(server):
    with connect(server) as connection:
        assert connection.version() == "TLSv1.3"
        assert connection.selected_alpn_protocol() == "http/1.1"
    context = context_for(server.authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(server, context) as connection:
        assert connection.cipher()[0].startswith("ECDHE-ECDSA-")
        assert connection.compression() is None
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        connect(server, context)


def test_same_answer_as_plain(server, toy, authority):
    """A large body in and a larger one out."""
    body = json.dumps({"dataframe_records": toy.records * 400}).encode()
    assert len(body) > 8 << 20
    with Server(toy.command, toy.bundle) as plain:
        want = requests.post(plain.url + "/invocations", data=body, timeout=60,
                             headers={"Content-Type": "application/json"}).content
    session = requests.Session()
    for _ in range(2):
        got = session.post(server.url + "/invocations", data=body, timeout=60,
                           verify=str(authority.cert), headers={"Content-Type": "application/json"})
        assert got.status_code == 200
        assert got.content == want
    assert len(want) > 4 << 20


def test_many_requests_ahead(server):
    """Pipelined: two hundred in one write, answered in order on one connection."""
    ask = b"".join(b"GET /readyz HTTP/1.1\r\nHost: a\r\nX-Request-Id: n%d\r\n\r\n" % i
                   for i in range(200))
    ask += b"GET /readyz HTTP/1.1\r\nHost: a\r\nX-Request-Id: last\r\nConnection: close\r\n\r\n"
    with connect(server) as connection:
        connection.sendall(ask)
        answer = read_all(connection)
    ids = [line.split(b": ")[1] for line in answer.split(b"\r\n")
           if line.startswith(b"x-request-id")]
    assert ids == [b"n%d" % i for i in range(200)] + [b"last"]


def test_slow_reader_gets_all(server, toy):
    """The reply is larger than what sockets hold; it comes step by step."""
    body = json.dumps({"dataframe_records": toy.records * 400}).encode()
    head = (b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
    with connect(server) as connection:
        connection.sendall(head + body)
        data = b""
        while piece := connection.recv(65536):
            data += piece
            if len(data) < 1 << 20:
                time.sleep(0.01)
    head, _, rest = data.partition(b"\r\n\r\n")
    assert b"200 OK" in head.split(b"\r\n")[0]
    assert len(json.loads(rest)["predictions"]) == len(toy.records) * 400


def test_a_first_request_is_not_held_back(server):
    """By Nagle's rule a client waits until its last word of the handshake is acknowledged."""
    waits = []
    for _ in range(10):
        with connect(server) as connection:
            begin = time.perf_counter()
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
            waits.append(time.perf_counter() - begin)
    assert min(waits) < 0.02, waits


def test_both_ends_say_goodbye(server):
    with connect(server) as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        # Python raises where the end was cut off instead of being said.
        assert read_all(connection).rstrip().endswith(b"ok")
        connection.unwrap()


def test_an_artifact_both_ways(server, authority):
    url = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/large.bin"
    body = os.urandom(1 << 20) * 20
    answer = requests.put(url, data=iter([body[:7 << 20], body[7 << 20:]]),
                          verify=str(authority.cert), timeout=60)
    assert (answer.status_code, answer.text) == (200, "{}")
    assert requests.get(url, verify=str(authority.cert), timeout=60).content == body
    assert not list(server.command.home.glob("blobs/incoming/.*"))


def test_streams(binary, smollm, authority, pair, tmp_path):
    """openai over https: pieces come as they are made, and the whole is the same as unstreamed."""
    openai = pytest.importorskip("openai")
    httpx = pytest.importorskip("httpx")
    with Server(Command(binary, tmp_path / "home"), smollm,
                *tls_words(pair)) as running:
        deadline = time.monotonic() + 120
        while running.curl("/readyz", "--cacert", authority.cert)[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        client = openai.OpenAI(base_url=running.url + "/v1", api_key="none",
                               http_client=httpx.Client(verify=context_for(authority)))
        ask = {"model": "SmolLM2-135M-Instruct.Q4_1", "max_tokens": 24, "temperature": 0,
               "messages": [{"role": "user", "content": "Name three colours."}]}
        whole = client.chat.completions.create(**ask).choices[0].message.content
        pieces = [chunk.choices[0].delta.content or ""
                  for chunk in client.chat.completions.create(**ask, stream=True)
                  if chunk.choices]
        assert "".join(pieces) == whole
        assert len(pieces) > 5


# Clients with certificates.

@pytest.fixture(scope="module")
def mutual(toy, authority, pair):
    with Server(toy.command, toy.bundle, *tls_words(pair), "--tls-client-ca",
                authority.cert) as running:
        running.authority = authority
        yield running


def get(server, **options):
    return requests.get(server.url + "/readyz", verify=str(server.authority.cert), timeout=10,
                        **options)


def test_client_certificates(mutual, authority, tmp_path_factory):
    cert, key = authority.sign("client", "URI:spiffe://tests/client")
    assert get(mutual, cert=(str(cert), str(key))).status_code == 200
    status, _, _ = mutual.curl("/readyz", "--cacert", authority.cert, "--cert", cert, "--key", key)
    assert status == 200
    stranger = Authority(tmp_path_factory.mktemp("other"), "stranger").sign("client")
    for wrong in (None, stranger):
        since = len(mutual.log)
        with pytest.raises(requests.exceptions.RequestException):
            get(mutual, cert=wrong and tuple(map(str, wrong)))
        wait_for(mutual, "tls_failed", since)


# Certificates that change.

def fingerprint(server):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with connect(server, context) as connection:
        return connection.getpeercert(binary_form=True)


def test_reload(toy, authority, tmp_path):
    names = tmp_path / "live.crt", tmp_path / "live.key"

    def install(made):
        for source, name in zip(made, names):
            fresh = tmp_path / "fresh"
            fresh.write_bytes(source.read_bytes())
            fresh.rename(name)

    install(authority.sign("first"))
    second = authority.sign("second")
    with Server(toy.command, toy.bundle, *tls_words(names)) as running:
        running.authority = authority
        first = fingerprint(running)
        kept = connect(running)
        names[0].write_text("broken")
        wait_for(running, "tls_reload_failed")
        assert fingerprint(running) == first
        since = len(running.log)
        install(second)
        wait_for(running, "tls_reloaded", since)
        assert fingerprint(running) == ssl.PEM_cert_to_DER_cert(second[0].read_text())
        # The connection that was open before is served on.
        kept.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in read_all(kept)
        kept.close()


def test_self(toy, tmp_path):
    command = Command(toy.command.binary, tmp_path / "home")
    prints = []
    for _ in range(2):
        with Server(command, toy.bundle, "--tls", "self") as running:
            said = wait_for(running, "tls")
            status, _, _ = running.curl("/readyz", "--cacert", said["certificate"])
            assert status == 200
            prints.append(said["sha256"])
    assert prints[0] == prints[1], "the certificate is made once"


def test_what_is_refused_at_the_start(tapeout, toy, pair):
    line = tapeout.fails("serve", toy.bundle, "--no-auth", "--listen", "0.0.0.0:0")
    assert "TLS" in line and "loopback" in line
    line = tapeout.fails("serve", toy.bundle, "--no-auth", "--listen", "0.0.0.0:0", "--tls", "self")
    assert "authentication" in line
    assert "key" in tapeout.fails("serve", toy.bundle, "--no-auth", "--tls-cert", pair[0])
    assert "self" in tapeout.fails("serve", toy.bundle, "--no-auth", "--tls", "other", status=2)


# W4: who begins and does not go on.

def hello():
    """A client's first flight."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def abort(address, first, numbers):
    for i in numbers:
        with socket.socket() as connection:
            connection.settimeout(30)
            connection.connect(address)
            connection.sendall(first[:1 + i * 7 % len(first)] if i % 3 else first)
            if i % 15 == 0:
                connection.recv(100)  # the server's flight has begun
            if i % 2:  # a reset instead of an end
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_aborted_handshakes_leak_nothing(server):
    first = hello()
    fingerprint(server)
    time.sleep(1.5)
    before = descriptors(server)
    with multiprocessing.get_context("fork").Pool(4) as clients:
        clients.starmap(abort, [(place(server), first, range(k, ABORTS, 4)) for k in range(4)])
    settle(server, before + 2)
    assert server.curl("/readyz", "--cacert", server.authority.cert)[0] == 200


@pytest.fixture
def hasty(toy, authority, pair, tmp_path):
    (tmp_path / "serve.yaml").write_text("timeouts: {head: 1, write: 1, idle: 60}\n")
    with Server(toy.command, toy.bundle, *tls_words(pair), "--config",
                tmp_path / "serve.yaml") as running:
        running.authority = authority
        yield running


def test_slow_handshakes_are_closed(hasty):
    first = hello()
    before = descriptors(hasty)
    began = time.monotonic()
    slow = [socket.create_connection(place(hasty), timeout=30) for _ in range(20)]
    for size, connection in enumerate(slow):
        connection.sendall(first[:size * 20])
    dripped = 0
    with contextlib.suppress(OSError):
        while time.monotonic() - began < 10:  # a byte now and then buys no time
            slow[1].sendall(first[20 + dripped:21 + dripped])
            dripped += 1
            time.sleep(0.1)
    assert time.monotonic() - began < 5
    settle(hasty, before)
    for connection in slow:
        connection.close()


def test_who_never_reads_is_closed(hasty, toy):
    body = json.dumps({"dataframe_records": toy.records * 400}).encode()
    before = descriptors(hasty)
    connection = connect(hasty)
    connection.sendall(b"POST /invocations HTTP/1.1\r\nHost: a\r\n"
                       b"Content-Type: application/json\r\n"
                       b"Content-Length: %d\r\n\r\n" % len(body) + body)
    # The reply is about 14 MB; sockets hold some of it, and every 16 KiB earn a second more, so
    # the end is far. What is asked here: others are answered meanwhile, and the end gives it back.
    for _ in range(20):
        assert hasty.curl("/readyz", "--cacert", hasty.authority.cert)[0] == 200
    connection.close()
    settle(hasty, before)


def test_an_idle_connection_is_small(toy, authority, pair, tmp_path):
    (tmp_path / "serve.yaml").write_text("timeouts: {idle: 3600}\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, IDLE_COUNT + 500), hard))

    def resident(server):
        with open(f"/proc/{server.process.pid}/statm", encoding="ascii") as facts:
            return int(facts.read().split()[1]) * resource.getpagesize()

    with Server(toy.command, toy.bundle, *tls_words(pair), "--config",
                tmp_path / "serve.yaml") as running:
        running.authority = authority
        context = context_for(authority)
        ask = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"
        held = []
        for count in range(50 + IDLE_COUNT):
            if count == 50:
                before = resident(running)
            connection = connect(running, context)
            connection.sendall(ask)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
            held.append(connection)
        each = (resident(running) - before) / IDLE_COUNT
        assert descriptors(running) >= len(held), "some were closed, and count for nothing"
        print(f"{each:.0f} bytes an idle connection of TLS, of {IDLE_COUNT}")
        for connection in held:
            connection.close()
    assert each <= IDLE_BYTES
