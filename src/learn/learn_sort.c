// SPDX-License-Identifier: Apache-2.0
//
// Sorting rows by a number: what ranks, thresholds and isotonic calibration begin with. A radix
// sort over the bits of the doubles, least significant byte first: stable, linear, no comparison
// that could depend on anything but the values. Bytes that all values share are skipped, which for
// probabilities is most of the exponent.
#include "learn/learn_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <string.h>

enum { DIGITS = 8, BUCKETS = 256 };

typedef struct sort_item {
    uint64_t key;
    uint32_t row;
} sort_item;

// Bits whose unsigned order is that of the numbers: negative ones flipped, others above them.
static uint64_t key_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    const uint64_t sign = (uint64_t)1 << 63;
    return (bits & sign) != 0 ? ~bits : bits | sign;
}

static void sort_by_digit(const sort_item *items, uint32_t count, uint32_t digit, uint32_t *begins,
                          sort_item *ret_items)
{
    const uint32_t shift = digit * 8;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t bucket = (uint32_t)(items[i].key >> shift) & 0xffu;
        ret_items[begins[bucket]++] = items[i];
    }
}

// Turns counts into begins; false when one bucket holds everything.
static bool begins_from_counts(uint32_t *counts, uint32_t count)
{
    uint32_t begin = 0;
    for (uint32_t bucket = 0; bucket < BUCKETS; bucket++) {
        const uint32_t here = counts[bucket];
        if (here == count) {
            return false;
        }
        counts[bucket] = begin;
        begin += here;
    }
    return true;
}

static void sort_items(sort_item *items, sort_item *other, uint32_t count, uint32_t *ret_order)
{
    uint32_t counts[DIGITS][BUCKETS] = {{0}};
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t digit = 0; digit < DIGITS; digit++) {
            counts[digit][(items[i].key >> (digit * 8)) & 0xffu]++;
        }
    }
    for (uint32_t digit = 0; digit < DIGITS; digit++) {
        if (begins_from_counts(counts[digit], count)) {
            sort_by_digit(items, count, digit, counts[digit], other);
            sort_item *swap = items;
            items = other;
            other = swap;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        ret_order[i] = items[i].row;
    }
}

tapeout_status tp_learn_sort(const tapeout_allocator *alloc, const double *values, uint32_t count,
                             uint32_t *ret_order, tapeout_error *err)
{
    sort_item *items = tp_alloc_array(alloc, (size_t)count * 2, sizeof(*items));
    if (items == NULL && count > 0) {
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < count; i++) {
        items[i] = (sort_item){key_of(values[i]), i};
    }
    if (count > 0) {
        sort_items(items, items + count, count, ret_order);
    }
    tp_free_array(alloc, items, (size_t)count * 2, sizeof(*items));
    return TAPEOUT_OK;
}
