# SPDX-License-Identifier: Apache-2.0
"""The audit log from outside: what commands and a server leave in it, checked with hashlib alone
by the RFC's definitions, what happens when it is changed, and predictions that are run again.
"""
import base64
import hashlib
import json
import pathlib
import shutil

import pytest


def sha(data):
    return hashlib.sha256(data).digest()


def root_of(leaves):
    """MTH of RFC 9162, section 2.1.1, over leaf hashes."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha(b"")
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\1" + root_of(leaves[:k]) + root_of(leaves[k:]))


def leaves_of(home):
    """Leaf hashes of the files, with every link checked as docs/formats/audit.md says."""
    leaves = []
    before = bytes(32)
    for path in sorted((home / "audit").glob("*.log")):
        assert int(path.stem) == len(leaves)
        for line in path.read_bytes().splitlines():
            entry = json.loads(line)
            assert entry["seq"] == len(leaves) and entry["prev"] == before.hex()
            before = sha(b"\0" + line[:line.rindex(b',"leaf":')])
            assert entry["leaf"] == before.hex()[:16]
            leaves.append(before)
    return leaves


def includes(leaf, index, size, proof):
    """The root that the proof leads to, by section 2.1.3.2."""
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        assert sn > 0
        if fn & 1 or fn == sn:
            r = sha(b"\1" + p + r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = sha(b"\1" + r + p)
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0
    return r


@pytest.fixture
def own(own):
    """Without what the training told."""
    shutil.rmtree(own.home / "audit")
    return own


def entries(command, *words):
    return [json.loads(line) for line in command.ok("audit", "list", "--json", *words).splitlines()]


def test_a_server_tells_what_it_does(toy, own, serve):
    with serve(toy.name, "--receipts", command=own) as server:
        assert server.post("/score", toy.records[0])[0] == 200
        assert server.post("/invocations", {"dataframe_records": toy.records[:5]})[0] == 200
    found = entries(own)
    assert [entry["kind"] for entry in found] == [
        "server.started", "model.loaded", "prediction", "prediction", "server.stopped"]
    assert found[0]["what"]["no_auth"] is True and found[0]["what"]["receipts"] is True
    assert found[1]["what"]["bundle"] == toy.json["sha256"]
    assert [entry["seq"] for entry in entries(own, "--kind", "server")] == [0, 4]
    leaves = leaves_of(own.home)
    verdict = own.json("audit", "verify")
    assert verdict["ok"] and verdict["entries"] == 5
    assert verdict["root"] == root_of(leaves).hex()
    for receipt in found[2:4]:
        answer = own.json("replay", receipt["seq"])
        assert answer["same"] and answer["recorded"] == answer["replayed"]


TESTS = pathlib.Path(__file__).resolve().parent.parent
FOREIGN = {"xgboost.ubj": TESTS / "fuzz/corpus/xgboost/binary.ubj",
           "xgboost.json": TESTS / "fuzz/corpus/xgboost/binary.json",
           "lightgbm.txt": TESTS / "fuzz/corpus/lightgbm/binary.txt",
           "line.onnx": TESTS / "conformance/onnx/line.onnx"}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_a_model_file_said_is_said_again(name, tapeout, serve, tmp_path):
    """Files of other programs by their path, served and replayed."""
    path = shutil.copy(FOREIGN[name], tmp_path / name)
    columns = [column["name"] for column in tapeout.json("inspect", path)["schema"]["columns"]]
    with serve(path, "--receipts") as server:
        rows = [{column: 0.25 * (number - at) for at, column in enumerate(columns)}
                for number in range(5)]
        assert server.post("/invocations", {"dataframe_records": rows})[0] == 200
    receipt = entries(tapeout, "--kind", "prediction")[0]
    answer = tapeout.json("replay", receipt["seq"], "--bundle", path)
    assert answer["same"] and answer["rows"] == 5 and answer["recorded"] == answer["replayed"]
    assert "--bundle" in tapeout.fails("replay", receipt["seq"])  # it is registered nowhere
    renamed = shutil.copy(path, tmp_path / f"other-{name}")
    assert "must be called as it was served" in tapeout.fails(
        "replay", receipt["seq"], "--bundle", renamed)
    other = FOREIGN["line.onnx" if name != "line.onnx" else "lightgbm.txt"]
    assert "was made by" in tapeout.fails("replay", receipt["seq"], "--bundle", other)
    tapeout.json("import", path)  # the same bundle, by whichever way
    assert tapeout.json("replay", receipt["seq"], "--bundle", path.stem + ":1")["same"]


def test_proofs_hold_by_the_rfc(toy, own, serve, tmp_path):
    for _ in range(3):
        with serve(toy.bundle, command=own):
            pass
    kept = tmp_path / "kept"
    own.ok("audit", "checkpoint", "--out", kept)
    with serve(toy.bundle, command=own):
        pass
    leaves = leaves_of(own.home)
    name, size, root = kept.read_text().split("\n")[:3]
    assert name.startswith("tapeout-audit-")
    assert base64.b64decode(root) == root_of(leaves[:int(size)])
    for index in range(int(size)):
        proof = own.json("audit", "prove", index, "--checkpoint", kept)
        hashes = [bytes.fromhex(text) for text in proof["inclusion"]]
        assert includes(leaves[index], index, int(size), hashes) == base64.b64decode(root)
        assert proof["consistency"]["root"] == root_of(leaves).hex()
    assert own.json("audit", "verify", "--checkpoint", kept)["checkpoints"][0]["ok"]


def test_what_is_changed_is_named(toy, own, serve, tmp_path):
    with serve(toy.name, "--receipts", command=own) as server:
        for record in toy.records[:9]:
            assert server.post("/score", record)[0] == 200
    kept = tmp_path / "kept"
    own.ok("audit", "checkpoint", "--out", kept)
    path = next((own.home / "audit").glob("*.log"))
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for at in range(len(lines) - 1):
        path.write_bytes(b"".join(lines[:at] + lines[at + 1:]))
        assert f"entry {at} " in own.fails("audit", "verify")
        path.write_bytes(b"".join(lines[:at] + [lines[at].replace(b'"time":"2', b'"time":"3')] +
                                  lines[at + 1:]))
        assert f"entry {at} " in own.fails("audit", "verify")
    path.write_bytes(b"".join(lines[:4]))
    assert own.json("audit", "verify")["entries"] == 4
    assert "entry 4 is missing" in own.fails("audit", "verify", "--checkpoint", kept)
    path.write_bytes(whole)
    assert own.json("audit", "verify", "--checkpoint", kept)["ok"]


def test_a_server_that_is_killed_leaves_a_good_log(toy, own, serve):
    for _ in range(5):
        server = serve(toy.name, "--receipts", command=own)
        server.__enter__()
        for record in toy.records[:20]:
            server.post("/score", record)
        server.process.kill()
        server.process.wait()
        assert own.json("audit", "verify")["ok"]
    assert len([entry for entry in entries(own) if entry["kind"] == "server.started"]) == 5
    leaves_of(own.home)


def test_replay_wants_the_very_bundle_and_rows(toy, own, serve, tmp_path):
    config = tmp_path / "serve.yaml"
    config.write_text(f"models:\n  - {{ref: {toy.name}}}\naudit: {{receipts: true, rows: false}}\n")
    with serve("--config", config, command=own) as server:
        assert server.post("/score", toy.records[0])[0] == 200
    receipt = entries(own, "--kind", "prediction")[0]
    assert "row_list" not in receipt["what"]
    assert "--input" in own.fails("replay", receipt["seq"])
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([toy.records[0]]))
    assert own.json("replay", receipt["seq"], "--input", rows)["same"]
    rows.write_text(json.dumps([toy.records[1]]))
    assert "not those of the receipt" in own.fails("replay", receipt["seq"], "--input", rows)
    rows.write_text(json.dumps([toy.records[0]]))
    line = tmp_path / "receipt.json"
    forged = json.loads(json.dumps(receipt))
    forged["what"]["output"] = "0" * 64
    line.write_text(json.dumps(forged))
    assert "differently" in own.fails("replay", line, "--input", rows)
    forged["what"]["bundle"] = "0" * 64
    line.write_text(json.dumps(forged))
    assert "was made by" in own.fails("replay", line, "--input", rows)


def test_no_log_no_server_unless_said(toy, own):
    (own.home / "audit").write_text("a file, no folder")
    message = own.fails("serve", toy.bundle, "--no-auth", "--listen", "127.0.0.1:0")
    assert "--no-audit" in message


# -- language models -------------------------------------------------------------------------------
def ask(server, **more):
    body = {"messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 8, **more}
    status, answer = server.post("/v1/chat/completions", body)
    assert status == 200, answer
    return answer


COLOUR = {"type": "object", "required": ["colour", "count"], "additionalProperties": False,
          "properties": {"colour": {"enum": ["red", "green", "blue"]},
                         "count": {"type": "integer", "minimum": 0, "maximum": 99}}}
PAINT = {"type": "function", "function": {"name": "paint", "parameters": COLOUR, "strict": True}}


def test_what_a_grammar_held_is_said_again(smollm, tapeout, serve, tmp_path):
    """JSON schemas, tools and Ollama's formats stand in the receipt and hold the replay too."""
    with serve(smollm, "--receipts", "--context", "2048") as server:
        server.wait_until_ready()
        schema = {"type": "json_schema", "json_schema": {"name": "c", "schema": COLOUR}}
        said = ask(server, temperature=1.5, seed=5, max_tokens=40, response_format=schema)
        assert json.loads(said["choices"][0]["message"]["content"])["count"] <= 99
        said = ask(server, temperature=0, max_tokens=60, tools=[PAINT], tool_choice="required")
        assert said["choices"][0]["finish_reason"] == "tool_calls"
        ask(server, temperature=0, max_tokens=20, tools=[PAINT])  # a call, if there is one
        for form in (COLOUR, "json"):
            status, _ = server.post("/api/chat", {
                "model": said["model"], "messages": [{"role": "user", "content": "A colour."}],
                "stream": False, "format": form, "options": {"num_predict": 30, "seed": 3}})
            assert status == 200
    receipts = entries(tapeout, "--kind", "prediction")
    grammars = [receipt["what"]["generation"].get("grammar") for receipt in receipts]
    assert [g and g["kind"] for g in grammars[:2] + grammars[3:]] == [
        "json_schema", "json_schema", "json_schema", "json_object"]
    assert json.loads(grammars[0]["text"]) == json.loads(grammars[3]["text"]) == COLOUR
    for receipt in receipts:
        answer = tapeout.json("replay", receipt["seq"], "--bundle", smollm)
        assert answer["same"] and answer["recorded"] == answer["replayed"], receipt
    line = tmp_path / "receipt.json"

    def edit(change, hashed=True):
        forged = json.loads(json.dumps(receipts[0]))
        generation = forged["what"]["generation"]
        change(generation)
        if hashed:  # as somebody would who knows how
            text = json.dumps(generation, separators=(",", ":"), ensure_ascii=False)
            forged["what"]["input"] = hashlib.sha256(text.encode()).hexdigest()
        line.write_text(json.dumps(forged))
        return tapeout.fails("replay", line, "--bundle", smollm)

    other = json.dumps({"type": "object", "required": ["colour"], "additionalProperties": False,
                        "properties": {"colour": {"enum": ["mauve"]}}})
    assert "grammar) is not that of the receipt" in edit(
        lambda it: it["grammar"].update(text=other), hashed=False)
    assert "comes out differently" in edit(lambda it: it["grammar"].update(text=other))
    assert '"kind"' in edit(lambda it: it["grammar"].update(kind="bnf"))
    assert "schema" in edit(lambda it: it["grammar"].update(text="{"))
    assert "does not have" in edit(lambda it: it.pop("grammar"))  # as an earlier tapeout's


def test_what_a_language_model_said_is_said_again(smollm, tapeout, serve, tmp_path):
    with serve(smollm, "--receipts", "--context", "512") as server:
        server.wait_until_ready()
        ask(server, temperature=0)
        ask(server, temperature=1.5)                        # a seed that was drawn
        ask(server, temperature=1, n=2, seed=7, logit_bias={"20": 5}, stop=["e"])
        ask(server, temperature=1, seed=7, stream=False, presence_penalty=1.5, top_p=0.8)
        ask(server, temperature=0, response_format={"type": "json_object"})
        status, _ = server.post("/v1/completions",
                                {"prompt": ["One", "Two"], "max_tokens": 3, "seed": 1})
        assert status == 200
        # In pieces: the same receipt.
        status, _, body = server.curl("/v1/chat/completions", "-H",
                                      "Content-Type: application/json", body=json.dumps(
                                          {"messages": [{"role": "user", "content": "Hi."}],
                                           "max_tokens": 5, "seed": 3, "stream": True}).encode())
        assert status == 200 and b"[DONE]" in body
    receipts = entries(tapeout, "--kind", "prediction")
    assert len(receipts) == 8 and [r["what"]["choices"] for r in receipts] == [1, 1, 2] + [1] * 5
    assert receipts[2]["what"]["generation"]["stops"] == ["e"]
    for receipt in receipts:
        answer = tapeout.json("replay", receipt["seq"], "--bundle", smollm)
        assert answer["same"] and answer["recorded"] == answer["replayed"], receipt
    forged = json.loads(json.dumps(receipts[1]))
    line = tmp_path / "receipt.json"
    forged["what"]["output"] = "0" * 64
    line.write_text(json.dumps(forged))
    assert "differently" in tapeout.fails("replay", line, "--bundle", smollm)
    forged = json.loads(json.dumps(receipts[1]))
    forged["what"]["generation"]["seed"] += 1
    line.write_text(json.dumps(forged))
    assert "is not that of the receipt" in tapeout.fails("replay", line, "--bundle", smollm)
    assert tapeout.json("audit", "verify")["ok"]
