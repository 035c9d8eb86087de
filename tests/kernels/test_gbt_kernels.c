// SPDX-License-Identifier: Apache-2.0
//
// The tree kernels: each variant against `ref`, to the bit, over lengths, offsets, strides and the
// numbers at the ends of their ranges; inputs end at a page that cannot be read.
#include "kernels/tp_kernels_gbt.h"

#include "base/tp_cpu.h"
#include "base/tp_random.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 300, FEATURES_MAX = 21, CANARY = 0x5a };

static tp_kernels_gbt ref;
static tp_kernels_gbt best;

static void init(void)
{
    tp_kernels_gbt_init(&ref, 0);
    tp_kernels_gbt_init(&best, tp_cpu_flags());
    if (best.find_leaves == ref.find_leaves) {
        test_skip("no variant but ref may be used here");
    }
}

static uint64_t number(uint64_t stream, uint64_t at)
{
    return tp_random_u64(7, stream, at);
}

// -- histograms ----------------------------------------------------------------------------------

typedef struct rows_case {
    tp_gbt_rows rows;
    uint32_t features;
} rows_case;

// Entries in a random order; kind 0 random gradients, 1 all lowest, 2 all highest.
static rows_case rows_make(size_t count, uint32_t features, int kind)
{
    const size_t stride = (features + 7) / 8 * 8;
    uint8_t *cells = test_guarded(ROWS_MAX * stride);
    uint64_t *entries = test_guarded(count * sizeof(uint64_t));
    tp_gbt_gradient *fine = test_guarded(ROWS_MAX * sizeof(*fine));
    for (size_t i = 0; i < ROWS_MAX * stride; i++) {
        cells[i] = kind == 0 ? (uint8_t)number(1, i) : kind == 1 ? 0 : 255;
    }
    for (size_t i = 0; i < ROWS_MAX; i++) {
        fine[i] = kind == 0   ? (tp_gbt_gradient){(int32_t)number(2, i),
                                                  (int32_t)(number(3, i) & INT32_MAX)}
                  : kind == 1 ? (tp_gbt_gradient){INT32_MIN, 0}
                              : (tp_gbt_gradient){INT32_MAX, INT32_MAX};
    }
    for (size_t i = 0; i < count; i++) {
        const uint64_t gradient = kind == 0   ? number(4, i) >> 32
                                  : kind == 1 ? UINT64_C(0x80000000)
                                              : UINT64_C(0x7fffffff);
        entries[i] = number(5, i) % ROWS_MAX | gradient << 32;
    }
    return (rows_case){{cells, stride, entries, fine, count}, features};
}

static void test_histograms(void)
{
    init();
    static uint64_t narrow[2][FEATURES_MAX * TP_GBT_BIN_SLOTS];
    static tp_gbt_sum wide[2][FEATURES_MAX * TP_GBT_BIN_SLOTS];
    static uint32_t counts[2][FEATURES_MAX * TP_GBT_BIN_SLOTS];
    for (int kind = 0; kind < 3; kind++) {
        for (uint32_t features = 1; features <= FEATURES_MAX; features++) {
            for (size_t count = 1; count < ROWS_MAX; count += count < 20 ? 1 : 93) {
                const rows_case c = rows_make(count, features, kind);
                memset(narrow, 0, sizeof(narrow));
                memset(wide, 0, sizeof(wide));
                memset(counts, 0, sizeof(counts));
                ref.hist_narrow(&c.rows, features, narrow[0]);
                best.hist_narrow(&c.rows, features, narrow[1]);
                ASSERT_EQ_BYTES(narrow[1], sizeof(narrow[1]), narrow[0], sizeof(narrow[0]));
                ref.hist_wide(&c.rows, features, wide[0]);
                best.hist_wide(&c.rows, features, wide[1]);
                ASSERT_EQ_BYTES(wide[1], sizeof(wide[1]), wide[0], sizeof(wide[0]));
                ref.hist_count(&c.rows, features, counts[0]);
                best.hist_count(&c.rows, features, counts[1]);
                ASSERT_EQ_BYTES(counts[1], sizeof(counts[1]), counts[0], sizeof(counts[0]));
            }
        }
    }
}

// Packed sums unpack to what was added, up to the most rows between two flushes, at both ends.
static void test_flush_of_full_sums(void)
{
    tp_kernels_gbt_init(&ref, 0);
    tp_kernels_gbt_init(&best, tp_cpu_flags());
    const tp_kernels_gbt *kernels[] = {&ref, &best};
    for (int variant = 0; variant < 2; variant++) {
        for (int sign = -1; sign <= 1; sign += 2) {
            static uint64_t entries[TP_GBT_PACKED_ROWS_MAX];
            static uint8_t cells[8];
            uint64_t hist[TP_GBT_BIN_SLOTS] = {0};
            tp_gbt_sum sums[TP_GBT_BIN_SLOTS] = {{3, 4}};
            const int64_t g = sign < 0 ? INT16_MIN : INT16_MAX;
            for (size_t i = 0; i < TP_GBT_PACKED_ROWS_MAX; i++) {
                entries[i] = (uint64_t)UINT16_MAX << 32 | (uint64_t)(uint16_t)g << 48;
            }
            const tp_gbt_rows rows = {
                .cells = cells, .stride = 8, .entries = entries, .count = TP_GBT_PACKED_ROWS_MAX};
            kernels[variant]->hist_narrow(&rows, 1, hist);
            kernels[variant]->hist_flush(hist, TP_GBT_BIN_SLOTS, sums);
            ASSERT_EQ_INT(sums[0].g, 3 + g * TP_GBT_PACKED_ROWS_MAX);
            ASSERT_EQ_INT(sums[0].h, 4 + (int64_t)UINT16_MAX * TP_GBT_PACKED_ROWS_MAX);
            ASSERT_EQ_UINT(hist[0], 0);
            ASSERT_EQ_INT(sums[1].g, 0);
        }
    }
}

// -- bins ----------------------------------------------------------------------------------------

static void test_bins(void)
{
    init();
    for (uint32_t bound_count = 0; bound_count <= 255; bound_count += bound_count < 20 ? 1 : 47) {
        double *bounds = test_guarded((bound_count + (bound_count == 0)) * sizeof(double));
        for (uint32_t i = 0; i < bound_count; i++) {
            bounds[i] = (double)i - 50;
        }
        if (bound_count == 255) {
            bounds[254] = INFINITY;
        }
        for (size_t count = 1; count < ROWS_MAX; count += count < 70 ? 7 : 61) {
            double *values = test_guarded(count * sizeof(double));
            const double odd[] = {NAN, INFINITY, -INFINITY, -0.0, 0, 1e300, -50, 3, 3.5, -1e-320};
            for (size_t i = 0; i < count; i++) {
                values[i] = i < 10 ? odd[i] : (double)(number(8, i) % 1200) / 4 - 60;
            }
            for (size_t stride = 1; stride <= 8; stride += 7) {
                static uint8_t bins[2][ROWS_MAX * 8];
                memset(bins, CANARY, sizeof(bins));
                tp_gbt_bin_job job = {.bounds = bounds,
                                      .bound_count = bound_count,
                                      .missing = (uint8_t)(bound_count + 1),
                                      .values = values,
                                      .count = count,
                                      .ret_bins = bins[0],
                                      .stride = stride};
                ref.bin_values(&job);
                job.ret_bins = bins[1];
                best.bin_values(&job);
                ASSERT_EQ_BYTES(bins[1], sizeof(bins[1]), bins[0], sizeof(bins[0]));
                for (size_t i = 0; i < count; i++) {
                    uint32_t below = 0;
                    while (below < bound_count && bounds[below] < values[i]) {
                        below++;
                    }
                    ASSERT_EQ_UINT(bins[0][i * stride],
                                   isnan(values[i]) ? (uint8_t)(bound_count + 1) : below);
                }
            }
        }
    }
}

// -- leaves --------------------------------------------------------------------------------------

enum { COLUMNS = 5, SETS = 7 };

// A chain of `leaves` leaves, left and right by turns: its program needs one slot.
static tp_gbt_code_tree chain_make(uint32_t leaves, bool with_categories)
{
    tp_gbt_code_node *nodes = calloc(leaves, sizeof(*nodes));
    tp_gbt_code_op *ops = calloc(leaves, sizeof(*ops));
    uint8_t *sets = calloc(SETS, 32);
    ASSERT(nodes != NULL && ops != NULL && sets != NULL);
    for (size_t i = 0; i < SETS * 32; i++) {
        sets[i] = (uint8_t)number(9, i);
    }
    const uint32_t count = leaves - 1;
    for (uint32_t i = 0; i < count; i++) {
        tp_gbt_code_node *node = &nodes[i];
        const bool is_last = i + 1 == count;
        const int side = (int)(number(10, i) % 2);
        node->column = (uint16_t)(number(11, i) % COLUMNS);
        node->limit = (uint8_t)number(12, i);
        node->is_category = with_categories && number(13, i) % 2;
        node->set = (uint32_t)(number(14, i) % SETS);
        node->child[side] = (int16_t)~i;
        node->child[1 - side] = (int16_t)(is_last ? ~count : i + 1);
        ops[count - 1 - i] = (tp_gbt_code_op){
            .column = node->column,
            .limit = node->limit,
            .is_category = node->is_category,
            .left = (uint16_t)(node->child[0] < 0 ? ~node->child[0] : TP_GBT_SLOT_BASE),
            .right = (uint16_t)(node->child[1] < 0 ? ~node->child[1] : TP_GBT_SLOT_BASE),
            .set = node->set};
    }
    return (tp_gbt_code_tree){nodes, ops, count, sets};
}

static void chain_free(const tp_gbt_code_tree *tree)
{
    free((void *)tree->nodes);
    free((void *)tree->ops);
    free((void *)tree->sets);
}

static void test_leaves(void)
{
    init();
    for (uint32_t leaves = 2; leaves <= 256; leaves += leaves < 10 ? 1 : 41) {
        const tp_gbt_code_tree tree = chain_make(leaves, leaves % 2 == 0);
        for (size_t count = 1; count <= 200; count += count < 70 ? 1 : 43) {
            const size_t stride = (count + 31) / 32 * 32;
            uint8_t *codes = test_guarded(COLUMNS * stride);
            uint8_t *slots = test_guarded(TP_GBT_PROGRAM_SLOTS * stride);
            for (size_t i = 0; i < COLUMNS * stride; i++) {
                codes[i] = (uint8_t)number(15, i);
            }
            const tp_gbt_code_block block = {codes, stride, count, slots};
            uint8_t got[256];
            uint8_t want[256];
            memset(got, CANARY, sizeof(got));
            memset(want, CANARY, sizeof(want));
            ref.find_leaves(&tree, &block, want);
            best.find_leaves(&tree, &block, got);
            ASSERT_EQ_BYTES(got, sizeof(got), want, sizeof(want));
        }
        chain_free(&tree);
    }
}

TEST_MAIN(TEST(test_histograms), TEST(test_flush_of_full_sums), TEST(test_bins), TEST(test_leaves))
