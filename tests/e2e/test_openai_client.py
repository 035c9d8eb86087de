# SPDX-License-Identifier: Apache-2.0
"""The openai package as it is, against a server with a real model: what it sends, what it accepts,
which of its errors it raises."""
import asyncio
import json

import openai
import pydantic
import pytest

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12},
                                            "unit": {"enum": ["celsius", "fahrenheit"]}},
           "required": ["city", "unit"], "additionalProperties": False}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "The weather.",
                                           "parameters": WEATHER, "strict": True}}]


@pytest.fixture(scope="module")
def client(chat_server):
    with openai.OpenAI(base_url=chat_server.url + "/v1", api_key="none", max_retries=0) as made:
        yield made


def test_models(client, chat_server):
    assert [model.id for model in client.models.list()] == [chat_server.model]
    assert client.models.retrieve(chat_server.model).object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_a_chat_whole_and_in_pieces_is_the_same(client, chat_server):
    whole = client.chat.completions.create(model=chat_server.model, messages=QUESTION,
                                           temperature=0, max_tokens=24)
    assert "Paris" in whole.choices[0].message.content
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    chunks = list(client.chat.completions.create(
        model=chat_server.model, messages=QUESTION, temperature=0, max_tokens=24, stream=True,
        stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == \
        whole.usage.completion_tokens
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"


def test_without_include_usage_no_chunk_lacks_choices(client, chat_server):
    for chunk in client.chat.completions.create(model=chat_server.model, messages=QUESTION,
                                                max_tokens=3, stream=True):
        assert chunk.choices and chunk.usage is None


def test_the_async_client(chat_server):
    async def ask():
        async with openai.AsyncOpenAI(base_url=chat_server.url + "/v1", api_key="none") as client:
            async def one(seed):
                answer = await client.chat.completions.create(
                    model=chat_server.model, messages=QUESTION, max_tokens=12, seed=seed)
                return answer.choices[0].message.content
            stream = await client.chat.completions.create(
                model=chat_server.model, messages=QUESTION, temperature=0, max_tokens=12,
                stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            return text, await asyncio.gather(*map(one, [1, 1, 2, 3])), await one(3)

    text, several, alone = asyncio.run(ask())
    assert "Paris" in text
    assert several[0] == several[1] and several[3] == alone  # the seed decides, not the company


def test_several_choices(client, chat_server):
    answer = client.chat.completions.create(model=chat_server.model, messages=QUESTION, n=2,
                                            seed=5, temperature=1, max_tokens=16)
    assert [choice.index for choice in answer.choices] == [0, 1]
    texts = {0: "", 1: ""}
    for chunk in client.chat.completions.create(model=chat_server.model, messages=QUESTION, n=2,
                                                seed=5, temperature=1, max_tokens=16, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == {c.index: c.message.content for c in answer.choices}


def test_logprobs(client, chat_server):
    answer = client.chat.completions.create(model=chat_server.model, messages=QUESTION,
                                            temperature=0, max_tokens=5, logprobs=True,
                                            top_logprobs=3)
    entries = answer.choices[0].logprobs.content
    assert "".join(entry.token for entry in entries) == answer.choices[0].message.content
    for entry in entries:
        assert entry.logprob <= 0 and len(entry.top_logprobs) == 3
        assert entry.top_logprobs[0].token == entry.token  # greedy takes the likeliest
        assert bytes(entry.bytes).decode() == entry.token


def test_stop_strings_are_no_part_of_the_answer(client, chat_server):
    answer = client.chat.completions.create(model=chat_server.model, messages=QUESTION,
                                            temperature=0, max_tokens=24, stop=[" Paris"])
    assert answer.choices[0].message.content == "The capital of France is"
    assert answer.choices[0].finish_reason == "stop"


def test_a_forced_tool(client, chat_server):
    wanted = {"type": "function", "function": {"name": "get_weather"}}
    for choice in ("required", wanted):
        answer = client.chat.completions.create(
            model=chat_server.model, messages=QUESTION, tools=TOOLS, tool_choice=choice,
            temperature=0, max_tokens=200, parallel_tool_calls=False)
        calls = answer.choices[0].message.tool_calls
        assert answer.choices[0].finish_reason == "tool_calls" and len(calls) == 1
        assert calls[0].function.name == "get_weather"
        assert set(json.loads(calls[0].function.arguments)) == {"city", "unit"}


def test_tool_deltas_add_up(client, chat_server):
    with client.chat.completions.stream(
            model=chat_server.model, messages=QUESTION, tools=TOOLS, tool_choice="required",
            temperature=0, max_tokens=200, parallel_tool_calls=False) as stream:
        fragments = [event.arguments_delta for event in stream
                     if event.type == "tool_calls.function.arguments.delta"]
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert len(fragments) > 4 and "".join(fragments) == call.function.arguments
    assert call.id.startswith("call_")
    assert call.function.name == "get_weather"
    assert call.function.parsed_arguments["unit"] in ("celsius", "fahrenheit")


def test_a_conversation_with_a_tools_answer(client, chat_server):
    messages = QUESTION + [
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function",
             "function": {"name": "get_weather", "arguments": "{\"city\":\"Paris\"}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "mild"}]}]
    answer = client.chat.completions.create(model=chat_server.model, messages=messages,
                                            tools=TOOLS, tool_choice="none", max_tokens=4)
    assert answer.choices[0].message.tool_calls is None


class City(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=16)
    population: int = pydantic.Field(ge=0, le=99999999)
    is_capital: bool


def test_parse_into_a_pydantic_model(client, chat_server):
    answer = client.chat.completions.parse(model=chat_server.model, messages=QUESTION,
                                           response_format=City, temperature=0, max_tokens=200)
    city = answer.choices[0].message.parsed
    assert isinstance(city, City) and 0 <= city.population <= 99999999


def test_json_mode(client, chat_server):
    answer = client.chat.completions.create(
        model=chat_server.model, messages=QUESTION, response_format={
            "type": "json_schema",
            "json_schema": {"name": "weather", "schema": WEATHER, "strict": True}},
        max_tokens=200, temperature=0)
    assert set(json.loads(answer.choices[0].message.content)) == {"city", "unit"}


def test_completions_with_echo_and_logprobs(client, chat_server):
    answer = client.completions.create(model=chat_server.model, prompt="The capital of France is",
                                       max_tokens=3, temperature=0, echo=True, logprobs=2)
    choice = answer.choices[0]
    assert choice.text.startswith("The capital of France is")
    lists = choice.logprobs
    assert len(lists.tokens) == len(lists.token_logprobs) == len(lists.text_offset)
    assert "".join(lists.tokens) == choice.text
    assert lists.text_offset[0] == 0 and lists.token_logprobs[0] is None
    assert all(value <= 0 for value in lists.token_logprobs[1:])
    for token, offset in zip(lists.tokens, lists.text_offset):
        assert choice.text.encode()[offset:].startswith(token.encode())


def test_completions_of_tokens_and_in_pieces(client, chat_server):
    _, tokens = chat_server.post("/tokenize", {"content": "One, two, three,"})
    whole = client.completions.create(model=chat_server.model, prompt=tokens["tokens"],
                                      max_tokens=6, temperature=0)
    pieces = client.completions.create(model=chat_server.model, prompt="One, two, three,",
                                       max_tokens=6, temperature=0, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == whole.choices[0].text
    _, text = chat_server.post("/detokenize", tokens)
    assert text["content"] == "One, two, three,"


def test_embeddings_as_base64_and_as_numbers(client, chat_server):
    texts = ["a cat", "a dog"]
    packed = client.embeddings.create(model=chat_server.model, input=texts)  # base64 by default
    plain = client.embeddings.create(model=chat_server.model, input=texts, encoding_format="float")
    assert [entry.index for entry in plain.data] == [0, 1]
    for one, other in zip(packed.data, plain.data):
        assert len(one.embedding) == 576
        assert one.embedding == pytest.approx(other.embedding, rel=1e-6)
    short = client.embeddings.create(model=chat_server.model, input="a cat", dimensions=8)
    assert len(short.data[0].embedding) == 8
    assert sum(x * x for x in short.data[0].embedding) == pytest.approx(1, abs=1e-5)


def test_a_response(client, chat_server):
    answer = client.responses.create(
        model=chat_server.model, instructions="Answer in a sentence.", temperature=0,
        input=[{"role": "user",
                "content": [{"type": "input_text", "text": QUESTION[0]["content"]}]}],
        max_output_tokens=40)
    assert answer.status == "completed" and "Paris" in answer.output_text
    assert answer.instructions == "Answer in a sentence."
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    cut = client.responses.create(model=chat_server.model, input="Count to a hundred.",
                                  max_output_tokens=3)
    assert cut.status == "incomplete" and cut.incomplete_details.reason == "max_output_tokens"
    assert cut.output[0].status == "incomplete"


def test_a_response_in_events(client, chat_server):
    events = []
    with client.responses.stream(model=chat_server.model, input=QUESTION[0]["content"],
                                 temperature=0, max_output_tokens=40) as stream:
        events.extend(stream)
        final = stream.get_final_response()
    assert [event.type for event in events[:4]] == [
        "response.created", "response.in_progress", "response.output_item.added",
        "response.content_part.added"]
    assert events[-1].type == "response.completed"
    numbers = [event.sequence_number for event in events]
    assert numbers == list(range(len(numbers)))
    deltas = [e.delta for e in events if e.type == "response.output_text.delta"]
    assert "".join(deltas) == final.output_text and len(deltas) > 3
    assert "Paris" in final.output_text


def test_a_response_that_calls_a_tool(client, chat_server):
    tools = [{"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": True}]
    with client.responses.stream(model=chat_server.model, input="The weather in Rome?",
                                 tools=tools, tool_choice="required", temperature=0,
                                 parallel_tool_calls=False, max_output_tokens=200) as stream:
        events = list(stream)
        call = stream.get_final_response().output[0]
    assert call.type == "function_call" and call.name == "get_weather"
    fragments = [event.delta for event in events
                 if event.type == "response.function_call_arguments.delta"]
    assert len(fragments) > 4 and "".join(fragments) == call.arguments
    answer = client.responses.create(
        model=chat_server.model, max_output_tokens=8, tools=tools, tool_choice="none",
        input=[{"role": "user", "content": "The weather in Rome?"}, call.model_dump(),
               {"type": "function_call_output", "call_id": call.call_id, "output": "mild"}])
    assert answer.output[0].type == "message"


def test_a_response_parsed(client, chat_server):
    answer = client.responses.parse(model=chat_server.model, input="Tell of Paris.",
                                    text_format=City, temperature=0, max_output_tokens=200)
    assert isinstance(answer.output_parsed, City)


@pytest.mark.parametrize("key, value", [("previous_response_id", "resp_1"), ("background", True),
                                        ("tools", [{"type": "web_search"}])])
def test_what_responses_cannot(client, chat_server, key, value):
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=chat_server.model, input="hi", **{key: value})
    assert key in caught.value.message


def test_errors_have_their_classes(client, chat_server):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="nobody", messages=QUESTION)
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=chat_server.model, messages=QUESTION, temperature=-1)
    assert "temperature" in caught.value.message
    assert caught.value.type == "invalid_request_error"
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model=chat_server.model, stream=stream, messages=[
                {"role": "user", "content": "word " * 3000}])
        assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=chat_server.model, messages=[
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])


# -- several prompts -----------------------------------------------------------------------------
def complete(server, prompt, **more):
    return server.post("/v1/completions", {"model": server.model, "prompt": prompt, "seed": 3,
                                           "max_tokens": 6, "temperature": 0.7, **more})


def test_a_list_of_prompts_is_answered_as_each_alone(chat_server):
    prompts = ["The capital of France is", "Two and two are", "Water is"]
    alone = [complete(chat_server, prompt)[1] for prompt in prompts]
    status, body = complete(chat_server, prompts)
    assert status == 200, body
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert [choice["text"] for choice in body["choices"]] == [
        one["choices"][0]["text"] for one in alone]
    assert body["usage"]["prompt_tokens"] == sum(one["usage"]["prompt_tokens"] for one in alone)
    ids = [chat_server.post("/tokenize", {"content": prompt})[1]["tokens"] for prompt in prompts]
    assert [choice["text"] for choice in complete(chat_server, ids)[1]["choices"]] == [
        choice["text"] for choice in body["choices"]]
    mixed = complete(chat_server, [prompts[0], ids[1]])[1]
    assert [choice["text"] for choice in mixed["choices"]] == [
        choice["text"] for choice in body["choices"][:2]]


def test_a_list_of_prompts_with_several_answers_each(chat_server):
    prompts = ["One", "Two"]
    alone = [complete(chat_server, prompt, n=2, echo=True, logprobs=1)[1] for prompt in prompts]
    body = complete(chat_server, prompts, n=2, echo=True, logprobs=1)[1]
    want = [choice for one in alone for choice in one["choices"]]
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
    for got, one in zip(body["choices"], want):
        assert got["text"] == one["text"] and got["logprobs"] == one["logprobs"]
    stream = chat_server.curl("/v1/completions", body=json.dumps({
        "prompt": prompts, "n": 2, "echo": True, "seed": 3, "max_tokens": 6, "temperature": 0.7,
        "stream": True}).encode())[2]
    texts = [""] * 4
    for line in stream.split(b"\n"):
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:])["choices"]:
                texts[choice["index"]] += choice["text"]
    assert texts == [choice["text"] for choice in want]


def test_a_list_of_prompts_is_taken_whole_or_not_at_all(chat_server):
    for prompt in ([], ["a"] * 129, ["a", 5], ["a", []], [[1], ["x"]]):
        status, body = complete(chat_server, prompt)
        assert status == 400, (prompt, body)
    status, body = complete(chat_server, ["a"] * 65, n=2)
    assert status == 400 and "128" in body["error"]["message"], body
    for stream in (False, True):
        status, body = complete(chat_server, ["fine", "word " * 3000], stream=stream)
        assert status == 400 and body["error"]["code"] == "context_length_exceeded", body
