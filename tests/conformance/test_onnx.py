# SPDX-License-Identifier: Apache-2.0
"""ONNX models against onnxruntime, compared with ==: those of tests/conformance/onnx with the
answers that onnxruntime gave (make_onnx.py); models that skl2onnx writes here and now, where it and
onnxruntime are installed; and what is refused."""
import csv
import pathlib

import numpy
import pytest

from conftest import read_csv

try:
    import onnxruntime
    import skl2onnx
    import sklearn.ensemble as ensemble
    import sklearn.linear_model as linear_model
    import sklearn.preprocessing as preprocessing
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC
except ImportError:  # `make bench` installs them
    skl2onnx = None
needs_peers = pytest.mark.skipif(
    skl2onnx is None, reason="skl2onnx and onnxruntime are not there; run make setup")

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
    return [row[0], *map(as_number, row[-1:] if is_binary else row[1:])]


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


# -- models of today -----------------------------------------------------------------------------

def live_cases():
    """name: (learner, what its target is)"""
    forest, trees = ensemble.RandomForestClassifier, ensemble.GradientBoostingClassifier
    logistic, scaled = linear_model.LogisticRegression, preprocessing.StandardScaler
    return {
        "forest": (forest(60, max_depth=9, random_state=1), "two"),
        "forest-words": (forest(10, random_state=1), "words"),
        "forest-classes": (forest(60, max_depth=7, random_state=1), "five"),
        "extra": (ensemble.ExtraTreesClassifier(20, max_depth=8, random_state=1), "five"),
        "forest-value": (ensemble.RandomForestRegressor(60, max_depth=9, random_state=1), "value"),
        "boosted": (trees(n_estimators=60, random_state=1), "two"),
        "boosted-classes": (trees(n_estimators=20, random_state=1), "five"),
        "boosted-value": (ensemble.GradientBoostingRegressor(n_estimators=60, random_state=1),
                          "value"),
        "imputed-forest": (make_pipeline(SimpleImputer(), preprocessing.RobustScaler(),
                                         forest(20, random_state=1)), "two"),
        "logistic": (logistic(max_iter=500), "two"),
        "logistic-classes": (logistic(max_iter=500), "three"),
        "logistic-many": (logistic(max_iter=200), "many"),
        "logistic-five": (make_pipeline(scaled(), logistic()), "five"),
        "imputed-logistic": (make_pipeline(SimpleImputer(strategy="median"), scaled(), logistic()),
                             "two"),
        "margins": (LinearSVC(), "two"),
        "margins-words": (make_pipeline(scaled(), linear_model.RidgeClassifier()), "words"),
        "line": (linear_model.LinearRegression(), "value"),
        "ridge": (make_pipeline(scaled(), linear_model.Ridge()), "value"),
        "wide-ridge": (linear_model.Ridge(), "wide"),
    }


LIVE = ["forest", "forest-words", "forest-classes", "extra", "forest-value", "boosted",
        "boosted-classes", "boosted-value", "imputed-forest", "logistic", "logistic-classes",
        "logistic-many", "logistic-five",
        "imputed-logistic", "margins", "margins-words", "line", "ridge", "wide-ridge"]


def live_rows(kind):
    draw = numpy.random.default_rng(5)
    columns = 1500 if kind == "wide" else 6
    x = (draw.normal(size=(700, columns)) * 10.0 ** (numpy.arange(columns) % 4 - 1))
    x = x.astype(numpy.float32)
    value = x[:, 0] * 10 + x[:, 1] + draw.normal(size=len(x)) * 0.3
    if kind == "two":
        return x, (value > 0).astype(int)
    if kind == "words":
        return x, numpy.where(value > 0, "yes, it is", "no")
    if kind == "many":
        return x, numpy.clip(numpy.floor(value * 2), -9, 10).astype(int)
    if kind in ("three", "five"):
        cuts = [-1, 1] if kind == "three" else [-2, -0.7, 0.4, 1.5]
        return x, numpy.digitize(value, cuts) * 2 - 1
    return x, value


def has_avx512():
    return "avx512f" in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")


@needs_peers
@pytest.mark.parametrize("name", LIVE)
def test_live(tapeout, tmp_path, name):
    learner, kind = live_cases()[name]
    if kind in ("many", "five") and name.startswith("logistic") and has_avx512():
        pytest.skip("onnxruntime adds in another order with AVX-512")
    x, target = live_rows(kind)
    model = skl2onnx.to_onnx(learner.fit(x, target), x[:1])
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    x[::7, 1] = numpy.nan
    x[::11, 0] = numpy.inf
    x[5::11, 0] = -0.0
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    out = onnxruntime.InferenceSession(str(path), options).run(None, {"X": x})
    tapeout.json("import", path, "--name", "live")
    shown = tapeout.json("inspect", "live")
    classes = shown["schema"]["target"]["classes"]
    data = tmp_path / "rows.csv"
    with open(data, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(f"X_{i}" for i in range(x.shape[1]))
        table.writerows(["" if numpy.isnan(v) else repr(float(v)) for v in row] for row in x)
    got = parse_lines(tapeout.ok("predict", "live", data))
    assert len(got) == len(x)
    for index, row in enumerate(got):
        if len(out) == 1:
            names, want = ["=value"], [repr(float(out[0][index, 0]))]
        else:
            scores = out[1][index]
            scores = list(scores.values() if isinstance(scores, dict) else scores.ravel())
            names, want = ["=label"], [str(out[0][index]), *(repr(float(s)) for s in scores)]
        assert answer_of(names, row, classes) == wanted_of(names, want, len(classes) == 2), index


# -- what is refused -----------------------------------------------------------------------------

def test_what_is_no_model_of_tables_is_refused_by_name(tapeout, tmp_path):
    whole = (FOLDER / "logistic_two.onnx").read_bytes()
    path = tmp_path / "other.onnx"
    path.write_bytes(whole.replace(b"Scaler", b"Squash"))
    message = tapeout.fails("import", path)
    assert "Squash" in message and "not imported" in message
