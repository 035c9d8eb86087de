// SPDX-License-Identifier: Apache-2.0
//
// Reading CSV, types inferred, through the public call.
//
//   csv make FILE ROWS     8 columns of numbers with gaps, 4 of text, the same bytes everywhere
//   csv read FILE THREADS  the best of three: {"mb_per_s_core", "mb_per_cpu_s", "rows"}
#include "bench.h"

#include "base/tp_clock.h"
#include "base/tp_random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tapeout/table.h>

enum { NUMBERS = 8, TEXTS = 4, READS = 3 };

static int make(const char *path, uint64_t rows)
{
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    for (int c = 0; c < NUMBERS + TEXTS; c++) {
        fprintf(file, "%s%c%d", c > 0 ? "," : "", c < NUMBERS ? 'x' : 'c', c % NUMBERS);
    }
    fputc('\n', file);
    for (uint64_t row = 0; row < rows; row++) {
        for (int c = 0; c < NUMBERS; c++) {
            const uint64_t at = row * NUMBERS + (uint64_t)c;
            if (tp_random_below(1, 1, at, 20) == 0) {
                fputs(c > 0 ? "," : "", file);
            } else {
                const double value = (tp_random_f64(1, 2, at) - 0.5) * (c < 4 ? 100 : 1e5);
                fprintf(file, c % 2 == 0 ? "%s%.6f" : "%s%.0f", c > 0 ? "," : "", value);
            }
        }
        for (int c = 0; c < TEXTS; c++) {
            const uint64_t at = row * TEXTS + (uint64_t)c;
            fprintf(file, ",level %llu", (unsigned long long)tp_random_below(1, 3, at, 4u << c));
        }
        fputc('\n', file);
    }
    return fclose(file) == 0 ? 0 : 1;
}

static int read_all(const char *path, uint32_t threads)
{
    tapeout_context_options options;
    tapeout_context *context = NULL;
    tapeout_error err;
    struct stat about;
    double best_s = 1e9;
    double best_cpu_s = 1e9;
    uint64_t rows = 0;
    tapeout_context_options_init(&options);
    options.thread_count = threads;
    if (stat(path, &about) != 0 || tapeout_context_new(&options, &context, &err) != TAPEOUT_OK) {
        (void)fprintf(stderr, "bench csv: cannot begin with %s\n", path);
        return 1;
    }
    for (int i = 0; i < READS; i++) {
        tapeout_table *table = NULL;
        tapeout_read_options how;
        tapeout_read_options_init(&how);
        const uint64_t start_ns = tp_clock_monotonic_ns();
        const double cpu_start = tp_bench_cpu_seconds();
        if (tapeout_table_read(context, path, &how, &table, &err) != TAPEOUT_OK) {
            (void)fprintf(stderr, "bench csv: %s\n", err.message);
            return 1;
        }
        const double seconds = (double)(tp_clock_monotonic_ns() - start_ns) * 1e-9;
        const double cpu_s = tp_bench_cpu_seconds() - cpu_start;
        best_s = seconds < best_s ? seconds : best_s;
        best_cpu_s = cpu_s < best_cpu_s ? cpu_s : best_cpu_s;
        rows = tapeout_table_row_count(table);
        tapeout_table_free(table);
    }
    tapeout_context_free(context);
    const double mb = (double)about.st_size * 1e-6;
    printf("{\"mb_per_s_core\": %.1f, \"mb_per_cpu_s\": %.1f, \"rows\": %llu}\n",
           mb / best_s / threads, mb / best_cpu_s, (unsigned long long)rows);
    return 0;
}

int tp_bench_csv(int argc, char **argv)
{
    if (argc != 4) {
        (void)fputs("usage: csv make FILE ROWS | csv read FILE THREADS\n", stderr);
        return 2;
    }
    const unsigned long long number = strtoull(argv[3], NULL, 10);
    return strcmp(argv[1], "make") == 0 ? make(argv[2], number)
                                        : read_all(argv[2], number == 0 ? 1 : (uint32_t)number);
}
