# SPDX-License-Identifier: Apache-2.0
"""Times LightGBM and XGBoost on a file made by `tapeout bench-part gbt make`, with like options.

    peers_gbt.py lightgbm|xgboost FILE [busy=1 trees=100 leaves=63 rate=0.1 threads=2
        objective=binary]

One JSON object on stdout, with the fields that ours prints. Threads are told to sleep while they
wait, unless OMP_WAIT_POLICY says otherwise: spinning costs nothing on an idle machine and most of
the time on a busy one. With busy=1 they are left as they come; it trains alone, then beside two
processes that never rest, and says how many times longer that took.
"""
import json
import os
import subprocess
import sys
import time

import numpy as np


def read(path):
    header = np.fromfile(path, dtype="<u8", count=3)
    rows, features = int(header[1]), int(header[2])
    values = np.memmap(path, dtype="<f8", offset=24, mode="r")
    target = np.array(values[:rows])
    columns = np.ascontiguousarray(values[rows:].reshape(features, rows).T)
    return columns, target


def auc(score, target):
    order = np.argsort(score, kind="stable")
    ranks = np.empty(len(score))
    _, inverse, counts = np.unique(score[order], return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks[order] = ((ends - counts + ends + 1) / 2)[inverse]
    positives = target.sum()
    pairs = positives * (len(target) - positives)
    return (ranks[target == 1].sum() - positives * (positives + 1) / 2) / pairs


def quality(objective, margin, target, options):
    if objective == "binary":
        return float(np.mean(np.logaddexp(0, np.where(target == 1, -margin, margin))))
    if objective == "multiclass":
        most = margin.max(axis=1)
        total = np.log(np.exp(margin - most[:, None]).sum(axis=1)) + most
        return float(np.mean(total - margin[np.arange(len(target)), target.astype(int)]))
    error = margin - target
    if objective == "absolute":
        return float(np.mean(np.abs(error)))
    if objective == "quantile":
        q = float(options.get("quantile", 0.5))
        return float(np.mean(np.abs(error) * np.where(error > 0, 1 - q, q)))
    if objective == "poisson":
        return float(np.mean(np.exp(margin) - target * margin))
    if objective == "tweedie":
        return float(np.mean(2 * np.exp(margin / 2) + 2 * target * np.exp(-margin / 2)))
    return float(np.mean(error * error))


LIGHTGBM = {"binary": "binary", "multiclass": "multiclass", "squared": "l2", "absolute": "l1",
            "huber": "huber", "quantile": "quantile", "poisson": "poisson", "tweedie": "tweedie"}
XGBOOST = {"binary": "binary:logistic", "multiclass": "multi:softprob",
           "squared": "reg:squarederror", "absolute": "reg:absoluteerror",
           "quantile": "reg:quantileerror", "poisson": "count:poisson", "tweedie": "reg:tweedie"}


def lightgbm(options, objective, train, every):
    import lightgbm as lgb
    params = {"objective": LIGHTGBM[objective], "num_leaves": int(options.get("leaves", 63)),
              "learning_rate": float(options.get("rate", 0.1)), "verbosity": -1,
              "num_threads": int(options.get("threads", 2)),
              "min_data_in_leaf": int(options.get("min_rows", 20)),
              "alpha": float(options.get("quantile", 0.9 if objective == "huber" else 0.5))}
    if objective == "multiclass":
        params["num_class"] = int(options["classes"])
    categories = [int(c) for c in options.get("categories", "").split(",") if c]
    cpu = time.process_time()
    start = time.perf_counter()
    data = lgb.Dataset(train[0], train[1], params=params, categorical_feature=categories)
    data.construct()
    binned = time.perf_counter()
    model = lgb.train(params, data, int(options.get("trees", 100)))
    done = time.perf_counter()
    cpu = time.process_time() - cpu
    return ((binned - start, done - binned, cpu),
            fastest(lambda: model.predict(every, raw_score=True)),
            lambda rows: model.predict(rows, raw_score=True))


def xgboost(options, objective, train, every):
    import xgboost as xgb
    params = {"objective": XGBOOST[objective], "max_leaves": int(options.get("leaves", 63)),
              "max_depth": 0, "grow_policy": "lossguide", "tree_method": "hist",
              "eta": float(options.get("rate", 0.1)), "nthread": int(options.get("threads", 2))}
    if objective == "multiclass":
        params["num_class"] = int(options["classes"])
    cpu = time.process_time()
    start = time.perf_counter()
    data = xgb.QuantileDMatrix(train[0], train[1], nthread=params["nthread"])
    binned = time.perf_counter()
    model = xgb.train(params, data, int(options.get("trees", 100)))
    done = time.perf_counter()
    cpu = time.process_time() - cpu
    return ((binned - start, done - binned, cpu),
            fastest(lambda: model.inplace_predict(every)),
            lambda rows: model.inplace_predict(rows, predict_type="margin"))


def fastest(call):
    best = best_cpu = float("inf")
    for _ in range(2):
        start, cpu = time.perf_counter(), time.process_time()
        call()
        best = min(best, time.perf_counter() - start)
        best_cpu = min(best_cpu, time.process_time() - cpu)
    return best, best_cpu


def beside_busy_processes(run, options, objective, train, every):
    start = time.perf_counter()
    run(options, objective, train, every)
    quiet = time.perf_counter() - start
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        start = time.perf_counter()
        run(options, objective, train, every)
        busy = time.perf_counter() - start
    finally:
        for other in others:
            other.kill()
            other.wait()
    print(json.dumps({"quiet_s": round(quiet, 3), "busy_s": round(busy, 3),
                      "factor": round(busy / quiet, 2)}))


def main():
    peer, path = sys.argv[1:3]
    options = dict(argument.split("=", 1) for argument in sys.argv[3:])
    if "busy" not in options:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    objective = options.get("objective", "binary")
    rows, target = read(path)
    test = int(len(target) * float(options.get("test", 0.1)))
    train = rows[:len(target) - test], target[:len(target) - test]
    run = {"lightgbm": lightgbm, "xgboost": xgboost}[peer]
    if "busy" in options:
        beside_busy_processes(run, options, objective, train, rows[:1000])
        return
    train_s, predict_s, predict = run(options, objective, train, rows)
    result = {"peer": peer, "bin_s": round(train_s[0], 3), "boost_s": round(train_s[1], 3),
              "train_cpu_s": round(train_s[2], 3),
              "predict_rows_per_s": round(len(target) / predict_s[0]),
              "predict_rows_per_cpu_s": round(len(target) / predict_s[1])}
    if test:
        margin = predict(rows[len(target) - test:])
        held = target[len(target) - test:]
        result["loss"] = round(quality(objective, margin, held, options), 6)
        if objective == "binary":
            result["auc"] = round(float(auc(margin, held)), 6)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
