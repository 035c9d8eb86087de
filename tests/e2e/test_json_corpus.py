# SPDX-License-Identifier: Apache-2.0
"""JSONTestSuite through the server's own door.

Each file becomes the value of a key that no model knows, inside an otherwise good record: what is
JSON is ignored and the record answered, what is not is 400 for the whole. A key twice is always 400
here, which two of the suite's good files have.
"""
import pytest

from conftest import ROOT

CORPUS = ROOT.parent / "shared/corpora/json"
TWICE = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}


@pytest.fixture(scope="module")
def server(toy):
    if not CORPUS.is_dir():
        pytest.skip("the corpora in ../shared are not beside the checkout")
    from conftest import Server
    with Server(toy.command, toy.bundle) as running:
        yield running


def answers(server, kind):
    for path in sorted(CORPUS.glob(f"{kind}_*.json")):
        body = b'{"dataframe_records": [{"age": 30, "other": ' + path.read_bytes() + b"}]}"
        status, _, _ = server.curl("/invocations", "-H", "Content-Type: application/json",
                                   body=body)
        yield path.name, status


def test_good_files_are_read(server):
    wrong = [(name, status) for name, status in answers(server, "y")
             if status != (400 if name in TWICE else 200)]
    assert not wrong


def test_bad_files_are_400(server):
    assert not [(name, status) for name, status in answers(server, "n") if status != 400]


def test_files_that_may_be_either_are_answered(server):
    assert not [(name, status) for name, status in answers(server, "i") if status not in (200, 400)]
