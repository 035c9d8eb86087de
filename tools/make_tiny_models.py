#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tiny random language models of every architecture and type, and what llama.cpp makes of them.

    tools/make_tiny_models.py                 the set that is committed, tests/conformance/llm_tiny/
    tools/make_tiny_models.py --all FOLDER    every architecture x tensor type

Each model is a GGUF of some kilobytes with a small valid tokenizer. The expected values come from
llama.cpp running the same weights as float32 with a float32 cache: on quantised weights it would
round activations to 8 bits, which is an error of its own (given as `llamacpp_max_diff`). They stand
in manifest.json: for a text model `ids` and `logprobs`, logprobs[i] being that of ids[i + 1] after
ids[0 ... i], and the likeliest `top` tokens after all of them; for an encoder `embedding`, pooled
and of length one. `tolerance` is in nats (or of a component): 16-bit activations and another order
of sums stay well inside. Needs numpy, gguf and llama-cpp-python; takes a minute.
"""
import argparse
import ctypes
import hashlib
import importlib.metadata
import json
import pathlib
import tempfile

import gguf
import llama_cpp
import numpy

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMMITTED = ROOT / "tests/conformance/llm_tiny"
TYPES = ("F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS "
         "MXFP4").split()
K_TYPES = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS")
ARCHITECTURES = "llama qwen2 qwen3 qwen3moe gemma3 phi3 bert".split()
TIED = ("gemma3", "qwen2")  # the output is the embedding again
POSITIONS = 24
CONTEXT = 256  # that llama.cpp runs with too: which factors of longrope it takes hangs on that
GGML = ctypes.CDLL(str(pathlib.Path(llama_cpp.__file__).parent / "lib" / "libggml-base.so"))
GGML.ggml_quantize_chunk.restype = ctypes.c_size_t


def quantize(values, name):
    """The bytes of `values` [.., columns] as a tensor of a type, as a uint8 array of rows."""
    kind = gguf.GGMLQuantizationType[name]
    if name in ("F32", "F16"):
        return values.astype({"F32": "<f4", "F16": "<f2"}[name])
    if name == "BF16":
        return gguf.quantize(values, kind)
    length, size = gguf.GGML_QUANT_SIZES[kind]
    flat = numpy.ascontiguousarray(values, "<f4").reshape(-1, values.shape[-1])
    out = numpy.zeros((flat.shape[0], flat.shape[1] // length * size), numpy.uint8)
    GGML.ggml_quantize_chunk(int(kind), flat.ctypes.data_as(ctypes.c_void_p),
                             out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(0),
                             ctypes.c_int64(flat.shape[0]), ctypes.c_int64(flat.shape[1]), None)
    return out.reshape(*values.shape[:-1], -1)


def dequantize(data, name):
    if name in ("F32", "F16"):
        return data.astype("<f4")
    return gguf.dequantize(data, gguf.GGMLQuantizationType[name])


class Model:
    """Key-values and tensors, gathered once and written twice: as they are, and as float32."""

    def __init__(self, architecture, kinds, shape, seed):
        self.architecture = architecture
        self.kinds = kinds  # type of each matrix in turn
        self.shape = shape
        self.random = numpy.random.default_rng(seed)
        self.tensors = []  # (name, data, type)
        self.keys = []
        self.matrices = 0

    def key(self, name, value):
        self.keys.append((f"{self.architecture}.{name}", value))

    def vector(self, name, size, mean=0.0, deviation=0.1):
        values = mean + deviation * self.random.standard_normal(size)
        self.tensors.append((name, values.astype("<f4"), "F32"))

    def matrix(self, name, *shape, scale=1.0, kind=None):
        kind = kind or self.kinds[self.matrices % len(self.kinds)]
        self.matrices += 1
        values = self.random.standard_normal(shape) * scale / numpy.sqrt(shape[-1])
        self.tensors.append((name, quantize(values.astype("<f4"), kind), kind))

    def write(self, path, as_float):
        writer = gguf.GGUFWriter(str(path), self.architecture)
        for name, value in self.keys:
            if isinstance(value, bool):
                writer.add_bool(name, value)
            elif isinstance(value, int):
                writer.add_uint32(name, value)
            elif isinstance(value, float):
                writer.add_float32(name, value)
            elif isinstance(value, str):
                writer.add_string(name, value)
            else:
                writer.add_array(name, value)
        for name, data, kind in self.tensors:
            if as_float:
                writer.add_tensor(name, numpy.ascontiguousarray(dequantize(data, kind)))
            elif kind in ("F32", "F16"):
                writer.add_tensor(name, data)
            else:
                writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType[kind])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


# -- tokenizers ------------------------------------------------------------------------------------

def byte_letters():
    """GPT-2's letters for the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {b: chr(b) for b in plain}
    extra = 256
    for b in range(256):
        if b not in letters:
            letters[b] = chr(extra)
            extra += 1
    return [letters[b] for b in range(256)]


def add_bpe(model):
    tokens = byte_letters()
    space = tokens[32]
    merges = []
    for a, b in (("t", "h"), ("th", "e"), (space, "the"), ("i", "n"), ("a", "n"), (space, "a"),
                 ("e", "r"), ("o", "n"), (space, "in"), ("r", "e"), ("a", "t"), ("l", "l"),
                 ("n", "d"), ("an", "d"), (space, "and"), ("o", "u"), ("h", "e"), (space, "o")):
        if a + b not in tokens:
            merges.append(f"{a} {b}")
            tokens.append(a + b)
    kinds = [1] * len(tokens)
    for text in ("<|endoftext|>", "<|im_start|>", "<|im_end|>"):
        tokens.append(text)
        kinds.append(3)
    while len(tokens) < 288:
        tokens.append(f"<unused{len(tokens)}>")
        kinds.append(5)
    pre = {"llama": "smollm", "phi3": "default"}.get(model.architecture, "qwen2")
    model.keys += [("tokenizer.ggml.model", "gpt2"), ("tokenizer.ggml.pre", pre),
                   ("tokenizer.ggml.tokens", tokens), ("tokenizer.ggml.token_type", kinds),
                   ("tokenizer.ggml.merges", merges),
                   ("tokenizer.ggml.bos_token_id", tokens.index("<|endoftext|>")),
                   ("tokenizer.ggml.eos_token_id", tokens.index("<|im_end|>")),
                   ("tokenizer.ggml.add_bos_token", False)]
    return len(tokens)


def add_spm(model):
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>"] + [f"<0x{b:02X}>" for b in range(256)]
    kinds = [3, 3, 3, 2] + [6] * 256
    scores = [0.0] * len(tokens)
    for text in ("\u2581", "e", "t", "a", "o", "n", "h", "th", "the", "\u2581the", "an", "\u2581a",
                 "on", "at"):
        tokens.append(text)
        kinds.append(1)
        scores.append(-float(len(tokens) - 260))
    while len(tokens) < 288:
        tokens.append(f"<unused{len(tokens)}>")
        kinds.append(5)
        scores.append(-1000.0)
    model.keys += [("tokenizer.ggml.model", "llama"), ("tokenizer.ggml.pre", "default"),
                   ("tokenizer.ggml.tokens", tokens), ("tokenizer.ggml.scores", scores),
                   ("tokenizer.ggml.token_type", kinds), ("tokenizer.ggml.bos_token_id", 2),
                   ("tokenizer.ggml.eos_token_id", 1), ("tokenizer.ggml.unknown_token_id", 3),
                   ("tokenizer.ggml.padding_token_id", 0), ("tokenizer.ggml.add_bos_token", True),
                   ("tokenizer.ggml.add_eos_token", False),
                   ("tokenizer.ggml.add_space_prefix", False)]
    return len(tokens)


def add_wordpiece(model):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'-"
    tokens += ["\u2581" + c for c in letters] + list(letters)  # word begins are marked in GGUF
    tokens += ["\u2581the", "\u2581and", "ing", "er"]
    kinds = [3] * 5 + [1] * (len(tokens) - 5)
    model.keys += [("tokenizer.ggml.model", "bert"), ("tokenizer.ggml.pre", "default"),
                   ("tokenizer.ggml.tokens", tokens), ("tokenizer.ggml.token_type", kinds),
                   ("tokenizer.ggml.token_type_count", 2),
                   ("tokenizer.ggml.bos_token_id", 2), ("tokenizer.ggml.eos_token_id", 3),
                   ("tokenizer.ggml.cls_token_id", 2), ("tokenizer.ggml.seperator_token_id", 3),
                   ("tokenizer.ggml.unknown_token_id", 1), ("tokenizer.ggml.padding_token_id", 0),
                   ("tokenizer.ggml.mask_token_id", 4)]
    return len(tokens)


# -- architectures ---------------------------------------------------------------------------------

def add_common(model, layers):
    shape = model.shape
    model.key("context_length", CONTEXT)
    model.key("embedding_length", shape["width"])
    model.key("block_count", layers)
    model.key("feed_forward_length", shape["ffn"])
    model.key("attention.head_count", shape["heads"])


def add_decoder_keys(model):
    shape = model.shape
    model.key("attention.head_count_kv", shape["kv_heads"])
    model.key("attention.layer_norm_rms_epsilon", 1e-5)
    model.key("rope.freq_base", 10000.0)
    model.key("rope.dimension_count", shape["head"])
    if model.architecture in ("qwen3", "qwen3moe", "gemma3"):
        model.key("attention.key_length", shape["head"])
        model.key("attention.value_length", shape["head"])


def add_attention(model, b):
    shape = model.shape
    width, head = shape["width"], shape["head"]
    q, kv = shape["heads"] * head, shape["kv_heads"] * head
    model.vector(f"{b}.attn_norm.weight", width, 1)
    if model.architecture == "phi3":
        model.matrix(f"{b}.attn_qkv.weight", q + 2 * kv, width, scale=2)
    else:
        model.matrix(f"{b}.attn_q.weight", q, width, scale=2)
        model.matrix(f"{b}.attn_k.weight", kv, width, scale=2)
        model.matrix(f"{b}.attn_v.weight", kv, width)
    if model.architecture == "qwen2":
        for name, size in (("q", q), ("k", kv), ("v", kv)):
            model.vector(f"{b}.attn_{name}.bias", size, 0, 0.3)
    if model.architecture in ("qwen3", "qwen3moe", "gemma3"):
        model.vector(f"{b}.attn_q_norm.weight", head, 1)
        model.vector(f"{b}.attn_k_norm.weight", head, 1)
    model.matrix(f"{b}.attn_output.weight", width, q)
    if model.architecture == "gemma3":
        model.vector(f"{b}.post_attention_norm.weight", width, 1)


def add_feed_forward(model, b):
    width, ffn = model.shape["width"], model.shape["ffn"]
    model.vector(f"{b}.ffn_norm.weight", width, 1)
    if model.architecture == "qwen3moe":
        experts = 4
        model.matrix(f"{b}.ffn_gate_inp.weight", experts, width, scale=3, kind="F32")
        model.matrix(f"{b}.ffn_gate_exps.weight", experts, ffn, width)
        model.matrix(f"{b}.ffn_up_exps.weight", experts, ffn, width)
        model.matrix(f"{b}.ffn_down_exps.weight", experts, width, ffn)
    elif model.architecture == "phi3":
        model.matrix(f"{b}.ffn_up.weight", 2 * ffn, width)
        model.matrix(f"{b}.ffn_down.weight", width, ffn)
    else:
        model.matrix(f"{b}.ffn_gate.weight", ffn, width)
        model.matrix(f"{b}.ffn_up.weight", ffn, width)
        model.matrix(f"{b}.ffn_down.weight", width, ffn)
    if model.architecture == "gemma3":
        model.vector(f"{b}.post_ffw_norm.weight", width, 1)


def add_scaling(model, scaling):
    half = model.shape["head"] // 2
    if scaling == "linear":
        model.key("rope.scaling.type", "linear")
        model.key("rope.scaling.factor", 4.0)
    elif scaling == "yarn":
        model.key("rope.scaling.type", "yarn")
        model.key("rope.scaling.factor", 4.0)
        model.key("rope.scaling.original_context_length", 32)
    elif scaling == "llama3":  # factors of Llama 3.1 and later, one a pair of dimensions
        model.tensors.append(("rope_freqs.weight",
                              numpy.linspace(1, 8, half).astype("<f4"), "F32"))
    elif scaling in ("short", "long"):
        model.key("rope.scaling.original_context_length", CONTEXT if scaling == "short" else 64)
        model.key("rope.scaling.attn_factor", 1.19)
        for name, most in (("short", 1.5), ("long", 6.0)):
            model.tensors.append((f"rope_factors_{name}.weight",
                                  numpy.linspace(1, most, half).astype("<f4"), "F32"))


def decoder(architecture, kinds, shape, seed, layers, scaling=None):
    model = Model(architecture, kinds, shape, seed)
    add_common(model, layers)
    add_decoder_keys(model)
    vocabulary = add_spm(model) if architecture == "gemma3" else add_bpe(model)
    model.key("vocab_size", vocabulary)
    if architecture == "gemma3":
        model.key("attention.sliding_window", 8)
    if architecture == "qwen3moe":
        model.key("expert_count", 4)
        model.key("expert_used_count", 2)
        model.key("expert_feed_forward_length", shape["ffn"])
    width = shape["width"]
    model.matrix("token_embd.weight", vocabulary, width, scale=numpy.sqrt(width) * (
        0.2 if architecture in TIED else 1))
    add_scaling(model, scaling)
    for layer in range(layers):
        add_attention(model, f"blk.{layer}")
        add_feed_forward(model, f"blk.{layer}")
    model.vector("output_norm.weight", width, 1)
    if architecture not in TIED:
        model.matrix("output.weight", vocabulary, width, scale=2)
    return model


def encoder(kinds, shape, seed, layers):
    model = Model("bert", kinds, shape, seed)
    add_common(model, layers)
    model.key("attention.layer_norm_epsilon", 1e-12)
    model.key("attention.causal", False)
    model.key("pooling_type", 1)
    vocabulary = add_wordpiece(model)
    width, ffn = shape["width"], shape["ffn"]
    model.matrix("token_embd.weight", vocabulary, width, scale=numpy.sqrt(width))
    model.matrix("position_embd.weight", CONTEXT, width, scale=3, kind="F32")
    model.matrix("token_types.weight", 2, width, scale=3, kind="F32")

    def norm(name):
        model.vector(f"{name}.weight", width, 1)
        model.vector(f"{name}.bias", width)

    norm("token_embd_norm")
    for layer in range(layers):
        b = f"blk.{layer}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            model.matrix(f"{b}.{name}.weight", width, width, scale=1.5)
            model.vector(f"{b}.{name}.bias", width)
        norm(f"{b}.attn_output_norm")
        model.matrix(f"{b}.ffn_up.weight", ffn, width, scale=1.5)
        model.vector(f"{b}.ffn_up.bias", ffn)
        model.matrix(f"{b}.ffn_down.weight", width, ffn, scale=1.5)
        model.vector(f"{b}.ffn_down.bias", width)
        norm(f"{b}.layer_output_norm")
    return model


def make(architecture, kinds, seed, layers=2, scaling=None):
    wide = any(kind in K_TYPES for kind in kinds)  # rows of whole blocks of 256
    shape = {"width": 256, "heads": 4, "kv_heads": 1, "head": 64, "ffn": 256} if wide else \
        {"width": 64, "heads": 4, "kv_heads": 2, "head": 16, "ffn": 96}
    if kinds[0] in ("F32", "F16", "BF16"):
        shape = {"width": 32, "heads": 2, "kv_heads": 1, "head": 16, "ffn": 64}
    if architecture == "bert":
        return encoder(kinds, dict(shape, kv_heads=shape["heads"]), seed, layers)
    if architecture == "gemma3":
        layers = max(layers, 6)  # every sixth layer sees the whole text
        shape = shape if wide else dict(shape, width=32, heads=2, kv_heads=1, head=32, ffn=64)
    if architecture == "qwen3moe" and not wide:
        shape = dict(shape, ffn=32)
    return decoder(architecture, kinds, shape, seed, layers, scaling)


# -- expected values -------------------------------------------------------------------------------

def open_model(path, is_encoder):
    full = llama_cpp.GGML_TYPE_F32
    return llama_cpp.Llama(str(path), n_ctx=CONTEXT, n_batch=64, n_ubatch=64,
                           logits_all=not is_encoder, n_threads=1, n_threads_batch=1, type_k=full,
                           type_v=full, flash_attn=False, embedding=is_encoder, verbose=False)


def log_probabilities(path, ids):
    model = open_model(path, False)
    model.eval(ids)
    logits = numpy.array(model.scores[:len(ids)], numpy.float64)
    top = logits.max(axis=1, keepdims=True)
    return logits - top - numpy.log(numpy.exp(logits - top).sum(axis=1, keepdims=True))


def embedding(path, ids):
    """Of ids, not of a text: llama.cpp's own C interface, as the Python class takes texts alone."""
    model = open_model(path, True)
    batch = llama_cpp.llama_batch_init(64, 0, 1)
    for i, token in enumerate(ids):
        batch.token[i] = token
        batch.pos[i] = i
        batch.n_seq_id[i] = 1
        batch.seq_id[i][0] = 0
        batch.logits[i] = True
    batch.n_tokens = len(ids)
    assert llama_cpp.llama_decode(model.ctx, batch) == 0
    vector = llama_cpp.llama_get_embeddings_seq(model.ctx, 0)
    values = numpy.array(vector[:model.n_embd()], numpy.float64)
    llama_cpp.llama_batch_free(batch)
    return values / numpy.sqrt((values * values).sum())


def rounded(values, digits=6):
    return [round(float(v), digits) for v in values]


def describe(model, path, folder):
    is_encoder = model.architecture == "bert"
    float_path = pathlib.Path(folder) / (path.stem + ".f32.gguf")
    model.write(path, False)
    model.write(float_path, True)
    vocabulary = next(len(v) for k, v in model.keys if k == "tokenizer.ggml.tokens")
    ids = [int(i) for i in model.random.integers(0, vocabulary, POSITIONS)]
    types = sorted({kind for _, _, kind in model.tensors})
    entry = {"architecture": model.architecture, "types": types, "ids": ids,
             "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    if is_encoder:
        want, quantised = embedding(float_path, ids), embedding(path, ids)
        entry["embedding"] = rounded(want)
        entry["tolerance"] = 0.0005
    else:
        want, quantised = log_probabilities(float_path, ids), log_probabilities(path, ids)
        entry["logprobs"] = rounded(want[i, ids[i + 1]] for i in range(POSITIONS - 1))
        best = numpy.argsort(-want[-1], kind="stable")[:8]
        entry["top"] = [[int(i), round(float(want[-1, i]), 6)] for i in best]
        entry["tolerance"] = 0.005
    entry["llamacpp_max_diff"] = round(float(numpy.abs(want - quantised).max()), 6)
    return entry


def committed():
    """Every architecture, every type and every scaling of positions at least once."""
    for i, architecture in enumerate(ARCHITECTURES):
        kind = "Q4_0" if architecture == "gemma3" else "Q8_0"
        yield f"{architecture}-{kind.lower()}", make(architecture, [kind], 10 + i)
    for i, kind in enumerate(t for t in TYPES if t not in K_TYPES and t != "Q8_0"):
        yield f"llama-{kind.lower()}", make("llama", [kind], 30 + i, layers=1)
    yield "llama-k_mixed", make("llama", list(K_TYPES), 50, layers=1)
    for i, scaling in enumerate(("linear", "yarn", "llama3")):
        yield f"llama-rope_{scaling}", make("llama", ["Q4_1"], 60 + i, layers=1, scaling=scaling)
    for i, scaling in enumerate(("short", "long")):
        yield f"phi3-rope_{scaling}", make("phi3", ["Q4_1"], 70 + i, layers=1, scaling=scaling)


def everything():
    for a, architecture in enumerate(ARCHITECTURES):
        for t, kind in enumerate(TYPES):
            yield f"{architecture}-{kind.lower()}", make(architecture, [kind], 100 * a + t)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--all", metavar="FOLDER", type=pathlib.Path)
    options = parser.parse_args()
    folder = options.all or COMMITTED
    folder.mkdir(parents=True, exist_ok=True)
    models = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, model in everything() if options.all else committed():
            models[f"{name}.gguf"] = describe(model, folder / f"{name}.gguf", scratch)
            print(f"{name}: {(folder / f'{name}.gguf').stat().st_size} bytes, llama.cpp on the "
                  f"quantised weights differs by {models[f'{name}.gguf']['llamacpp_max_diff']}")
    manifest = {
        "source": "tools/make_tiny_models.py; expected values by llama-cpp-python "
                  + importlib.metadata.version("llama-cpp-python")
                  + " (PyPI, MIT) on the same weights as float32, float32 cache, one thread",
        "licence": "Apache-2.0: random weights of our own making",
        "models": models,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest) + "\n")


if __name__ == "__main__":
    main()
