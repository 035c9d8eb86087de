# SPDX-License-Identifier: Apache-2.0
"""What `tapeout doctor MODEL` says before a model is loaded, against what the process then has
resident; and the budget of a server: refusals with figures, and idle models that make room."""
import json
import pathlib
import shutil
import signal
import time

import ollama
import pytest

from conftest import FULL

MODEL = "SmolLM2-135M-Instruct.Q4_1"
CONTEXT = 1024
CACHE = (128 if FULL else 64) << 20
HI = [{"role": "user", "content": "hi"}]
# The plan is that of full use, and what a process keeps beside its models differs by machine.
MARGIN = 0.1


def resident_bytes(server):
    for line in pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def plan_of(tapeout, model, *words):
    return tapeout.json("doctor", model, *words)["plan"]


def fill(server, cache_tokens):
    """Prompts that have nothing in common, until every page has held something."""
    asked = 0
    for number in range(200):
        if asked > cache_tokens + CONTEXT:
            return
        words = " ".join(f"{number}-{i}" for i in range(180))
        status, body = server.post("/v1/completions", {"prompt": words, "max_tokens": 1, "n": 8,
                                                       "logprobs": 5})
        assert status == 200, body
        asked += body["usage"]["prompt_tokens"]
    pytest.fail("the cache is never full")


@pytest.mark.parametrize("kind", ["gguf", "bundle"])
def test_the_plan_is_near_the_truth(tapeout, serve, smollm, tmp_path, kind):
    model = smollm
    if kind == "bundle":
        model = pathlib.Path(tapeout.json("import", smollm)["bundle"])
    config = tmp_path / "serve.yaml"
    config.write_text(f"llm: {{context: {CONTEXT}, kv_bytes: {CACHE}, running: 8}}\n")
    plan = plan_of(tapeout, model, "--context", CONTEXT, "--kv-bytes", CACHE, "--running", 8)
    parts = sum(plan[f"{part}_bytes"] for part in
                ("weights", "tables", "workspace", "cache", "process"))
    assert parts == plan["total_bytes"]
    assert plan["weights_mapped"] == (kind == "bundle")
    with serve(model, "--config", config) as server:
        server.wait_until_ready()
        loaded = resident_bytes(server)
        assert loaded < plan["total_bytes"]
        fill(server, plan["cache_tokens"])
        full = resident_bytes(server)
        print(kind, "plan", plan, "loaded", loaded, "full", full)
        assert plan["total_bytes"] * (1 - MARGIN) < full < plan["total_bytes"] * (1 + MARGIN / 2)


# -- the budget ----------------------------------------------------------------------------------
def budget_for(tapeout, model, count):
    """Enough for `count` such models and not for one more."""
    plan = plan_of(tapeout, model, "--context", CONTEXT)
    one = plan["total_bytes"] - plan["process_bytes"]
    return plan["process_bytes"] + count * one + one // 2


@pytest.fixture
def two(smollm, tmp_path):
    """The same model by two names."""
    paths = [tmp_path / "one.gguf", tmp_path / "two.gguf"]
    for path in paths:
        path.symlink_to(smollm)
    return paths


def index(server):
    _, _, body = server.curl("/v2/repository/index", "-X", "POST")
    return {entry["name"]: entry["state"] for entry in json.loads(body)}


def change(server, what, model):
    status, _, body = server.curl(f"/v2/repository/models/{model}/{what}", "-X", "POST")
    return status, json.loads(body)


def test_a_start_beyond_the_budget_is_refused(tapeout, two, smollm):
    budget = budget_for(tapeout, smollm, 1)
    done = tapeout("serve", *two, "--no-auth", "--listen", "127.0.0.1:0", "--context", CONTEXT,
                       "--memory", budget)
    assert done.returncode == 1
    assert "MiB" in done.stderr and "two.gguf" in done.stderr and "budget" in done.stderr


def test_doctor_refuses_by_figures(tapeout, smollm):
    budget = budget_for(tapeout, smollm, 1)
    assert tapeout.json("doctor", smollm, "--context", CONTEXT, "--memory", budget)["fits"]
    small = plan_of(tapeout, smollm, "--context", CONTEXT)["total_bytes"] - 1
    done = tapeout("doctor", smollm, "--context", CONTEXT, "--memory", small, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1 and not found["fits"] and "does not fit" in done.stderr
    # What is said to fit does, and a token more does not.
    for cache in found["caches"]:
        words = ["--kv-q8"] if cache["type"] == "q8_0" else []
        for streams in (cache["streams"], cache["streams"] + 1):
            kv = -(-CONTEXT // 32) * 32 * cache["token_bytes"] * streams
            again = tapeout("doctor", smollm, "--context", CONTEXT, "--memory", small, "--json",
                                "--kv-bytes", max(kv, 1 << 20), *words)
            assert json.loads(again.stdout)["fits"] == (streams == cache["streams"])


def test_idle_models_make_room_for_who_is_asked_for(tapeout, serve, two, smollm, tmp_path):
    config = tmp_path / "serve.yaml"
    config.write_text(f"llm: {{context: {CONTEXT}, unload_idle: true, "
                      f"memory_bytes: {budget_for(tapeout, smollm, 1)}}}\n")
    with serve(*two, "--config", config) as server:
        server.wait_until_ready()
        assert index(server) == {"one": "READY", "two": "UNAVAILABLE"}
        client = ollama.Client(f"http://{server.address}")
        assert client.chat("two", HI, options={"num_predict": 2})["done"]
        assert index(server) == {"one": "UNAVAILABLE", "two": "READY"}
        assert change(server, "load", "one") == (200, {})
        assert index(server) == {"one": "READY", "two": "UNAVAILABLE"}
        status, body = server.post("/v1/chat/completions", {"model": "one", "messages": HI,
                                                            "max_tokens": 2})
        assert status == 200, body


def logged(server, name):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [event for event in server.log if event["event"] == name]
        if found:
            return found[-1]
        time.sleep(0.05)
    return pytest.fail(f"no {name} in {server.log[-5:]}")


def test_a_load_beyond_the_budget_is_refused(tapeout, serve, smollm, two, tmp_path):
    """A file that has grown since: what was served is served on."""
    model = tmp_path / "model.gguf"
    shutil.copy(smollm, model)
    with serve(model, "--context", CONTEXT, "--memory", budget_for(tapeout, smollm, 1)) as server:
        server.wait_until_ready()
        shutil.copy(smollm, tmp_path / "fresh.gguf")
        (tmp_path / "fresh.gguf").rename(model)  # another file of that name
        server.process.send_signal(signal.SIGHUP)
        assert "budget" in str(logged(server, "reload_failed"))
        assert server.post("/v1/chat/completions", {"messages": HI, "max_tokens": 2})[0] == 200
        assert change(server, "unload", "model") == (200, {})
        assert change(server, "load", "model") == (200, {})
