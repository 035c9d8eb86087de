# SPDX-License-Identifier: Apache-2.0
"""ONNX models against onnxruntime, compared with ==: those of tests/conformance/onnx with the
answers that onnxruntime gave (make_onnx.py), and what is refused."""
import csv
import pathlib

import pytest

from conftest import read_csv

FOLDER = pathlib.Path(__file__).resolve().parent / "onnx"
MODELS = sorted(path.stem for path in FOLDER.glob("*.onnx"))


def test_there_are_models():
    assert len(MODELS) >= 12


def read_wanted(path):
    """Input columns with their rows, and of each row what the original answers."""
    with open(path, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    inputs = sum(not name.startswith("=") for name in header)
    return header[:inputs], [row[:inputs] for row in rows], header[inputs:], \
        [row[inputs:] for row in rows]


def as_number(text):
    return None if text in ("", "nan") else float(text)


def answer_of(names, row, classes):
    """A row of predict, as the original's outputs are."""
    if names == ["=value"]:
        return [as_number(row["prediction"])]
    scores = [row["probability"]] if "probability" in row else [row[f"p_{c}"] for c in classes]
    return [row["prediction"], *map(as_number, scores)]


def wanted_of(names, row, is_binary):
    if names == ["=value"]:
        return [as_number(row[0])]
    return [row[0], *map(as_number, row[2:3] if is_binary else row[1:])]


def parse_lines(text):
    """As read_csv, but a line with nothing on it is a row of one missing value."""
    header, *lines = text.split("\n")[:-1]
    return read_csv(text) if all(lines) else [{header: line} for line in lines]


@pytest.mark.parametrize("cpu", [None, "ref"])
@pytest.mark.parametrize("name", MODELS)
def test_answers_are_those_of_onnxruntime(tapeout, tmp_path, name, cpu):
    header, rows, names, wanted = read_wanted(FOLDER / f"{name}.csv")
    tapeout.json("import", FOLDER / f"{name}.onnx", "--name", name)
    shown = tapeout.json("inspect", name)
    assert [column["name"] for column in shown["schema"]["columns"]] == header
    assert shown["lineage"]["source"] == "onnx"
    classes = shown["schema"]["target"]["classes"]
    data = tmp_path / "rows.csv"
    with open(data, "w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([header, *rows])
    env = {"TAPEOUT_CPU": cpu} if cpu else None
    got = parse_lines(tapeout.ok("predict", name, data, env=env))
    assert len(got) == len(wanted)
    is_binary = len(classes) == 2
    for index, (row, want) in enumerate(zip(got, wanted)):
        assert answer_of(names, row, classes) == wanted_of(names, want, is_binary), index


def test_what_is_no_model_of_tables_is_refused_by_name(tapeout, tmp_path):
    whole = (FOLDER / "logistic_two.onnx").read_bytes()
    path = tmp_path / "other.onnx"
    path.write_bytes(whole.replace(b"Scaler", b"Squash"))
    message = tapeout.fails("import", path)
    assert "Squash" in message and "not imported" in message
