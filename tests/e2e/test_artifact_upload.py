# SPDX-License-Identifier: Apache-2.0
"""Artifacts on their way in: who may send one, how much of one, and what is left of one that does
not come to its end. test_artifact_memory has what it costs."""
import concurrent.futures
import gzip
import hashlib
import http.client
import os
import pathlib
import signal
import socket
import struct
import time

import pytest

from conftest import Command, Server

FILES = "/api/2.0/mlflow-artifacts/artifacts/"
LIMIT = 1 << 20
CONFIG = """
limits: {artifact_bytes: 1048576, body_bytes: 65536}
timeouts: {body: 1}
models:
  - {path: BUNDLE}
"""


@pytest.fixture(scope="module")
def command(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uploads")
    (folder / "config.yaml").write_text(CONFIG.replace("BUNDLE", str(toy.bundle)))
    return Command(toy.command.binary, folder)


@pytest.fixture(scope="module")
def server(command):
    with Server(command, "--config", command.home / "config.yaml") as running:
        yield running


@pytest.fixture(scope="module")
def guarded(toy, tmp_path_factory):
    own = Command(toy.command.binary, tmp_path_factory.mktemp("guarded"))
    with Server(own, toy.bundle, auth=True) as running:
        running.admin = next(line.strip() for line in running.told if "tpk_" in line)
        yield running


class Link:
    """A client that says what it likes."""

    def __init__(self, server):
        host, port = server.address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.read = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def head(self, path, *lines, method="PUT"):
        words = [f"{method} {path} HTTP/1.1", "Host: here", *lines, "", ""]
        self.send("\r\n".join(words).encode())

    def reply(self):
        """Status, headers and body of the next reply."""
        status = int(self.read.readline().split()[1])
        headers = {}
        while line := self.read.readline().strip().decode():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, self.read.read(int(headers.get("content-length", 0)))

    def is_silent(self, seconds=0.3):
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
            return False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(30)

    def close(self):
        self.read.close()
        self.socket.close()


@pytest.fixture
def link(server):
    made = Link(server)
    yield made
    made.close()


def put(server, name, body, **headers):
    connection = http.client.HTTPConnection(server.address, timeout=30)
    connection.request("PUT", FILES + name, body=body, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def get(server, name):
    connection = http.client.HTTPConnection(server.address, timeout=30)
    connection.request("GET", FILES + name)
    answer = connection.getresponse()
    body = answer.read()
    return body if answer.status == 200 else None


def coming(server):
    """Files of uploads that are under way."""
    return sorted(pathlib.Path(server.command.home).glob("blobs/incoming/.*"))


def blobs(server):
    return sorted(pathlib.Path(server.command.home).glob("blobs/sha256/*/*"))


def wait_until(condition, what, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def logged(server, **wanted):
    """The first line of the log that has all of that."""
    found = []

    def look():
        found.extend(line for line in list(server.log) if wanted.items() <= line.items())
        return found
    wait_until(look, f"no line with {wanted}")
    return found[0]


def test_the_bytes_are_what_was_sent(server):
    sizes = [1, 8191, 65536, 262143, 262144, 262145, LIMIT]
    for size in sizes:
        body = hashlib.shake_128(str(size).encode()).digest(size)
        assert put(server, f"sizes/{size}", body) == (200, b"{}")
        assert get(server, f"sizes/{size}") == body
        assert logged(server, method="PUT", bytes_in=size)["status"] == 200
    assert put(server, "sizes/chunks", iter([b"a" * 70000, b"b", b"c" * 300000])) == (200, b"{}")
    assert get(server, "sizes/chunks") == b"a" * 70000 + b"b" + b"c" * 300000
    assert not coming(server)


def test_the_same_twice_is_stored_once(server):
    body = b"the same" * 20000
    assert put(server, "twice/one", body)[0] == 200
    before = blobs(server)
    assert put(server, "twice/two", body)[0] == 200
    assert put(server, "twice/one", body)[0] == 200
    assert blobs(server) == before
    assert get(server, "twice/one") == get(server, "twice/two") == body
    assert not coming(server)


def test_nothing_is_an_artifact_too(server, link):
    assert put(server, "empty/one", b"") == (200, b"{}")
    assert get(server, "empty/one") == b""
    link.head(FILES + "empty/two", "Transfer-Encoding: chunked")
    link.send(b"0\r\n\r\n")
    assert link.reply()[0] == 200
    assert get(server, "empty/two") == b""


def test_a_coded_body_is_undone(server):
    body = b"text " * 10000
    assert put(server, "coded", gzip.compress(body), **{"content-encoding": "gzip"})[0] == 200
    assert get(server, "coded") == body
    # It is held whole, so that the limit of other bodies stands.
    body = os.urandom(100000)
    status, answer = put(server, "coded", gzip.compress(body), **{"content-encoding": "gzip"})
    assert status == 413, answer


def test_an_announced_body_too_large(server, link):
    link.head(FILES + "large", f"Content-Length: {LIMIT + 1}")
    status, headers, body = link.reply()
    assert status == 413 and headers["connection"] == "close"
    assert b"artifact_bytes" in body and b"1048577" in body and b"1048576" in body
    assert not coming(server) and get(server, "large") is None


def test_chunks_too_large(server, link):
    link.head(FILES + "large", "Transfer-Encoding: chunked")
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    for _ in range(16):
        link.send(chunk)
    wait_until(lambda: coming(server), "no file of an upload")
    link.send(b"1\r\nx\r\n")
    assert link.is_silent()  # one byte too many waits for its piece
    link.send(chunk * 3)
    status, headers, body = link.reply()
    assert status == 413 and headers["connection"] == "close"
    assert b"artifact_bytes" in body and b"more than 1048576" in body
    assert not coming(server) and get(server, "large") is None


@pytest.mark.parametrize("is_rude", [False, True], ids=["says goodbye", "resets"])
def test_who_leaves_in_the_middle(server, link, is_rude):
    link.head(FILES + "left", f"Content-Length: {LIMIT}", f"X-Request-Id: left-{is_rude}")
    link.send(bytes(LIMIT // 2))
    wait_until(lambda: any(file.stat().st_size > 0 for file in coming(server)), "no piece yet")
    before = blobs(server)
    if is_rude:
        link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()
    wait_until(lambda: not coming(server), "the file is left")
    assert blobs(server) == before and get(server, "left") is None
    line = logged(server, id=f"left-{is_rude}")
    assert line["status"] == (499 if is_rude else 400)
    if is_rude:
        assert 262144 <= line["bytes_in"] <= LIMIT // 2 and line["route"].endswith("{path...}")


def test_who_stops_sending_in_the_middle(server, link):
    link.head(FILES + "cut", f"Content-Length: {LIMIT}")
    link.send(bytes(LIMIT // 2))
    link.socket.shutdown(socket.SHUT_WR)
    assert link.reply()[0] == 400
    wait_until(lambda: not coming(server), "the file is left")
    assert get(server, "cut") is None


def test_a_body_that_does_not_come(server, link):
    link.head(FILES + "slow", f"Content-Length: {LIMIT}")
    link.send(b"a few bytes")
    wait_until(lambda: coming(server), "no file of an upload")
    begin = time.monotonic()
    assert link.reply()[0] == 408
    assert 0.5 < time.monotonic() - begin < 5
    wait_until(lambda: not coming(server), "the file is left")
    assert get(server, "slow") is None


def test_a_slow_body_that_is_quick_enough(server, link):
    link.head(FILES + "steady", f"Content-Length: {20 * 10000}")
    for _ in range(20):  # 2 s, with a second of grace and one more for each 16 KiB
        link.send(bytes(10000))
        time.sleep(0.1)
    assert link.reply()[0] == 200
    assert len(get(server, "steady")) == 200000


def test_what_is_pipelined_behind(server, link):
    requests = []
    for i in range(3):
        body = bytes([i]) * 300000
        requests += [f"PUT {FILES}line/{i} HTTP/1.1\r\nHost: here\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n".encode(), body,
                     f"GET {FILES}line/{i} HTTP/1.1\r\nHost: here\r\n\r\n".encode()]
    link.socket.settimeout(30)
    link.send(b"".join(requests))
    for i in range(3):
        assert link.reply()[0] == 200
        status, _, body = link.reply()
        assert (status, body) == (200, bytes([i]) * 300000)


def test_many_at_once(server):
    """More than there are threads for, from many connections, some of which leave."""
    bodies = {f"many/{i}": bytes([i]) * (200000 + 40000 * i) for i in range(20)}
    leaving = [Link(server) for _ in range(10)]
    for link in leaving:
        link.head(FILES + "many/left", f"Content-Length: {LIMIT}")
        link.send(bytes(LIMIT // 2))
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(put, server, name, body) for name, body in bodies.items()]
        for link in leaving:
            link.close()
        assert all(answer.result() == (200, b"{}") for answer in answers)
    assert all(get(server, name) == body for name, body in bodies.items())
    wait_until(lambda: not coming(server), "files are left")
    assert get(server, "many/left") is None


def test_who_waits_to_be_asked(server, link):
    link.head(FILES + "asked", "Content-Length: 5", "Expect: 100-continue")
    assert link.reply()[0] == 100
    link.send(b"hello")
    assert link.reply()[0] == 200
    assert get(server, "asked") == b"hello"
    link.head(FILES + "asked", f"Content-Length: {LIMIT + 1}", "Expect: 100-continue")
    assert link.reply()[0] == 413  # and was not asked


@pytest.mark.parametrize("path", ["../etc/passwd", "a/%2e%2e/b", "%2Fetc", "a%5Cb",
                                  "%252e%252e/b"])
def test_a_path_that_is_none(server, link, path):
    link.head(FILES + path, "Content-Length: 1000", "Expect: 100-continue")
    assert link.reply()[0] in (400, 404)
    assert not coming(server)


def test_a_folder_is_no_file(server, link):
    assert put(server, "folder/a", b"a")[0] == 200
    link.head(FILES + "folder", "Content-Length: 1000", "Expect: 100-continue")
    status, _, body = link.reply()
    assert status == 400 and b"a file and a folder at once" in body


@pytest.mark.parametrize("length", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_nobody_gets_in_without_a_key(guarded, length):
    link = Link(guarded)
    for credentials in ([], ["Authorization: Bearer tpk_wrong"],
                        ["Authorization: Basic YTpi"]):
        link = Link(guarded)
        link.head(FILES + "secret", length, "Expect: 100-continue", *credentials)
        status, headers, _ = link.reply()
        assert (status, headers["connection"]) == (401, "close")
        link.close()
    # Nor who sends without being asked.
    link = Link(guarded)
    link.head(FILES + "secret", "Content-Length: 100000")
    link.send(bytes(50000))
    assert link.reply()[0] == 401
    link.close()
    assert not (guarded.command.home / "blobs/incoming").exists()


def test_who_may_only_read(guarded):
    key = guarded.command.ok("access", "key", "new", "reader", "--role", "viewer").strip()
    link = Link(guarded)
    link.head(FILES + "secret", "Content-Length: 1000", "Expect: 100-continue",
              f"Authorization: Bearer {key}")
    wanted = link.reply()[0]
    if wanted == 401:  # a key is known within a second
        time.sleep(1)
        link = Link(guarded)
        link.head(FILES + "secret", "Content-Length: 1000", "Expect: 100-continue",
                  f"Authorization: Bearer {key}")
        wanted = link.reply()[0]
    assert wanted == 403
    assert not (guarded.command.home / "blobs/incoming").exists()


def test_with_a_key(guarded):
    link = Link(guarded)
    link.head(FILES + "mine", "Content-Length: 5", "Expect: 100-continue",
              f"Authorization: Bearer {guarded.admin}")
    assert link.reply()[0] == 100
    link.send(b"hello")
    assert link.reply()[0] == 200
    link.head(FILES + "mine", f"Authorization: Bearer {guarded.admin}", method="GET")
    assert link.reply()[2] == b"hello"
    assert not coming(guarded)


def test_a_server_that_is_killed(toy, tmp_path):
    command = Command(toy.command.binary, tmp_path)
    with Server(command, toy.bundle) as first:
        link = Link(first)
        link.head(FILES + "killed", f"Content-Length: {LIMIT}")
        link.send(bytes(LIMIT // 2))
        wait_until(lambda: coming(first), "no file of an upload")
        first.process.kill()
        first.process.wait()
        link.close()
    assert len(coming(first)) == 1
    with Server(command, toy.bundle) as second:
        assert get(second, "killed") is None
        assert put(second, "next", b"next")[0] == 200
        assert not coming(second)
        assert get(second, "next") == b"next"


def test_a_server_that_stops_meanwhile(toy, tmp_path):
    command = Command(toy.command.binary, tmp_path)
    with Server(command, toy.bundle) as server:
        link = Link(server)
        link.head(FILES + "last", "Content-Length: 600000")
        link.send(bytes(300000))
        wait_until(lambda: coming(server), "no file of an upload")
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        link.send(bytes(300000))  # what is under way is finished
        status, headers, _ = link.reply()
        assert (status, headers["connection"]) == (200, "close")
        assert server.process.wait(timeout=30) == 0
    assert not coming(server) and len(blobs(server)) == 1
