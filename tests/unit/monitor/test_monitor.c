// SPDX-License-Identifier: Apache-2.0
//
// Counting over shards, the text for Prometheus, and the bound on series: a million distinct values
// make no more than the ceiling and "other" (P1).
#include "monitor/tp_monitor.h"
#include "test.h"

#include "base/tp_clock.h"
#include "base/tp_env.h"
#include "base/tp_error.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { REQUESTS, LATENCY, READY, RUNNING, FAMILY_COUNT };

static const tp_metric_family families[FAMILY_COUNT] = {
    {"t_requests_total", "Requests.", TP_METRIC_COUNTER, false, 100, {"path", "method"}},
    {"t_latency_seconds", "Latency.", TP_METRIC_HISTOGRAM, true, 4, {"path"}},
    {"t_ready", "Ready.", TP_METRIC_GAUGE, false, 1, {NULL}},
    {"t_running", "Running.", TP_METRIC_GAUGE, false, 4, {"model"}},
};

static tp_monitor *make(const tapeout_allocator *alloc, uint32_t shards)
{
    tp_monitor *monitor = NULL;
    ASSERT_OK(tp_monitor_new(alloc, families, FAMILY_COUNT, shards, &monitor, &test_err));
    return monitor;
}

static uint32_t requests_of(tp_monitor *monitor, const char *path)
{
    const tp_str values[] = {tp_str_from(path), TP_STR("GET")};
    return tp_monitor_series(monitor, REQUESTS, values);
}

static char text_bytes[1 << 20];

static const char *text_of(tp_monitor *monitor)
{
    tp_buffer text;
    tp_buffer_init(&text, tp_env_plain().alloc, sizeof(text_bytes) - 1);
    tp_monitor_write(monitor, &text);
    ASSERT_EQ_INT(text.status, TAPEOUT_OK);
    memcpy(text_bytes, text.data, text.size);
    text_bytes[text.size] = '\0';
    tp_buffer_deinit(&text);
    return text_bytes;
}

static size_t count_lines(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++) {
        count += *text == '\n';
    }
    return count;
}

static void test_shards_add_up(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_monitor *monitor = make(&allocator.base, 3);
    const uint32_t series = requests_of(monitor, "/a");
    for (uint32_t shard = 0; shard < 3; shard++) {
        tp_monitor_add(monitor, shard, series, shard + 1);
    }
    ASSERT_EQ_UINT(tp_monitor_read(monitor, series), 6);
    ASSERT_EQ_UINT(requests_of(monitor, "/a"), series);
    ASSERT(requests_of(monitor, "/b") != series);
    tp_monitor_set(monitor, READY, 1);
    ASSERT(strstr(text_of(monitor), "# HELP t_requests_total Requests.\n"
                                    "# TYPE t_requests_total counter\n"
                                    "t_requests_total{path=\"/a\",method=\"GET\"} 6\n") != NULL);
    ASSERT(strstr(text_bytes, "# TYPE t_ready gauge\nt_ready 1\n") != NULL);
    ASSERT(strstr(text_bytes, "other") == NULL);
    tp_monitor_free(monitor);
    ASSERT_EQ_UINT(allocator.live, 0);
}

static void test_histogram_is_cumulative(void)
{
    tp_monitor *monitor = make(tp_env_plain().alloc, 2);
    const tp_str path = TP_STR("/a");
    const uint32_t series = tp_monitor_series(monitor, LATENCY, &path);
    tp_monitor_observe(monitor, 0, series, 100000);      // exactly 0.0001: in the first bucket
    tp_monitor_observe(monitor, 1, series, 100001);      // in the second
    tp_monitor_observe(monitor, 1, series, 99000000000); // 99 s: beyond all
    const char *text = text_of(monitor);
    ASSERT(strstr(text, "t_latency_seconds_bucket{path=\"/a\",le=\"0.0001\"} 1\n") != NULL);
    ASSERT(strstr(text, "t_latency_seconds_bucket{path=\"/a\",le=\"0.00025\"} 2\n") != NULL);
    ASSERT(strstr(text, "t_latency_seconds_bucket{path=\"/a\",le=\"10\"} 2\n") != NULL);
    ASSERT(strstr(text, "t_latency_seconds_bucket{path=\"/a\",le=\"+Inf\"} 3\n") != NULL);
    ASSERT(strstr(text, "t_latency_seconds_sum{path=\"/a\"} 99.000200001\n") != NULL);
    ASSERT(strstr(text, "t_latency_seconds_count{path=\"/a\"} 3\n") != NULL);
    ASSERT_EQ_UINT(tp_monitor_read(monitor, series), 3);
    tp_monitor_free(monitor);
}

static void test_gauges_of_what_is_gone(void)
{
    tp_monitor *monitor = make(tp_env_plain().alloc, 2);
    const tp_str names[3] = {TP_STR("a"), TP_STR("b"), TP_STR("c")};
    uint32_t series[3];
    for (uint32_t i = 0; i < 3; i++) {
        series[i] = tp_monitor_series(monitor, RUNNING, &names[i]);
        tp_monitor_set(monitor, series[i], i + 1);
    }
    tp_monitor_set(monitor, READY, 1);
    tp_monitor_clear_others(monitor, RUNNING, &series[1], 2);
    ASSERT_EQ_UINT(tp_monitor_read(monitor, series[0]), 0);
    ASSERT_EQ_UINT(tp_monitor_read(monitor, series[1]), 2);
    ASSERT_EQ_UINT(tp_monitor_read(monitor, series[2]), 3);
    tp_monitor_clear_others(monitor, RUNNING, NULL, 0);
    ASSERT_EQ_UINT(tp_monitor_read(monitor, series[2]), 0);
    ASSERT_EQ_UINT(tp_monitor_read(monitor, READY), 1);
    tp_monitor_free(monitor);
}

static void test_labels_are_escaped_and_cut(void)
{
    char long_name[1000];
    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    tp_monitor *monitor = make(tp_env_plain().alloc, 1);
    tp_monitor_add(monitor, 0, requests_of(monitor, "a\"b\\c\nd"), 1);
    tp_monitor_add(monitor, 0, requests_of(monitor, long_name), 1);
    const char *text = text_of(monitor);
    ASSERT(strstr(text, "{path=\"a\\\"b\\\\c\\nd\",method=\"GET\"} 1\n") != NULL);
    ASSERT(strlen(text) < 1000);
    tp_monitor_free(monitor);
}

static void test_a_million_values_make_few_series(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_monitor *monitor = make(&allocator.base, 1);
    const size_t bytes = allocator.live_bytes;
    for (uint32_t i = 0; i < 1000000; i++) {
        char path[16];
        (void)snprintf(path, sizeof(path), "/%u", i);
        tp_monitor_add(monitor, 0, requests_of(monitor, path), 1);
    }
    const uint64_t begin_ns = tp_clock_monotonic_ns();
    const char *text = text_of(monitor);
    ASSERT(tp_clock_monotonic_ns() - begin_ns < 1000000000);
    ASSERT(strstr(text, "t_requests_total{path=\"other\",method=\"other\"} 999900\n") != NULL);
    ASSERT(count_lines(text) <= 110);
    ASSERT(allocator.live_bytes < bytes + (64 << 10));
    tp_monitor_free(monitor);
    ASSERT_EQ_UINT(allocator.live, 0);
}

typedef struct counting {
    tp_monitor *monitor;
    uint32_t shard;
} counting;

static void *count_much(void *user)
{
    const counting *self = user;
    for (uint32_t i = 0; i < 100000; i++) {
        char path[16];
        (void)snprintf(path, sizeof(path), "/%u", i % 5);
        tp_monitor_add(self->monitor, self->shard, requests_of(self->monitor, path), 1);
    }
    return NULL;
}

static void test_threads_lose_nothing(void)
{
    enum { THREADS = 4 };
    tp_monitor *monitor = make(tp_env_plain().alloc, THREADS);
    pthread_t threads[THREADS];
    counting work[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        work[i] = (counting){monitor, i};
        ASSERT(pthread_create(&threads[i], NULL, count_much, &work[i]) == 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        (void)text_of(monitor);
        ASSERT(pthread_join(threads[i], NULL) == 0);
    }
    for (uint32_t i = 0; i < 5; i++) {
        char path[16];
        (void)snprintf(path, sizeof(path), "/%u", i);
        ASSERT_EQ_UINT(tp_monitor_read(monitor, requests_of(monitor, path)), THREADS * 20000);
    }
    tp_monitor_free(monitor);
}

static void test_process_metrics(void)
{
    tp_buffer text;
    tp_buffer_init(&text, tp_env_plain().alloc, 1 << 16);
    tp_monitor_write_process(&text);
    tp_buffer_append_char(&text, '\0');
    ASSERT_EQ_INT(text.status, TAPEOUT_OK);
    ASSERT(strstr(text.data, "# TYPE process_cpu_seconds_total counter\n") != NULL);
    ASSERT(strstr(text.data, "\nprocess_resident_memory_bytes ") != NULL);
    tp_buffer_deinit(&text);
}

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    tp_monitor *monitor = NULL;
    TP_TRY(tp_monitor_new(alloc, families, FAMILY_COUNT, 2, &monitor, err));
    tp_monitor_add(monitor, 0, requests_of(monitor, "/a"), 1);
    tp_monitor_free(monitor);
    return TAPEOUT_OK;
}

static void test_no_memory(void)
{
    test_out_of_memory(scenario, NULL);
}

TEST_MAIN(TEST(test_shards_add_up), TEST(test_histogram_is_cumulative),
          TEST(test_gauges_of_what_is_gone), TEST(test_labels_are_escaped_and_cut),
          TEST(test_a_million_values_make_few_series), TEST(test_threads_lose_nothing),
          TEST(test_process_metrics), TEST(test_no_memory))
