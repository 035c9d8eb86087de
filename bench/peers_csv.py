# SPDX-License-Identifier: Apache-2.0
"""Times pandas' or Arrow's CSV reader on one thread: peers_csv.py pandas|pyarrow FILE

One JSON object: {"mb_per_s_core", "mb_per_cpu_s"}, the best of three.
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
    best = best_cpu = float("inf")
    for _ in range(3):
        start, cpu = time.perf_counter(), time.process_time()
        read(path)
        best = min(best, time.perf_counter() - start)
        best_cpu = min(best_cpu, time.process_time() - cpu)
    size_mb = os.path.getsize(path) * 1e-6
    print(json.dumps({"mb_per_s_core": round(size_mb / best, 1),
                      "mb_per_cpu_s": round(size_mb / best_cpu, 1)}))


if __name__ == "__main__":
    main()
