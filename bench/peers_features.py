# SPDX-License-Identifier: Apache-2.0
"""Times scikit-learn's ColumnTransformer as bench_features.c times a feature program: median and
standardisation of eight columns, one-hot of four, dense float64 out.

    peers_features.py FILE      FILE as made by `csv make`: {"seconds": ...}
"""
import json
import sys
import time

import pandas
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def main():
    table = pandas.read_csv(sys.argv[1])
    numbers = [f"x{i}" for i in range(8)]
    texts = [f"c{i}" for i in range(4)]
    transform = ColumnTransformer([
        ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts)])
    start, cpu = time.perf_counter(), time.process_time()
    result = transform.fit_transform(table)
    print(json.dumps({"seconds": round(time.perf_counter() - start, 4),
                      "cpu_s": round(time.process_time() - cpu, 4),
                      "outputs": result.shape[1]}))


if __name__ == "__main__":
    main()
