// SPDX-License-Identifier: Apache-2.0
//
// Sketches against the plain way: counts, moments and quantiles by hand on small columns, the most
// frequent values against a scan over seeded random ones.
#include "table/tp_sketch.h"

#include "base/tp_alloc.h"
#include "base/tp_random.h"
#include "test.h"

#include <math.h>
#include <string.h>

static tp_env env;
static tp_arena arena;

static void start(void)
{
    env = tp_env_plain();
    tp_arena_init(&arena, env.alloc, SIZE_MAX);
}

static tp_sketch sketch_of(const tp_column *column, tp_row_choice rows)
{
    tp_sketch sketch;
    ASSERT_OK(tp_sketch_column(&env, column, rows, &arena, &sketch, &test_err));
    return sketch;
}

static tp_column whole_column(const int64_t *values, uint64_t count)
{
    return (tp_column){
        .name = TP_STR("n"), .type = TAPEOUT_TYPE_INT64, .row_count = count, .values.i64 = values};
}

static void test_counts_and_moments(void)
{
    start();
    static const int64_t values[] = {4, 1, 0, 3, 2, 0, 2};
    static const uint8_t validity[] = {0x5f}; // the sixth is missing
    tp_column column = whole_column(values, 7);
    column.validity = validity;
    column.null_count = 1;
    const tp_sketch s = sketch_of(&column, (tp_row_choice){NULL, 7});
    ASSERT_EQ_UINT(s.row_count, 7);
    ASSERT_EQ_UINT(s.missing_count, 1);
    ASSERT_EQ_UINT(s.distinct_count, 5);
    ASSERT(s.has_numbers);
    ASSERT_EQ_F64(s.minimum, 0.0);
    ASSERT_EQ_F64(s.maximum, 4.0);
    ASSERT_EQ_F64(s.mean, 2.0);
    ASSERT_EQ_F64(s.deviation, sqrt(2.0));
    ASSERT_EQ_F64(s.quantiles[0], 0.0);
    ASSERT_EQ_F64(s.quantiles[10], 2.0);
    ASSERT_EQ_F64(s.quantiles[20], 4.0);
    ASSERT_EQ_UINT(s.top_count, 5);
    ASSERT_EQ_BYTES(s.top[0].text.data, s.top[0].text.size, "2", 1);
    ASSERT_EQ_UINT(s.top[0].count, 2);
    ASSERT_EQ_BYTES(s.top[1].text.data, s.top[1].text.size, "4", 1);
    tp_arena_deinit(&arena);
}

static void test_follows_the_rows_chosen(void)
{
    start();
    static const int64_t values[] = {10, 20, 30, 40};
    static const uint32_t index[] = {3, 3, 1};
    const tp_column column = whole_column(values, 4);
    const tp_sketch s = sketch_of(&column, (tp_row_choice){index, 3});
    ASSERT_EQ_UINT(s.row_count, 3);
    ASSERT_EQ_UINT(s.distinct_count, 2);
    ASSERT_EQ_F64(s.minimum, 20.0);
    ASSERT_EQ_F64(s.maximum, 40.0);
    ASSERT_EQ_UINT(s.top[0].count, 2);
    const tp_sketch none = sketch_of(&column, (tp_row_choice){index, 0});
    ASSERT(!none.has_numbers);
    ASSERT_EQ_UINT(none.top_count, 0);
    tp_arena_deinit(&arena);
}

static void test_keeps_the_extremes(void)
{
    start();
    static const int64_t values[] = {INT64_MIN, INT64_MAX, INT64_MAX - 1, 0};
    const tp_column column = whole_column(values, 4);
    const tp_sketch s = sketch_of(&column, (tp_row_choice){NULL, 4});
    ASSERT_EQ_UINT(s.distinct_count, 4);
    ASSERT_EQ_F64(s.minimum, (double)INT64_MIN);
    ASSERT_EQ_BYTES(s.top[2].text.data, s.top[2].text.size, "9223372036854775806", 19);
    static const double floats[] = {-0.0, 0.0, -INFINITY, INFINITY, -1e-300};
    const tp_column f = {.type = TAPEOUT_TYPE_FLOAT64, .row_count = 5, .values.f64 = floats};
    const tp_sketch t = sketch_of(&f, (tp_row_choice){NULL, 5});
    ASSERT_EQ_UINT(t.distinct_count, 4);
    ASSERT_EQ_F64(t.minimum, -INFINITY);
    ASSERT_EQ_F64(t.quantiles[5], -1e-300);
    ASSERT_EQ_UINT(t.top_count, 0);
    tp_arena_deinit(&arena);
}

static void test_counts_texts(void)
{
    start();
    static const tp_field fields[] = {{TP_STR("s"), TAPEOUT_TYPE_STRING}};
    const tp_schema schema = {fields, 1};
    tp_table_builder *builder = NULL;
    ASSERT_OK(tp_table_builder_new(env.alloc, &schema, &builder, &test_err));
    static const char *const texts[] = {"b", "a", "", "a", NULL, "c"};
    for (size_t i = 0; i < 6; i++) {
        ASSERT_OK(texts[i] == NULL ? tp_table_builder_null(builder, 0)
                                   : tp_table_builder_str(builder, 0, tp_str_from(texts[i])));
    }
    const tapeout_table *table = NULL;
    ASSERT_OK(tp_table_builder_view(builder, &table, &test_err));
    const tp_sketch s = sketch_of(&table->columns[0], (tp_row_choice){NULL, 6});
    ASSERT_EQ_UINT(s.missing_count, 1);
    ASSERT_EQ_UINT(s.distinct_count, 4);
    ASSERT(!s.has_numbers);
    ASSERT_EQ_UINT(s.top_count, 4);
    ASSERT_EQ_BYTES(s.top[0].text.data, s.top[0].text.size, "a", 1);
    ASSERT_EQ_BYTES(s.top[1].text.data, s.top[1].text.size, "b", 1);
    ASSERT_EQ_UINT(s.top[2].text.size, 0);
    static const uint32_t last[] = {5};
    const tp_sketch t = sketch_of(&table->columns[0], (tp_row_choice){last, 1});
    ASSERT_EQ_UINT(t.distinct_count, 1);
    tp_table_builder_free(builder);
    tp_arena_deinit(&arena);
}

enum { RANDOM_ROWS = 3000, RANDOM_VALUES = 400 };

// The same by looking at every value: counts by value, then 20 times the best that is left.
static void check_top(const int64_t *values, const tp_sketch *s)
{
    uint64_t counts[RANDOM_VALUES] = {0};
    uint64_t first[RANDOM_VALUES] = {0};
    for (uint64_t i = 0; i < RANDOM_ROWS; i++) {
        first[values[i]] = counts[values[i]]++ == 0 ? i : first[values[i]];
    }
    for (uint32_t rank = 0; rank < s->top_count; rank++) {
        size_t best = 0;
        for (size_t v = 1; v < RANDOM_VALUES; v++) {
            const bool is_better =
                counts[v] > counts[best] || (counts[v] == counts[best] && first[v] < first[best]);
            best = is_better ? v : best;
        }
        char text[24];
        const int size = snprintf(text, sizeof text, "%zu", best);
        ASSERT_EQ_UINT(s->top[rank].count, counts[best]);
        ASSERT_EQ_BYTES(s->top[rank].text.data, s->top[rank].text.size, text, (size_t)size);
        counts[best] = 0;
    }
}

static void test_finds_the_most_frequent(void)
{
    start();
    for (uint64_t seed = 0; seed < 40; seed++) {
        int64_t values[RANDOM_ROWS];
        const uint64_t range = seed % 4 == 0 ? 12 : RANDOM_VALUES;
        for (uint64_t i = 0; i < RANDOM_ROWS; i++) {
            const uint64_t a = tp_random_below(seed, 0, i, range);
            const uint64_t b = tp_random_below(seed, 1, i, range);
            values[i] = (int64_t)(seed % 2 == 0 ? a : (a < b ? a : b));
        }
        const tp_column column = whole_column(values, RANDOM_ROWS);
        const tp_sketch s = sketch_of(&column, (tp_row_choice){NULL, RANDOM_ROWS});
        ASSERT_EQ_UINT(s.top_count, range == 12 ? 12 : TP_SKETCH_TOP);
        check_top(values, &s);
    }
    tp_arena_deinit(&arena);
}

TEST_MAIN(TEST(test_counts_and_moments), TEST(test_follows_the_rows_chosen),
          TEST(test_keeps_the_extremes), TEST(test_counts_texts),
          TEST(test_finds_the_most_frequent))
