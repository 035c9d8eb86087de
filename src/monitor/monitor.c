// SPDX-License-Identifier: Apache-2.0
//
// Series and their cells. Cells of all series lie one after another in one array a shard, allocated
// when the monitor is made, so that counting needs no look at anything that may move. Series are
// only ever added, under the lock; readers see those below `series_count`, which is published last.
// Every family's "other" exists from the start, which is why asking for a series cannot fail.
#include "monitor/tp_monitor.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "monitor/monitor_priv.h"

#include <string.h>

// Upper bounds in nanoseconds, from 100 µs to 10 s; the last cell of a histogram is the sum.
const uint64_t tp_monitor_bounds[TP_METRIC_BUCKETS - 1] = {
    100000,   250000,    500000,    1000000,   2500000,    5000000,    10000000,   25000000,
    50000000, 100000000, 250000000, 500000000, 1000000000, 2500000000, 5000000000, 10000000000,
};

static uint32_t cells_of(const tp_metric_family *family)
{
    return family->kind == TP_METRIC_HISTOGRAM ? TP_METRIC_BUCKETS + 1 : 1;
}

uint32_t tp_monitor_label_count(const tp_metric_family *family)
{
    uint32_t count = 0;
    while (count < TP_METRIC_MAX_LABELS && family->labels[count] != NULL) {
        count++;
    }
    return count;
}

// Adds a series; the caller holds the lock or is alone. False when there is no room for it.
static bool series_add(tp_monitor *monitor, uint32_t family, const tp_str *values)
{
    const uint32_t count = atomic_load_explicit(&monitor->series_count, memory_order_relaxed);
    const uint32_t cells = cells_of(&monitor->families[family]);
    if (count == monitor->series_capacity || monitor->cell_capacity - monitor->cell_count < cells) {
        return false;
    }
    monitor_series *series = &monitor->series[count];
    series->family = family;
    series->cell = monitor->cell_count;
    const uint32_t label_count = tp_monitor_label_count(&monitor->families[family]);
    for (uint32_t i = 0; i < label_count; i++) {
        tp_str value = values[i];
        value.size = value.size < TP_MAX_LABEL_BYTES ? value.size : TP_MAX_LABEL_BYTES;
        series->values[i] = tp_arena_str(&monitor->arena, value);
        if (series->values[i].data == NULL) {
            return false;
        }
    }
    monitor->cell_count += cells;
    monitor->family_series[family]++;
    // Released, so that whoever sees the count sees the series too.
    atomic_store_explicit(&monitor->series_count, count + 1, memory_order_release);
    return true;
}

static bool series_has(const tp_monitor *monitor, uint32_t index, uint32_t family,
                       const tp_str *values)
{
    const monitor_series *series = &monitor->series[index];
    const uint32_t label_count = tp_monitor_label_count(&monitor->families[family]);
    bool same = series->family == family;
    for (uint32_t i = 0; same && i < label_count; i++) {
        same = tp_str_equal(series->values[i], values[i]);
    }
    return same;
}

static tapeout_status monitor_fill(tp_monitor *monitor, tapeout_error *err)
{
    const tapeout_allocator *alloc = monitor->alloc;
    uint32_t series_capacity = 0;
    uint32_t cell_capacity = 0;
    for (uint32_t i = 0; i < monitor->family_count; i++) {
        const tp_metric_family *family = &monitor->families[i];
        series_capacity += family->max_series + 1;
        cell_capacity += (family->max_series + 1) * cells_of(family);
    }
    monitor->series_capacity = series_capacity;
    monitor->cell_capacity = cell_capacity;
    monitor->series = tp_alloc_array_zero(alloc, series_capacity, sizeof(*monitor->series));
    monitor->family_series =
        tp_alloc_array_zero(alloc, monitor->family_count, sizeof(*monitor->family_series));
    monitor->cells = tp_alloc_array_zero(alloc, (size_t)cell_capacity * monitor->shard_count,
                                         sizeof(*monitor->cells));
    if (monitor->series == NULL || monitor->family_series == NULL || monitor->cells == NULL) {
        return tp_fail_nomem(err);
    }
    const tp_str other = TP_STR("other");
    const tp_str others[TP_METRIC_MAX_LABELS] = {other, other, other, other};
    for (uint32_t i = 0; i < monitor->family_count; i++) {
        if (!series_add(monitor, i, others)) {
            return tp_fail_nomem(err);
        }
    }
    return TAPEOUT_OK;
}

tapeout_status tp_monitor_new(const tapeout_allocator *alloc, const tp_metric_family *families,
                              uint32_t family_count, uint32_t shard_count, tp_monitor **ret_monitor,
                              tapeout_error *err)
{
    tp_monitor *monitor = tp_alloc_zero(alloc, sizeof(*monitor));
    if (monitor == NULL) {
        return tp_fail_nomem(err);
    }
    monitor->alloc = alloc;
    monitor->families = families;
    monitor->family_count = family_count;
    monitor->shard_count = shard_count;
    (void)pthread_mutex_init(&monitor->lock, NULL); // cannot fail with default attributes
    tp_arena_init(&monitor->arena, alloc, TP_MAX_MONITOR_LABELS_BYTES);
    const tapeout_status status = monitor_fill(monitor, err);
    if (status != TAPEOUT_OK) {
        tp_monitor_free(monitor);
        return status;
    }
    *ret_monitor = monitor;
    return TAPEOUT_OK;
}

void tp_monitor_free(tp_monitor *monitor)
{
    if (monitor == NULL) {
        return;
    }
    const tapeout_allocator *alloc = monitor->alloc;
    tp_free_array(alloc, monitor->series, monitor->series_capacity, sizeof(*monitor->series));
    tp_free_array(alloc, monitor->family_series, monitor->family_count,
                  sizeof(*monitor->family_series));
    tp_free_array(alloc, monitor->cells, (size_t)monitor->cell_capacity * monitor->shard_count,
                  sizeof(*monitor->cells));
    tp_arena_deinit(&monitor->arena);
    (void)pthread_mutex_destroy(&monitor->lock);
    tp_free(alloc, monitor, sizeof(*monitor));
}

uint32_t tp_monitor_series(tp_monitor *monitor, uint32_t family, const tp_str *values)
{
    (void)pthread_mutex_lock(&monitor->lock);
    const uint32_t count = atomic_load_explicit(&monitor->series_count, memory_order_relaxed);
    uint32_t found = family; // "other" has the family's own number
    bool is_known = false;
    for (uint32_t i = monitor->family_count; i < count && !is_known; i++) {
        is_known = series_has(monitor, i, family, values);
        found = is_known ? i : found;
    }
    const bool has_room = monitor->family_series[family] <= monitor->families[family].max_series;
    if (!is_known && has_room && series_add(monitor, family, values)) {
        found = count;
    }
    (void)pthread_mutex_unlock(&monitor->lock);
    return found;
}

static monitor_cell *cell_at(const tp_monitor *monitor, uint32_t shard, uint32_t cell)
{
    return &monitor->cells[(size_t)shard * monitor->cell_capacity + cell];
}

// The shard has one writer, so a plain sum stored whole is enough; readers may see it a little
// late.
static void cell_add(const tp_monitor *monitor, uint32_t shard, uint32_t cell, uint64_t more)
{
    monitor_cell *place = cell_at(monitor, shard, cell);
    const uint64_t old = atomic_load_explicit(place, memory_order_relaxed);
    atomic_store_explicit(place, old + more, memory_order_relaxed);
}

void tp_monitor_add(tp_monitor *monitor, uint32_t shard, uint32_t series, uint64_t count)
{
    cell_add(monitor, shard, monitor->series[series].cell, count);
}

void tp_monitor_observe(tp_monitor *monitor, uint32_t shard, uint32_t series, uint64_t value)
{
    uint32_t bucket = 0;
    while (bucket < TP_METRIC_BUCKETS - 1 && value > tp_monitor_bounds[bucket]) {
        bucket++;
    }
    const uint32_t first = monitor->series[series].cell;
    cell_add(monitor, shard, first + bucket, 1);
    cell_add(monitor, shard, first + TP_METRIC_BUCKETS, value);
}

void tp_monitor_set(tp_monitor *monitor, uint32_t series, uint64_t value)
{
    atomic_store_explicit(cell_at(monitor, 0, monitor->series[series].cell), value,
                          memory_order_relaxed);
}

static bool is_among(const uint32_t *series, size_t count, uint32_t wanted)
{
    for (size_t i = 0; i < count; i++) {
        if (series[i] == wanted) {
            return true;
        }
    }
    return false;
}

void tp_monitor_clear_others(tp_monitor *monitor, uint32_t family, const uint32_t *kept,
                             size_t kept_count)
{
    const uint32_t count = atomic_load_explicit(&monitor->series_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        if (monitor->series[i].family == family && !is_among(kept, kept_count, i)) {
            tp_monitor_set(monitor, i, 0);
        }
    }
}

uint64_t tp_monitor_cell_sum(const tp_monitor *monitor, uint32_t cell)
{
    uint64_t sum = 0;
    for (uint32_t shard = 0; shard < monitor->shard_count; shard++) {
        sum += atomic_load_explicit(cell_at(monitor, shard, cell), memory_order_relaxed);
    }
    return sum;
}

uint64_t tp_monitor_read(const tp_monitor *monitor, uint32_t series)
{
    const monitor_series *asked = &monitor->series[series];
    const bool is_histogram = monitor->families[asked->family].kind == TP_METRIC_HISTOGRAM;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < (is_histogram ? TP_METRIC_BUCKETS : 1); i++) {
        sum += tp_monitor_cell_sum(monitor, asked->cell + i);
    }
    return sum;
}
