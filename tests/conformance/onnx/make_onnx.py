#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the models of this folder and what onnxruntime answers: NAME.onnx, and NAME.csv with the
input columns and, behind them, "=label" and "=score_K", or "=value".

    tests/conformance/onnx/make_onnx.py      needs skl2onnx, onnxruntime, scikit-learn, pandas

Made with skl2onnx 1.20.0, onnxruntime 1.32.0, scikit-learn 1.9.1; the models are of our own making.
One thread, and rows at once, so that sums have one order; on a processor without AVX-512.
"""
import csv
import pathlib

import numpy
import onnxruntime
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (GradientBoostingClassifier, RandomForestClassifier,
                              RandomForestRegressor)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (MinMaxScaler, OneHotEncoder, OrdinalEncoder, RobustScaler,
                                   StandardScaler)
from skl2onnx import to_onnx
from skl2onnx.common.data_types import (DoubleTensorType, FloatTensorType, Int64TensorType,
                                        StringTensorType)

HERE = pathlib.Path(__file__).resolve().parent
draw = numpy.random.default_rng(11)
X = (draw.normal(size=(240, 3)) * [1, 30, 0.01]).astype(numpy.float32)
SIGNAL = X[:, 0] + X[:, 1] / 30 * (X[:, 2] > 0)
TWO = (SIGNAL > 0.1).astype(int)
THREE = numpy.digitize(SIGNAL + draw.normal(size=240) * 0.3, [-0.6, 0.7]) + 3
WORDS = numpy.array(["none", "some \"few\"", "all of them"])[THREE - 3]
TOWNS = numpy.array(["Ghent", "Kraków", "Lima", ""])[draw.integers(0, 4, size=240)]
DAYS = draw.integers(-2, 5, size=240)


def edges(model, x):
    """Rows of x, some of them with a threshold of the model, a neighbour of one, or nothing."""
    x = x.copy()
    places = {}
    for node in model.graph.node:
        found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        for column, value in zip(found.get("nodes_featureids", []), found.get("nodes_values", [])):
            places.setdefault(column, []).append(numpy.float32(value))
    row = 0
    for column, values in sorted(places.items()):
        for value in values[:12]:
            for edge in (value, numpy.nextafter(value, numpy.float32(-numpy.inf)),
                         numpy.nextafter(value, numpy.float32(numpy.inf))):
                x[row % len(x), column] = edge
                row += 1
    x[-4:] = numpy.array([[0.0], [-0.0], [numpy.nan], [3e38]], dtype=numpy.float32)
    return x


def cell(value):
    if isinstance(value, str):
        return value
    if isinstance(value, (int, numpy.integer)):
        return str(int(value))
    return "" if numpy.isnan(value) else repr(float(value))


def answers(model, feeds):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    out = session.run(None, feeds)
    if len(out) == 1:
        return ["=value"], out[0].reshape(-1, 1).tolist()
    scores = out[1]
    if isinstance(scores, list):
        scores = numpy.array([list(row.values()) for row in scores])
    names = ["=label"] + [f"=score_{k}" for k in range(scores.shape[1])]
    labels = [str(label) for label in out[0].ravel()]
    return names, [[label, *map(float, row)] for label, row in zip(labels, scores)]


def write(name, model, feeds):
    """`feeds`: of each input a matrix, whose columns are called as tapeout calls them."""
    model.graph.name = name  # the converter's is drawn
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())
    header, columns = [], []
    for key, matrix in feeds.items():
        count = matrix.shape[1]
        header += [key] if count == 1 else [f"{key}_{i}" for i in range(count)]
        columns += [matrix[:, i].tolist() for i in range(count)]
    names, rows = answers(model, feeds)
    with open(HERE / f"{name}.csv", "w", encoding="utf-8", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(header + names)
        for row, answer in zip(zip(*columns), rows):
            table.writerow([cell(v) for v in row] + [cell(v) for v in answer])


def one_matrix(name, learner, target, x=X):
    model = to_onnx(learner.fit(x, target), x[:1])
    write(name, model, {"X": edges(model, x)[:120]})


def trees():
    one_matrix("forest_two", RandomForestClassifier(5, max_depth=3, random_state=1), TWO)
    one_matrix("forest_three", RandomForestClassifier(4, max_depth=3, random_state=1), THREE)
    one_matrix("forest_value", RandomForestRegressor(5, max_depth=3, random_state=1), SIGNAL)
    one_matrix("boosted_two", GradientBoostingClassifier(n_estimators=5, random_state=1), TWO)
    one_matrix("boosted_words", GradientBoostingClassifier(n_estimators=3, max_depth=2,
                                                           random_state=1), WORDS)


def linear():
    imputed = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(),
                            LogisticRegression())
    holes = X.copy()
    holes[::5, 1] = numpy.nan
    one_matrix("logistic_two", imputed, TWO, holes)
    one_matrix("logistic_three", make_pipeline(RobustScaler(), LogisticRegression()), THREE)
    one_matrix("logistic_six", LogisticRegression(max_iter=300),
               numpy.clip(numpy.floor(SIGNAL * 2), -3, 2).astype(int))
    one_matrix("line", make_pipeline(MinMaxScaler(), LinearRegression()), SIGNAL)


def mixed():
    """Columns of several types, each an input, as of a data frame."""
    import pandas
    frame = pandas.DataFrame({"size": X[:, 0], "town": TOWNS, "days": DAYS, "weight": X[:, 1]})
    onehot = OneHotEncoder(handle_unknown="ignore")
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    types = [("size", FloatTensorType([None, 1])), ("town", StringTensorType([None, 1])),
             ("days", Int64TensorType([None, 1])), ("weight", FloatTensorType([None, 1]))]
    for name, town, learner in (
            ("mixed_onehot", onehot, LogisticRegression()),
            ("mixed_ordinal", ordinal, RandomForestClassifier(4, max_depth=3, random_state=2))):
        steps = ColumnTransformer([("number", StandardScaler(), ["size", "weight"]),
                                   ("town", town, ["town"]),
                                   ("days", OneHotEncoder(handle_unknown="ignore"), ["days"])],
                                  sparse_threshold=0)
        learner = make_pipeline(steps, learner).fit(frame, TWO)
        model = to_onnx(learner, initial_types=types)
        town_seen = numpy.where(numpy.arange(240) % 17 == 3, "Oslo", TOWNS).astype(object)
        write(name, model, {"size": X[:80, :1], "town": town_seen[:80, None],
                            "days": numpy.where(DAYS == 4, 9, DAYS)[:80, None],
                            "weight": X[:80, 1:2]})


def wide():
    """float64 columns: thresholds and sums are float64, answers float32."""
    x = X.astype(numpy.float64) * 1.1
    learner = GradientBoostingClassifier(n_estimators=5, random_state=1).fit(x, TWO)
    model = to_onnx(learner, initial_types=[("X", DoubleTensorType([None, 3]))],
                    target_opset={"": 18, "ai.onnx.ml": 3}, options={"zipmap": False})
    for output in model.graph.output[1:]:  # the converter says float64, which ONNX does not know
        output.type.tensor_type.elem_type = TensorProto.FLOAT
    write("wide", model, {"X": x[:80]})


def modes():
    """Every way in which a node of an ensemble compares, with and without tracking missing."""
    names = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
    lists = {key: [] for key in ("treeids", "nodeids", "featureids", "modes", "values",
                                 "truenodeids", "falsenodeids", "missing_value_tracks_true")}
    weights = []
    for tree, (mode, tracks) in enumerate((m, t) for m in names for t in (0, 1)):
        for node, (kind, true, false) in enumerate([(mode, 1, 2), ("LEAF", 0, 0),
                                                    ("LEAF", 0, 0)]):
            row = (tree, node, tree % 2, kind, 1.5 if tree % 2 else 2.0, true, false, tracks)
            for key, value in zip(lists, row):
                lists[key].append(value)
            if node:
                weights.append((tree, node, 0, float(2 ** tree) * (1 if node == 1 else -0.37)))
    tree_ids, node_ids, target_ids, values = map(list, zip(*weights))
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml",
                            n_targets=1, base_values=[0.3], target_treeids=tree_ids,
                            target_nodeids=node_ids, target_ids=target_ids, target_weights=values,
                            **{f"nodes_{key}": value for key, value in lists.items()})
    graph = helper.make_graph([node], "modes",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15),
                                                    helper.make_opsetid("ai.onnx.ml", 3)])
    model.ir_version = 8
    some = numpy.array([1.0, 1.5, 2.0, 2.5, numpy.nan, numpy.inf, -numpy.inf, 0.0,
                        numpy.nextafter(numpy.float32(2), numpy.float32(0))], dtype=numpy.float32)
    write("modes", model, {"x": numpy.array([[a, b] for a in some for b in some])})


if __name__ == "__main__":
    trees()
    linear()
    mixed()
    wide()
    modes()
