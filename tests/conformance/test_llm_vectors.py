# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities of real models beside a float32 reference (../shared/vectors/llm/README.md).

`tapeout score` is asked for the given ids; nothing is generated. Runs for the model files found in
TAPEOUT_TEST_MODELS or .deps/models, and says so where there are none.
"""
import json
import math
import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
VECTORS = ROOT.parent / "shared/vectors/llm"
MODELS = {"smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf", "gemma3": "gemma-3-270m-q4_k_m.gguf"}
KL_MAX = 1e-4
NLL_MAX = 1e-4  # of the reference's
MARGIN_MIN = 0.02  # nats: below it, a reference in another order of sums may choose otherwise


@pytest.fixture(params=MODELS)
def model(request):
    if not VECTORS.is_dir():
        pytest.skip("no vectors beside the checkout")
    for folder in (os.environ.get("TAPEOUT_TEST_MODELS"), ROOT / ".deps/models"):
        if folder and (pathlib.Path(folder) / MODELS[request.param]).is_file():
            return request.param, pathlib.Path(folder) / MODELS[request.param]
    pytest.skip(f"no {MODELS[request.param]} in TAPEOUT_TEST_MODELS or .deps/models")


def read(kind, name):
    with open(VECTORS / f"{kind}_{name}.jsonl", encoding="ascii") as lines:
        return [json.loads(line) for line in lines]


def score(tapeout, path, ids, folder, top=5):
    """The lines of `tapeout score`, position 1 first; the last has no id."""
    file = folder / "ids.json"
    file.write_text(json.dumps(ids))
    out = tapeout.ok("score", path, "--ids", file, "--top", top, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["pos"] for line in lines] == list(range(1, len(ids) + 1))
    return lines


def kl_of_six(reference, line):
    """KL over the reference's five likeliest tokens and everything else as one; a lower bound."""
    got = dict(map(tuple, line["top"]))
    kl, p_left, q_left = 0.0, 1.0, 1.0
    for token, logprob in reference:
        p = math.exp(logprob)
        kl += p * (logprob - got[token])
        p_left -= p
        q_left -= math.exp(got[token])
    if p_left > 1e-9 and q_left > 1e-12:
        kl += p_left * math.log(p_left / q_left)
    return kl


def test_forward(tapeout, model, tmp_path):
    name, path = model
    nll = reference_nll = kl = 0.0
    positions = 0
    for text in read("forward", name):
        # Twenty: the reference's five may stand a little further down here.
        lines = score(tapeout, path, text["ids"], tmp_path, top=20)
        nll -= sum(line["logprob"] for line in lines[:-1])
        reference_nll -= sum(text["next_logprob"])
        for i, line in enumerate(lines):
            kl += kl_of_six(list(zip(text["top5_ids"][i], text["top5_logprobs"][i])), line)
        positions += text["n"]
    print(f"{name}: NLL {nll / reference_nll - 1:+.2e} of the reference's, KL of six outcomes "
          f"{kl / positions:.2e}")
    assert abs(nll / reference_nll - 1) <= NLL_MAX
    assert kl / positions <= KL_MAX


def test_greedy(tapeout, model, tmp_path):
    name, path = model
    differing = []
    steps = 0
    for text in read("greedy", name):
        prompt = text["prompt_ids"]
        lines = score(tapeout, path, prompt + text["ids"], tmp_path, top=1)
        for i, (want, margin) in enumerate(zip(text["ref_top1"], text["ref_margin"])):
            steps += 1
            if lines[len(prompt) - 1 + i]["top"][0][0] != want:
                differing.append(margin)
    print(f"{name}: {len(differing)} of {steps} choices differ, largest margin "
          f"{max(differing, default=0):.4f}")
    assert max(differing, default=0) <= MARGIN_MIN
