# SPDX-License-Identifier: Apache-2.0
"""Times pandas' or Arrow's CSV reader on one thread: peers_csv.py pandas|pyarrow FILE

One JSON object: {"mb_per_s_core": ...}, the best of three.
"""
import json
import os
import sys
import time


def read_pandas(path):
    import pandas
    return pandas.read_csv(path)


def read_pyarrow(path):
    from pyarrow import csv
    return csv.read_csv(path, csv.ReadOptions(use_threads=False))


def main():
    peer, path = sys.argv[1:3]
    read = {"pandas": read_pandas, "pyarrow": read_pyarrow}[peer]
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        read(path)
        best = min(best, time.perf_counter() - start)
    print(json.dumps({"mb_per_s_core": round(os.path.getsize(path) * 1e-6 / best, 1)}))


if __name__ == "__main__":
    main()
