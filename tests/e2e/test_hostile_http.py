# SPDX-License-Identifier: Apache-2.0
"""Requests that a client should not send: smuggling, limits, paths, tensors that lie.

Each is answered by a refusal or a closed connection, never by a prediction that was not asked for,
and the server goes on answering afterwards.
"""
import json
import socket

import pytest

HOST = "Host: here\r\n"


@pytest.fixture(scope="module")
def server(toy):
    from conftest import Server
    with Server(toy.command, toy.bundle) as running:
        yield running
        assert running.curl("/livez")[0] == 200


def talk(server, data, wait_s=5):
    """Everything that comes back until the server closes, or nothing more comes."""
    host, port = server.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=wait_s) as link:
        got = b""
        try:
            link.sendall(data)
            link.shutdown(socket.SHUT_WR)
            while chunk := link.recv(65536):
                got += chunk
        except (socket.timeout, ConnectionResetError, BrokenPipeError):
            pass
    return got


def statuses(answer):
    return [int(part.split(b" ", 1)[0]) for part in answer.split(b"HTTP/1.1 ")[1:]]


TAIL = f"GET /livez HTTP/1.1\r\n{HOST}\r\n"


@pytest.mark.parametrize("head", [
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "Content-Length: 5\r\nContent-Length: 6\r\n",
    "Content-Length: 5, 5\r\n", "Content-Length: +5\r\n", "Content-Length: 0x5\r\n",
    "Content-Length: -1\r\n", "Content-Length: 18446744073709551616\r\n",
    "Content-Length: 99999999999999999999\r\n",
    "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding: identity\r\n", "Transfer-Encoding: chunked, chunked\r\n",
    "X: a\r\n folded\r\n", "X: a\0b\r\n", "X: a\nY: b\r\n",
])
def test_smuggling_is_400_and_the_tail_is_not_run(server, head):
    request = f"POST /invocations HTTP/1.1\r\n{HOST}{head}\r\n0\r\n\r\n{TAIL}"
    got = statuses(talk(server, request.encode("latin-1")))
    assert got in ([400], [413], [501]), got


@pytest.mark.parametrize("request_text", [
    "GET /livez HTTP/1.1\r\n\r\n", f"GET /livez HTTP/1.1\r\n{HOST}{HOST}\r\n",
    "GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n", f"GET /livez HTTP/2.7\r\n{HOST}\r\n",
    f"GET /livez HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    f"GET  /livez HTTP/1.1\r\n{HOST}\r\n", "\0\0\0\0\0\0\r\n\r\n",
    f"GET livez HTTP/1.1\r\n{HOST}\r\n",
])
def test_what_is_not_http_11_is_refused(server, request_text):
    got = statuses(talk(server, request_text.encode("latin-1")))
    assert len(got) == 1 and 400 <= got[0] < 600, got


def test_limits_have_their_statuses(server):
    long_url = f"GET /{'a' * 70000} HTTP/1.1\r\n{HOST}\r\n"
    assert statuses(talk(server, long_url.encode())) in ([414], [431], [400])
    many = "".join(f"X-{n}: y\r\n" for n in range(10000))
    assert statuses(talk(server, f"GET /livez HTTP/1.1\r\n{HOST}{many}\r\n".encode())) == [431]
    big = f"GET /livez HTTP/1.1\r\n{HOST}X: {'y' * 1000000}\r\n\r\n"
    assert statuses(talk(server, big.encode())) == [431]
    chunk = (f"POST /invocations HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n"
             "ffffffffffffffff\r\n")
    assert statuses(talk(server, chunk.encode())) in ([400], [413])


@pytest.mark.parametrize("path", [
    "/v2/models/..%2f..%2fetc%2fpasswd", "/v2/models/%2e%2e/toy", "/v2/models//toy",
    "/v2/models/toy;x=1", "/v2/models/..\\toy", "/v2/models/toy%00", "/v2/models/%c0%ae",
    "/../../etc/passwd", "/v2/models/toy/versions/..", "/v2/models/%252e%252e",
])
def test_paths_lead_nowhere(server, path):
    status, _, body = server.curl(path, "--path-as-is")
    assert status in (400, 404), (status, body)
    assert b"root:" not in body and b"/tmp" not in body


def infer(server, toy, inputs, **more):
    return server.post(f"/v2/models/{toy.name}/infer", {"inputs": inputs, **more})


def tensor(name="age", shape=(1,), datatype="FP64", data=(30,)):
    return {"name": name, "shape": list(shape), "datatype": datatype, "data": list(data)}


@pytest.mark.parametrize("inputs", [
    [tensor(shape=(2,))], [tensor(shape=(-1,))], [tensor(shape=(2 ** 62, 4))],
    [tensor(shape=(1,) * 1000)], [tensor(shape=())], [tensor(shape=(0.5,))],
    [tensor(datatype="FP65")], [tensor(datatype="INT64", data=(2 ** 63,))],
    [tensor("member", datatype="BOOL", data=(2,))], [tensor(data=("forty",))],
    [tensor(shape=(2,), data=([1], [2, 3]))], [tensor(), tensor()],
    [tensor("nobody_knows")], [], [tensor(), tensor("income", shape=(2,), data=(1, 2))],
    [{"name": "age", "shape": [1], "datatype": "FP64"}], [{"shape": [1]}], "age", [1],
])
def test_tensors_that_lie_are_400(server, toy, inputs):
    status, answer = infer(server, toy, inputs)
    assert status == 400 and len(answer["error"]) > 10, answer
    if inputs and isinstance(inputs, list) and isinstance(inputs[0], dict):
        name = inputs[-1].get("name", "")
        assert name in answer["error"]


def test_an_unknown_output_is_400(server, toy):
    status, answer = infer(server, toy, [tensor()], outputs=[{"name": "price"}])
    assert status == 400 and "price" in answer["error"]


@pytest.mark.parametrize("length", ["5", "100000", "-1", "x", "18446744073709551615"])
def test_a_header_length_that_lies_is_400(server, toy, length):
    body = json.dumps({"inputs": [tensor()]}).encode()
    status, _, answer = server.curl(f"/v2/models/{toy.name}/infer", "-H",
                                    f"Inference-Header-Content-Length: {length}", body=body)
    assert status == 400 and json.loads(answer)["error"]


def test_binary_sizes_that_do_not_add_up_are_400(server, toy):
    for size, tail in ((8, b"1234567"), (7, b"1234567"), (16, b"x" * 16), (2 ** 63, b"x" * 8)):
        head = json.dumps({"inputs": [{"name": "age", "shape": [1], "datatype": "FP64",
                                       "parameters": {"binary_data_size": size}}]}).encode()
        status, _, _ = server.curl(
            f"/v2/models/{toy.name}/infer", "-H",
            f"Inference-Header-Content-Length: {len(head)}", body=head + tail)
        assert status == 400


@pytest.mark.parametrize("path", ["/v2/systemsharedmemory/status", "/v2/cudasharedmemory/status",
                                  "/v2/repository/models/toy/load"])
def test_routes_that_are_off_are_404(server, path):
    assert server.curl(path, "-X", "POST", body=b"{}")[0] in (404, 405)


@pytest.mark.parametrize("body", [
    b"[" * 100000, b'{"dataframe_records": [{"age": ' + b"9" * 400 + b"}]}",
    b'{"dataframe_records": [{"city": "\\ud800"}]}', b"\xff\xfe", b"", b"{", b'{"a": 1e400}',
])
def test_json_at_its_edges(server, body):
    status, _, _ = server.curl("/invocations", "-H", "Content-Type: application/json", body=body)
    assert status == 400


def test_many_paths_do_not_grow_the_metrics(server):
    before = server.curl("/metrics")[2].count(b"\n")
    for number in range(300):
        server.curl(f"/nothing/{number}")
        talk(server, f"M{number} /livez HTTP/1.1\r\n{HOST}\r\n".encode())
    after = server.curl("/metrics")[2].count(b"\n")
    assert after - before <= 40
