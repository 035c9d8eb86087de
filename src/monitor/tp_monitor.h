// SPDX-License-Identifier: Apache-2.0
//
// Counters, gauges and histograms, and their text for Prometheus.
//
// A family is declared once, in a static table; a series is a family with values for its labels.
// Whoever counts asks for a series once and keeps its number: from then on counting is one relaxed
// store in a cell of the caller's own shard, without lock or atomic addition. Reading adds the
// shards up.
//
// The number of series is bounded whatever comes over the network: a family has a ceiling, and what
// comes after it is counted in one series whose labels all say "other".
//
// @thread A monitor is `synchronized`; each shard has one writer at a time.
#ifndef TP_MONITOR_H
#define TP_MONITOR_H

#include "base/tp_buffer.h"

#include <tapeout/context.h>

typedef enum tp_metric_kind {
    TP_METRIC_COUNTER,
    TP_METRIC_GAUGE,
    TP_METRIC_HISTOGRAM
} tp_metric_kind;

enum { TP_METRIC_MAX_LABELS = 4, TP_METRIC_BUCKETS = 17 };

typedef struct tp_metric_family {
    const char *name; // of a time: ends in _seconds; values are nanoseconds
    const char *help;
    tp_metric_kind kind;
    bool is_time;
    uint32_t max_series;                      // besides "other"
    const char *labels[TP_METRIC_MAX_LABELS]; // names; NULL behind the last
} tp_metric_family;

typedef struct tp_monitor tp_monitor;

// `families` [family_count] is borrowed for the monitor's life; a family's number is its index.
tapeout_status tp_monitor_new(const tapeout_allocator *alloc, const tp_metric_family *families,
                              uint32_t family_count, uint32_t shard_count, tp_monitor **ret_monitor,
                              tapeout_error *err);
void tp_monitor_free(tp_monitor *monitor); // accepts NULL

// The series with these label values (one for each label of the family), made when it is new. Never
// fails: beyond a ceiling, or without memory, it is the family's "other". Takes a lock: ask once.
uint32_t tp_monitor_series(tp_monitor *monitor, uint32_t family, const tp_str *values);

void tp_monitor_add(tp_monitor *monitor, uint32_t shard, uint32_t series, uint64_t count);
// One more in a histogram, of `value` (nanoseconds where the family is a time).
void tp_monitor_observe(tp_monitor *monitor, uint32_t shard, uint32_t series, uint64_t value);
// Gauges have no shards: the last value set stands.
void tp_monitor_set(tp_monitor *monitor, uint32_t series, uint64_t value);
// Sets a family's gauges to 0, but for those in `kept` [kept_count]: what the others told of is
// gone.
void tp_monitor_clear_others(tp_monitor *monitor, uint32_t family, const uint32_t *kept,
                             size_t kept_count);
// The sum over all shards; of a histogram, how many were observed.
uint64_t tp_monitor_read(const tp_monitor *monitor, uint32_t series);

// All families that have a series, in the text format 0.0.4.
void tp_monitor_write(tp_monitor *monitor, tp_buffer *ret_text);
// The process_* set, as far as this system tells.
void tp_monitor_write_process(tp_buffer *ret_text);

#endif
