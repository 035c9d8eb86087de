#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes metric_tables.h: small random cases and what scikit-learn makes of them.

    python3 tests/unit/learn/make_metric_tables.py      (scikit-learn 1.9, numpy)

The data are drawn here from a fixed seed; nothing is taken from elsewhere. Scores are rounded, so
that ties occur. Every number is written as a hexadecimal float: the C test sees the same bits.
"""
import hashlib
import json
import math
import pathlib
import warnings

import numpy as np
import sklearn
from sklearn import metrics as sk
from sklearn.calibration import _sigmoid_calibration
from sklearn.isotonic import IsotonicRegression

HERE = pathlib.Path(__file__).resolve().parent
warnings.simplefilter("ignore")
METRICS = ("auc average_precision log_loss brier calibration_error accuracy f1 precision recall "
           "rmse mae mape r2 pinball deviance").split()


def number(value):
    return "NAN" if math.isnan(value) else float(value).hex()


def array(name, values):
    body = ", ".join(number(v) for v in np.asarray(values, dtype=float).ravel())
    return f"static const double {name}[] = {{{body}}};\n"


def calibration_error(stated, outcome, weight):
    bins = np.minimum((stated * 10).astype(int), 9)
    gaps = [abs(np.sum(weight[bins == b] * (outcome[bins == b] - stated[bins == b])))
            for b in range(10)]
    return sum(gaps) / weight.sum()


def binary_case(rng, rows, weighted):
    target = (rng.random(rows) < 0.3).astype(float)
    score = np.clip(np.round(0.25 + 0.3 * target + rng.normal(0, 0.25, rows), 2), 0, 1)
    weight = rng.integers(0, 5, rows).astype(float) * 0.75 if weighted else np.ones(rows)
    choice = (score >= 0.5).astype(float)
    kept = dict(sample_weight=weight)
    want = {
        "auc": sk.roc_auc_score(target, score, **kept),
        "average_precision": sk.average_precision_score(target, score, **kept),
        "log_loss": sk.log_loss(target, score, **kept),
        "brier": sk.brier_score_loss(target, score, **kept),
        "calibration_error": calibration_error(score, target, weight),
        "accuracy": sk.accuracy_score(target, choice, **kept),
        "f1": sk.f1_score(target, choice, **kept),
        "precision": sk.precision_score(target, choice, **kept),
        "recall": sk.recall_score(target, choice, **kept),
    }
    return dict(task="BINARY", objective="BINARY", classes=2, target=target, probability=score,
                prediction=choice, weight=weight if weighted else None, want=want)


def multiclass_case(rng, rows, classes, weighted):
    target = rng.integers(0, classes, rows).astype(float)
    raw = rng.random((rows, classes)) + 0.7 * np.eye(classes)[target.astype(int)]
    probability = np.round(raw / raw.sum(axis=1, keepdims=True), 2)
    probability[:, -1] = 1 - probability[:, :-1].sum(axis=1)
    choice = probability.argmax(axis=1).astype(float)
    weight = rng.integers(0, 5, rows).astype(float) if weighted else np.ones(rows)
    kept = dict(sample_weight=weight)
    macro = dict(average="macro", zero_division=0, **kept)
    onehot = np.eye(classes)[target.astype(int)]
    top = probability[np.arange(rows), choice.astype(int)]
    want = {
        "auc": np.mean([sk.roc_auc_score(target == k, probability[:, k], **kept)
                        for k in range(classes)]),
        "average_precision": np.mean([sk.average_precision_score(target == k, probability[:, k],
                                                                 **kept)
                                      for k in range(classes)]),
        "log_loss": sk.log_loss(target, probability, **kept),
        "brier": np.average(((onehot - probability) ** 2).sum(axis=1), weights=weight),
        "calibration_error": calibration_error(top, (choice == target).astype(float), weight),
        "accuracy": sk.accuracy_score(target, choice, **kept),
        "f1": sk.f1_score(target, choice, **macro),
        "precision": sk.precision_score(target, choice, **macro),
        "recall": sk.recall_score(target, choice, **macro),
    }
    return dict(task="MULTICLASS", objective="MULTICLASS", classes=classes, target=target,
                probability=probability.T, prediction=choice,
                weight=weight if weighted else None, want=want)


def value_case(rng, rows, objective, weighted, quantile=0.5, power=1.5):
    counts = objective in ("POISSON", "TWEEDIE")
    target = rng.poisson(2.5, rows).astype(float) if counts else rng.normal(3, 5, rows)
    if objective == "TWEEDIE":
        target *= rng.random(rows)
    noise = rng.normal(0, 1, rows)
    prediction = np.exp(0.8 + 0.3 * noise) if counts else target + noise
    weight = rng.integers(0, 5, rows).astype(float) if weighted else np.ones(rows)
    kept = dict(sample_weight=weight)
    want = {
        "rmse": sk.root_mean_squared_error(target, prediction, **kept),
        "mae": sk.mean_absolute_error(target, prediction, **kept),
        "mape": sk.mean_absolute_percentage_error(target, prediction, **kept),
        "r2": sk.r2_score(target, prediction, **kept),
        "deviance": sk.mean_tweedie_deviance(
            target, prediction, power={"POISSON": 1, "TWEEDIE": power}.get(objective, 0), **kept),
    }
    if objective == "QUANTILE":
        want["pinball"] = sk.mean_pinball_loss(target, prediction, alpha=quantile, **kept)
    return dict(task="QUANTILE" if objective == "QUANTILE" else "COUNT" if counts else "REGRESSION",
                objective=objective, classes=0, target=target, probability=None,
                prediction=prediction, weight=weight if weighted else None, want=want,
                quantile=quantile, power=power)


def case_text(index, case):
    text = ""
    for part in ("target", "probability", "prediction", "weight"):
        if case[part] is not None:
            text += array(f"case_{index}_{part}", case[part])
    rows = len(case["target"])
    pointer = {part: f"case_{index}_{part}" if case[part] is not None else "NULL"
               for part in ("target", "probability", "prediction", "weight")}
    want = ", ".join(number(case["want"].get(m, math.nan)) for m in METRICS)
    entry = (f"    {{{{TP_TASK_{case['task']}, TP_OBJECTIVE_{case['objective']}, "
             f"{case['classes']}, {rows}, {pointer['target']}, {pointer['weight']}, "
             f"{pointer['probability']}, "
             f"{pointer['prediction']}, {number(case.get('quantile', 0.5))}, "
             f"{number(case.get('power', 1.5))}}},\n     {{{want}}}}},\n")
    return text, entry


def calibration_text(rng):
    rows = 80
    margin = np.round(rng.normal(0, 2, rows), 1)
    target = (rng.random(rows) < 1 / (1 + np.exp(-0.7 * margin - 0.4))).astype(float)
    weight = rng.integers(1, 4, rows).astype(float)
    a, b = _sigmoid_calibration(margin, target, sample_weight=weight)
    isotonic = IsotonicRegression(y_min=0, y_max=1).fit(margin, target, sample_weight=weight)
    return (array("calibration_margin", margin) + array("calibration_target", target) +
            array("calibration_weight", weight) + array("calibration_platt", [-a, -b]) +
            array("calibration_isotonic", isotonic.predict(margin)))


def main():
    rng = np.random.default_rng(20130101)
    cases = [binary_case(rng, 120, False), binary_case(rng, 120, True),
             multiclass_case(rng, 90, 4, False), multiclass_case(rng, 90, 3, True),
             value_case(rng, 60, "SQUARED", False), value_case(rng, 60, "SQUARED", True),
             value_case(rng, 60, "QUANTILE", True, quantile=0.8),
             value_case(rng, 60, "POISSON", False),
             value_case(rng, 60, "TWEEDIE", True, power=1.3)]
    texts, entries = zip(*(case_text(i, case) for i, case in enumerate(cases)))
    out = ("// SPDX-License-Identifier: Apache-2.0\n//\n"
           "// Made by make_metric_tables.py; cases and what scikit-learn makes of them.\n"
           "#ifndef METRIC_TABLES_H\n#define METRIC_TABLES_H\n\n"
           '#include "learn/tp_metrics.h"\n\n#include <math.h>\n\n// clang-format off\n' +
           "".join(texts) +
           "\ntypedef struct metric_case {\n    tp_metric_data data;\n"
           "    double want[TP_METRIC_COUNT];\n} metric_case;\n\n"
           "static const metric_case metric_cases[] = {\n" + "".join(entries) + "};\n\n" +
           calibration_text(rng) + "// clang-format on\n\n#endif\n")
    (HERE / "metric_tables.h").write_text(out)
    path = HERE / "manifest.json"
    manifest = json.loads(path.read_text()) if path.exists() else {}
    manifest["metric_tables.h"] = {
        "source": "drawn by make_metric_tables.py; expected values by scikit-learn "
                  + sklearn.__version__,
        "licence": "Apache-2.0",
        "sha256": hashlib.sha256(out.encode()).hexdigest()}
    path.write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main()
