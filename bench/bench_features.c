// SPDX-License-Identifier: Apache-2.0
//
// Fitting a feature program and running it over the rows that it was fitted on: impute, standardise
// and one-hot, as peers_features.py does with scikit-learn's ColumnTransformer. The results stand
// as one matrix of float64, as the peer's do.
//
//   features run FILE THREADS    FILE as made by `csv make`: {"seconds": ..., "outputs": ...}
#include "bench.h"

#include "base/tp_clock.h"
#include "base/tp_env.h"
#include "base/tp_error.h"
#include "feature/tp_feature.h"

#include <stdio.h>
#include <stdlib.h>

static const char program_text[] =
    "n0 = standardize(impute(x0, median))\nn1 = standardize(impute(x1, median))\n"
    "n2 = standardize(impute(x2, median))\nn3 = standardize(impute(x3, median))\n"
    "n4 = standardize(impute(x4, median))\nn5 = standardize(impute(x5, median))\n"
    "n6 = standardize(impute(x6, median))\nn7 = standardize(impute(x7, median))\n"
    "o0 = onehot(c0)\no1 = onehot(c1)\no2 = onehot(c2)\no3 = onehot(c3)\n";

typedef struct job {
    tp_feature_run *run;
    double *matrix; // [outputs][rows]
    uint64_t rows;
    uint32_t outputs;
} job;

static tapeout_status run_block(void *user, size_t index, size_t worker, tapeout_error *err)
{
    const job *self = user;
    double *columns[4096];
    const uint64_t begin = (uint64_t)index * TP_FEATURE_BLOCK_ROWS;
    const uint64_t left = self->rows - begin;
    for (uint32_t i = 0; i < self->outputs; i++) {
        columns[i] = self->matrix + i * self->rows + begin;
    }
    const tp_feature_block block = {
        .row_begin = begin,
        .row_count = left < TP_FEATURE_BLOCK_ROWS ? (uint32_t)left : TP_FEATURE_BLOCK_ROWS,
        .output_count = self->outputs,
        .values = columns};
    return tp_feature_run_block(self->run, worker, &block, err);
}

static tapeout_status fit_and_run(const tp_env *env, const tapeout_table *table, job *ret_job,
                                  tapeout_error *err)
{
    tp_field fields[64];
    tp_feature_program *program = NULL;
    for (uint32_t c = 0; c < table->column_count && c < 64; c++) {
        fields[c] = (tp_field){table->columns[c].name, table->columns[c].type};
    }
    const tp_schema schema = {fields, table->column_count};
    const tp_row_choice all = {NULL, table->row_count};
    const tp_feature_fit_data data = {.table = table, .rows = all};
    TP_TRY(tp_feature_parse(env, tp_str_from(program_text), &schema, &program, err));
    TP_TRY(tp_feature_fit(env, program, &data, err));
    ret_job->outputs = tp_feature_output_count(program);
    ret_job->rows = table->row_count;
    ret_job->matrix = calloc(ret_job->rows * ret_job->outputs, sizeof(double));
    if (ret_job->matrix == NULL || ret_job->outputs > 4096) {
        return TAPEOUT_E_NOMEM;
    }
    TP_TRY(tp_feature_run_new(env, program, tp_pool_worker_count(env->pool), &ret_job->run, err));
    TP_TRY(tp_feature_run_bind(ret_job->run, table, all, TP_FEATURE_SERVE, err));
    const size_t blocks = (ret_job->rows + TP_FEATURE_BLOCK_ROWS - 1) / TP_FEATURE_BLOCK_ROWS;
    return tp_pool_for(env->pool, blocks, run_block, ret_job, err);
}

int tp_bench_features(int argc, char **argv)
{
    tp_env env = tp_env_plain();
    tp_csv_options csv;
    tapeout_table *table = NULL;
    tapeout_error err = {0};
    job work = {0};
    if (argc != 4) {
        (void)fputs("usage: features run FILE THREADS\n", stderr);
        return 2;
    }
    tp_csv_options_init(&csv);
    const uint32_t threads = (uint32_t)strtoul(argv[3], NULL, 10);
    if (tp_pool_new(env.alloc, threads, &env.pool, &err) != TAPEOUT_OK ||
        tp_csv_read(&env, argv[2], &csv, &table, &err) != TAPEOUT_OK) {
        (void)fprintf(stderr, "bench features: %s\n", err.message);
        return 1;
    }
    const uint64_t start_ns = tp_clock_monotonic_ns();
    const double cpu_start = tp_bench_cpu_seconds();
    if (fit_and_run(&env, table, &work, &err) != TAPEOUT_OK) {
        (void)fprintf(stderr, "bench features: %s\n", err.message);
        return 1;
    }
    // The process ends here; what it holds goes with it.
    printf("{\"seconds\": %.4f, \"cpu_s\": %.4f, \"rows\": %llu, \"outputs\": %u}\n",
           (double)(tp_clock_monotonic_ns() - start_ns) * 1e-9, tp_bench_cpu_seconds() - cpu_start,
           (unsigned long long)work.rows, work.outputs);
    return 0;
}
