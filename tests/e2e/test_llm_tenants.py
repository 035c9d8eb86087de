# SPDX-License-Identifier: Apache-2.0
"""Cached prompts of a language model: callers of one tenant share their pages, tenants never do,
whether by figures in a reply or by what /metrics counts."""
import json
import time

from conftest import Server

PROMPT = "The committee met on a rainy morning to talk about the harbour. " * 12


def cached(server, key, model, prompt=PROMPT):
    status, _, body = server.curl(
        "/v1/completions", "-H", f"Authorization: Bearer {key}", "-H",
        "Content-Type: application/json", body=json.dumps(
            {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0}).encode())
    assert status == 200, body
    usage = json.loads(body)["usage"]
    assert usage["prompt_tokens"] > 100
    return usage["prompt_tokens_details"]["cached_tokens"]


def test_prompts_are_shared_within_a_tenant_only(tapeout, smollm, tmp_path):
    config = tmp_path / "serve.yaml"
    config.write_text(f"""
llm: {{context: 1024}}
models:
  - {{path: "{smollm}", name: ours}}
  - {{path: "{smollm}", name: theirs, tenant: acme}}
""")
    with Server(tapeout, "--config", config, auth=True) as server:
        keys = {name: tapeout.ok("access", "key", "new", name, "--role", "scorer", "--tenant",
                                 tenant).strip()
                for name, tenant in (("ann", "default"), ("bob", "default"), ("eve", "acme"))}
        server.wait_until_ready()
        time.sleep(1)
        assert cached(server, keys["ann"], "ours") == 0
        again = cached(server, keys["ann"], "ours")
        assert again > 100  # else there is nothing to share
        assert cached(server, keys["bob"], "ours") == again
        assert cached(server, keys["eve"], "theirs") == 0  # the same words, another world
        assert cached(server, keys["eve"], "theirs") == again
        # And back: what eve has asked for is not in the other world either.
        assert cached(server, keys["eve"], "theirs", "Eve " + PROMPT) == 0
        assert cached(server, keys["ann"], "ours", "Eve " + PROMPT) == 0
        for key, model in ((keys["eve"], "ours"), (keys["ann"], "theirs")):
            status = server.curl("/v1/completions", "-H", f"Authorization: Bearer {key}",
                                 body=json.dumps({"model": model, "prompt": "x"}).encode())[0]
            assert status == 404
