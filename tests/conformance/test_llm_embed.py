# SPDX-License-Identifier: Apache-2.0
"""A real sentence model from its Hugging Face folder: all-MiniLM-L6-v2 in .deps/models.

Its vectors beside a forward pass in numpy, written here from the model's definition (Devlin et al.,
2018: BERT; then the mean over all tokens, and length one) on the very weights as float32; its ids
beside those of Hugging Face's `tokenizers` (data/minilm_ids.jsonl, made by make_minilm_ids.py).
"""
import json
import math
import os
import pathlib
import struct

import numpy
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
IDS = pathlib.Path(__file__).resolve().parent / "data/minilm_ids.jsonl"
COSINE_MIN = 0.9999
HEADS = 12
TEXTS = [
    "The cat sat on the mat.", "A feline rested on a rug.", "Stocks fell sharply on Tuesday.",
    "How do I reset my password?", "I forgot my login and need help.", "Paris", "",
    "Der Zug nach Köln hat Verspätung.", "東京は日本の首都です。", "x = (a + b) * c / 2.0",
    "Flight 1545 departed Newark at 06:00 and arrived on time.", "no", "yes!", "👍🏽",
    "The quick brown fox jumps over the lazy dog. " * 12, "word " * 200, "don't, can't, won't",
    "MACHINE LEARNING IN UPPER CASE", "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "Embeddings are compared by the angle between them.",
]


@pytest.fixture(scope="module")
def folder():
    for place in (os.environ.get("TAPEOUT_TEST_MODELS"), ROOT / ".deps/models"):
        if place and (pathlib.Path(place) / "all-MiniLM-L6-v2/model.safetensors").is_file():
            return pathlib.Path(place) / "all-MiniLM-L6-v2"
    return pytest.skip("no all-MiniLM-L6-v2 in TAPEOUT_TEST_MODELS or .deps/models")


@pytest.fixture
def bundle(tapeout, folder):
    return tapeout.json("import", folder, "--name", "minilm")["bundle"]


def read_tensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    tensors = {}
    for name, facts in json.loads(data[8:8 + size]).items():
        if name != "__metadata__" and facts["dtype"] == "F32":
            begin, end = facts["data_offsets"]
            values = numpy.frombuffer(data[8 + size + begin:8 + size + end], "<f4")
            tensors[name] = values.reshape(facts["shape"])
    return tensors


def layer_norm(x, tensors, name):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    scaled = (x - mean) / numpy.sqrt(variance + numpy.float32(1e-12))
    return scaled * tensors[name + ".weight"] + tensors[name + ".bias"]


def dense(x, tensors, name):
    return x @ tensors[name + ".weight"].T + tensors[name + ".bias"]


def attention(x, tensors, name):
    length, width = x.shape
    split = lambda y: y.reshape(length, HEADS, width // HEADS).transpose(1, 0, 2)
    q, k, v = (split(dense(x, tensors, f"{name}.self.{part}"))
               for part in ("query", "key", "value"))
    scores = q @ k.transpose(0, 2, 1) / numpy.float32(math.sqrt(width // HEADS))
    weights = numpy.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    mixed = (weights @ v).transpose(1, 0, 2).reshape(length, width)
    return dense(mixed, tensors, f"{name}.output.dense")


def gelu(x):
    error = numpy.vectorize(math.erf, otypes=[numpy.float32])
    return x * (1 + error(x / numpy.float32(math.sqrt(2)))) / 2


def reference(tensors, ids):
    embeddings = "embeddings."
    x = (tensors[embeddings + "word_embeddings.weight"][ids] +
         tensors[embeddings + "position_embeddings.weight"][:len(ids)] +
         tensors[embeddings + "token_type_embeddings.weight"][0])
    x = layer_norm(x, tensors, embeddings + "LayerNorm")
    for layer in range(6):
        name = f"encoder.layer.{layer}"
        x = layer_norm(x + attention(x, tensors, f"{name}.attention"), tensors,
                       f"{name}.attention.output.LayerNorm")
        inner = gelu(dense(x, tensors, f"{name}.intermediate.dense"))
        x = layer_norm(x + dense(inner, tensors, f"{name}.output.dense"), tensors,
                       f"{name}.output.LayerNorm")
    vector = x.mean(axis=0).astype(numpy.float64)
    return vector / numpy.linalg.norm(vector)


def ids_of(tapeout, model, text):
    return tapeout.json("tokenize", model, "--bos", stdin=text.encode())["ids"]


def test_cosine(tapeout, folder, bundle):
    tensors = read_tensors(folder / "model.safetensors")
    words = [word for text in TEXTS for word in ("--text", text)]
    got = tapeout.json("embed", bundle, *words)
    assert got["width"] == 384 and len(got["embeddings"]) == len(TEXTS)
    cosines = []
    for text, vector in zip(TEXTS, got["embeddings"], strict=True):
        assert math.isclose(math.sqrt(sum(x * x for x in vector)), 1, abs_tol=1e-6)
        cosines.append(float(reference(tensors, ids_of(tapeout, bundle, text)) @ vector))
    print(f"{len(TEXTS)} texts: lowest cosine 1 - {1 - min(cosines):.1e}")
    assert min(cosines) >= COSINE_MIN


def test_same_bits(tapeout, bundle):
    words = [word for text in TEXTS for word in ("--text", text)]
    want = tapeout.json("embed", bundle, *words, "--threads", 1)
    assert tapeout.json("embed", bundle, *words, "--threads", 2) == want
    assert tapeout.json("embed", bundle, *words, "--threads", 7) == want
    alone = [tapeout.json("embed", bundle, "--text", text)["embeddings"][0] for text in TEXTS[:3]]
    assert alone == want["embeddings"][:3]
    short = tapeout.json("embed", bundle, "--text", "Paris", env={"TAPEOUT_CPU": "ref"})
    assert short["embeddings"][0] == want["embeddings"][TEXTS.index("Paris")]


def test_ids(tapeout, bundle):
    lines = [json.loads(line) for line in IDS.read_text(encoding="ascii").splitlines()]
    assert len(lines) > 100
    wrong = [line["text"] for line in lines
             if ids_of_marked(tapeout, bundle, line["text"]) != line["ids"]]
    assert wrong == []


def ids_of_marked(tapeout, model, text):
    """`tokenizers` always recognises control tokens that are written in a text."""
    return tapeout.json("tokenize", model, "--bos", "--special", stdin=text.encode())["ids"]
