# SPDX-License-Identifier: Apache-2.0
"""Everything that a server does, at the same time, and then its end in the midst of it: tables and
language models asked, models loaded, unloaded and reloaded, figures read, clients that leave. Under
`make tsan` every thread is watched meanwhile; here it shows that nobody gets a wrong answer."""
import concurrent.futures
import json
import pathlib
import random
import signal
import socket
import time

import pytest

from conftest import FULL, metric

TINY = pathlib.Path(__file__).resolve().parent.parent / "conformance/llm_tiny"
SECONDS = 60 if FULL else 8


@pytest.fixture
def server(serve, toy, tmp_path):
    config = tmp_path / "serve.yaml"
    config.write_text(f"""
models:
  - {{path: {toy.bundle}}}
  - {{path: {TINY}/llama-q4_1.gguf, name: chat}}
  - {{path: {TINY}/qwen2-q8_0.gguf, name: other}}
  - {{path: {TINY}/bert-q8_0.gguf, name: vectors}}
llm: {{context: 200, running: 4, threads: 2}}
log: {{requests: false}}
""")
    with serve("--config", config) as server:
        server.wait_until_ready()
        yield server


def score(server, toy, pick, want):
    record = pick.choice(toy.records)
    status, body = server.post("/score", record)
    assert status == 200, body
    known = want.setdefault(json.dumps(record), body)
    assert body == known, "another answer to the same question"


def complete(server, pick, want):
    ask = {"model": "chat", "prompt": [pick.randrange(200) for _ in range(3)], "max_tokens": 20,
           "temperature": 0, "stream": pick.random() < 0.5}
    status, _, body = server.curl("/v1/completions", body=json.dumps(ask).encode())
    assert status in (200, 404), body  # it is unloaded now and then
    if status == 200 and not ask["stream"]:
        text = json.loads(body)["choices"][0]["text"]
        assert text == want.setdefault(str(ask["prompt"]), text)


def leave(server, pick):
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as sock:
        body = json.dumps({"model": "other", "prompt": [1, 2, 3], "max_tokens": 150,
                           "stream": True}).encode()
        sock.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
                     % (len(body), body))
        if pick.random() < 0.5:
            sock.recv(100)


def embed(server, pick):
    status, body = server.post("/v1/embeddings", {"model": "vectors",
                                                  "input": ["a b", "c" * pick.randrange(1, 9)]})
    assert status == 200 and len(body["data"]) == 2, body


def change(server, pick):
    what = pick.choice(["load", "unload", "load"])
    status = server.curl(f"/v2/repository/models/chat/{what}", "-X", "POST")[0]
    assert status in (200, 404)


def keep(server, pick):
    status, body = server.post("/api/generate", {"model": "other", "prompt": "hi", "raw": True,
                                                 "stream": False, "options": {"num_predict": 2},
                                                 "keep_alive": pick.choice([0, 0.01, "1h", -1])})
    # The last one may have unloaded it while it was looked for.
    assert status in (200, 404), body


def watch(server, pick):
    path = pick.choice(["/metrics", "/v1/models", "/api/ps", "/v2/models/stats", "/readyz"])
    assert server.curl(path)[0] == 200


def test_all_at_once(server, toy):
    want = {}
    texts = {}
    work = [lambda pick: score(server, toy, pick, want), lambda pick: complete(server, pick, texts),
            lambda pick: leave(server, pick), lambda pick: embed(server, pick),
            lambda pick: change(server, pick), lambda pick: keep(server, pick),
            lambda pick: watch(server, pick),
            lambda pick: (server.process.send_signal(signal.SIGHUP), time.sleep(0.3))]
    end = time.monotonic() + SECONDS

    def run(number):
        pick = random.Random(number)
        count = 0
        while time.monotonic() < end:
            work[number % len(work)](pick)
            count += 1
        return count

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        counts = list(pool.map(run, [*range(len(work)), 0, 1, 2, 1]))
    assert all(counts), counts
    # Those whose clients have left end with the step that they are in.
    late = time.monotonic() + 10
    while metric(server, "tapeout_llm_requests_running", model="other") and time.monotonic() < late:
        time.sleep(0.05)
    assert metric(server, "tapeout_llm_requests_running", model="other") in (0, None)


def test_an_end_in_the_midst_of_it(server, toy):
    """Who was accepted is answered; nobody is left hanging."""
    def run(number):
        pick = random.Random(number)
        while server.process.poll() is None:
            try:
                [lambda: score(server, toy, pick, {}), lambda: complete(server, pick, {}),
                 lambda: embed(server, pick), lambda: change(server, pick)][number % 4]()
            except Exception:  # pylint: disable=broad-except
                if server.process.poll() is None and not ending:
                    raise
                return

    ending = []
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        runs = [pool.submit(run, number) for number in range(8)]
        time.sleep(1)
        ending.append(True)
        assert server.stop() == 0
        for done in runs:
            done.result(timeout=60)
