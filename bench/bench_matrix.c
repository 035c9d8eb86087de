// SPDX-License-Identifier: Apache-2.0
//
// Times packed matrices times activations, one kind after the other, on one thread, beside a loop
// that only reads.
//
//   tapeout bench-part matrix [cols=1536 kind=Q4_1]
//
// One token: a matrix larger than the caches, in GB/s of packed weights. 8, 64 and 512 tokens: 512
// rows, in GMAC/s. The best of several rounds of the thread's own time, which a busy machine
// disturbs least. One JSON object a kind on stdout.
#include "bench.h"

#include "base/tp_cpu.h"
#include "base/tp_random.h"
#include "llm/model/tp_matrix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { READ_BYTES = 96 << 20, TOKENS_MAX = 512, MANY_ROWS = 512 };

static _Noreturn void fail(const char *what)
{
    (void)fprintf(stderr, "bench matrix: %s\n", what);
    exit(1);
}

static double thread_seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static const char *option(int argc, char **argv, const char *name)
{
    const size_t size = strlen(name);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], name, size) == 0 && argv[i][size] == '=') {
            return argv[i] + size + 1;
        }
    }
    return NULL;
}

// Four sums at once, so that memory is the limit.
static double read_rate(const uint8_t *data, size_t size)
{
    double best = 0;
    for (int round = 0; round < 10; round++) {
        uint64_t sums[16] = {0};
        const double start = thread_seconds();
        for (size_t at = 0; at + sizeof(sums) <= size; at += sizeof(sums)) {
            uint64_t words[16];
            memcpy(words, data + at, sizeof(words));
            for (int i = 0; i < 16; i++) {
                sums[i] ^= words[i];
            }
        }
        const double rate = (double)size / (thread_seconds() - start);
        volatile uint64_t keep = sums[0] ^ sums[5] ^ sums[10] ^ sums[15];
        (void)keep;
        best = rate > best ? rate : best;
    }
    return best * 1e-9;
}

typedef struct bench {
    tp_kernels_llm kernels;
    uint8_t *data; // [READ_BYTES]
    tp_activations x;
    float *y;
    uint32_t cols;
} bench;

static double seconds_of(const bench *self, const tp_matrix *matrix, uint32_t tokens, int rounds)
{
    const tp_matrix_part part = {
        .token_count = tokens, .row_end = matrix->rows, .y = self->y, .y_stride = matrix->rows};
    double best = 1e9;
    for (int round = 0; round < rounds; round++) {
        const double start = thread_seconds();
        tp_matrix_multiply(&self->kernels, matrix, &self->x, &part);
        const double seconds = thread_seconds() - start;
        best = seconds < best ? seconds : best;
    }
    return best;
}

static tp_matrix matrix_of(const bench *self, tp_matrix_kind kind, uint32_t rows)
{
    const size_t size = tp_matrix_size(kind, rows, self->cols);
    return (tp_matrix){kind, rows, self->cols, self->data, size};
}

static void run_kind(const bench *self, tp_matrix_kind kind)
{
    const size_t group_bytes = tp_matrix_size(kind, TP_MATRIX_GROUP, self->cols);
    const uint32_t rows = (uint32_t)(READ_BYTES / group_bytes) * TP_MATRIX_GROUP;
    const tp_matrix large = matrix_of(self, kind, rows);
    const tp_matrix small = matrix_of(self, kind, MANY_ROWS);
    const double read = read_rate(self->data, large.size);
    const double large_s = seconds_of(self, &large, 1, 10);
    const double small_s = seconds_of(self, &small, 1, 2000);
    (void)printf(
        "{\"kind\":\"%s\",\"read_gb_s\":%.2f,\"gb_s\":%.2f,\"of_read\":%.2f,\"cached_gb_s\":%.2f",
        tp_matrix_layout_of(kind)->name, read, (double)large.size * 1e-9 / large_s,
        (double)large.size * 1e-9 / large_s / read, (double)small.size * 1e-9 / small_s);
    for (uint32_t tokens = 8; tokens <= TOKENS_MAX; tokens *= 8) {
        const double seconds = seconds_of(self, &small, tokens, 6400 / (int)tokens);
        const double macs = (double)small.rows * self->cols * tokens;
        (void)printf(",\"gmac_s_%u\":%.1f", tokens, macs * 1e-9 / seconds);
    }
    (void)printf("}\n");
}

int tp_bench_matrix(int argc, char **argv)
{
    const tp_env env = tp_env_plain();
    const char *cols = option(argc, argv, "cols");
    const char *kind_name = option(argc, argv, "kind");
    bench self = {.cols = cols != NULL ? (uint32_t)strtoul(cols, NULL, 10) : 1536};
    tp_kernels_llm_init(&self.kernels, tp_cpu_flags());
    if (self.cols == 0 || self.cols % 256 != 0 || self.cols > 65536) {
        fail("cols must be a multiple of 256, at most 65536");
    }
    self.data = aligned_alloc(64, READ_BYTES);
    self.y = aligned_alloc(64, sizeof(float) * READ_BYTES / 256);
    float *row = aligned_alloc(64, sizeof(float) * self.cols);
    if (self.data == NULL || self.y == NULL || row == NULL ||
        tp_activations_init(&self.x, &env, TP_ACTIVATIONS_BLOCKS | TP_ACTIVATIONS_FLOATS,
                            TOKENS_MAX, self.cols, NULL) != TAPEOUT_OK) {
        fail("no memory");
    }
    for (size_t i = 0; i < READ_BYTES; i += 8) { // any byte below 64 makes an ordinary scale
        const uint64_t bits = tp_random_u64(1, 2, i) & 0x3f3f3f3f3f3f3f3f;
        memcpy(self.data + i, &bits, 8);
    }
    for (uint32_t t = 0; t < TOKENS_MAX; t++) {
        for (uint32_t i = 0; i < self.cols; i++) {
            row[i] = (float)tp_random_f64(3, t, i) - 0.5f;
        }
        tp_activations_set(&self.x, &self.kernels, t, row, self.cols);
    }
    for (int kind = 0; kind < TP_MATRIX_KIND_COUNT; kind++) {
        if (kind_name == NULL ||
            strcmp(kind_name, tp_matrix_layout_of((tp_matrix_kind)kind)->name) == 0) {
            run_kind(&self, (tp_matrix_kind)kind);
        }
    }
    tp_activations_deinit(&self.x);
    free(self.data);
    free(self.y);
    free(row);
    return 0;
}
