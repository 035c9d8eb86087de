# SPDX-License-Identifier: Apache-2.0
"""The ollama package as it is, against a server with a real model."""
import json

import ollama
import pytest

from conftest import metric

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
GREEDY = {"temperature": 0, "num_predict": 24}


@pytest.fixture(scope="module")
def client(chat_server):
    return ollama.Client(chat_server.url)


def test_the_server_says_what_it_is(chat_server):
    status, headers, body = chat_server.curl("/")
    assert status == 200 and b"Ollama is running" in body
    status, headers, _ = chat_server.curl("/api/tags")
    assert status == 200 and headers["content-type"].startswith("application/json")
    assert chat_server.curl("/", "--head")[0] == 200
    for path in ("/health", "/v1/health"):
        status, _, body = chat_server.curl(path)
        assert status == 200 and json.loads(body) == {"status": "ok"}
    assert json.loads(chat_server.curl("/api/version")[2])["version"]


def test_list_ps_and_show(client, chat_server, smollm):
    listed = client.list().models
    assert [model.model for model in listed] == [chat_server.model + ":latest"]
    assert listed[0].size == smollm.stat().st_size
    assert listed[0].details.quantization_level == "Q4_1"
    assert client.ps().models[0].context_length == 2048
    about = client.show(chat_server.model + ":latest")
    assert about.details.family == "llama" and "completion" in about.capabilities
    assert about.modelinfo["general.architecture"] == "llama"
    assert "im_start" in about.template


def test_chat_whole_and_in_lines(client, chat_server):
    whole = client.chat(chat_server.model, QUESTION, options=GREEDY)
    assert "Paris" in whole.message.content and whole.done_reason == "stop"
    assert whole.prompt_eval_count > 0 and whole.eval_duration > 1000
    assert whole.total_duration >= whole.eval_duration
    lines = list(client.chat(chat_server.model + ":latest", QUESTION, options=GREEDY, stream=True))
    assert "".join(line.message.content for line in lines) == whole.message.content
    assert [line.done for line in lines] == [False] * (len(lines) - 1) + [True]
    assert lines[-1].eval_count == whole.eval_count


def test_streaming_is_the_default_of_the_protocol(chat_server):
    _, headers, body = chat_server.curl("/api/generate", body=json.dumps(
        {"model": chat_server.model, "prompt": "hi", "options": {"num_predict": 2}}).encode())
    assert headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in body.splitlines()]
    assert len(lines) >= 2 and lines[-1]["done"] is True and lines[-1]["done_reason"] == "length"


def test_generate(client, chat_server):
    answer = client.generate(chat_server.model, QUESTION[0]["content"], options=GREEDY,
                             system="Answer in a sentence.")
    assert "Paris" in answer.response
    raw = client.generate(chat_server.model, "The capital of France is", raw=True,
                          options={**GREEDY, "num_predict": 4})
    assert "Paris" in raw.response
    stopped = client.generate(chat_server.model, "The capital of France is", raw=True,
                              options={**GREEDY, "stop": ["Paris"]})
    assert "Paris" not in stopped.response and stopped.done_reason == "stop"


def test_formats(client, chat_server):
    schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0,
                                                       "maximum": 99}},
              "required": ["age"], "additionalProperties": False}
    answer = client.chat(chat_server.model, QUESTION, format=schema,
                         options={"temperature": 0, "num_predict": 60})
    assert 0 <= json.loads(answer.message.content)["age"] <= 99
    status, body = chat_server.post("/api/chat", {"model": chat_server.model, "messages": QUESTION,
                                                  "format": "yaml"})
    assert status == 400 and "format" in body["error"]


def test_a_tool_call_has_arguments_as_an_object(client, chat_server):
    """The model is made to write the call: what it would say by itself is luck."""
    call = {"name": "add", "arguments": {"a": 1}}
    schema = {"type": "object", "properties": {
        "name": {"const": "add"},
        "arguments": {"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"],
                      "additionalProperties": False}},
        "required": ["name", "arguments"], "additionalProperties": False}

    def add(a: int) -> int:
        """Adds.

        Args:
          a: a number
        """
        return a

    for stream in (False, True):
        answer = client.chat(chat_server.model, QUESTION, tools=[add], format=schema,
                             stream=stream, options={"temperature": 0, "num_predict": 200})
        parts = list(answer) if stream else [answer]
        calls = [one for part in parts for one in part.message.tool_calls or []]
        assert [(one.function.name, dict(one.function.arguments)) for one in calls] == \
            [(call["name"], call["arguments"])]
        assert "".join(part.message.content for part in parts).strip() == ""


def test_embed(client, chat_server):
    vectors = client.embed(chat_server.model, ["a cat", "a dog"]).embeddings
    assert [len(vector) for vector in vectors] == [576, 576]
    assert client.embeddings(chat_server.model, "a cat").embedding == pytest.approx(vectors[0])


def test_errors(client, chat_server):
    with pytest.raises(ollama.ResponseError) as caught:
        client.chat("nobody", QUESTION)
    assert caught.value.status_code == 404 and "nobody" in caught.value.error
    with pytest.raises(ollama.ResponseError) as caught:
        client.chat(chat_server.model, [{"role": "user", "content": "x", "images": ["aGk="]}])
    assert caught.value.status_code == 400 and "images" in caught.value.error
    for refused in (client.pull, client.delete):
        with pytest.raises(ollama.ResponseError) as caught:
            refused("nobody")
        assert caught.value.status_code == 400


def test_an_empty_chat_asks_whether_it_is_loaded(client, chat_server):
    assert client.chat(chat_server.model, []).done_reason == "load"
    assert client.generate(chat_server.model, "").done_reason == "load"


def test_metrics_of_three_kinds(client, chat_server):
    client.generate(chat_server.model, "hi", options={"num_predict": 3})
    model = chat_server.model
    assert metric(chat_server, "tapeout_llm_generated_tokens_total", model=model) >= 3
    assert metric(chat_server, "tapeout_llm_requests_total", model=model, finish="length") >= 1
    assert metric(chat_server, "tapeout_llm_requests_running", model=model) == 0
    assert metric(chat_server, "tapeout_llm_time_to_first_token_seconds_count", model=model) >= 1
    assert metric(chat_server, "vllm:generation_tokens_total", model_name=model) >= 3
    assert metric(chat_server, "vllm:e2e_request_latency_seconds_count", model_name=model) >= 1
    assert 0 <= metric(chat_server, "vllm:kv_cache_usage_perc", model_name=model) <= 1
    assert metric(chat_server, "llamacpp:tokens_predicted_total", model=model) >= 3
