#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes linear_tables.h: small random data and what scikit-learn's linear models predict on it.

    python3 tests/unit/learn/make_linear_tables.py      (scikit-learn 1.9, numpy)

The pipeline on that side: missing numbers take the mean, numbers are standardised, a category has
one indicator each. scikit-learn's C is 1 / (n alpha). Nothing is taken from elsewhere.
"""
import hashlib
import json
import pathlib
import warnings

import numpy as np
import sklearn
from sklearn.linear_model import ElasticNet, LogisticRegression, PoissonRegressor

from make_metric_tables import array

HERE = pathlib.Path(__file__).resolve().parent
ROWS, CATEGORIES = 150, 4
warnings.simplefilter("ignore")


def design(numbers, category, weight):
    mean = [np.average(x[~np.isnan(x)], weights=weight[~np.isnan(x)]) for x in numbers]
    filled = [np.where(np.isnan(x), m, x) for x, m in zip(numbers, mean)]
    scale = [np.sqrt(np.average((x - m) ** 2, weights=weight)) for x, m in zip(filled, mean)]
    columns = [(x - m) / s for x, m, s in zip(filled, mean, scale)]
    return np.column_stack(columns + [(category == c).astype(float) for c in range(CATEGORIES)])


def logistic(x, target, weight, alpha, ratio):
    model = LogisticRegression(C=1 / (weight.sum() * alpha), l1_ratio=ratio, solver="saga",
                               tol=1e-12, max_iter=200000)
    model.fit(x, target, sample_weight=weight)
    probability = model.predict_proba(x)
    return probability[:, 1] if probability.shape[1] == 2 else probability.T


def main():
    rng = np.random.default_rng(7)
    numbers = [rng.normal(1e6, 3, ROWS), rng.normal(0, 1, ROWS), rng.exponential(5, ROWS)]
    numbers[1] += 0.5 * (numbers[0] - 1e6)
    for x in numbers[1:]:
        x[rng.random(ROWS) < 0.1] = np.nan
    category = rng.integers(0, CATEGORIES, ROWS).astype(float)
    weight = rng.integers(1, 4, ROWS).astype(float)
    one = np.ones(ROWS)
    signal = (numbers[0] - 1e6) / 3 - 0.1 * np.nan_to_num(numbers[2]) + 0.7 * (category == 2)
    value = signal + rng.normal(0, 0.5, ROWS)
    binary = (rng.random(ROWS) < 1 / (1 + np.exp(-signal))).astype(float)
    classes = np.argmax(np.column_stack([signal, -signal, 0.8 * (category - 1.5)])
                        + rng.gumbel(size=(ROWS, 3)), axis=1).astype(float)
    count = rng.poisson(np.exp(0.5 * signal + 0.3)).astype(float)
    out = "".join(array(f"linear_number_{i}", x) for i, x in enumerate(numbers))
    out += array("linear_category", category) + array("linear_weight", weight)
    for name, target in (("value", value), ("binary", binary), ("class", classes),
                         ("count", count)):
        out += array(f"linear_{name}", target)
    x, weighted = design(numbers, category, one), design(numbers, category, weight)
    net = ElasticNet(alpha=0.05, l1_ratio=0.5, tol=1e-14, max_iter=1000000)
    out += array("linear_want_value", net.fit(x, value).predict(x))
    out += array("linear_want_value_weighted",
                 net.fit(weighted, value, sample_weight=weight).predict(weighted))
    out += array("linear_want_binary", logistic(x, binary, one, 0.01, 0.3))
    out += array("linear_want_binary_weighted", logistic(weighted, binary, weight, 0.001, 0))
    out += array("linear_want_class", logistic(x, classes, one, 0.01, 0.4))
    poisson = PoissonRegressor(alpha=0.02, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    out += array("linear_want_count", poisson.fit(x, count).predict(x))
    text = ("// SPDX-License-Identifier: Apache-2.0\n//\n"
            "// Made by make_linear_tables.py; data and what scikit-learn predicts on it.\n"
            "#ifndef LINEAR_TABLES_H\n#define LINEAR_TABLES_H\n\n#include <math.h>\n\n"
            f"enum {{ LINEAR_ROWS = {ROWS}, LINEAR_CATEGORIES = {CATEGORIES} }};\n\n"
            "// clang-format off\n" + out + "// clang-format on\n\n#endif\n")
    (HERE / "linear_tables.h").write_text(text)
    manifest = json.loads((HERE / "manifest.json").read_text())
    manifest["linear_tables.h"] = {
        "source": "drawn by make_linear_tables.py; expected values by scikit-learn "
                  + sklearn.__version__,
        "licence": "Apache-2.0",
        "sha256": hashlib.sha256(text.encode()).hexdigest()}
    (HERE / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main()
