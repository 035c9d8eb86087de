// SPDX-License-Identifier: Apache-2.0
//
// Values to keys that sort as unsigned numbers, and the sort: by bytes from the least significant
// on, each pass stable, bytes that are the same everywhere left out. No comparison, no recursion,
// no worst case.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/sketch_priv.h"

#include <string.h>

static const uint64_t sign_bit = UINT64_C(1) << 63;

static uint64_t float_key(double value)
{
    uint64_t bits;
    value = value == 0.0 ? 0.0 : value;
    memcpy(&bits, &value, sizeof bits);
    return (bits & sign_bit) != 0 ? ~bits : bits | sign_bit;
}

uint64_t tp_sketch_key(const tp_column *column, uint64_t row)
{
    switch (column->type) {
    case TAPEOUT_TYPE_BOOL:
        return sign_bit | (column->values.bits[row >> 3] >> (row & 7) & 1);
    case TAPEOUT_TYPE_INT64:
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        return (uint64_t)column->values.i64[row] ^ sign_bit;
    case TAPEOUT_TYPE_FLOAT64:
        return float_key(column->values.f64[row]);
    case TAPEOUT_TYPE_DATE:
        return (uint64_t)(int64_t)column->values.days[row] ^ sign_bit;
    case TAPEOUT_TYPE_STRING:
        break;
    }
    return (uint64_t)column->values.codes[row];
}

double tp_sketch_key_number(tapeout_type type, uint64_t key)
{
    if (type != TAPEOUT_TYPE_FLOAT64) {
        return (double)(int64_t)(key ^ sign_bit);
    }
    const uint64_t bits = (key & sign_bit) != 0 ? key ^ sign_bit : ~key;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void tp_sketch_sort(uint64_t *keys, uint64_t *spare, size_t count)
{
    size_t counts[8][256] = {{0}};
    for (size_t i = 0; i < count; i++) {
        for (size_t byte = 0; byte < 8; byte++) {
            counts[byte][keys[i] >> (8 * byte) & 0xff]++;
        }
    }
    uint64_t *from = keys;
    uint64_t *to = spare;
    for (size_t byte = 0; byte < 8 && count > 0; byte++) {
        size_t *starts = counts[byte];
        if (starts[keys[0] >> (8 * byte) & 0xff] == count) {
            continue;
        }
        size_t sum = 0;
        for (size_t digit = 0; digit < 256; digit++) {
            const size_t here = starts[digit];
            starts[digit] = sum;
            sum += here;
        }
        for (size_t i = 0; i < count; i++) {
            to[starts[from[i] >> (8 * byte) & 0xff]++] = from[i];
        }
        uint64_t *const swapped = from;
        from = to;
        to = swapped;
    }
    if (from != keys) {
        memcpy(keys, from, count * sizeof *keys);
    }
}

tapeout_status tp_sketch_sorted_keys(const tapeout_allocator *alloc, const tp_column *column,
                                     tp_row_choice rows, uint64_t **ret_keys, size_t *ret_count,
                                     tapeout_error *err)
{
    const size_t room = (size_t)rows.count;
    uint64_t *keys = tp_alloc_array(alloc, room, sizeof *keys);
    uint64_t *spare = tp_alloc_array(alloc, room, sizeof *spare);
    if (room != 0 && (keys == NULL || spare == NULL)) {
        tp_free_array(alloc, keys, room, sizeof *keys);
        tp_free_array(alloc, spare, room, sizeof *spare);
        return tp_fail_nomem(err);
    }
    size_t count = 0;
    for (uint64_t i = 0; i < rows.count; i++) {
        const uint64_t row = sketch_row(rows, i);
        if (tp_column_is_valid(column, row)) {
            keys[count++] = tp_sketch_key(column, row);
        }
    }
    tp_sketch_sort(keys, spare, count);
    tp_free_array(alloc, spare, room, sizeof *spare);
    *ret_keys = keys;
    *ret_count = count;
    return TAPEOUT_OK;
}
