// SPDX-License-Identifier: Apache-2.0
//
// Notes on columns: a table with a key, a constant, an empty column, very many levels and columns
// that give the target away in several ways, beside honest ones that must pass.
#include "table/tp_profile.h"

#include "base/tp_alloc.h"
#include "base/tp_random.h"
#include "test.h"

#include <math.h>
#include <string.h>

enum { ROWS = 12000 };

static const tp_field fields[] = {
    {TP_STR("id"), TAPEOUT_TYPE_INT64},        {TP_STR("name"), TAPEOUT_TYPE_STRING},
    {TP_STR("constant"), TAPEOUT_TYPE_INT64},  {TP_STR("empty"), TAPEOUT_TYPE_FLOAT64},
    {TP_STR("levels"), TAPEOUT_TYPE_STRING},   {TP_STR("noise"), TAPEOUT_TYPE_FLOAT64},
    {TP_STR("honest"), TAPEOUT_TYPE_FLOAT64},  {TP_STR("score"), TAPEOUT_TYPE_FLOAT64},
    {TP_STR("outcome"), TAPEOUT_TYPE_STRING},  {TP_STR("known_if"), TAPEOUT_TYPE_DATE},
    {TP_STR("invoice"), TAPEOUT_TYPE_FLOAT64}, {TP_STR("late"), TAPEOUT_TYPE_BOOL},
    {TP_STR("price"), TAPEOUT_TYPE_FLOAT64},
};
enum {
    ID,
    NAME,
    CONSTANT,
    EMPTY,
    LEVELS,
    NOISE,
    HONEST,
    SCORE,
    OUTCOME,
    KNOWN_IF,
    INVOICE,
    LATE,
    PRICE,
    FIELD_COUNT
};

static double random_at(uint64_t stream, uint64_t row)
{
    return tp_random_f64(42, stream, row);
}

static tp_str name_of(char *room, const char *prefix, uint64_t number)
{
    return (tp_str){room, (size_t)snprintf(room, 32, "%s%llu", prefix, (unsigned long long)number)};
}

static void append_row(tp_table_builder *b, uint64_t row)
{
    char room[32];
    const bool is_late = random_at(0, row) < 0.3;
    const double price = random_at(1, row) * random_at(1, row) * 1000;
    ASSERT_OK(tp_table_builder_i64(b, ID, (int64_t)(row * 3 + 100)));
    ASSERT_OK(tp_table_builder_str(b, NAME, name_of(room, "row", row)));
    ASSERT_OK(tp_table_builder_i64(b, CONSTANT, 7));
    ASSERT_OK(tp_table_builder_null(b, EMPTY));
    ASSERT_OK(
        tp_table_builder_str(b, LEVELS, name_of(room, "level", tp_random_below(42, 2, row, 5000))));
    ASSERT_OK(tp_table_builder_f64(b, NOISE, random_at(3, row)));
    ASSERT_OK(tp_table_builder_f64(b, HONEST, (is_late ? 0.6 : 0.0) + random_at(4, row)));
    ASSERT_OK(tp_table_builder_f64(b, SCORE, (is_late ? 5.0 : 1.0) + random_at(5, row)));
    ASSERT_OK(tp_table_builder_str(b, OUTCOME, is_late ? TP_STR("refund") : TP_STR("none")));
    ASSERT_OK(is_late ? tp_table_builder_days(b, KNOWN_IF, (int32_t)(row % 365))
                      : tp_table_builder_null(b, KNOWN_IF));
    ASSERT_OK(tp_table_builder_f64(b, INVOICE, price * 1.19 + random_at(6, row)));
    ASSERT_OK(tp_table_builder_bool(b, LATE, is_late));
    ASSERT_OK(tp_table_builder_f64(b, PRICE, price));
}

static tapeout_table *make_table(void)
{
    const tp_schema schema = {fields, FIELD_COUNT};
    tp_table_builder *builder = NULL;
    tapeout_table *table = NULL;
    ASSERT_OK(tp_table_builder_new(tp_allocator_default(), &schema, &builder, &test_err));
    for (uint64_t row = 0; row < ROWS; row++) {
        append_row(builder, row);
    }
    ASSERT_OK(tp_table_builder_take(builder, &table, &test_err));
    tp_table_builder_free(builder);
    return table;
}

static void check_notes(uint32_t target, const uint32_t *want)
{
    const tp_env env = tp_env_plain();
    tapeout_table *table = make_table();
    uint32_t notes[FIELD_COUNT];
    ASSERT_OK(tp_profile_notes(&env, table, NULL, target, notes, &test_err));
    for (uint32_t i = 0; i < FIELD_COUNT; i++) {
        if (notes[i] != want[i]) {
            test_fail(__FILE__, __LINE__, "column %s: got %x, want %x", fields[i].name.data,
                      notes[i], want[i]);
        }
    }
    tp_table_unref(table);
}

static void test_notes_without_a_target(void)
{
    const uint32_t want[FIELD_COUNT] = {[ID] = TP_PROFILE_IDENTIFIER,
                                        [NAME] = TP_PROFILE_IDENTIFIER,
                                        [CONSTANT] = TP_PROFILE_CONSTANT,
                                        [EMPTY] = TP_PROFILE_ALL_MISSING,
                                        [LEVELS] = TP_PROFILE_HIGH_CARDINALITY};
    check_notes(tp_profile_no_target, want);
}

static void test_finds_what_gives_a_class_away(void)
{
    const uint32_t want[FIELD_COUNT] = {[ID] = TP_PROFILE_IDENTIFIER,
                                        [NAME] = TP_PROFILE_IDENTIFIER,
                                        [CONSTANT] = TP_PROFILE_CONSTANT,
                                        [EMPTY] = TP_PROFILE_ALL_MISSING,
                                        [LEVELS] = TP_PROFILE_HIGH_CARDINALITY,
                                        [SCORE] = TP_PROFILE_LEAK,
                                        [OUTCOME] = TP_PROFILE_LEAK,
                                        [KNOWN_IF] = TP_PROFILE_LEAK};
    check_notes(LATE, want);
}

static void test_finds_what_gives_a_number_away(void)
{
    const uint32_t want[FIELD_COUNT] = {
        [ID] = TP_PROFILE_IDENTIFIER,           [NAME] = TP_PROFILE_IDENTIFIER,
        [CONSTANT] = TP_PROFILE_CONSTANT,       [EMPTY] = TP_PROFILE_ALL_MISSING,
        [LEVELS] = TP_PROFILE_HIGH_CARDINALITY, [INVOICE] = TP_PROFILE_LEAK};
    check_notes(PRICE, want);
}

static void test_scores_alike_for_any_number_of_threads(void)
{
    tapeout_table *table = make_table();
    double first[FIELD_COUNT];
    for (uint32_t threads = 1; threads <= 7; threads += 3) {
        tp_env env = tp_env_plain();
        tp_profile *profile = NULL;
        ASSERT_OK(tp_pool_new(env.alloc, threads, &env.pool, &test_err));
        ASSERT_OK(
            tp_profile_new(&env, table, (tp_row_choice){NULL, ROWS}, LATE, &profile, &test_err));
        for (uint32_t i = 0; i < FIELD_COUNT; i++) {
            const double score = tp_profile_columns(profile)[i].leak_score;
            first[i] = threads == 1 ? score : first[i];
            ASSERT_EQ_F64(score, first[i]);
        }
        tp_profile_free(profile);
        tp_pool_free(env.pool);
    }
    ASSERT(isnan(first[NAME]) && isnan(first[LATE]));
    ASSERT(first[NOISE] < 0.05 && first[HONEST] > 0.2 && first[HONEST] < 0.9);
    tp_table_unref(table);
}

// Few rows, one class, a target that is missing: nothing is said rather than something wrong.
static void test_says_nothing_where_it_cannot_know(void)
{
    const tp_env env = tp_env_plain();
    tapeout_table *table = make_table();
    uint32_t notes[FIELD_COUNT];
    static uint32_t few[40];
    for (uint32_t i = 0; i < 40; i++) {
        few[i] = i;
    }
    const tp_row_choice rows = {few, 40};
    ASSERT_OK(tp_profile_notes(&env, table, &rows, LATE, notes, &test_err));
    ASSERT_EQ_UINT(notes[OUTCOME], 0);
    ASSERT_EQ_UINT(notes[ID], 0);
    ASSERT_OK(tp_profile_notes(&env, table, NULL, CONSTANT, notes, &test_err));
    ASSERT_EQ_UINT(notes[OUTCOME], 0);
    ASSERT_OK(tp_profile_notes(&env, table, NULL, EMPTY, notes, &test_err));
    ASSERT_EQ_UINT(notes[OUTCOME], 0);
    const tp_row_choice none = {NULL, 0};
    ASSERT_OK(tp_profile_notes(&env, table, &none, LATE, notes, &test_err));
    ASSERT_EQ_UINT(notes[ID], TP_PROFILE_ALL_MISSING);
    tp_table_unref(table);
}

static void test_tells_it_as_json(void)
{
    tapeout_context *context = NULL;
    tapeout_context_options options;
    tapeout_context_options_init(&options);
    options.thread_count = 1;
    ASSERT_OK(tapeout_context_new(&options, &context, &test_err));
    const tp_env env = tp_env_plain();
    tp_csv_options csv;
    tp_csv_options_init(&csv);
    tapeout_table *table = NULL;
    ASSERT_OK(tp_csv_parse(&env, TP_STR("n,\"d\"\"\",s\n1,2013-01-31,x\n3,,x\n"), &csv, &table,
                           &test_err));
    char *json = NULL;
    ASSERT_OK(tapeout_table_profile(context, table, NULL, &json, &test_err));
    ASSERT(strstr(json, "{\"rows\":2,\"columns\":[{\"name\":\"n\",\"type\":\"int64\",\"missing\":0,"
                        "\"distinct\":2,\"min\":1,\"max\":3,\"mean\":2,\"sd\":1.4142135623730951,"
                        "\"quantiles\":[1,") == json);
    ASSERT(strstr(json, "\"top\":[[\"1\",1],[\"3\",1]],\"notes\":[]}") != NULL);
    ASSERT(strstr(json, "{\"name\":\"d\\\"\",\"type\":\"date\",\"missing\":1,\"distinct\":1,"
                        "\"min\":\"2013-01-31\"") != NULL);
    ASSERT(strstr(json, "\"top\":[[\"x\",2]],\"notes\":[\"constant\"]}]}") != NULL);
    tapeout_text_free(context, json);
    json = NULL;
    ASSERT_FAILS(tapeout_table_profile(context, table, "m", &json, &test_err), TAPEOUT_E_NOT_FOUND,
                 "no column \"m\"");
    ASSERT(json == NULL);
    tapeout_table_free(table);
    tapeout_context_free(context);
}

TEST_MAIN(TEST(test_notes_without_a_target), TEST(test_finds_what_gives_a_class_away),
          TEST(test_finds_what_gives_a_number_away),
          TEST(test_scores_alike_for_any_number_of_threads),
          TEST(test_says_nothing_where_it_cannot_know), TEST(test_tells_it_as_json))
