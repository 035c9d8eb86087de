# SPDX-License-Identifier: Apache-2.0
"""Imported models against the programs that trained them, compared with ==.

Every case trains a small model with the real program, saves it in the program's own format, imports
the file and predicts thousands of rows with both: random ones, missing values, and for each
threshold of the model the value itself and its neighbours. Nothing is compared with a tolerance.
"""
import csv
import io
import json

import numpy
import pytest

ROWS = 1500
lightgbm = pytest.importorskip("lightgbm")


def training_rows(seed=1, columns=6, rows=ROWS, missing=0.1):
    random = numpy.random.default_rng(seed)
    x = random.normal(size=(rows, columns)) * (10.0 ** numpy.arange(-2, columns - 2))
    x[:, 1] = numpy.round(x[:, 1] * 20)  # ties, zeros of both signs
    x[:, 2] = numpy.exp(x[:, 2])
    if missing:
        x[random.random(x.shape) < missing] = numpy.nan
    signal = numpy.nan_to_num(x[:, 0]) * 100 + (numpy.nan_to_num(x[:, 1]) > 1)
    return x, signal + random.normal(size=rows) * 0.5


def edge_rows(x, thresholds, dtype):
    """For each threshold of each column a row with it and one with each neighbour."""
    rows = []
    for column, values in thresholds.items():
        for value in sorted(values)[:120]:
            value = dtype(value)
            for edge in (value, numpy.nextafter(value, dtype(-numpy.inf)),
                         numpy.nextafter(value, dtype(numpy.inf))):
                row = x[len(rows) % len(x)].copy()
                row[column] = edge
                rows.append(row)
    for edge in (0.0, -0.0, 5e-324, -5e-324, 1e-45, -1e-40, 1e-35, 1e38, -1e38, numpy.nan,
                 1.0000000180025095e-35, -1.0000000180025095e-35, 2.5, -0.5):
        rows.append(numpy.full(x.shape[1], edge))
    return numpy.array(rows, dtype=numpy.float64)


def write_csv(path, names, rows):
    with open(path, "w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(names)
        for row in rows:
            writer.writerow(["" if numpy.isnan(value) else repr(float(value)) for value in row])


class Imported:
    """A model file that was imported, asked for predictions of a matrix."""

    def __init__(self, tapeout, folder, path, name="model"):
        self.tapeout, self.folder, self.name = tapeout, folder, name
        self.facts = tapeout.json("import", path, "--name", name)
        self.inspect = tapeout.json("inspect", name)
        self.names = [column["name"] for column in self.inspect["schema"]["columns"]]
        self.classes = self.inspect["schema"]["target"]["classes"]

    def predict(self, rows, env=None):
        data = self.folder / "rows.csv"
        write_csv(data, self.names, rows)
        text = self.tapeout.ok("predict", self.name, data, env=env)
        return list(csv.DictReader(io.StringIO(text)))

    def values(self, rows, env=None):
        """As the original's predict gives them: probabilities where there are any."""
        got = self.predict(rows, env)
        if len(self.classes) > 2 or f"p_{self.classes[0] if self.classes else ''}" in got[0]:
            return numpy.array([[float(row[f"p_{c}"]) for c in self.classes] for row in got])
        column = "probability" if self.classes else "prediction"
        return numpy.array([float(row[column]) for row in got])


def assert_same(got, want):
    want = numpy.asarray(want).astype(numpy.float64)
    assert got.shape == want.shape
    wrong = numpy.flatnonzero(~(got == want).reshape(len(got), -1).all(axis=1))
    assert wrong.size == 0, f"{wrong.size} of {len(got)} rows differ, first {wrong[0]}: " \
                            f"{got[wrong[0]]!r}, not {want[wrong[0]]!r}"


try:
    import xgboost
except ImportError:  # `make bench` installs it
    xgboost = None
needs_xgboost = pytest.mark.skipif(xgboost is None, reason="xgboost is not there; run make setup")


# -- XGBoost -------------------------------------------------------------------------------------

XGBOOST = {
    "binary": {"objective": "binary:logistic"},
    "binary-base": {"objective": "binary:logistic", "base_score": 0.123},
    "binary-deep": {"objective": "binary:logistic", "max_depth": 12, "min_child_weight": 0,
                    "lambda": 0},
    "binary-leafwise": {"objective": "binary:logistic", "grow_policy": "lossguide",
                        "max_leaves": 40, "max_depth": 0},
    "exact": {"objective": "reg:squarederror", "tree_method": "exact"},
    "many-thresholds": {"objective": "reg:squarederror", "max_bin": 1024, "max_depth": 9,
                        "rounds": 60},
    "squared": {"objective": "reg:squarederror"},
    "logistic": {"objective": "reg:logistic", "target": "unit"},
    "raw": {"objective": "binary:logitraw"},
    "hinge": {"objective": "binary:hinge"},
    "absolute": {"objective": "reg:absoluteerror"},
    "huber": {"objective": "reg:pseudohubererror"},
    "quantile": {"objective": "reg:quantileerror", "quantile_alpha": 0.3},
    "poisson": {"objective": "count:poisson", "target": "count"},
    "gamma": {"objective": "reg:gamma", "target": "positive"},
    "tweedie": {"objective": "reg:tweedie", "target": "positive", "base_score": 2.7},
    "softprob": {"objective": "multi:softprob", "num_class": 5, "target": "class"},
    "softmax": {"objective": "multi:softmax", "num_class": 3, "target": "class"},
    "forest": {"objective": "binary:logistic", "num_parallel_tree": 4, "subsample": 0.5,
               "rounds": 2},
    "forest-classes": {"objective": "multi:softprob", "num_class": 3, "num_parallel_tree": 3,
                       "target": "class", "rounds": 3},
    "dart": {"booster": "dart", "objective": "binary:logistic", "rate_drop": 0.4, "skip_drop": 0.1},
    "dart-classes": {"booster": "dart", "objective": "multi:softprob", "num_class": 3,
                     "rate_drop": 0.3, "target": "class"},
    "rank": {"objective": "rank:pairwise", "target": "class", "num_group": 10},
    "categories": {"objective": "binary:logistic", "categories": 12, "max_cat_to_onehot": 1},
    "categories-onehot": {"objective": "reg:squarederror", "categories": 40,
                          "max_cat_to_onehot": 100},
    "no-missing": {"objective": "binary:logistic", "missing": 0},
    "line": {"booster": "gblinear", "objective": "reg:squarederror"},
    "line-binary": {"booster": "gblinear", "objective": "binary:logistic", "updater": "shotgun"},
    "line-classes": {"booster": "gblinear", "objective": "multi:softprob", "num_class": 4,
                     "target": "class"},
    "line-count": {"booster": "gblinear", "objective": "count:poisson", "target": "count",
                   "eta": 0.01, "rounds": 3},
}


def xgboost_target(kind, y):
    if kind == "count":
        return numpy.floor(numpy.abs(y) * 3)
    if kind == "positive":
        return numpy.abs(y) + 0.1
    if kind == "class":
        return None
    return y


def train_xgboost(options, seed=1):
    options = dict(options)
    rounds = options.pop("rounds", 20)
    kind = options.pop("target", "number")
    categories = options.pop("categories", 0)
    groups = options.pop("num_group", 0)
    x, y = training_rows(seed, missing=options.pop("missing", 0.1))
    types = None
    if categories:
        codes = numpy.random.default_rng(seed).integers(0, categories, size=len(x))
        x[:, 3] = numpy.where(numpy.isnan(x[:, 3]), numpy.nan, codes)
        y = y + (codes % 3)
        types = ["float"] * 3 + ["c"] + ["float"] * 2
    if kind == "class":
        count = options.get("num_class", 4)
        y = numpy.clip(numpy.floor(y + count / 2), 0, count - 1)
    elif kind == "unit":
        y = 1 / (1 + numpy.exp(-y))
    elif options["objective"].startswith("binary"):
        y = (y > 0).astype(int)
    else:
        y = xgboost_target(kind, y)
    data = xgboost.DMatrix(x, y, feature_types=types, enable_categorical=bool(categories))
    if groups:
        data.set_group([len(x) // groups] * groups)
    base = {"max_depth": 5, "eta": 0.3, "seed": seed, "nthread": 2}
    if options.get("booster") == "gblinear":
        base.pop("max_depth")
        x /= 10.0 ** numpy.arange(-2, 4)  # one learning rate for all
        data = xgboost.DMatrix(x, y)
    return xgboost.train({**base, **options}, data, rounds), x, types


def xgboost_thresholds(path):
    model = json.loads(path.read_text())["learner"]["gradient_booster"]
    model = model.get("gbtree", model)["model"]
    found = {}
    for tree in model.get("trees", []):
        for left, column, value, kind in zip(tree["left_children"], tree["split_indices"],
                                             tree["split_conditions"], tree["split_type"]):
            if left != -1 and kind == 0:
                found.setdefault(column, set()).add(value)
    return found


def xgboost_truth(booster, rows, types):
    data = xgboost.DMatrix(rows.astype(numpy.float32), feature_types=types,
                           enable_categorical=types is not None)
    return booster.predict(data)


@needs_xgboost
@pytest.mark.parametrize("name,form", [(name, "ubj") for name in XGBOOST] + [
    (name, "json") for name in ("binary", "categories", "dart", "softprob")])
def test_xgboost(tapeout, tmp_path, name, form):
    booster, x, types = train_xgboost(XGBOOST[name])
    path = tmp_path / f"file.{form}"
    booster.save_model(path)
    plain = tmp_path / "plain.json"
    booster.save_model(plain)
    model = Imported(tapeout, tmp_path, path)
    rows = numpy.concatenate([x, edge_rows(x, xgboost_thresholds(plain), numpy.float32)])
    if types:  # XGBoost refuses categories below 0
        rows[:, 3] = numpy.abs(rows[:, 3])
        rows[:, 3] = numpy.where(rows[:, 3] > 1e6, 50, rows[:, 3])
    want = xgboost_truth(booster, rows, types)
    if name == "softmax":
        got = numpy.array([float(row["prediction"]) for row in model.predict(rows)])
        assert_same(got, want)
        assert_same(model.values(rows), softmax_of_margins(plain, rows))
    else:
        assert_same(model.values(rows), want)
    assert model.inspect["lineage"]["source"] == "xgboost"
    assert model.inspect["lineage"]["objective"] == XGBOOST[name]["objective"]


def softmax_of_margins(path, rows):
    """What softprob would say of the same trees: XGBoost itself, told so."""
    told = json.loads(path.read_text())
    told["learner"]["objective"]["name"] = "multi:softprob"
    other = path.with_name("told.json")
    other.write_text(json.dumps(told))
    return xgboost.Booster(model_file=other).predict(xgboost.DMatrix(rows.astype(numpy.float32)))


@needs_xgboost
def test_xgboost_rows_alone_and_without_vectors(tapeout, tmp_path):
    booster, x, _ = train_xgboost(XGBOOST["softprob"])
    booster.save_model(tmp_path / "m.ubj")
    model = Imported(tapeout, tmp_path, tmp_path / "m.ubj")
    want = xgboost_truth(booster, x[:300], None)
    assert_same(model.values(x[:300], env={"TAPEOUT_CPU": "ref"}), want)
    for i in range(5):
        assert_same(model.values(x[i:i + 1]), want[i:i + 1])


@needs_xgboost
def test_xgboost_names(tapeout, tmp_path):
    x, y = training_rows()
    names = ["age", "_hidden", "sum of x", "log", "target", "a`b"]
    data = xgboost.DMatrix(x, (y > 0), feature_names=names)
    booster = xgboost.train({"objective": "binary:logistic"}, data, 4)
    booster.save_model(tmp_path / "named.json")
    model = Imported(tapeout, tmp_path, tmp_path / "named.json", "named")
    assert model.names == names
    assert model.inspect["schema"]["target"]["name"] != "target"
    assert_same(model.values(x), booster.predict(data))


# -- LightGBM ------------------------------------------------------------------------------------

LIGHTGBM = {
    "binary": {"objective": "binary"},
    "binary-sigmoid": {"objective": "binary", "sigmoid": 0.7, "num_leaves": 63,
                       "min_data_in_leaf": 2},
    "no-missing": {"objective": "binary", "use_missing": False},
    "zero-missing": {"objective": "regression", "zero_as_missing": True},
    "many-thresholds": {"objective": "regression", "max_bin": 1000, "num_leaves": 300,
                        "min_data_in_leaf": 1, "min_data_in_bin": 1, "rounds": 60},
    "regression": {"objective": "regression"},
    "sqrt": {"objective": "regression", "reg_sqrt": True},
    "l1": {"objective": "regression_l1"},
    "huber": {"objective": "huber"},
    "quantile": {"objective": "quantile", "alpha": 0.3},
    "mape": {"objective": "mape"},
    "poisson": {"objective": "poisson", "target": "count"},
    "gamma": {"objective": "gamma", "target": "positive"},
    "tweedie": {"objective": "tweedie", "target": "positive", "tweedie_variance_power": 1.3},
    "cross-entropy": {"objective": "cross_entropy", "target": "unit"},
    "multiclass": {"objective": "multiclass", "num_class": 4, "target": "class"},
    "one-against-all": {"objective": "multiclassova", "num_class": 3, "sigmoid": 1.3,
                        "target": "class"},
    "forest": {"objective": "binary", "boosting": "rf", "bagging_freq": 1,
               "bagging_fraction": 0.6},
    "dart": {"objective": "binary", "boosting": "dart", "drop_rate": 0.4},
    "categories": {"objective": "binary", "categories": 40, "min_data_per_group": 5,
                   "cat_smooth": 1},
    "categories-onehot": {"objective": "regression", "categories": 4},
    "rank": {"objective": "lambdarank", "target": "class", "num_class": 4, "groups": 10},
    "linear": {"objective": "regression", "linear_tree": True},
    "linear-binary": {"objective": "binary", "linear_tree": True, "linear_lambda": 0.5,
                      "rounds": 40, "num_leaves": 31},
    "linear-classes": {"objective": "multiclass", "num_class": 3, "target": "class",
                       "linear_tree": True},
    "linear-categories": {"objective": "regression", "linear_tree": True, "categories": 30,
                          "min_data_per_group": 5, "cat_smooth": 1},
    "linear-no-missing": {"objective": "regression", "linear_tree": True, "use_missing": False},
}


def train_lightgbm(options, seed=1):
    options = dict(options)
    rounds = options.pop("rounds", 20)
    kind = options.pop("target", "number")
    categories = options.pop("categories", 0)
    groups = options.pop("groups", 0)
    x, y = training_rows(seed)
    x[::7, 5] = 0
    if categories:
        codes = numpy.random.default_rng(seed).integers(0, categories, size=len(x))
        x[:, 3] = numpy.where(numpy.isnan(x[:, 3]), numpy.nan, codes)
        y = y + (codes % 3)
    if kind == "class":
        count = options.pop("num_class") if groups else options["num_class"]
        y = numpy.clip(numpy.floor(y + count / 2), 0, count - 1)
    elif kind == "unit":
        y = 1 / (1 + numpy.exp(-y))
    elif options["objective"] == "binary":
        y = (y > 0).astype(int)
    else:
        y = xgboost_target(kind, y)
    data = lightgbm.Dataset(x, y, categorical_feature=[3] if categories else [],
                            group=[len(x) // groups] * groups if groups else None)
    base = {"verbose": -1, "num_leaves": 15, "seed": seed, "num_threads": 2,
            "deterministic": True}
    return lightgbm.train({**base, **options}, data, rounds), x


def lightgbm_thresholds(booster):
    found = {}

    def visit(node):
        if "split_feature" in node:
            if node["decision_type"] == "<=":
                found.setdefault(node["split_feature"], set()).add(node["threshold"])
            visit(node["left_child"])
            visit(node["right_child"])

    for tree in booster.dump_model()["tree_info"]:
        visit(tree["tree_structure"])
    return found


@pytest.mark.parametrize("name", LIGHTGBM)
def test_lightgbm(tapeout, tmp_path, name):
    booster, x = train_lightgbm(LIGHTGBM[name])
    path = tmp_path / "file"
    booster.save_model(path)
    model = Imported(tapeout, tmp_path, path)
    rows = numpy.concatenate([x, edge_rows(x, lightgbm_thresholds(booster), numpy.float64),
                              numpy.full((1, 6), numpy.inf), numpy.full((1, 6), -numpy.inf)])
    if LIGHTGBM[name].get("linear_tree"):
        rows = rows[:-2]  # infinity less infinity: NaN there, an empty line here
    assert_same(model.values(rows), lightgbm.Booster(model_file=path).predict(rows))
    assert model.inspect["lineage"]["source"] == "lightgbm"


def test_lightgbm_linear_tree_of_one_leaf(tapeout, tmp_path):
    x, _ = training_rows()
    booster = lightgbm.train({"linear_tree": True, "verbose": -1},
                             lightgbm.Dataset(x, numpy.full(len(x), 2.5)), 2)
    booster.save_model(tmp_path / "m.txt")
    model = Imported(tapeout, tmp_path, tmp_path / "m.txt")
    assert_same(model.values(x), lightgbm.Booster(model_file=tmp_path / "m.txt").predict(x))


# -- pandas' categories --------------------------------------------------------------------------

LEVELS = {
    "sorted": ["_", "gr een", "red", "Ä", "é\"\\,"],
    "ordered by hand": ["red", "blue", "a", "Z", "10", "9", "é", "b"],
    "numbers": [3, 20, 100, 7.5, -2],
    "truths": [False, True],
    "many": [f"shop {i * 7919 % 1000}" for i in range(300)],
}


def pandas_frame(pandas, levels, seed, unseen):
    """Two columns of the levels, with values that training never saw, and two of numbers."""
    random = numpy.random.default_rng(seed)
    x, y = training_rows(seed, columns=4)
    pool = levels + [["never seen", 12345][not isinstance(levels[0], str)]] * unseen
    own = sorted(set(pool), key=str, reverse=True) if unseen else levels
    picks = random.integers(0, len(pool), (2, len(x)))
    missing = random.random((2, len(x))) < 0.1
    names = [[None if gone else pool[i] for i, gone in zip(*each)] for each in zip(picks, missing)]
    frame = pandas.DataFrame({"a": x[:, 0]})
    frame["c"] = pandas.Categorical(names[0], own)
    frame["b"] = x[:, 1]
    frame["e"] = pandas.Categorical(names[1], own)
    return frame, names, y + picks[0] % 3


def frame_csv(path, frame, names):
    with open(path, "w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(frame.columns)
        for a, c, b, e in zip(frame["a"], names[0], frame["b"], names[1]):
            writer.writerow(["" if numpy.isnan(a) else repr(float(a)), text_of(c),
                             "" if numpy.isnan(b) else repr(float(b)), text_of(e)])


def text_of(value):
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("name", LEVELS)
def test_lightgbm_categories_of_pandas(tapeout, tmp_path, name):
    pandas = pytest.importorskip("pandas")
    levels = LEVELS[name]
    frame, _, y = pandas_frame(pandas, levels, 1, 0)
    booster = lightgbm.train({"objective": "regression", "verbose": -1, "num_leaves": 31,
                              "min_data_per_group": 5, "cat_smooth": 1, "max_cat_to_onehot": 2},
                             lightgbm.Dataset(frame, y), 30)
    path = tmp_path / "m.txt"
    booster.save_model(path)
    model = Imported(tapeout, tmp_path, path)
    types = {c["name"]: c["type"] for c in model.inspect["schema"]["columns"]}
    assert types["c"] == {"numbers": "float64", "truths": "bool"}.get(name, "string")
    for seed, unseen in ((1, 0), (2, 0), (3, 0 if name == "truths" else 3)):
        rows, names, _ = pandas_frame(pandas, levels, seed, unseen)
        frame_csv(tmp_path / "rows.csv", rows, names)
        text = tapeout.ok("predict", path, tmp_path / "rows.csv")
        got = numpy.array([float(r["prediction"]) for r in csv.DictReader(io.StringIO(text))])
        assert_same(got, lightgbm.Booster(model_file=path).predict(rows))


def test_a_served_file_takes_categories_in_records(tapeout, serve, tmp_path):
    pandas = pytest.importorskip("pandas")
    levels = LEVELS["ordered by hand"]
    frame, _, y = pandas_frame(pandas, levels, 1, 0)
    booster = lightgbm.train({"objective": "regression", "verbose": -1, "min_data_per_group": 5,
                              "cat_smooth": 1}, lightgbm.Dataset(frame, y), 20)
    path = tmp_path / "shop model.txt"
    booster.save_model(path)
    rows, names, _ = pandas_frame(pandas, levels, 2, 3)
    records = [{"a": None if numpy.isnan(a) else a, "c": c, "b": None if numpy.isnan(b) else b,
                "e": e} for a, c, b, e in zip(rows["a"], names[0], rows["b"], names[1])][:300]
    with serve(path, "--quiet-requests") as server:
        status, answer = server.post("/invocations", {"dataframe_records": records})
    assert status == 200, answer
    got = numpy.array([row["prediction"] for row in answer["predictions"]])
    assert_same(got, booster.predict(rows)[:300])
    assert tapeout.json("list")["models"] == []


def test_lightgbm_ordered_categories_are_refused(tapeout, tmp_path):
    pandas = pytest.importorskip("pandas")
    frame, _, y = pandas_frame(pandas, ["low", "mid", "high"], 1, 0)
    frame["c"] = frame["c"].cat.as_ordered()
    booster = lightgbm.train({"verbose": -1}, lightgbm.Dataset(frame, y), 2)
    booster.save_model(tmp_path / "m.txt")
    assert "pandas_categorical" in tapeout.fails("import", tmp_path / "m.txt")


def test_a_pickle_is_refused(tapeout, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x80\x05\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.")
    assert "pickles are never opened" in tapeout.fails("import", path)
