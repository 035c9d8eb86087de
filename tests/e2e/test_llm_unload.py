# SPDX-License-Identifier: Apache-2.0
"""Models that leave memory and come back: by Triton's routes, and as Ollama's clients do it."""
import concurrent.futures
import json
import time

import ollama
import pytest

from conftest import metric

MODEL = "SmolLM2-135M-Instruct.Q4_1"
HI = [{"role": "user", "content": "hi"}]


@pytest.fixture
def server(serve, smollm, toy):
    with serve(toy.bundle, smollm) as server:
        server.wait_until_ready()
        yield server


def chat(server):
    return server.post("/v1/chat/completions", {"model": MODEL, "messages": HI, "max_tokens": 3,
                                                "temperature": 0})


def index(server):
    _, _, body = server.curl("/v2/repository/index", "-X", "POST")
    return {entry["name"]: (entry["version"], entry["state"]) for entry in json.loads(body)}


def change(server, what, model=MODEL):
    status, _, body = server.curl(f"/v2/repository/models/{model}/{what}", "-X", "POST")
    return status, json.loads(body)


def test_unload_and_load(server, toy):
    before = chat(server)[1]["choices"][0]["message"]
    assert change(server, "unload") == (200, {})
    status, body = chat(server)
    assert status == 404 and body["error"]["code"] == "model_not_found"
    assert index(server) == {toy.name: ("1", "READY"), MODEL: ("1", "UNAVAILABLE")}
    assert server.post("/score", toy.records[0])[0] == 200
    assert change(server, "unload")[0] == 404
    assert change(server, "load") == (200, {})
    assert change(server, "load") == (200, {})  # it is there
    assert index(server)[MODEL] == ("1", "READY")
    assert chat(server)[1]["choices"][0]["message"] == before
    status, body = change(server, "load", "nobody")
    assert status == 404 and "nobody" in body["error"]


def test_gauges_of_a_model_that_is_gone(server):
    """What ran when the figures were last read is not told for ever."""
    ask = {"model": MODEL, "messages": HI, "max_tokens": 400, "stream": True}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.curl, "/v1/chat/completions", body=json.dumps(ask).encode())
        deadline = time.monotonic() + 20
        while metric(server, "tapeout_llm_requests_running", model=MODEL) != 1:
            assert time.monotonic() < deadline
        assert metric(server, "tapeout_llm_kv_pages", model=MODEL) > 0
        assert change(server, "unload")[0] == 200
        assert answer.result()[0] == 200
    for name in ("requests_running", "kv_pages", "kv_pages_used"):
        assert metric(server, f"tapeout_llm_{name}", model=MODEL) == 0
    assert b"vllm:" not in server.curl("/metrics")[2]  # a set that was not asked for
    assert change(server, "load")[0] == 200
    assert metric(server, "tapeout_llm_kv_pages", model=MODEL) > 0


def test_requests_under_way_are_answered(server):
    """Whoever asked before is answered; whoever asks after learns that it is gone."""
    ask = {"model": MODEL, "messages": HI, "max_tokens": 30, "stream": True}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(server.curl, "/v1/chat/completions", body=json.dumps(ask).encode())
                   for _ in range(8)]
        for _ in range(3):
            assert change(server, "unload")[0] == 200
            assert change(server, "load")[0] == 200
        for answer in answers:
            status, _, body = answer.result()
            assert status == 404 or (status == 200 and body.endswith(b"data: [DONE]\n\n")), body
    assert chat(server)[0] == 200


def test_ollama_lets_go_and_takes_it_again(server):
    client = ollama.Client(server.url)
    assert client.generate(MODEL, "", keep_alive=0).done_reason == "unload"
    assert client.ps().models == []
    answer = client.chat(MODEL, HI, options={"num_predict": 2})
    assert answer.done_reason in ("stop", "length")
    assert [model.name for model in client.ps().models] == [MODEL + ":latest"]


# -- Ollama's keep_alive -------------------------------------------------------------------------
def ollama_post(server, path="/api/chat", **more):
    return server.post(path, {"model": MODEL, "messages": HI, "stream": False,
                              "options": {"num_predict": 2}, **more})


def state(server):
    return index(server)[MODEL][1]


def wait_for(server, wanted, within_s=10):
    deadline = time.monotonic() + within_s
    while state(server) != wanted:
        assert time.monotonic() < deadline, f"still {state(server)}"
        time.sleep(0.05)


def test_a_model_is_kept_as_long_as_asked(server):
    assert ollama_post(server, keep_alive=0)[0] == 200
    wait_for(server, "UNAVAILABLE")
    begin = time.monotonic()
    assert ollama_post(server, keep_alive="1500ms")[0] == 200
    expires = server.curl("/api/ps")[2]
    assert b"2318" not in expires and b"expires_at" in expires
    assert state(server) == "READY"
    wait_for(server, "UNAVAILABLE")
    assert 1.4 < time.monotonic() - begin < 9
    # For ever, whatever was asked for before; what says nothing changes nothing.
    assert ollama_post(server, keep_alive=1)[0] == 200
    assert ollama_post(server, keep_alive=-1)[0] == 200
    assert ollama_post(server)[0] == 200
    time.sleep(1.5)
    assert state(server) == "READY" and b"2318" in server.curl("/api/ps")[2]


def test_keep_alive_waits_for_who_is_still_answered(server):
    ask = {"model": MODEL, "messages": HI, "max_tokens": 60, "stream": True, "ignore_eos": True}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.curl, "/v1/chat/completions", body=json.dumps(ask).encode())
        assert ollama_post(server, keep_alive=0)[0] == 200
        status, _, body = answer.result()
    assert status == 200 and body.rstrip().endswith(b"data: [DONE]")
    wait_for(server, "UNAVAILABLE")


@pytest.mark.parametrize("value", ["5", "m", "1h-2m", "", "5 m", [], {}, True])
def test_a_keep_alive_that_is_none(server, value):
    status, body = ollama_post(server, keep_alive=value)
    assert status == 400 and "keep_alive" in body["error"], body


def test_num_ctx_is_honoured_or_refused_with_the_limit(serve, smollm):
    with serve(smollm, "--context", 512) as server:
        server.wait_until_ready()
        status, body = ollama_post(server, options={"num_ctx": 513})
        assert status == 400 and "513" in body["error"] and "512" in body["error"], body
        status, body = ollama_post(server, options={"num_ctx": 60, "num_predict": -1})
        assert status == 200 and body["prompt_eval_count"] + body["eval_count"] <= 60, body
        status, body = ollama_post(server, options={"num_ctx": 5})
        assert status == 400 and "num_ctx" in body["error"], body
