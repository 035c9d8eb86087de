// SPDX-License-Identifier: Apache-2.0
//
// Bounds of numeric bins: of equal counts where values are many, one bin a value where they are
// few, and a bin of its own for a value that alone fills one. A bound lies halfway between two
// values that occur, so that values between them in new data go to the nearer side.
#include "learn/gbt/gbt_priv.h"

#include <math.h>
#include <string.h>

enum { RADIX_BITS = 11, RADIX_SIZE = 1 << RADIX_BITS, RADIX_PASSES = 6 };

// The bits of a double as an unsigned number of the same order.
static uint64_t key_from_double(double value)
{
    uint64_t bits;
    const double plain = value == 0 ? 0 : value; // -0 is 0
    memcpy(&bits, &plain, sizeof(bits));
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

static double double_from_key(uint64_t key)
{
    const uint64_t bits = key >> 63 ? key & ~(UINT64_C(1) << 63) : ~key;
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void radix_pass(const uint64_t *from, uint64_t *to, size_t count, unsigned shift)
{
    size_t begins[RADIX_SIZE] = {0};
    for (size_t i = 0; i < count; i++) {
        begins[from[i] >> shift & (RADIX_SIZE - 1)]++;
    }
    size_t begin = 0;
    for (size_t digit = 0; digit < RADIX_SIZE; digit++) {
        const size_t digit_count = begins[digit];
        begins[digit] = begin;
        begin += digit_count;
    }
    for (size_t i = 0; i < count; i++) {
        to[begins[from[i] >> shift & (RADIX_SIZE - 1)]++] = from[i];
    }
}

void tp_gbt_sort_doubles(double *values, uint64_t *spare, size_t count)
{
    uint64_t *const keys = spare;
    uint64_t *const other = spare + count;
    for (size_t i = 0; i < count; i++) {
        keys[i] = key_from_double(values[i]);
    }
    for (unsigned pass = 0; pass < RADIX_PASSES; pass += 2) {
        radix_pass(keys, other, count, pass * RADIX_BITS);
        radix_pass(other, keys, count, (pass + 1) * RADIX_BITS);
    }
    for (size_t i = 0; i < count; i++) {
        values[i] = double_from_key(keys[i]);
    }
}

// A bound that keeps `low` on the left and `high` on the right.
static double bound_between(double low, double high)
{
    const double middle = low / 2 + high / 2;
    return middle >= low && middle < high ? middle : low;
}

// Runs of equal values, packed to the front of `values`; returns how many.
static size_t distinct_runs(double *values, size_t count, uint32_t *ret_counts)
{
    size_t runs = 0;
    for (size_t i = 0; i < count; i++) {
        if (runs > 0 && values[runs - 1] == values[i]) {
            ret_counts[runs - 1]++;
        } else {
            values[runs] = values[i];
            ret_counts[runs] = 1;
            runs++;
        }
    }
    return runs;
}

// Few values: a bin each, but no bin with fewer than the least count.
static uint32_t bounds_of_few(const double *values, const uint32_t *counts, size_t runs,
                              double *ret_bounds)
{
    uint32_t bounds = 0;
    uint32_t in_bin = 0;
    for (size_t i = 0; i + 1 < runs; i++) {
        in_bin += counts[i];
        if (in_bin >= TP_GBT_MIN_ROWS_IN_BIN) {
            ret_bounds[bounds++] = bound_between(values[i], values[i + 1]);
            in_bin = 0;
        }
    }
    ret_bounds[bounds++] = INFINITY;
    return bounds;
}

// Many values: values that fill a bin by themselves keep one, the others share what is left.
static uint32_t bounds_of_many(const double *values, const uint32_t *counts, size_t runs,
                               uint32_t max_bins, double *ret_bounds)
{
    uint64_t rest = 0;
    for (size_t i = 0; i < runs; i++) {
        rest += counts[i];
    }
    const double full = (double)rest / max_bins;
    uint32_t bins_left = max_bins;
    for (size_t i = 0; i < runs; i++) {
        if (counts[i] >= full) {
            bins_left--;
            rest -= counts[i];
        }
    }
    double mean = bins_left > 0 ? (double)rest / bins_left : full;
    uint32_t bounds = 0;
    uint64_t in_bin = 0;
    for (size_t i = 0; i + 1 < runs && bounds + 1 < max_bins; i++) {
        const bool is_big = counts[i] >= full;
        rest -= is_big ? 0 : counts[i];
        in_bin += counts[i];
        const bool before_big = counts[i + 1] >= full && (double)in_bin >= fmax(1, mean / 2);
        if (!is_big && (double)in_bin < mean && !before_big) {
            continue;
        }
        ret_bounds[bounds++] = bound_between(values[i], values[i + 1]);
        in_bin = 0;
        if (!is_big && bins_left > 1) {
            bins_left--;
            mean = (double)rest / bins_left;
        }
    }
    ret_bounds[bounds++] = INFINITY;
    return bounds;
}

uint32_t tp_gbt_bounds_choose(double *sorted, uint32_t *counts, size_t count, uint32_t max_bins,
                              double *ret_bounds)
{
    const size_t runs = distinct_runs(sorted, count, counts);
    const size_t most = count / TP_GBT_MIN_ROWS_IN_BIN;
    const uint32_t bins = most < max_bins ? (uint32_t)(most > 1 ? most : 1) : max_bins;
    if (runs <= max_bins) {
        return bounds_of_few(sorted, counts, runs, ret_bounds);
    }
    return bounds_of_many(sorted, counts, runs, bins, ret_bounds);
}
