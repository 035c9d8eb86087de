// SPDX-License-Identifier: Apache-2.0
//
// Histograms of gradients. A worker counts a chunk of rows in a table of its own that stays in the
// cache, a group of features after the other, and then adds it to the histogram of the leaf. Sums
// are integers, so it does not matter who adds first.
#include "learn/gbt/gbt_grow_priv.h"

#include <pthread.h>
#include <string.h>

// Tables of so many features stay in the first-level cache while the rows of a block pass by.
enum { GROUP_FEATURES = 16, BLOCK_ROWS = 2048 };

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void count_narrow(const tp_gbt_grower *grower, const tp_gbt_hist_run *run, uint64_t *packed)
{
    for (size_t at = 0; at < run->count; at += BLOCK_ROWS) {
        const size_t count = run->count - at < BLOCK_ROWS ? run->count - at : BLOCK_ROWS;
        for (uint32_t f = run->feature_begin; f < run->feature_end; f += GROUP_FEATURES) {
            const tp_gbt_rows rows = {.cells = grower->matrix->cells + f,
                                      .stride = grower->matrix->stride,
                                      .entries = run->entries + at,
                                      .count = count};
            grower->kernels.hist_narrow(&rows, min_u32(GROUP_FEATURES, run->feature_end - f),
                                        packed +
                                            (size_t)(f - run->feature_begin) * TP_GBT_BIN_SLOTS);
        }
    }
}

static void count_wide(const tp_gbt_grower *grower, const tp_gbt_hist_run *run, tp_gbt_sum *sums)
{
    for (size_t at = 0; at < run->count; at += BLOCK_ROWS) {
        const size_t count = run->count - at < BLOCK_ROWS ? run->count - at : BLOCK_ROWS;
        for (uint32_t f = run->feature_begin; f < run->feature_end; f += GROUP_FEATURES / 2) {
            const tp_gbt_rows rows = {.cells = grower->matrix->cells + f,
                                      .stride = grower->matrix->stride,
                                      .entries = run->entries + at,
                                      .fine = grower->fine,
                                      .count = count};
            grower->kernels.hist_wide(&rows, min_u32(GROUP_FEATURES / 2, run->feature_end - f),
                                      sums + (size_t)(f - run->feature_begin) * TP_GBT_BIN_SLOTS);
        }
    }
}

static void flush_wide(tp_gbt_sum *from, size_t count, tp_gbt_sum *to)
{
    for (size_t i = 0; i < count; i++) {
        to[i].g += from[i].g;
        to[i].h += from[i].h;
    }
    memset(from, 0, count * sizeof(*from));
}

// The rows of a run, block by block as the sums are.
static void count_rows(const tp_gbt_grower *grower, const tp_gbt_hist_run *run, uint32_t *counts)
{
    for (size_t at = 0; at < run->count; at += BLOCK_ROWS) {
        const size_t count = run->count - at < BLOCK_ROWS ? run->count - at : BLOCK_ROWS;
        const tp_gbt_rows rows = {.cells = grower->matrix->cells + run->feature_begin,
                                  .stride = grower->matrix->stride,
                                  .entries = run->entries + at,
                                  .count = count};
        grower->kernels.hist_count(&rows, run->feature_end - run->feature_begin, counts);
    }
}

static void flush_counts(uint32_t *from, size_t count, uint32_t *to)
{
    for (size_t i = 0; i < count; i++) {
        to[i] += from[i];
        from[i] = 0;
    }
}

size_t tp_gbt_hist_bytes(const tp_gbt_bins *bins)
{
    return bins->hist_size * (sizeof(tp_gbt_sum) + sizeof(uint32_t));
}

uint32_t *tp_gbt_hist_counts(const tp_gbt_grower *grower, tp_gbt_sum *hist)
{
    return grower->has_counts ? (uint32_t *)(void *)(hist + grower->bins->hist_size) : NULL;
}

void tp_gbt_hist_clear(const tp_gbt_grower *grower, tp_gbt_sum *hist)
{
    memset(hist, 0,
           grower->has_counts ? tp_gbt_hist_bytes(grower->bins)
                              : grower->bins->hist_size * sizeof(tp_gbt_sum));
}

void tp_gbt_hist_count(const tp_gbt_grower *grower, tp_gbt_scratch *scratch,
                       const tp_gbt_hist_run *run, uint32_t *counts)
{
    count_rows(grower, run, scratch->counts);
    for (uint32_t f = run->feature_begin; f < run->feature_end; f++) {
        const tp_gbt_column *column = &grower->bins->columns[f];
        flush_counts(scratch->counts + (size_t)(f - run->feature_begin) * TP_GBT_BIN_SLOTS,
                     column->hist_count, counts + column->hist_begin);
    }
}

void tp_gbt_hist_add(const tp_gbt_grower *grower, tp_gbt_scratch *scratch,
                     const tp_gbt_hist_run *run)
{
    uint64_t *packed = (uint64_t *)(void *)scratch->span;
    if (grower->is_wide) {
        count_wide(grower, run, scratch->span);
    } else {
        count_narrow(grower, run, packed);
    }
    uint32_t *counts = tp_gbt_hist_counts(grower, run->hist);
    if (counts != NULL) {
        count_rows(grower, run, scratch->counts);
    }
    if (run->lock != NULL) {
        pthread_mutex_lock(run->lock);
    }
    for (uint32_t f = run->feature_begin; f < run->feature_end; f++) {
        const tp_gbt_column *column = &grower->bins->columns[f];
        const size_t table = (size_t)(f - run->feature_begin) * TP_GBT_BIN_SLOTS;
        tp_gbt_sum *sums = run->hist + column->hist_begin;
        if (grower->is_wide) {
            flush_wide(scratch->span + table, column->hist_count, sums);
        } else {
            grower->kernels.hist_flush(packed + table, column->hist_count, sums);
        }
        if (counts != NULL) {
            flush_counts(scratch->counts + table, column->hist_count, counts + column->hist_begin);
        }
    }
    if (run->lock != NULL) {
        pthread_mutex_unlock(run->lock);
    }
}

void tp_gbt_hist_subtract(const tp_gbt_grower *grower, tp_gbt_node *larger, tp_gbt_node *smaller,
                          uint32_t feature_begin, uint32_t feature_end)
{
    const tp_gbt_column *columns = grower->bins->columns;
    const size_t begin = columns[feature_begin].hist_begin;
    const size_t end = columns[feature_end - 1].hist_begin + columns[feature_end - 1].hist_count;
    for (size_t i = begin; i < end; i++) {
        larger->hist[i].g -= smaller->hist[i].g;
        larger->hist[i].h -= smaller->hist[i].h;
    }
    uint32_t *larger_counts = tp_gbt_hist_counts(grower, larger->hist);
    const uint32_t *smaller_counts = tp_gbt_hist_counts(grower, smaller->hist);
    for (size_t i = begin; larger_counts != NULL && i < end; i++) {
        larger_counts[i] -= smaller_counts[i];
    }
}
