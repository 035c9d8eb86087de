// SPDX-License-Identifier: Apache-2.0
//
// Prometheus' text format, version 0.0.4. Families come in the order of their table, series in the
// order of their birth; "other" is left out until something is counted there, and a family without
// a series is left out whole. Buckets are cumulative, as the format wants them.
#include "monitor/monitor_priv.h"

#include <string.h>

static void append_value(tp_buffer *text, const tp_metric_family *family, uint64_t value)
{
    if (family->is_time) {
        tp_buffer_printf(text, "%llu.%09llu", (unsigned long long)(value / 1000000000),
                         (unsigned long long)(value % 1000000000));
    } else {
        tp_buffer_printf(text, "%llu", (unsigned long long)value);
    }
}

static void append_escaped(tp_buffer *text, tp_str value)
{
    for (size_t i = 0; i < value.size; i++) {
        const char c = value.data[i];
        if (c == '\n') {
            tp_buffer_append(text, "\\n", 2);
            continue;
        }
        if (c == '"' || c == '\\') {
            tp_buffer_append_char(text, '\\');
        }
        tp_buffer_append_char(text, c);
    }
}

// {a="x",b="y",le="0.1"}; `bound` may be NULL.
static void append_labels(tp_buffer *text, const tp_monitor *monitor, const monitor_series *series,
                          const char *bound)
{
    const tp_metric_family *family = &monitor->families[series->family];
    const uint32_t count = tp_monitor_label_count(family);
    if (count == 0 && bound == NULL) {
        return;
    }
    char mark = '{';
    for (uint32_t i = 0; i < count; i++) {
        tp_buffer_append_char(text, mark);
        tp_buffer_append_text(text, family->labels[i]);
        tp_buffer_append(text, "=\"", 2);
        append_escaped(text, series->values[i]);
        tp_buffer_append_char(text, '"');
        mark = ',';
    }
    if (bound != NULL) {
        tp_buffer_printf(text, "%cle=\"%s\"", mark, bound);
    }
    tp_buffer_append_char(text, '}');
}

static void append_histogram(tp_buffer *text, const tp_monitor *monitor,
                             const monitor_series *series)
{
    static const char *const bounds[TP_METRIC_BUCKETS] = {
        "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05",
        "0.1",    "0.25",    "0.5",    "1",     "2.5",    "5",     "10",   "+Inf"};
    const tp_metric_family *family = &monitor->families[series->family];
    uint64_t sum = 0;
    for (uint32_t i = 0; i < TP_METRIC_BUCKETS; i++) {
        sum += tp_monitor_cell_sum(monitor, series->cell + i);
        tp_buffer_printf(text, "%s_bucket", family->name);
        append_labels(text, monitor, series, bounds[i]);
        tp_buffer_printf(text, " %llu\n", (unsigned long long)sum);
    }
    tp_buffer_printf(text, "%s_sum", family->name);
    append_labels(text, monitor, series, NULL);
    tp_buffer_append_char(text, ' ');
    append_value(text, family, tp_monitor_cell_sum(monitor, series->cell + TP_METRIC_BUCKETS));
    tp_buffer_printf(text, "\n%s_count", family->name);
    append_labels(text, monitor, series, NULL);
    tp_buffer_printf(text, " %llu\n", (unsigned long long)sum);
}

static void append_series(tp_buffer *text, const tp_monitor *monitor, const monitor_series *series)
{
    const tp_metric_family *family = &monitor->families[series->family];
    if (family->kind == TP_METRIC_HISTOGRAM) {
        append_histogram(text, monitor, series);
        return;
    }
    tp_buffer_append_text(text, family->name);
    append_labels(text, monitor, series, NULL);
    tp_buffer_append_char(text, ' ');
    append_value(text, family, tp_monitor_cell_sum(monitor, series->cell));
    tp_buffer_append_char(text, '\n');
}

void tp_monitor_write(tp_monitor *monitor, tp_buffer *ret_text)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    const uint32_t count = atomic_load_explicit(&monitor->series_count, memory_order_acquire);
    for (uint32_t family = 0; family < monitor->family_count; family++) {
        bool is_begun = false;
        for (uint32_t i = 0; i < count; i++) {
            const monitor_series *series = &monitor->series[i];
            const bool is_other =
                i < monitor->family_count && tp_monitor_label_count(&monitor->families[i]) > 0;
            if (series->family != family || (is_other && tp_monitor_read(monitor, i) == 0)) {
                continue;
            }
            if (!is_begun) {
                const tp_metric_family *about = &monitor->families[family];
                tp_buffer_printf(ret_text, "# HELP %s %s\n# TYPE %s %s\n", about->name, about->help,
                                 about->name, kinds[about->kind]);
                is_begun = true;
            }
            append_series(ret_text, monitor, series);
        }
    }
}
