#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the corpora that are made of parts: gguf_split, hf_bert, tool_calls,
responses, ollama, openai and,
of the models of tests/conformance/onnx, onnx.

    tests/fuzz/make_seeds.py      writes tests/fuzz/corpus/<target>/; the rest of a corpus stays

A seed is a whole, small, right input or one with a single thing wrong, so that a mutation of it
stands behind the first checks of the parser.
"""
import json
import pathlib
import struct

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"


def write(target, name, data):
    path = CORPUS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


# -- gguf_split ----------------------------------------------------------------------------------

U16, U32, I32 = 2, 4, 5


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def number(key, kind, value):
    form = {U16: "<H", U32: "<I", I32: "<i"}[kind]
    return text(key) + struct.pack("<I", kind) + struct.pack(form, value)


def gguf(keys, tensors):
    """A file of F32 vectors of four weights each."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys)
    for i, name in enumerate(tensors):
        out += text(name) + struct.pack("<IQIQ", 1, 4, 0, 32 * i)
    out += bytes(-len(out) % 32)
    return out + b"".join(struct.pack("<4f", 1, 2, 3, i).ljust(32, b"\0")
                          for i in range(len(tensors)))


def part(no, count, total, tensors):
    return gguf([number("split.no", U16, no), number("split.count", U16, count),
                 number("split.tensors.count", I32, total)], tensors)


def split_seed(name, count, opened, files):
    write("gguf_split", name, bytes([count, opened])
          + b"".join(struct.pack("<H", len(f)) + f for f in files))


def make_gguf_split():
    first, second = part(0, 2, 3, ["a", "b"]), part(1, 2, 3, ["c"])
    split_seed("alone", 0, 0, [gguf([number("split.count", U16, 1)], ["a"])])
    split_seed("two", 2, 0, [first, second])
    split_seed("three", 3, 0, [part(0, 3, 3, ["a"]), part(1, 3, 3, ["b"]), part(2, 3, 3, ["c"])])
    split_seed("second_is_named", 2, 1, [first, second])
    split_seed("not_named_so", 0, 0, [first])
    split_seed("named_of_three", 3, 0, [first, second])
    split_seed("one_is_missing", 2, 0, [first])
    split_seed("same_tensor", 2, 0, [first, part(1, 2, 3, ["a"])])
    split_seed("same_part", 2, 0, [first, first])
    split_seed("other_count", 2, 0, [first, part(1, 3, 3, ["c"])])
    split_seed("other_total", 2, 0, [first, part(1, 2, 4, ["c"])])
    split_seed("too_few", 2, 0, [part(0, 2, 4, ["a", "b"]), part(1, 2, 4, ["c"])])
    split_seed("too_many", 2, 0, [part(0, 2, 2, ["a", "b"]), part(1, 2, 2, ["c"])])
    split_seed("number_beyond", 2, 0, [part(2, 2, 3, ["a"]), second])
    split_seed("count_beyond", 2, 0, [part(0, 2000, 3, ["a"]), second])
    split_seed("number_is_absent", 2, 0, [gguf([number("split.count", U16, 2)], ["a"]), second])
    split_seed("second_is_cut", 2, 0, [first, second[:-40]])
    split_seed("first_is_cut", 2, 0, [first[:-40], second])
    split_seed("second_has_no_keys", 2, 0, [first, gguf([], ["c"])])
    split_seed("nothing", 0, 0, [])


# -- hf_bert -------------------------------------------------------------------------------------

CONFIG = {"model_type": "bert", "hidden_act": "gelu", "hidden_size": 2, "intermediate_size": 3,
          "num_hidden_layers": 1, "num_attention_heads": 1, "max_position_embeddings": 4,
          "type_vocab_size": 2, "vocab_size": 7, "layer_norm_eps": 1e-12}
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "he", "##llo"]
TOKENIZER = {"added_tokens": [{"id": 0, "content": "[PAD]", "special": True}],
             "normalizer": {"lowercase": True, "strip_accents": False},
             "model": {"type": "WordPiece", "continuing_subword_prefix": "##",
                       "vocab": {token: i for i, token in enumerate(VOCAB)}}}
POOLING = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
FILES = ["config.json", "tokenizer.json", "vocab.txt", "tokenizer_config.json",
         "1_Pooling/config.json", "model.safetensors"]
LAYER = [("attention.self.query", 2, 2), ("attention.self.key", 2, 2),
         ("attention.self.value", 2, 2), ("attention.output.dense", 2, 2),
         ("attention.output.LayerNorm", 2, 0), ("intermediate.dense", 3, 2),
         ("output.dense", 2, 3), ("output.LayerNorm", 2, 0)]


def shapes():
    found = {"embeddings.word_embeddings.weight": [7, 2],
             "embeddings.position_embeddings.weight": [4, 2],
             "embeddings.token_type_embeddings.weight": [2, 2],
             "embeddings.LayerNorm.weight": [2], "embeddings.LayerNorm.bias": [2],
             "pooler.dense.weight": [2, 2]}
    for name, rows, columns in LAYER:
        found[f"encoder.layer.0.{name}.weight"] = [rows, columns] if columns else [rows]
        found[f"encoder.layer.0.{name}.bias"] = [rows]
    return found


def safetensors(tensors, dtype="F32", prefix=""):
    header, data = {}, b""
    for name, shape in tensors.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1) * (shape[2] if len(shape) > 2 else 1)
        begin = len(data)
        data += (b"\0\0\x80\x3f" if dtype == "F32" else b"\0\x3c") * count
        header[prefix + name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, len(data)]}
    packed = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(packed)) + packed + data


def hf_seed(name, **changes):
    """The right folder with files replaced: config=…, None to leave one out."""
    files = {"config": CONFIG, "tokenizer": TOKENIZER, "vocab": None, "lower": None,
             "pooling": POOLING, "weights": safetensors(shapes()), **changes}
    out = b""
    for i, content in enumerate(files.values()):
        if content is not None:
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            out += struct.pack("<BH", i, len(data)) + data
    write("hf_bert", name, out)


def make_hf_config():
    for name, change in {
            "config_roberta": {"model_type": "roberta"}, "config_relu": {"hidden_act": "relu"},
            "config_relative": {"position_embedding_type": "relative_key"},
            "config_absolute": {"position_embedding_type": "absolute"},
            "config_zero": {"hidden_size": 0}, "config_negative": {"vocab_size": -1},
            "config_float": {"num_hidden_layers": 1.5},
            "config_layers": {"num_hidden_layers": 4000},
            "config_two_layers": {"num_hidden_layers": 2}, "config_text": {"layer_norm_eps": "1"},
            "config_other_vocab": {"vocab_size": 8}}.items():
        hf_seed(name, config={**CONFIG, **change})
    hf_seed("config_absent", config=None)
    hf_seed("config_no_json", config=b"{\"model_type\":")
    hf_seed("config_list", config=[CONFIG])
    hf_seed("pooling_absent", pooling=None)
    hf_seed("pooling_mean", pooling={"pooling_mode_mean_tokens": True})
    hf_seed("pooling_two", pooling={**POOLING, "pooling_mode_mean_tokens": True})
    hf_seed("pooling_max", pooling={"pooling_mode_max_tokens": True})
    hf_seed("pooling_no_json", pooling=b"[1,")


def make_hf_tokenizer():
    def model(**change):
        return {**TOKENIZER, "model": {**TOKENIZER["model"], **change}}
    hf_seed("json_bpe", tokenizer=model(type="BPE"))
    hf_seed("json_no_type", tokenizer=model(type=None))
    hf_seed("json_other_mark", tokenizer=model(continuing_subword_prefix="@@"))
    hf_seed("json_vocab_list", tokenizer=model(vocab=VOCAB))
    hf_seed("json_vocab_empty", tokenizer=model(vocab={}))
    hf_seed("json_twice", tokenizer=model(vocab={"a": 0, "b": 0}))
    hf_seed("json_hole", tokenizer=model(vocab={"a": 0, "b": 9}))
    hf_seed("json_id_text", tokenizer=model(vocab={"a": "0"}))
    hf_seed("json_no_pad", tokenizer=model(vocab={"a": 0}))
    hf_seed("json_added_beyond", tokenizer={**TOKENIZER, "added_tokens": [{"id": 70}]})
    hf_seed("json_added_plain", tokenizer={**TOKENIZER, "added_tokens": [{"id": 5}, {}]})
    hf_seed("json_no_normalizer", tokenizer={"model": TOKENIZER["model"]})
    hf_seed("json_no_json", tokenizer=b"nothing")
    lines = "\n".join(VOCAB).encode()
    hf_seed("text", tokenizer=None, vocab=lines)
    hf_seed("text_crlf", tokenizer=None, vocab="\r\n".join(VOCAB).encode() + b"\r\n",
            lower={"do_lower_case": False})
    hf_seed("text_empty", tokenizer=None, vocab=b"")
    hf_seed("text_empty_lines", tokenizer=None, vocab=lines + b"\n\n\n")
    hf_seed("text_lower_no_json", tokenizer=None, vocab=lines, lower=b"{")
    hf_seed("text_absent", tokenizer=None)


def make_hf_bert():
    hf_seed("right")
    make_hf_config()
    make_hf_tokenizer()
    all_shapes = shapes()
    hf_seed("weights_f16", weights=safetensors(all_shapes, "F16"))
    hf_seed("weights_bf16_prefixed", weights=safetensors(all_shapes, "BF16", "bert."))
    hf_seed("weights_i16", weights=safetensors(all_shapes, "I16"))
    hf_seed("weights_cube", weights=safetensors(
        {**all_shapes, "embeddings.LayerNorm.bias": [1, 2, 1]}))
    hf_seed("weights_more", weights=safetensors({**all_shapes, "cls.bias": [2],
                                                 "embeddings.position_ids": [4]}))
    del all_shapes["encoder.layer.0.output.dense.bias"]
    hf_seed("weights_one_absent", weights=safetensors(all_shapes))
    hf_seed("weights_cut", weights=safetensors(all_shapes)[:-5])
    hf_seed("weights_absent", weights=None)


# -- tool_calls ----------------------------------------------------------------------------------

GENERIC, HERMES, LLAMA3, MISTRAL = range(4)
REASONS, CALLS, IN_REASONING, FORCES, ONE, PARALLEL = 4, 8, 16, 32, 64, 128
F = '{"name": "f", "arguments": {"a": [1, "}]\\"", {}]}}'
G = '{"name": "g", "parameters": {"b": null}}'


def tool_seed(name, how, value):
    write("tool_calls", name, bytes([how, 2 + len(name) % 5]) + value.encode())


def make_tool_parsing():
    for name, family, value in [
            ("generic", GENERIC, F), ("generic_list", GENERIC, f"  [{F}, {G}] "),
            ("generic_content", GENERIC, "Hello " + F), ("generic_other_json", GENERIC, '{"a": 1}'),
            ("generic_half", GENERIC, F[:20]), ("generic_list_mixed", GENERIC, f"[{F}, 3]"),
            ("generic_empty_list", GENERIC, "[]"), ("generic_no_json", GENERIC, "{oops}"),
            ("generic_behind", GENERIC, F + " and more"), ("generic_blank", GENERIC, "  \n"),
            ("hermes", HERMES, f"Let me see.\n<tool_call>\n{F}\n</tool_call>"),
            ("hermes_two", HERMES,
             f"<tool_call>{F}</tool_call>\n<tool_call>\n{G}\n</tool_call>\nDone."),
            ("hermes_half_marker", HERMES, "a <tool_c b <tool_call"),
            ("hermes_half_close", HERMES, f"<tool_call>{F}</tool_"),
            ("hermes_no_close", HERMES, f"<tool_call>{F} text"),
            ("hermes_none", HERMES, "<tool_call>[1]</tool_call>"),
            ("hermes_between", HERMES, f"<tool_call>{F}</tool_call> \n <tool_ no"),
            ("llama3", LLAMA3, G), ("llama3_two", LLAMA3, f"{G}; {G}"),
            ("llama3_tag", LLAMA3, f"<|python_tag|>{G};"),
            ("llama3_code", LLAMA3, "<|python_tag|>print(1)"),
            ("llama3_text_argument", LLAMA3, '{"name": "f", "arguments": "{\\"a\\": 1}"}'),
            ("llama3_no_argument", LLAMA3, '{"name": "f"}'),
            ("mistral", MISTRAL, f"[TOOL_CALLS][{F}, {G}]"),
            ("mistral_behind", MISTRAL, f"Hm. [TOOL_CALLS] [{F}]  [TOOL_ x"),
            ("long_name", GENERIC, '{"name": "' + "n" * 300 + '"}')]:
        tool_seed(name, family | CALLS, value)
    tool_seed("plain", HERMES, f"<tool_call>{F}</tool_call>")
    for name, how, value in [
            ("think", HERMES | REASONS, f" <think>\nhm\n</think>\n<tool_call>{F}</tool_call>"),
            ("think_not", HERMES | REASONS, "<thing>"), ("think_half", HERMES | REASONS, "<thin"),
            ("think_open", HERMES | REASONS, "<think>on and on </thin"),
            ("think_started", GENERIC | REASONS | IN_REASONING, "so\n</think>" + F)]:
        tool_seed(name, how | CALLS, value)
    for name, value in [("form_hermes", "tools <tool_call>"), ("form_mistral", "[TOOL_CALLS]"),
                        ("form_llama3", "<|start_header_id|> tools <think>")]:
        tool_seed(name, 0, value)


def make_tool_calls():
    make_tool_parsing()
    function = {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}}}
    tools = [{"type": "function", "function": function}, {"name": "g"}]
    for family in range(4):
        tool_seed(f"force_{family}", family | FORCES, json.dumps(tools))
        tool_seed(f"force_one_{family}", family | FORCES | ONE | PARALLEL, json.dumps(tools))
    tool_seed("force_unnamed", FORCES, '[{"type": "function"}]')
    tool_seed("force_none", FORCES, "[]")
    tool_seed("force_object", FORCES, "{}")
    tool_seed("force_first_is_bare", FORCES | ONE, '[{"name": "g"}]')


# -- requests to language models -----------------------------------------------------------------

USER = {"role": "user", "content": "hi"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
          "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA,
                                         "strict": True}}
FLAT = {"type": "function", "name": "f", "parameters": SCHEMA, "strict": True}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
SAMPLING = {"temperature": 0.5, "top_p": 0, "top_k": 3, "min_p": 0.1, "typical_p": 0.9,
            "repeat_penalty": 1.1, "presence_penalty": 1, "frequency_penalty": -1, "seed": 7,
            "stop": ["a", "b"], "logit_bias": {"5": -100}, "max_tokens": 9, "stream": True,
            "stream_options": {"include_usage": True}}


def request_seeds(target, first, seeds):
    for name, body in seeds.items():
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        write(target, name, (b"" if first is None else bytes([first])) + data)


def make_responses():
    def items(*values):
        return {"input": list(values)}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "42"}
    request_seeds("responses", None, {
        "text": {"input": "hi", "instructions": "be brief", **SAMPLING},
        "items": items(USER, call, call, output, {"type": "reasoning", "summary": []},
                       {"type": "message", "role": "assistant", "content": [
                           {"type": "output_text", "text": "so"}]}),
        "tools": {"input": "hi", "tools": [FLAT], "tool_choice": "required",
                  "parallel_tool_calls": False},
        "tool_named": {"input": "hi", "tools": [FLAT], "tool_choice": {"type": "function",
                                                                       "name": "f"}},
        "tool_other": {"input": "hi", "tools": [{"type": "web_search"}]},
        "tools_null": {"input": "hi", "tools": None, "instructions": None},
        "tools_no_list": {"input": "hi", "tools": 1},
        "format": {"input": "hi", "max_output_tokens": 3, "metadata": {"a": "b"},
                   "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
        "format_object": {"input": "hi", "text": {"format": {"type": "json_object"}}},
        "format_unknown": {"input": "hi", "text": {"format": {"type": "xml"}}},
        "stored": {"input": "hi", "previous_response_id": "r"},
        "background": {"input": "hi", "background": True},
        "call_no_text": items({**call, "arguments": {}}), "call_no_json": items(
            {**call, "arguments": "{"}),
        "output_no_id": items({**output, "call_id": None}),
        "item_unknown": items({"type": "image_generation_call"}), "item_no_content": items({}),
        "role_unknown": items({"role": "chief", "content": "x"}), "empty": items(),
        "no_input": {}, "input_number": {"input": 5}, "no_object": b"[1]", "no_json": b"{",
        "limits": {"input": "hi", "max_output_tokens": 0}})


def make_ollama():
    options = {**{k: v for k, v in SAMPLING.items() if k != "max_tokens"}, "num_predict": 5,
               "num_ctx": 128}
    chat = {"model": "chat", "messages": [USER]}
    request_seeds("ollama", 0, {
        "chat": {**chat, "options": options, "stream": False, "keep_alive": "5m"},
        "chat_tools": {**chat, "tools": [TOOL], "think": True, "messages": [
            USER, {"role": "assistant", "content": "", "tool_calls": [
                {"function": {"name": "f", "arguments": {"a": 1}}}]},
            {"role": "tool", "content": "1", "tool_name": "f"}]},
        "chat_json": {**chat, "format": "json", "logprobs": True, "top_logprobs": 2},
        "chat_schema": {**chat, "format": SCHEMA}, "chat_format": {**chat, "format": 5},
        "chat_images": {**chat, "messages": [{**USER, "images": ["x"]}]},
        "chat_load": {"model": "chat:latest"}, "chat_options": {**chat, "options": 5},
        "chat_predict": {**chat, "options": {"num_predict": 0}},
        "chat_ctx": {**chat, "options": {"num_ctx": 1 << 20}},
        "chat_forever": {**chat, "keep_alive": -1}, "chat_keep_bad": {**chat, "keep_alive": "x"},
        "chat_other_model": {"model": "nobody", "messages": [USER]}})
    prompt = {"model": "chat", "prompt": "hi"}
    request_seeds("ollama", 1, {
        "generate": {**prompt, "system": "be brief", "options": options},
        "generate_raw": {**prompt, "raw": True}, "generate_nul": {**prompt, "prompt": "a\0b"},
        "generate_suffix": {**prompt, "suffix": "x"}, "generate_context": {**prompt,
                                                                           "context": [1]},
        "generate_number": {**prompt, "prompt": 5}, "generate_load": {"model": "chat"},
        "generate_unload": {"model": "chat", "keep_alive": "0s"}})
    request_seeds("ollama", 2, {
        "embed": {"model": "chat", "input": ["a", "b"], "truncate": False},
        "embed_one": {"model": "chat", "input": "a"}, "embed_bad": {"model": "chat", "input": {}}})
    request_seeds("ollama", 3, {"show": {"model": "chat"}})


def make_openai():
    chat = {"messages": [USER]}
    request_seeds("openai", 0, {
        "chat": {**chat, **SAMPLING, "n": 2, "logprobs": True, "top_logprobs": 3},
        "chat_tools": {"messages": [{"role": "developer", "content": [
            {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, USER,
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c", "content": "1"}], "tools": [TOOL],
            "tool_choice": "auto", "parallel_tool_calls": False},
        "chat_forced": {**chat, "tools": [TOOL], "tool_choice": {
            "type": "function", "function": {"name": "f"}}},
        "chat_none": {**chat, "tools": [TOOL], "tool_choice": "none"},
        "chat_schema": {**chat, "response_format": {"type": "json_schema", "json_schema": {
            "name": "n", "schema": SCHEMA, "strict": True}}},
        "chat_both": {**chat, "tools": [TOOL], "tool_choice": "required",
                      "response_format": {"type": "json_object"}},
        "chat_image": {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "chat_kwargs": {**chat, "chat_template_kwargs": {"enable_thinking": True}}})
    request_seeds("openai", 1, {
        "completion": {"prompt": "hi", "echo": True, "logprobs": 2, "max_tokens": 3},
        "completion_ids": {"prompt": [1, 2, 3]}, "completion_id_beyond": {"prompt": [999]},
        "completion_texts": {"prompt": ["a", "b"], "n": 2},
        "completion_lists": {"prompt": [[1, 2], [3]]}, "completion_mixed": {"prompt": ["a", 1]},
        "completion_empty": {"prompt": []}, "completion_none": {}})
    request_seeds("openai", 2, {
        "embedding": {"input": ["a", "b"], "encoding_format": "base64", "dimensions": 4},
        "embedding_ids": {"input": [[1, 2], [3]]}, "embedding_format": {
            "input": "a", "encoding_format": "x"}})
    request_seeds("openai", 3, {
        "tokenize": {"content": "<|im_start|>", "parse_special": True, "with_pieces": True},
        "tokenize_bad": {"content": 1}})


# -- onnx ----------------------------------------------------------------------------------------

MODELS = CORPUS.parent.parent / "conformance/onnx"


def onnx_field(number, body):
    """A field of bytes, or of a number."""
    if isinstance(body, int):
        return varint(number << 3) + varint(body)
    return varint(number << 3 | 2) + varint(len(body)) + body


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def onnx_tensor(name, kind, dims, raw):
    return onnx_field(5, b"".join(onnx_field(1, d) for d in dims) + onnx_field(2, kind)
                      + onnx_field(8, name) + onnx_field(9, raw))


def onnx_port(number, name, kind=None):
    shape = onnx_field(1, b"") + onnx_field(1, onnx_field(1, 2))
    tensor = onnx_field(1, onnx_field(1, kind or 1) + onnx_field(2, shape))
    return onnx_field(number, onnx_field(1, name) + (onnx_field(2, tensor) if kind else b""))


def onnx_node(op, domain, inputs, output, attributes=b""):
    return onnx_field(1, b"".join(onnx_field(1, i) for i in inputs) + onnx_field(2, output)
                      + onnx_field(4, op) + onnx_field(7, domain) + attributes)


def onnx_floats(name, values, packed):
    numbers = struct.pack(f"<{len(values)}f", *values)
    body = onnx_field(7, numbers) if packed else b"".join(
        varint(7 << 3 | 5) + numbers[i:i + 4] for i in range(0, len(numbers), 4))
    return onnx_field(5, onnx_field(1, name) + body)


def onnx_line(scale):
    """Two columns through an operator of each kind of tensor, and a line."""
    graph = (onnx_tensor(b"by", 1, [2], struct.pack("<2f", 2, scale))
             + onnx_tensor(b"ends", 7, [2], struct.pack("<2q", 0, -1))
             + onnx_tensor(b"shape", 7, [2], struct.pack("<2q", -1, 2))
             + onnx_tensor(b"flag", 9, [2], b"\1\0") + onnx_tensor(b"small", 6, [], b"\1\0\0\0")
             + onnx_node(b"Div", b"", [b"x", b"by"], b"a")
             + onnx_node(b"ArrayFeatureExtractor", b"ai.onnx.ml", [b"a", b"ends"], b"b")
             + onnx_node(b"Reshape", b"", [b"b", b"shape"], b"c")
             + onnx_node(b"LinearRegressor", b"ai.onnx.ml", [b"c"], b"y",
                         onnx_floats(b"coefficients", [1, 3], False)
                         + onnx_floats(b"intercepts", [0.5], True))
             + onnx_node(b"Reshape", b"", [b"y", b"shape1"], b"z")
             + onnx_tensor(b"shape1", 7, [1], struct.pack("<q", -1))
             + onnx_port(11, b"x", 1) + onnx_port(12, b"z"))
    opsets = onnx_field(8, onnx_field(1, b"") + onnx_field(2, 15))
    opsets += onnx_field(8, onnx_field(1, b"ai.onnx.ml") + onnx_field(2, 3))
    return onnx_field(1, 8) + opsets + onnx_field(7, graph)


def make_onnx():
    for path in sorted(MODELS.glob("*.onnx")):
        write("onnx", path.name, path.read_bytes())
    line = (MODELS / "logistic_two.onnx").read_bytes()
    tree = (MODELS / "boosted_two.onnx").read_bytes()
    write("onnx", "line", onnx_line(4))
    write("onnx", "divided_by_0", onnx_line(0))
    write("onnx", "unknown_operator", line.replace(b"Scaler", b"Squash"))
    write("onnx", "unknown_mode", tree.replace(b"BRANCH_LEQ", b"BRANCH_SET", 1))
    write("onnx", "unknown_attribute", line.replace(b"offset", b"offsat"))
    write("onnx", "probit", tree.replace(b"LOGISTIC", b"PROBIT\0\0"))
    write("onnx", "no_base", tree.replace(b"base_values", b"bass_values"))
    write("onnx", "half", tree[:len(tree) // 2])


make_gguf_split()
make_hf_bert()
make_tool_calls()
make_responses()
make_ollama()
make_openai()
make_onnx()
