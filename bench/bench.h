// SPDX-License-Identifier: Apache-2.0
//
// Our side of the benchmarks. `tapeout bench` runs each part in a process of its own, as it runs
// the peers, and reads the one JSON object that each prints (docs/benchmarks.md).
#ifndef BENCH_H
#define BENCH_H

// Arguments: gbt|csv|features|pipeline|matrix|llm|trust, what to do, files and name=value settings.
// The exit status.
int tp_bench_part(int argc, char **argv);

// Processor time of the process so far, all threads: what a busy machine disturbs least.
double tp_bench_cpu_seconds(void);

int tp_bench_gbt(int argc, char **argv);
int tp_bench_csv(int argc, char **argv);
int tp_bench_features(int argc, char **argv);
int tp_bench_pipeline(int argc, char **argv);
int tp_bench_matrix(int argc, char **argv);
int tp_bench_llm(int argc, char **argv);
int tp_bench_trust(int argc, char **argv);

#endif
