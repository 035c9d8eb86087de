// SPDX-License-Identifier: Apache-2.0
//
// Times training and prediction of boosted trees on a file of numbers that peers_gbt.py reads too.
//
//   tapeout bench-part gbt make FILE rows=1000000 features=28 kind=binary seed=1
//   tapeout bench-part gbt train FILE [trees=100 leaves=63 rate=0.1 threads=2 objective=binary
//   test=0.1 ...] tapeout bench-part gbt contention FILE [as train]: training alone, then beside
//   two busy processes
//
// The file: "TPBENCH1", rows, features as u64, the target as f64 [rows], then one column after the
// other as f64 [rows], little-endian. One JSON object on stdout; the model's FNV-1a hash lets runs
// with other thread counts or TAPEOUT_CPU be compared.
#include "bench.h"

#include "base/tp_buffer.h"
#include "base/tp_clock.h"
#include "base/tp_cpu.h"
#include "base/tp_file.h"
#include "base/tp_random.h"
#include "kernels/tp_math.h"
#include "learn/gbt/tp_gbt.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HEADER_BYTES = 24, BLOCK_ROWS = 1024 };

typedef struct table_file {
    tp_map map;
    uint64_t rows;
    uint64_t features;
    const double *target;
    const double *columns; // [features][rows]
    tp_learn_feature *about;
    uint64_t first_row; // of the part that is read
} table_file;

static _Noreturn void fail(const char *what, const tapeout_error *err)
{
    (void)fprintf(stderr, "bench gbt: %s%s%s\n", what, err != NULL ? ": " : "",
                  err != NULL ? err->message : "");
    exit(1);
}

static const char *option_text(int argc, char **argv, const char *name, const char *otherwise)
{
    const size_t size = strlen(name);
    for (int i = 3; i < argc; i++) {
        if (strncmp(argv[i], name, size) == 0 && argv[i][size] == '=') {
            return argv[i] + size + 1;
        }
    }
    return otherwise;
}

static double option(int argc, char **argv, const char *name, double otherwise)
{
    const char *text = option_text(argc, argv, name, NULL);
    return text != NULL ? strtod(text, NULL) : otherwise;
}

// -- making --------------------------------------------------------------------------------------

// About normal: the sum of twelve uniform numbers.
static double draw(uint64_t seed, uint64_t stream, uint64_t at)
{
    double sum = -6;
    for (uint64_t i = 0; i < 12; i++) {
        sum += tp_random_f64(seed, stream, at * 12 + i);
    }
    return sum;
}

// Products, steps and noise, much like the tables of particle physics that the peers time.
static double signal_of(const double *x, uint64_t features)
{
    double sum = 0;
    for (uint64_t f = 0; f + 3 < features; f += 4) {
        sum += x[f] * x[f + 1] + (x[f + 2] > 0.5 ? 0.7 : -0.2) + 0.3 * x[f + 3];
    }
    return sum / 2;
}

static void make(const char *path, int argc, char **argv)
{
    const uint64_t rows = (uint64_t)option(argc, argv, "rows", 1e6);
    const uint64_t features = (uint64_t)option(argc, argv, "features", 28);
    const uint64_t seed = (uint64_t)option(argc, argv, "seed", 1);
    const char *kind = option_text(argc, argv, "kind", "binary");
    double *columns = calloc(rows * features, sizeof(double));
    double *target = calloc(rows, sizeof(double));
    double *x = calloc(features, sizeof(double));
    if (columns == NULL || target == NULL || x == NULL) {
        fail("no memory", NULL);
    }
    for (uint64_t row = 0; row < rows; row++) {
        for (uint64_t f = 0; f < features; f++) {
            x[f] = draw(seed, f, row);
            columns[f * rows + row] = x[f];
        }
        const double margin = signal_of(x, features);
        const double noise = draw(seed, features, row);
        const double p = tp_logistic(margin);
        const double chance = tp_random_f64(seed, features + 1, row);
        target[row] = strcmp(kind, "binary") == 0  ? chance < p
                      : strcmp(kind, "count") == 0 ? floor(tp_exp(margin / 4) - tp_log(chance))
                                                   : margin + noise;
    }
    FILE *file = fopen(path, "wb");
    const uint64_t header[3] = {0x3148434e45425054, rows, features};
    if (file == NULL || fwrite(header, sizeof(header), 1, file) != 1 ||
        fwrite(target, sizeof(double), rows, file) != rows ||
        fwrite(columns, sizeof(double), rows * features, file) != rows * features ||
        fclose(file) != 0) {
        fail("cannot write the file", NULL);
    }
    free(columns);
    free(target);
    free(x);
}

// -- reading -------------------------------------------------------------------------------------

static void table_open(const char *path, table_file *table)
{
    tapeout_error err;
    if (tp_map_open(path, &table->map, &err) != TAPEOUT_OK) {
        fail("cannot open", &err);
    }
    if (table->map.size < HEADER_BYTES || memcmp(table->map.data, "TPBENCH1", 8) != 0) {
        fail("not a file of this benchmark", NULL);
    }
    memcpy(&table->rows, table->map.data + 8, 8);
    memcpy(&table->features, table->map.data + 16, 8);
    if (table->rows == 0 || table->features == 0 ||
        (table->map.size - HEADER_BYTES) / 8 / (table->features + 1) < table->rows) {
        fail("the file is cut short", NULL);
    }
    table->target = (const double *)(const void *)(table->map.data + HEADER_BYTES);
    table->columns = table->target + table->rows;
    table->about = calloc(table->features, sizeof(tp_learn_feature));
    if (table->about == NULL) {
        fail("no memory", NULL);
    }
}

static tapeout_status table_read(void *user, const tp_learn_slice *slice, double *ret_values,
                                 tapeout_error *err)
{
    (void)err;
    const table_file *table = user;
    const double *column = table->columns + slice->feature * table->rows + table->first_row;
    memcpy(ret_values, column + slice->row_begin, slice->row_count * sizeof(double));
    return TAPEOUT_OK;
}

// Features named in categories=0,3 hold codes.
static void mark_categories(table_file *table, const char *list)
{
    while (list != NULL && *list != '\0') {
        char *end;
        const unsigned long feature = strtoul(list, &end, 10);
        if (end == list || feature >= table->features) {
            fail("categories must be numbers of features", NULL);
        }
        double most = -1;
        for (uint64_t row = 0; row < table->rows; row++) {
            most = fmax(most, table->columns[feature * table->rows + row]);
        }
        table->about[feature].is_category = true;
        table->about[feature].category_count = (uint32_t)(most + 1);
        list = *end == ',' ? end + 1 : end;
    }
}

// -- measuring -----------------------------------------------------------------------------------

typedef struct scored {
    double margin;
    double target;
} scored;

static int compare_scored(const void *a, const void *b)
{
    const double x = ((const scored *)a)->margin;
    const double y = ((const scored *)b)->margin;
    return x < y ? -1 : x > y;
}

// The part of pairs in the right order, ties half.
static double auc_of(const double *margins, const double *target, uint64_t rows)
{
    scored *items = calloc(rows, sizeof(*items));
    if (items == NULL) {
        fail("no memory", NULL);
    }
    for (uint64_t i = 0; i < rows; i++) {
        items[i] = (scored){margins[i], target[i]};
    }
    qsort(items, rows, sizeof(*items), compare_scored);
    double ranks = 0;
    double positives = 0;
    for (uint64_t i = 0; i < rows;) {
        uint64_t end = i;
        double positives_here = 0;
        while (end < rows && items[end].margin == items[i].margin) {
            positives_here += items[end++].target;
        }
        ranks += positives_here * ((double)(i + end) + 1) / 2;
        positives += positives_here;
        i = end;
    }
    free(items);
    return (ranks - positives * (positives + 1) / 2) / (positives * ((double)rows - positives));
}

typedef struct predict_job {
    const tp_gbt *gbt;
    const table_file *table;
    uint64_t first_row;
    uint64_t rows;
    double *margins; // [K][rows]
    void **scratch;
} predict_job;

static tapeout_status predict_task(void *user, size_t index, size_t worker, tapeout_error *err)
{
    (void)err;
    const predict_job *job = user;
    const uint64_t begin = (uint64_t)index * BLOCK_ROWS;
    const uint64_t left = job->rows - begin;
    const uint32_t count = left < BLOCK_ROWS ? (uint32_t)left : BLOCK_ROWS;
    const double *columns[4096];
    static _Thread_local double margins[64 * BLOCK_ROWS];
    for (uint64_t f = 0; f < job->table->features; f++) {
        columns[f] = job->table->columns + f * job->table->rows + job->first_row + begin;
    }
    tp_gbt_margins(job->gbt, columns, count, job->scratch[worker], margins);
    for (uint32_t k = 0; k < job->gbt->trees_per_iteration; k++) {
        memcpy(job->margins + k * job->rows + begin, margins + (size_t)k * count,
               count * sizeof(double));
    }
    return TAPEOUT_OK;
}

static double predict_seconds(const tp_env *env, predict_job *job)
{
    const size_t workers = tp_pool_worker_count(env->pool);
    job->scratch = calloc(workers, sizeof(void *));
    for (size_t w = 0; job->scratch != NULL && w < workers; w++) {
        job->scratch[w] =
            aligned_alloc(64, (tp_gbt_scratch_size(job->gbt, BLOCK_ROWS) + 127) / 64 * 64);
    }
    const uint64_t start_ns = tp_clock_monotonic_ns();
    const size_t blocks = (size_t)((job->rows + BLOCK_ROWS - 1) / BLOCK_ROWS);
    tapeout_error err;
    if (tp_pool_for(env->pool, blocks, predict_task, job, &err) != TAPEOUT_OK) {
        fail("predict", &err);
    }
    const double seconds = (double)(tp_clock_monotonic_ns() - start_ns) * 1e-9;
    for (size_t w = 0; w < workers; w++) {
        free(job->scratch[w]);
    }
    free(job->scratch);
    return seconds;
}

static void single_row_us(const predict_job *job, double *ret_us)
{
    const double *columns[4096];
    void *scratch = aligned_alloc(64, (tp_gbt_scratch_size(job->gbt, 1) + 127) / 64 * 64);
    double margins[64];
    const uint64_t rows = job->rows < 20000 ? job->rows : 20000;
    const double start = tp_bench_cpu_seconds();
    for (uint64_t row = 0; row < rows; row++) {
        for (uint64_t f = 0; f < job->table->features; f++) {
            columns[f] = job->table->columns + f * job->table->rows + job->first_row + row;
        }
        tp_gbt_margins(job->gbt, columns, 1, scratch, margins);
    }
    *ret_us = (tp_bench_cpu_seconds() - start) * 1e6 / (double)rows;
    free(scratch);
}

static uint64_t model_hash(const tp_gbt *gbt)
{
    tp_buffer bytes;
    tp_buffer_init(&bytes, gbt->alloc, (size_t)1 << 32);
    tp_gbt_write(gbt, &bytes);
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < bytes.size; i++) {
        hash = (hash ^ (uint8_t)bytes.data[i]) * 0x100000001b3;
    }
    tp_buffer_deinit(&bytes);
    return hash;
}

// -- training ------------------------------------------------------------------------------------

static void options_from(int argc, char **argv, tp_gbt_options *options)
{
    const char *word = option_text(argc, argv, "objective", "binary");
    tp_objective objective = TP_OBJECTIVE_BINARY;
#define OBJECTIVE(name, value, text)                                                               \
    objective = strcmp(word, text) == 0 ? TP_OBJECTIVE_##name : objective;
    TP_OBJECTIVE_MAP(OBJECTIVE)
#undef OBJECTIVE
    tp_gbt_options_init(options, objective);
    options->class_count = (uint32_t)option(argc, argv, "classes", options->class_count);
    options->trees = (uint32_t)option(argc, argv, "trees", 100);
    options->leaves = (uint32_t)option(argc, argv, "leaves", 63);
    options->learning_rate = option(argc, argv, "rate", 0.1);
    options->depth = (int32_t)option(argc, argv, "depth", -1);
    options->row_fraction = option(argc, argv, "row_fraction", 1);
    options->column_fraction = option(argc, argv, "column_fraction", 1);
    options->min_rows_in_leaf = (uint32_t)option(argc, argv, "min_rows", 20);
    options->quantile = option(argc, argv, "quantile", 0.5);
    options->seed = (uint64_t)option(argc, argv, "seed", 1);
}

static void report_quality(const predict_job *job, const tp_gbt_options *options)
{
    const double *target = job->table->target + job->first_row;
    double loss = 0;
    for (uint64_t i = 0; i < job->rows; i++) {
        const double margin = job->margins[i];
        const double error = margin - target[i];
        double most = margin;
        double sum = 0;
        switch (options->objective) {
        case TP_OBJECTIVE_BINARY:
            loss += tp_log1p(tp_exp(-fabs(margin))) + fmax(0, target[i] == 1 ? -margin : margin);
            break;
        case TP_OBJECTIVE_MULTICLASS:
            for (uint32_t k = 1; k < options->class_count; k++) {
                most = fmax(most, job->margins[k * job->rows + i]);
            }
            for (uint32_t k = 0; k < options->class_count; k++) {
                sum += tp_exp(job->margins[k * job->rows + i] - most);
            }
            loss += tp_log(sum) + most - job->margins[(uint64_t)target[i] * job->rows + i];
            break;
        case TP_OBJECTIVE_ABSOLUTE:
            loss += fabs(error);
            break;
        case TP_OBJECTIVE_QUANTILE:
            loss += fabs(error) * (error > 0 ? 1 - options->quantile : options->quantile);
            break;
        case TP_OBJECTIVE_POISSON:
            loss += tp_exp(margin) - target[i] * margin;
            break;
        case TP_OBJECTIVE_TWEEDIE:
            loss += 2 * tp_exp(margin / 2) + 2 * target[i] * tp_exp(-margin / 2);
            break;
        case TP_OBJECTIVE_SQUARED:
        case TP_OBJECTIVE_HUBER:
            loss += error * error;
            break;
        }
    }
    printf(", \"loss\": %.6f", loss / (double)job->rows);
    if (options->objective == TP_OBJECTIVE_BINARY) {
        printf(", \"auc\": %.6f", auc_of(job->margins, target, job->rows));
    }
}

static tp_gbt *train_once(const tp_env *env, table_file *table, uint64_t rows,
                          const tp_gbt_options *options, tp_gbt_report *ret_report)
{
    const tp_learn_data data = {.row_count = rows,
                                .feature_count = (uint32_t)table->features,
                                .features = table->about,
                                .target = table->target,
                                .read = table_read,
                                .user = table,
                                .block_rows = 4096};
    tapeout_error err;
    tp_gbt *gbt = NULL;
    if (tp_gbt_train(env, &data, NULL, options, &gbt, ret_report, &err) != TAPEOUT_OK) {
        fail("train", &err);
    }
    return gbt;
}

static void train(table_file *table, const tp_env *env, int argc, char **argv)
{
    tp_gbt_options options;
    options_from(argc, argv, &options);
    mark_categories(table, option_text(argc, argv, "categories", NULL));
    const uint64_t test_rows = (uint64_t)((double)table->rows * option(argc, argv, "test", 0.1));
    tp_gbt_report report;
    const double cpu_start = tp_bench_cpu_seconds();
    tp_gbt *gbt = train_once(env, table, table->rows - test_rows, &options, &report);
    const double cpu_train = tp_bench_cpu_seconds() - cpu_start;
    predict_job job = {.gbt = gbt, .table = table, .rows = table->rows};
    job.margins = calloc(table->rows * gbt->trees_per_iteration, sizeof(double));
    if (job.margins == NULL) {
        fail("no memory", NULL);
    }
    double predict_s = INFINITY;
    double cpu_predict = INFINITY;
    for (int i = 0; i < 2; i++) {
        const double cpu_before = tp_bench_cpu_seconds();
        predict_s = fmin(predict_s, predict_seconds(env, &job));
        cpu_predict = fmin(cpu_predict, tp_bench_cpu_seconds() - cpu_before);
    }
    double single_us;
    single_row_us(&job, &single_us);
    printf("{\"cpu\": \"%s\", \"bin_s\": %.3f, \"boost_s\": %.3f, \"train_cpu_s\": %.3f, "
           "\"predict_cpu_s\": %.3f, \"train_loss\": %.6f, "
           "\"predict_rows_per_s\": %.0f, \"predict_rows_per_cpu_s\": %.0f, \"single_row_us\": "
           "%.2f, \"trees\": %u, "
           "\"model_fnv\": \"%016llx\"",
           tp_cpu_name(tp_cpu_flags()), report.seconds_bin, report.seconds_boost, cpu_train,
           cpu_predict, report.train_loss, (double)job.rows / predict_s,
           (double)job.rows / cpu_predict, single_us, gbt->tree_count,
           (unsigned long long)model_hash(gbt));
    if (test_rows > 0) {
        job.first_row = table->rows - test_rows;
        job.rows = test_rows;
        (void)predict_seconds(env, &job);
        report_quality(&job, &options);
    }
    printf("}\n");
    free(job.margins);
    tp_gbt_free(gbt);
}

// -- contention ----------------------------------------------------------------------------------

static void contention(table_file *table, const tp_env *env, int argc, char **argv)
{
    tp_gbt_options options;
    options_from(argc, argv, &options);
    tp_gbt_report quiet;
    tp_gbt_report busy;
    tp_gbt_free(train_once(env, table, table->rows, &options, &quiet));
    pid_t others[2];
    for (int i = 0; i < 2; i++) {
        others[i] = fork();
        if (others[i] == 0) {
            for (volatile uint64_t spin = 0;; spin++) {
            }
        }
    }
    tp_gbt_free(train_once(env, table, table->rows, &options, &busy));
    for (int i = 0; i < 2; i++) {
        (void)kill(others[i], SIGKILL);
        (void)waitpid(others[i], NULL, 0);
    }
    const double quiet_s = quiet.seconds_bin + quiet.seconds_boost;
    const double busy_s = busy.seconds_bin + busy.seconds_boost;
    printf("{\"quiet_s\": %.3f, \"busy_s\": %.3f, \"factor\": %.2f}\n", quiet_s, busy_s,
           busy_s / quiet_s);
}

int tp_bench_gbt(int argc, char **argv)
{
    if (argc < 3) {
        (void)fprintf(stderr, "usage: gbt make|train|contention FILE [name=value ...]\n");
        return 2;
    }
    if (strcmp(argv[1], "make") == 0) {
        make(argv[2], argc, argv);
        return 0;
    }
    table_file table = {0};
    table_open(argv[2], &table);
    tp_env env = tp_env_plain();
    tapeout_error err;
    const uint32_t threads = (uint32_t)option(argc, argv, "threads", 2);
    if (tp_pool_new(env.alloc, threads, &env.pool, &err) != TAPEOUT_OK) {
        fail("threads", &err);
    }
    if (strcmp(argv[1], "contention") == 0) {
        contention(&table, &env, argc, argv);
    } else {
        train(&table, &env, argc, argv);
    }
    tp_pool_free(env.pool);
    free(table.about);
    tp_map_close(&table.map);
    return 0;
}
