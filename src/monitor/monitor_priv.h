// SPDX-License-Identifier: Apache-2.0
//
// The monitor's own structure, shared by counting (monitor.c) and writing (monitor_text.c). The
// series of index 0 … family_count-1 are the families' "other".
#ifndef MONITOR_PRIV_H
#define MONITOR_PRIV_H

#include "base/tp_arena.h"
#include "monitor/tp_monitor.h"

#include <pthread.h>
#include <stdatomic.h>

typedef atomic_uint_fast64_t monitor_cell;

typedef struct monitor_series {
    uint32_t family;
    uint32_t cell; // first of its cells; a histogram: buckets, then the sum
    tp_str values[TP_METRIC_MAX_LABELS];
} monitor_series;

struct tp_monitor {
    const tapeout_allocator *alloc;
    const tp_metric_family *families;
    uint32_t family_count;
    uint32_t shard_count;
    pthread_mutex_t lock; // of everything that grows; a leaf, nothing is called under it
    tp_arena arena;       // label values
    monitor_series *series;
    uint32_t series_capacity;
    atomic_uint series_count;
    uint32_t *family_series; // [family_count] series of each, "other" included
    monitor_cell *cells;     // [shard_count][cell_capacity]
    uint32_t cell_capacity;
    uint32_t cell_count;
};

extern const uint64_t tp_monitor_bounds[TP_METRIC_BUCKETS - 1];

uint32_t tp_monitor_label_count(const tp_metric_family *family);
uint64_t tp_monitor_cell_sum(const tp_monitor *monitor, uint32_t cell);

#endif
