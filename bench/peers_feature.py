# SPDX-License-Identifier: Apache-2.0
"""Times scikit-learn's ColumnTransformer on the kind of table that bench_feature makes.

    peers_feature.py [ROWS]     1000000

Median imputation and standardisation of 8 numbers, one-hot of 4 texts; fit_transform, the best of
three; one JSON object on stdout.
"""
import json
import sys
import time

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

NUMBERS = [f"c{i}" for i in range(8)]
TEXTS = [f"c{i}" for i in range(8, 12)]


def make_table(rows):
    random = np.random.default_rng(0)
    columns = {}
    for name in NUMBERS:
        values = random.random(rows) * 10 - 3
        values[random.random(rows) < 0.05] = np.nan
        columns[name] = values
    for i, name in enumerate(TEXTS):
        levels = np.array([f"level-{k}" for k in range(18 + i)], dtype=object)
        columns[name] = levels[random.integers(0, len(levels), rows)]
    return pd.DataFrame(columns)


def measure(table, sparse):
    best = {"seconds": float("inf"), "cpu_seconds": float("inf")}
    for _ in range(3):
        encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=sparse)
        numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
        transformer = ColumnTransformer([("numbers", numbers, NUMBERS), ("texts", encoder, TEXTS)],
                                        sparse_threshold=1.0 if sparse else 0)
        wall, cpu = time.perf_counter(), time.process_time()
        transformer.fit_transform(table)
        best["seconds"] = min(best["seconds"], time.perf_counter() - wall)
        best["cpu_seconds"] = min(best["cpu_seconds"], time.process_time() - cpu)
    return best


def main():
    table = make_table(int(sys.argv[1]) if len(sys.argv) > 1 else 1000000)
    print(json.dumps({"dense": measure(table, False), "sparse": measure(table, True)}))


main()
