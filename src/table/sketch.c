// SPDX-License-Identifier: Apache-2.0
//
// The sketch of a column, exact: its values sorted once, then read off.
//
// Sums run over the sorted values with Neumaier's compensation, so mean and deviation do not depend
// on the order of rows. The most frequent values are kept by count, ties by first appearance: the
// values above the smallest count that makes the list are all in, and of those with that count the
// first that the rows show.
#include "table/tp_sketch.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "kernels/tp_math.h"
#include "table/sketch_priv.h"
#include "table/tp_value.h"

#include <math.h>

// -- numbers -------------------------------------------------------------------------------------

typedef struct compensated {
    double sum;
    double rest;
} compensated;

static void add(compensated *total, double value)
{
    const double sum = total->sum + value;
    const bool is_big = fabs(total->sum) >= fabs(value);
    total->rest += is_big ? (total->sum - sum) + value : (value - sum) + total->sum;
    total->sum = sum;
}

// The rest is lost where the sum is infinite.
static double total_of(compensated total)
{
    return isfinite(total.sum) ? total.sum + total.rest : total.sum;
}

static void sketch_numbers(tapeout_type type, const uint64_t *keys, size_t count, tp_sketch *sketch)
{
    sketch->has_numbers = true;
    compensated sum = {0};
    uint64_t distinct = 0;
    for (size_t i = 0; i < count; i++) {
        distinct += i == 0 || keys[i] != keys[i - 1];
        add(&sum, tp_sketch_key_number(type, keys[i]));
    }
    sketch->distinct_count = distinct;
    sketch->mean = total_of(sum) / (double)count;
    compensated squares = {0};
    for (size_t i = 0; i < count; i++) {
        const double off = tp_sketch_key_number(type, keys[i]) - sketch->mean;
        add(&squares, off * off);
    }
    sketch->deviation = count < 2 ? 0.0 : tp_sqrt(total_of(squares) / (double)(count - 1));
    sketch->minimum = tp_sketch_key_number(type, keys[0]);
    sketch->maximum = tp_sketch_key_number(type, keys[count - 1]);
    const size_t steps = TP_SKETCH_QUANTILES - 1;
    for (size_t i = 0; i <= steps; i++) {
        const size_t at = ((count - 1) / steps) * i + ((count - 1) % steps * i + steps / 2) / steps;
        sketch->quantiles[i] = tp_sketch_key_number(type, keys[at]);
    }
}

// -- most frequent values ------------------------------------------------------------------------

// A value that occurs: its key or code, how often, and the first of the chosen rows that has it.
typedef struct entry {
    uint64_t value;
    uint64_t count;
    uint64_t first;
} entry;

typedef struct top_list {
    entry entries[TP_SKETCH_TOP];
    uint32_t count;
} top_list;

static bool is_before(const entry *a, const entry *b)
{
    return a->count != b->count ? a->count > b->count : a->first < b->first;
}

static void top_insert(top_list *list, entry added)
{
    uint32_t at = list->count;
    while (at > 0 && is_before(&added, &list->entries[at - 1])) {
        at--;
    }
    if (at == TP_SKETCH_TOP) {
        return;
    }
    list->count += list->count < TP_SKETCH_TOP;
    for (uint32_t i = list->count - 1; i > at; i--) {
        list->entries[i] = list->entries[i - 1];
    }
    list->entries[at] = added;
}

// The smallest count in the list of the most frequent, were ties of no matter. Runs of sorted keys.
static uint64_t count_to_beat(const uint64_t *keys, size_t count)
{
    top_list list = {.count = 0};
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        while (end < count && keys[end] == keys[i]) {
            end++;
        }
        top_insert(&list, (entry){keys[i], end - i, i});
        i = end;
    }
    return list.count < TP_SKETCH_TOP ? 1 : list.entries[list.count - 1].count;
}

// The first place in the sorted keys that is not below `key`.
static size_t lower_bound(const uint64_t *keys, size_t count, uint64_t key)
{
    size_t low = 0;
    while (count > 0) {
        const size_t half = count / 2;
        if (keys[low + half] < key) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low;
}

static bool is_listed(const top_list *list, uint64_t value)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->entries[i].value == value) {
            return true;
        }
    }
    return false;
}

// Values in order of appearance, until nothing later can enter the list. `keys` are sorted.
static void top_numbers(const tp_column *column, tp_row_choice rows, const uint64_t *keys,
                        size_t count, top_list *list)
{
    const uint64_t wanted = count_to_beat(keys, count);
    uint64_t left = 0;     // values of more than the wanted count that have not appeared yet
    uint64_t distinct = 0; // values of the wanted count or more
    for (size_t i = 0; i < count;) {
        const size_t begin = i;
        while (i < count && keys[i] == keys[begin]) {
            i++;
        }
        left += i - begin > wanted;
        distinct += i - begin >= wanted;
    }
    const uint64_t full = distinct < TP_SKETCH_TOP ? distinct : TP_SKETCH_TOP;
    for (uint64_t i = 0; i < rows.count; i++) {
        if (left == 0 && list->count == full) {
            break;
        }
        const uint64_t row = sketch_row(rows, i);
        if (!tp_column_is_valid(column, row)) {
            continue;
        }
        const uint64_t key = tp_sketch_key(column, row);
        const size_t begin = lower_bound(keys, count, key);
        if (begin + wanted > count || keys[begin + wanted - 1] != key || is_listed(list, key)) {
            continue;
        }
        const size_t run =
            key == UINT64_MAX ? count - begin : lower_bound(keys + begin, count - begin, key + 1);
        left -= run > wanted;
        top_insert(list, (entry){key, run, i});
    }
}

static tapeout_status print_top(const tp_column *column, const top_list *list, tp_arena *arena,
                                tp_sketch *sketch)
{
    for (uint32_t i = 0; i < list->count; i++) {
        char text[TP_VALUE_TEXT_SIZE];
        const int64_t value = (int64_t)tp_sketch_key_number(column->type, list->entries[i].value);
        tp_str view = value != 0 ? TP_STR("true") : TP_STR("false");
        if (column->type == TAPEOUT_TYPE_INT64) {
            const int64_t whole = (int64_t)(list->entries[i].value ^ UINT64_C(1) << 63);
            view = (tp_str){text, tp_print_i64(whole, text)};
        }
        sketch->top[i] = (tp_sketch_top){tp_arena_str(arena, view), list->entries[i].count};
        if (sketch->top[i].text.data == NULL) {
            return TAPEOUT_E_NOMEM;
        }
    }
    sketch->top_count = list->count;
    return TAPEOUT_OK;
}

// -- texts ---------------------------------------------------------------------------------------

typedef struct seen {
    uint64_t count;
    uint64_t first;
} seen;

static tapeout_status sketch_texts(const tapeout_allocator *alloc, const tp_column *column,
                                   tp_row_choice rows, tp_sketch *sketch, tapeout_error *err)
{
    const uint32_t entry_count = column->dict->count;
    seen *entries = tp_alloc_array_zero(alloc, entry_count, sizeof *entries);
    if (entries == NULL && entry_count != 0) {
        return tp_fail_nomem(err);
    }
    for (uint64_t i = 0; i < rows.count; i++) {
        const uint64_t row = sketch_row(rows, i);
        if (tp_column_is_valid(column, row)) {
            seen *s = &entries[column->values.codes[row]];
            s->first = s->count == 0 ? i : s->first;
            s->count++;
        } else {
            sketch->missing_count++;
        }
    }
    top_list list = {.count = 0};
    for (uint32_t code = 0; code < entry_count; code++) {
        if (entries[code].count > 0) {
            sketch->distinct_count++;
            top_insert(&list, (entry){code, entries[code].count, entries[code].first});
        }
    }
    tp_free_array(alloc, entries, entry_count, sizeof *entries);
    for (uint32_t i = 0; i < list.count; i++) {
        sketch->top[i] = (tp_sketch_top){tp_dict_get(column->dict, (uint32_t)list.entries[i].value),
                                         list.entries[i].count};
    }
    sketch->top_count = list.count;
    return TAPEOUT_OK;
}

tapeout_status tp_sketch_column(const tp_env *env, const tp_column *column, tp_row_choice rows,
                                tp_arena *arena, tp_sketch *ret_sketch, tapeout_error *err)
{
    tp_sketch sketch = {.name = column->name, .type = column->type, .row_count = rows.count};
    if (column->type == TAPEOUT_TYPE_STRING) {
        TP_TRY(sketch_texts(env->alloc, column, rows, &sketch, err));
        *ret_sketch = sketch;
        return TAPEOUT_OK;
    }
    uint64_t *keys;
    size_t count;
    TP_TRY(tp_sketch_sorted_keys(env->alloc, column, rows, &keys, &count, err));
    sketch.missing_count = rows.count - count;
    if (count > 0) {
        sketch_numbers(column->type, keys, count, &sketch);
    }
    tapeout_status status = TAPEOUT_OK;
    if (column->type == TAPEOUT_TYPE_BOOL || column->type == TAPEOUT_TYPE_INT64) {
        top_list list = {.count = 0};
        top_numbers(column, rows, keys, count, &list);
        status = print_top(column, &list, arena, &sketch);
    }
    tp_free_array(env->alloc, keys, (size_t)rows.count, sizeof *keys);
    if (status != TAPEOUT_OK) {
        return tp_fail_nomem(err);
    }
    *ret_sketch = sketch;
    return TAPEOUT_OK;
}
