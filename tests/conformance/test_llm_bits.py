# SPDX-License-Identifier: Apache-2.0
"""The same bits of every log-probability, whatever the circumstances.

One run of `tapeout score` with one thread is the yardstick. Other thread counts, the plain kernels,
a server with seven other streams, a prompt that is in the cache, one that is read in pieces and a
bundle must give it back to the last bit: numbers are printed so that they read back to the same
bits, and compared with ==. The tiny models always run; real ones where they are found, see
test_llm_vectors.py.
"""
import contextlib
import json
import os
import pathlib
import threading
import urllib.error
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TINY = ROOT / "tests/conformance/llm_tiny"
REAL = ["SmolLM2-135M-Instruct.Q4_1.gguf", "gemma-3-270m-q4_k_m.gguf"]
OTHERS = 7
ANSWER = 24


@pytest.fixture(params=["llama-q4_1.gguf", "llama-k_mixed.gguf", "gemma3-q4_0.gguf",
                        "qwen3moe-q8_0.gguf", *REAL])
def model(request):
    if request.param not in REAL:
        return TINY / request.param
    for folder in (os.environ.get("TAPEOUT_TEST_MODELS"), ROOT / ".deps/models"):
        if folder and (pathlib.Path(folder) / request.param).is_file():
            return pathlib.Path(folder) / request.param
    return pytest.skip(f"no {request.param} in TAPEOUT_TEST_MODELS or .deps/models")


def some_ids(count, seed=1):
    """Ids that every vocabulary here has and that are no control tokens."""
    return [40 + (i * i * 31 + i * 17 * seed + seed) % 200 for i in range(count)]


def is_real(model):
    return model.name in REAL


def long_count(model):
    """More than one step takes, or at least more than a piece beside others."""
    return 600 if is_real(model) else 180


def score(tapeout, model, ids, folder, *words, top=5, env=None):
    file = folder / "ids.json"
    file.write_text(json.dumps(ids))
    out = tapeout.ok("score", model, "--ids", file, "--top", top, "--json", *words, env=env)
    return [json.loads(line) for line in out.splitlines()]


def post(server, path, body):
    """The decoded reply; many may be under way at once."""
    request = urllib.request.Request(server.url + path, json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=300) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        pytest.fail(f"{path}: {error.code}: {error.read()[:500]}")


def complete(server, ids, **more):
    return post(server, "/v1/completions", {"prompt": ids, "temperature": 0, **more})


@contextlib.contextmanager
def company(server, count=OTHERS):
    """Seven clients that are being answered all the time; the body runs once each has begun."""
    is_over = threading.Event()
    started = [threading.Event() for _ in range(count)]
    failures = []

    def talk(number):
        turn = 0
        while not is_over.is_set():
            turn += 1
            body = {"prompt": some_ids(20 + 9 * number, seed=number + 10 * turn), "stream": True,
                    "temperature": 1.0, "seed": turn, "max_tokens": 64}
            request = urllib.request.Request(server.url + "/v1/completions",
                                             json.dumps(body).encode(),
                                             {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=300) as reply:
                    for line in reply:
                        if line.startswith(b"data:"):
                            started[number].set()
                        if is_over.is_set():
                            break  # a client that goes away
            except OSError as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        assert all(event.wait(300) for event in started), failures
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert not failures


def prompt_logprobs(reply):
    """Of an echoed prompt, from the second token on, and of the one token behind it."""
    values = reply["choices"][0]["logprobs"]["token_logprobs"]
    return values[1:] if values[0] is None else values


def test_threads(tapeout, model, tmp_path):
    ids = some_ids(long_count(model))
    want = score(tapeout, model, ids, tmp_path, "--threads", 1)
    assert len(want) == len(ids)
    for threads in (2, 7):
        assert score(tapeout, model, ids, tmp_path, "--threads", threads) == want, threads


@pytest.mark.parametrize("variant", ["ref", "avx2"])
def test_variants(tapeout, model, tmp_path, variant):
    ids = some_ids(12 if is_real(model) else 40)
    want = score(tapeout, model, ids, tmp_path)
    assert score(tapeout, model, ids, tmp_path, env={"TAPEOUT_CPU": variant}) == want


def test_bundle(tapeout, model, tmp_path):
    ids = some_ids(40)
    bundle = tapeout.json("import", model, "--name", "tiny")["bundle"]
    want = score(tapeout, model, ids, tmp_path)
    assert score(tapeout, bundle, ids, tmp_path) == want
    assert score(tapeout, "tiny", ids, tmp_path, "--threads", 3) == want


def test_prompt_among_others(tapeout, serve, model, tmp_path):
    ids = some_ids(long_count(model))
    want = [line["logprob"] for line in score(tapeout, model, ids, tmp_path, top=0)[:-1]]
    with serve(model) as server:
        server.wait_until_ready()
        alone = complete(server, ids, echo=True, logprobs=0, max_tokens=1)
        with company(server):
            beside = complete(server, ids, echo=True, logprobs=0, max_tokens=1)
    assert prompt_logprobs(alone)[:-1] == want
    assert prompt_logprobs(beside) == prompt_logprobs(alone)


def test_answer_among_others(tapeout, serve, model, tmp_path):
    """Generated tokens: a prompt new and cached, read at once and in pieces, alone and beside."""
    ids = some_ids(long_count(model), seed=3)
    with serve(model) as server:
        server.wait_until_ready()
        ask = lambda prompt: complete(server, prompt, logprobs=5, max_tokens=ANSWER)
        first = ask(ids)
        cached = ask(ids)
        with company(server):
            beside = ask(ids)
            # Another beginning: nothing of it is cached, so it is read in pieces.
            in_pieces = ask(some_ids(long_count(model), seed=4))
        with serve(model) as fresh:
            fresh.wait_until_ready()
            at_once = complete(fresh, some_ids(long_count(model), seed=4), logprobs=5,
                               max_tokens=ANSWER)
    assert first["usage"].get("prompt_tokens_details", {}).get("cached_tokens", 0) == 0
    assert cached["usage"]["prompt_tokens_details"]["cached_tokens"] >= len(ids) - 32
    assert cached["choices"] == first["choices"]
    assert beside["choices"] == first["choices"]
    assert in_pieces["choices"] == at_once["choices"]


def test_answer_as_scored(tapeout, serve, model, tmp_path):
    """Token by token, the log-probabilities are those of the whole text read at once."""
    prompt = "The quick brown fox"
    words = ["--raw", "--prompt", prompt, "--max-tokens", ANSWER]
    answer = tapeout.json("generate", model, *words)
    assert tapeout.json("generate", model, *words, "--threads", 7)["ids"] == answer["ids"]
    ids = json.loads(tapeout.ok("tokenize", model, "--bos", "--json", stdin=prompt.encode()))["ids"]
    assert answer["usage"]["prompt_tokens"] == len(ids)
    lines = score(tapeout, model, ids + answer["ids"], tmp_path, top=1)[len(ids) - 1:]
    for token, line in zip(answer["ids"], lines):
        assert line["top"][0] == [token, line["logprob"]]
    with serve(model) as server:
        server.wait_until_ready()
        got = complete(server, prompt, logprobs=0, max_tokens=ANSWER)["choices"][0]
    want = [line["logprob"] for line in lines[:len(answer["ids"])]]
    assert got["logprobs"]["token_logprobs"] == want
    assert got["text"] == answer["text"]


def test_draws(tapeout, serve, model):
    """Temperature and seed: the same text in the terminal, on a server, cached, among others."""
    prompt = "Once upon a time " * 9
    want = tapeout.json("generate", model, "--raw", "--prompt", prompt, "--max-tokens", ANSWER,
                        "--temperature", 0.8, "--seed", 7)
    other = tapeout.json("generate", model, "--raw", "--prompt", prompt, "--max-tokens", ANSWER,
                         "--temperature", 0.8, "--seed", 8)
    assert other["ids"] != want["ids"]
    with serve(model) as server:
        server.wait_until_ready()
        ask = lambda: complete(server, prompt, max_tokens=ANSWER, temperature=0.8,
                               seed=7)["choices"][0]["text"]
        assert [ask(), ask()] == [want["text"]] * 2
        with company(server):
            assert ask() == want["text"]
        # Choice 0 of several is what one alone would be; the others are drawn apart.
        several = complete(server, prompt, max_tokens=ANSWER, temperature=0.8, seed=7, n=3)
        texts = [choice["text"] for choice in several["choices"]]
        assert texts[0] == want["text"] and len(set(texts)) == 3


@pytest.mark.parametrize("model", REAL[:1], indirect=True)  # the one with a chat template
def test_chat_as_generate(tapeout, serve, model):
    question, system = "What is the capital of France?", "You answer in one word."
    want = tapeout.json("generate", model, "--prompt", question, "--system", system,
                        "--max-tokens", ANSWER)
    assert "Paris" in want["text"]
    body = {"messages": [{"role": "system", "content": system},
                         {"role": "user", "content": question}],
            "temperature": 0, "max_tokens": ANSWER, "logprobs": True, "top_logprobs": 1}
    with serve(model) as server:
        server.wait_until_ready()
        alone = post(server, "/v1/chat/completions", body)
        with company(server):
            beside = post(server, "/v1/chat/completions", body)
    assert alone["choices"][0]["message"]["content"] == want["text"]
    assert alone["usage"]["prompt_tokens"] == want["usage"]["prompt_tokens"]
    assert alone["usage"]["completion_tokens"] == len(want["ids"])
    assert beside["choices"] == alone["choices"]
