// SPDX-License-Identifier: Apache-2.0
//
// Times feature programs: impute + standardise + one-hot fitted and applied to ROWS × 12 (8 numbers
// with 5 % missing, 4 texts of 18 to 21 levels), every output written to memory of its own; and one
// record of 15 features bound and run by itself. Wall and CPU time, the best of three.
//
//   bench_feature [rows=1000000 threads=2]
//
// One JSON object on stdout. peers_feature.py times scikit-learn on the same kind of table.
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "base/tp_random.h"
#include "feature/tp_feature.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { NUMBERS = 8, TEXTS = 4, TASK_ROWS = 16384, MOST_OUTPUTS = 512, RECORDS = 200000 };

static tapeout_error err;

static void must(tapeout_status status)
{
    if (status != TAPEOUT_OK) {
        fprintf(stderr, "bench_feature: error: %s\n", err.message);
        exit(1);
    }
}

static double cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double wall_s(void)
{
    return (double)tp_clock_monotonic_ns() * 1e-9;
}

// -- a table -------------------------------------------------------------------------------------
static tp_field fields[NUMBERS + TEXTS];
static char names[NUMBERS + TEXTS][8];
static const tp_schema schema = {fields, NUMBERS + TEXTS};

static tp_table_builder *make_table(uint64_t rows, const tapeout_table **ret_table)
{
    tp_table_builder *builder = NULL;
    for (uint32_t c = 0; c < NUMBERS + TEXTS; c++) {
        const int size = snprintf(names[c], sizeof(names[c]), "c%u", c);
        fields[c].name = (tp_str){names[c], (size_t)size};
        fields[c].type = c < NUMBERS ? TAPEOUT_TYPE_FLOAT64 : TAPEOUT_TYPE_STRING;
    }
    must(tp_table_builder_new(tp_allocator_default(), &schema, &builder, &err));
    for (uint64_t row = 0; row < rows; row++) {
        for (uint32_t c = 0; c < NUMBERS; c++) {
            must(tp_random_below(1, c, row, 20) == 0
                     ? tp_table_builder_null(builder, c)
                     : tp_table_builder_f64(builder, c, tp_random_f64(2, c, row) * 10 - 3));
        }
        for (uint32_t c = NUMBERS; c < NUMBERS + TEXTS; c++) {
            char text[32];
            const int size =
                snprintf(text, sizeof(text), "level-%d", (int)tp_random_below(3, c, row, 10 + c));
            must(tp_table_builder_str(builder, c, (tp_str){text, (size_t)size}));
        }
    }
    must(tp_table_builder_view(builder, ret_table, &err));
    return builder;
}

// -- batch ---------------------------------------------------------------------------------------
typedef struct job {
    tp_feature_run *run;
    uint64_t rows;
    uint32_t output_count;
    double *values[MOST_OUTPUTS];
} job;

static tapeout_status run_task(void *user, size_t task, size_t worker, tapeout_error *task_err)
{
    const job *j = user;
    double *targets[MOST_OUTPUTS];
    const uint64_t begin = (uint64_t)task * TASK_ROWS;
    const uint64_t end = j->rows - begin < TASK_ROWS ? j->rows : begin + TASK_ROWS;
    for (uint64_t at = begin; at < end; at += TP_FEATURE_BLOCK_ROWS) {
        const uint64_t left = end - at;
        for (uint32_t i = 0; i < j->output_count; i++) {
            targets[i] = j->values[i] + at;
        }
        const tp_feature_block block = {
            .row_begin = at,
            .row_count = left < TP_FEATURE_BLOCK_ROWS ? (uint32_t)left : TP_FEATURE_BLOCK_ROWS,
            .values = targets};
        const tapeout_status status = tp_feature_run_block(j->run, worker, &block, task_err);
        if (status != TAPEOUT_OK) {
            return status;
        }
    }
    return TAPEOUT_OK;
}

// As NumPy does for its arrays; without it half the time goes into page faults.
static void want_huge_pages(void *block, size_t size_bytes)
{
    const uintptr_t page = 4096;
    const uintptr_t begin = ((uintptr_t)block + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)block + size_bytes) / page * page;
    (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE); // a hint
}

// Fits and applies once, output memory included, as a transformer returns it.
static uint32_t transform(const tp_env *env, tp_feature_program *program,
                          const tapeout_table *table)
{
    const tp_feature_fit_data fit = {.table = table, .rows = {NULL, table->row_count}};
    must(tp_feature_fit(env, program, &fit, &err));
    static job j;
    j = (job){.rows = table->row_count, .output_count = tp_feature_output_count(program)};
    must(j.output_count <= MOST_OUTPUTS ? TAPEOUT_OK : TAPEOUT_E_LIMIT);
    const size_t size_bytes = (size_t)(j.output_count * j.rows * sizeof(double));
    double *matrix = tp_alloc_aligned(env->alloc, size_bytes);
    must(matrix == NULL ? tp_fail_nomem(&err) : TAPEOUT_OK);
    want_huge_pages(matrix, size_bytes);
    for (uint32_t i = 0; i < j.output_count; i++) {
        j.values[i] = matrix + i * j.rows;
    }
    must(tp_feature_run_new(env, program, tp_pool_worker_count(env->pool), &j.run, &err));
    must(tp_feature_run_bind(j.run, table, fit.rows, TP_FEATURE_SERVE, &err));
    must(tp_pool_for(env->pool, (j.rows + TASK_ROWS - 1) / TASK_ROWS, run_task, &j, &err));
    tp_feature_run_free(j.run);
    tp_free_aligned(env->alloc, matrix, size_bytes);
    return j.output_count;
}

static void bench_batch(const tp_env *env, const tapeout_table *table)
{
    char text[2048];
    size_t used = 0;
    tp_feature_program *program = NULL;
    for (uint32_t c = 0; c < NUMBERS + TEXTS; c++) {
        used += (size_t)snprintf(
            text + used, sizeof(text) - used,
            c < NUMBERS ? "f%u = standardize(impute(c%u, median))\n" : "f%u = onehot(c%u)\n", c, c);
    }
    must(tp_feature_parse(env, tp_str_from(text), &schema, &program, &err));
    double best_wall = 1e9;
    double best_cpu = 1e9;
    uint32_t outputs = 0;
    for (int turn = 0; turn < 3; turn++) {
        const double wall = wall_s();
        const double cpu = cpu_s();
        outputs = transform(env, program, table);
        best_wall = wall_s() - wall < best_wall ? wall_s() - wall : best_wall;
        best_cpu = cpu_s() - cpu < best_cpu ? cpu_s() - cpu : best_cpu;
    }
    tp_feature_program_free(program);
    printf("\"rows\": %llu, \"outputs\": %u, \"seconds\": %.4f, \"cpu_seconds\": %.4f, ",
           (unsigned long long)table->row_count, outputs, best_wall, best_cpu);
}

// -- one record ----------------------------------------------------------------------------------
static void bench_record(const tp_env *env, const tapeout_table *table)
{
    static const char text[] =
        "a = category(c8)\nb = category(concat(c9, \"-\", c10))\nc = count_encode(c11)\n"
        "d = log1p(abs(c0)) / (1 + impute(c1, median))\ne = standardize(c2)\nf = c3\ng = c4\n"
        "h = c5 / 100\ni = c6 > 2\nj = clip(c7, 0, 5)\nk = category(c9)\nl = category(c10)\n"
        "m = bin(c0, 10)\nn = if(c1 > c2, c3, c4)\no = is_missing(c0)\n";
    tp_feature_program *program = NULL;
    tp_feature_run *run = NULL;
    double values[15];
    double *targets[15];
    must(tp_feature_parse(env, tp_str_from(text), &schema, &program, &err));
    const uint64_t rows = table->row_count < 100000 ? table->row_count : 100000;
    const tp_feature_fit_data fit = {.table = table, .rows = {NULL, rows}};
    must(tp_feature_fit(env, program, &fit, &err));
    must(tp_feature_run_new(env, program, 1, &run, &err));
    for (int i = 0; i < 15; i++) {
        targets[i] = &values[i];
    }
    double best = 1e9;
    for (int turn = 0; turn < 3; turn++) {
        const double cpu = cpu_s();
        for (uint32_t i = 0; i < RECORDS; i++) {
            const uint32_t row = (uint32_t)(i % rows);
            const tp_rows one = {&row, 1};
            const tp_feature_block block = {.row_count = 1, .values = targets};
            must(tp_feature_run_bind(run, table, one, TP_FEATURE_SERVE, &err));
            must(tp_feature_run_block(run, 0, &block, &err));
        }
        best = cpu_s() - cpu < best ? cpu_s() - cpu : best;
    }
    printf("\"record_us\": %.3f", best / RECORDS * 1e6);
    tp_feature_run_free(run);
    tp_feature_program_free(program);
}

int main(int argc, char **argv)
{
    uint64_t rows = 1000000;
    uint64_t threads = 2;
    for (int i = 1; i < argc; i++) {
        const tp_str text = tp_str_from(argv[i]);
        const bool is_rows = tp_str_has_prefix(text, TP_STR("rows="));
        const tp_str value = {text.data + (is_rows ? 5 : 8), text.size - (is_rows ? 5 : 8)};
        if ((!is_rows && !tp_str_has_prefix(text, TP_STR("threads="))) ||
            !tp_str_to_uint64(value, is_rows ? &rows : &threads)) {
            fprintf(stderr, "usage: bench_feature [rows=N] [threads=N]\n");
            return 2;
        }
    }
    tp_env env = tp_env_plain();
    const tapeout_table *table = NULL;
    must(tp_pool_new(env.alloc, (uint32_t)threads, &env.pool, &err));
    tp_table_builder *builder = make_table(rows, &table);
    printf("{\"threads\": %llu, ", (unsigned long long)threads);
    bench_batch(&env, table);
    bench_record(&env, table);
    printf("}\n");
    tp_table_builder_free(builder);
    tp_pool_free(env.pool);
    return 0;
}
