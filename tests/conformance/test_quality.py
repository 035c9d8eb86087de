# SPDX-License-Identifier: Apache-2.0
"""Boosted trees beside LightGBM's: same rows, same features, same trees × leaves × rate.

The bound is the project's promise: AUC at most 0.002 below, RMSE or log loss at most 1 % above, on
the flights and three more real data sets. Where there are fewer than 10,000 rows it is the mean of
five independent splits, of sixteen with `--full`; their seeds are 0, 1, 2 and so on, and stay that
whatever comes out. Both models are judged by scikit-learn on what they predicted, and what
`train --json` says of itself must be what scikit-learn finds.
"""
import csv
import math
import random

import numpy
import pandas
import pytest

lightgbm = pytest.importorskip("lightgbm")
from sklearn import metrics  # noqa: E402

from conftest import DATA, FULL  # noqa: E402

TREES, LEAVES, RATE = 100, 31, 0.1


def read(name, missing=()):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not there; run make setup")
    with open(path, encoding="utf-8", newline="") as source:
        rows = list(csv.DictReader(source))
    return [{key: None if value == "" or value in missing else value
             for key, value in row.items()} for row in rows]


def split_at_random(rows, seed, part=0.25):
    rows = list(rows)
    random.Random(seed).shuffle(rows)
    cut = int(len(rows) * part)
    return rows[cut:], rows[:cut]


class Duel:
    """One data set: which columns are numbers and which categories, and what is asked."""

    def __init__(self, task, target, numbers, categories, positive=None):
        self.task, self.target, self.positive = task, target, positive
        self.numbers, self.categories = numbers, categories

    def spec(self):
        lines = [f"  {name} = {name}" for name in self.numbers]
        lines += [f"  {name} = category({name}, min_count = 1)" for name in self.categories]
        positive = f", positive: {self.positive!r}" if self.positive is not None else ""
        return "\n".join([
            "name: duel", "data: {train: train.csv, test: test.csv}",
            f"target: {{column: {self.target}{positive}}}", f"task: {self.task}", "features: |",
            *lines, f"model: {{learner: gbt, trees: {TREES}, leaves: {LEAVES}, "
            f"learning_rate: {RATE}}}", ""])

    def write(self, path, rows):
        names = [*self.numbers, *self.categories, self.target]
        with open(path, "w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(names)
            writer.writerows(["" if row[name] is None else row[name] for name in names]
                             for row in rows)

    def ours(self, tapeout, folder, train, test):
        """What tapeout predicts on the test rows: [R] or [R, K]; and its own metrics."""
        self.write(folder / "train.csv", train)
        self.write(folder / "test.csv", test)
        (folder / "duel.yaml").write_text(self.spec())
        made = tapeout.json("train", folder / "duel.yaml", "--out", folder / "duel.tapeout")
        text = tapeout.ok("predict", folder / "duel.tapeout", folder / "test.csv")
        rows = list(csv.DictReader(text.splitlines()))
        if self.task == "binary":
            return numpy.array([float(row["probability"]) for row in rows]), made["metrics"]
        if self.task == "multiclass":
            return numpy.array([[float(row[f"p_{name}"]) for name in self.classes(train)]
                                for row in rows]), made["metrics"]
        return numpy.array([float(row["prediction"]) for row in rows]), made["metrics"]

    def classes(self, rows):
        return sorted({row[self.target] for row in rows})

    def truth(self, rows):
        if self.task == "binary":
            return numpy.array([int(row[self.target] == str(self.positive)) for row in rows])
        if self.task == "multiclass":
            known = self.classes(rows)
            return numpy.array([known.index(row[self.target]) for row in rows])
        return numpy.array([float(row[self.target]) for row in rows])

    def theirs(self, train, test):
        def frame(rows):
            made = {name: [math.nan if row[name] is None else float(row[name]) for row in rows]
                    for name in self.numbers}
            for name in self.categories:
                known = sorted({row[name] for row in train if row[name] is not None})
                made[name] = pandas.Categorical([row[name] for row in rows], categories=known)
            return pandas.DataFrame(made)

        objective = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}
        options = {"objective": objective[self.task], "num_leaves": LEAVES, "learning_rate": RATE,
                   "verbose": -1, "num_threads": 1, "seed": 1}
        if self.task == "multiclass":
            options["num_class"] = len(self.classes(train))
        data = lightgbm.Dataset(frame(train), self.truth(train))
        return lightgbm.train(options, data, TREES).predict(frame(test))

    def judge(self, truth, predicted):
        """name → value, all of them by scikit-learn."""
        if self.task == "regression":
            return {"rmse": math.sqrt(metrics.mean_squared_error(truth, predicted))}
        figures = {"log_loss": metrics.log_loss(truth, predicted)}
        if self.task == "binary":
            figures["auc"] = metrics.roc_auc_score(truth, predicted)
        return figures

    def fight(self, tapeout, folder, train, test):
        truth = self.truth(test)
        predicted, said = self.ours(tapeout, folder, train, test)
        ours = self.judge(truth, predicted)
        for name, value in ours.items():
            assert said[name] == pytest.approx(value, rel=1e-9), f"train's own {name}"
        return ours, self.judge(truth, self.theirs(train, test))


def check(pairs):
    """Means over the splits within the bound."""
    for name in pairs[0][0]:
        ours = sum(pair[0][name] for pair in pairs) / len(pairs)
        theirs = sum(pair[1][name] for pair in pairs) / len(pairs)
        print(f"{name}: tapeout {ours:.6f}, LightGBM {theirs:.6f}")
        if name == "auc":
            assert ours >= theirs - 0.002, f"auc {ours} against {theirs}"
        else:
            assert ours <= theirs * 1.01, f"{name} {ours} against {theirs}"


def test_flights(tapeout, tmp_path):
    """Is a flight late, by what is known when it leaves the gate; split by time."""
    weather = {(row["origin"], row["time_hour"]): row for row in read("weather.csv", ("NA",))}
    rows = []
    sky = ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")
    for row in read("flights.csv", ("NA",)):
        if row["arr_delay"] is not None:
            over = weather.get((row["origin"], row["time_hour"]), {})
            rows.append({**row, **{name: over.get(name) for name in sky},
                         "late": str(int(float(row["arr_delay"]) > 15))})
    rows.sort(key=lambda row: row["time_hour"])
    cut = int(len(rows) * 0.8)
    duel = Duel("binary", "late", ["month", "sched_dep_time", "dep_delay", "distance", *sky],
                ["carrier", "origin", "dest"], positive=1)
    check([duel.fight(tapeout, tmp_path, rows[:cut], rows[cut:])])


def test_diamonds_regression(tapeout, tmp_path):
    rows = read("diamonds.csv")
    duel = Duel("regression", "price", ["carat", "depth", "table", "x", "y", "z"],
                ["cut", "color", "clarity"])
    check([duel.fight(tapeout, tmp_path, *split_at_random(rows, 1))])


def test_adult_mostly_categories(tapeout, tmp_path):
    rows = read("adult.csv", ("?",))
    duel = Duel("binary", "income",
                ["age", "education_num", "capital_gain", "capital_loss", "hours_per_week"],
                ["workclass", "education", "marital_status", "occupation", "relationship", "race",
                 "sex", "native_country"], positive=">50K")
    check([duel.fight(tapeout, tmp_path, *split_at_random(rows, 2))])


def test_digits_multiclass(tapeout, tmp_path):
    """1,797 rows: one split says little. LightGBM differs from itself by 8 % (standard deviation)
    on a test of 360 rows when its columns come in another order, so a mean of five is known to
    some 4 %. Ours was 3.6 % better over 16 splits of 80 to 20, and 1.2 % over 32 of 75 to 25, each
    with a standard error of about 2 %."""
    rows = read("digits.csv")
    pixels = [name for name in rows[0] if name != "digit"]
    duel = Duel("multiclass", "digit", pixels, [])
    check([duel.fight(tapeout, tmp_path, *split_at_random(rows, seed, 0.2))
           for seed in range(16 if FULL else 5)])
