# SPDX-License-Identifier: Apache-2.0
"""Every architecture, tensor type and scaling of positions beside llama.cpp's figures.

The committed models and what is expected of them: llm_tiny/README.md. Through the program, as a
GGUF file and as the bundle that `tapeout import` makes of it.
"""
import json
import math
import pathlib

import pytest

TINY = pathlib.Path(__file__).resolve().parent / "llm_tiny"
MANIFEST = json.loads((TINY / "manifest.json").read_text())["models"]
GENERATORS = [name for name, facts in MANIFEST.items() if "logprobs" in facts]
ENCODERS = [name for name, facts in MANIFEST.items() if "embedding" in facts]


def test_every_file_is_listed():
    assert sorted(MANIFEST) == sorted(path.name for path in TINY.glob("*.gguf"))
    assert sorted(GENERATORS + ENCODERS) == sorted(MANIFEST)


@pytest.mark.parametrize("name", GENERATORS)
def test_logprobs(tapeout, name, tmp_path):
    facts = MANIFEST[name]
    file = tmp_path / "ids.json"
    file.write_text(json.dumps(facts["ids"]))
    words = ["--ids", file, "--top", len(facts["top"]), "--json"]
    text = tapeout.ok("score", TINY / name, *words)
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["id"] for line in lines] == facts["ids"][1:] + [None]
    for line, want in zip(lines, facts["logprobs"], strict=False):
        assert math.isclose(line["logprob"], want, abs_tol=facts["tolerance"]), line["pos"]
    # Near ties may change places; a token's figure may not.
    got = dict(map(tuple, lines[-1]["top"]))
    for token, want in facts["top"][:-1]:
        assert math.isclose(got[token], want, abs_tol=facts["tolerance"]), token
    bundle = tapeout.json("import", TINY / name)["bundle"]
    assert tapeout.ok("score", bundle, *words) == text


@pytest.mark.parametrize("name", ENCODERS)
def test_embedding(tapeout, name):
    """Its ids are given, not text; the text's way is compared between file and bundle here."""
    words = ["--text", "the and", "--text", "anders", "--json"]
    text = tapeout.ok("embed", TINY / name, *words)
    for vector in json.loads(text)["embeddings"]:
        assert math.isclose(math.sqrt(sum(x * x for x in vector)), 1, abs_tol=1e-6)
    bundle = tapeout.json("import", TINY / name)["bundle"]
    assert tapeout.ok("embed", bundle, *words) == text
