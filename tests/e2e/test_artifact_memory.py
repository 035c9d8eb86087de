# SPDX-License-Identifier: Apache-2.0
"""Artifacts travel in pieces: however large one is, the server's memory stays as it was."""
import hashlib
import http.client
import pathlib
import time

import pytest

from conftest import Server

FILES = "/api/2.0/mlflow-artifacts/artifacts/"
MIB = 1 << 20
SIZE = 300 * MIB
ROOM = 24 * MIB  # what a server may grow by: a few pieces, and what its allocator keeps


@pytest.fixture(scope="module")
def server(toy, tmp_path_factory):
    command = type(toy.command)(toy.command.binary, tmp_path_factory.mktemp("artifacts"))
    with Server(command, toy.bundle) as running:
        yield running


def pieces(size, seed=b"tapeout"):
    """Bytes that no coding makes smaller, the same each time."""
    for number in range(size // MIB):
        yield hashlib.shake_128(seed + str(number).encode()).digest(MIB)


def sha256(parts):
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(part)
    return hasher.hexdigest()


def resident(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines()
                if line.startswith("VmRSS:")) * 1024


def connect(server):
    return http.client.HTTPConnection(server.address, timeout=60)


def put(server, name, body, size):
    connection = connect(server)
    connection.request("PUT", FILES + name, body=body,
                       headers={"content-length": str(size)})
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.fixture(scope="module", name="upload")
def an_upload(server):
    """What it was answered, by how much the server grew, and how long others waited meanwhile."""
    assert put(server, "small.bin", b"small", 5) == (200, b"{}")  # a handle, its tables, threads
    before = most = resident(server)
    waits = []

    def watched():
        nonlocal most
        other = connect(server)
        for piece in pieces(SIZE):
            yield piece
            most = max(most, resident(server))
            begin = time.monotonic()
            other.request("GET", "/readyz")
            assert other.getresponse().read() is not None
            waits.append(time.monotonic() - begin)

    answer = put(server, "large/one.bin", watched(), SIZE)
    return answer, max(most, resident(server)) - before, waits


@pytest.fixture(scope="module")
def stored(upload):
    assert upload[0] == (200, b"{}")
    return FILES + "large/one.bin"


def test_an_upload_comes_in_in_pieces(upload):
    answer, growth, waits = upload
    assert answer == (200, b"{}")
    assert growth < ROOM, f"grew by {growth / MIB:.0f} MiB"
    waits.sort()
    print(f"grew by {growth / MIB:.1f} MiB; others waited {waits[len(waits) // 2] * 1e3:.1f} ms "
          f"at the median, {waits[-1] * 1e3:.1f} ms at most")
    assert waits[len(waits) // 2] < 0.1, "others wait for an upload"


def test_chunks_come_in_in_pieces(server, upload):
    before = most = resident(server)
    hasher = hashlib.sha256()

    def watched():
        nonlocal most
        for piece in pieces(SIZE // 4, b"chunks"):
            hasher.update(piece)
            yield piece
            most = max(most, resident(server))

    connection = connect(server)
    connection.request("PUT", FILES + "chunks.bin", body=watched(), encode_chunked=True,
                       headers={"transfer-encoding": "chunked"})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"{}")
    assert max(most, resident(server)) - before < ROOM
    connection.request("GET", FILES + "chunks.bin")
    assert hashlib.sha256(connection.getresponse().read()).hexdigest() == hasher.hexdigest()


def test_a_download_goes_out_in_pieces(server, stored):
    before = most = resident(server)
    connection = connect(server)
    connection.request("GET", stored)
    answer = connection.getresponse()
    assert answer.status == 200 and int(answer.headers["content-length"]) == SIZE
    hasher = hashlib.sha256()
    while part := answer.read(MIB):
        hasher.update(part)
        most = max(most, resident(server))
    assert hasher.hexdigest() == sha256(pieces(SIZE))
    assert most - before < ROOM, f"grew by {(most - before) / MIB:.0f} MiB"
    connection.request("GET", "/readyz")  # the connection goes on behind it
    assert connection.getresponse().status == 200


def test_a_client_that_leaves_in_the_middle_of_a_download(server, stored):
    connection = connect(server)
    connection.request("GET", stored)
    assert connection.getresponse().read(MIB) == next(pieces(MIB))
    connection.close()
    connection = connect(server)
    connection.request("HEAD", stored)
    answer = connection.getresponse()
    assert answer.status == 200 and int(answer.headers["content-length"]) == SIZE
