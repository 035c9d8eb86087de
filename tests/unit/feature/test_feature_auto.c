// SPDX-License-Identifier: Apache-2.0
//
// `features: auto`: what it writes is read back by the language, says what it left out and why, and
// on a table with a date, a key, a column that leaks the target and a category of 5,000 levels
// beats the columns as they are.
#include "base/tp_alloc.h"
#include "base/tp_random.h"
#include "feature/tp_feature.h"
#include "kernels/tp_math.h"
#include "learn/gbt/tp_gbt.h"
#include "learn/tp_metrics.h"
#include "test.h"

#include <math.h>
#include <string.h>

static const tp_field fields[] = {
    {{"id", 2}, TAPEOUT_TYPE_INT64},         {{"day", 3}, TAPEOUT_TYPE_DATE},
    {{"shop name", 9}, TAPEOUT_TYPE_STRING}, {{"x", 1}, TAPEOUT_TYPE_FLOAT64},
    {{"answer", 6}, TAPEOUT_TYPE_STRING},    {{"one", 3}, TAPEOUT_TYPE_INT64},
    {{"none", 4}, TAPEOUT_TYPE_FLOAT64},     {{"_flag", 5}, TAPEOUT_TYPE_BOOL},
    {{"at", 2}, TAPEOUT_TYPE_TIMESTAMP_TZ},  {{"and", 3}, TAPEOUT_TYPE_STRING},
    {{"y", 1}, TAPEOUT_TYPE_INT64},
};
static const tp_schema schema = {fields, sizeof(fields) / sizeof(fields[0])};

enum { TRAIN = 20000, ROWS = 30000, LEVELS = 5000, FEATURES = 16 };

static double target[ROWS];
static uint32_t test_rows[ROWS - TRAIN];

static double effect(uint64_t stream, uint64_t of, double size)
{
    return (tp_random_f64(8, stream, of) + tp_random_f64(8, stream + 1, of) - 1) * size;
}

static tp_table_builder *make_table(const tapeout_table **ret_table)
{
    tp_table_builder *builder = NULL;
    ASSERT_OK(tp_table_builder_new(tp_allocator_default(), &schema, &builder, &test_err));
    for (uint64_t i = 0; i < ROWS; i++) {
        char name[32];
        const uint64_t level = tp_random_below(5, 1, i, LEVELS);
        const int32_t day = 15000 + (int32_t)tp_random_below(5, 2, i, 300);
        const double x = tp_random_f64(5, 3, i);
        const double margin = effect(10, level, 5) + effect(20, (uint64_t)day % 7, 3) + x - 0.5;
        const bool y = tp_random_f64(5, 4, i) < 1 / (1 + exp(-margin)); // test data, not a result
        target[i] = y;
        const int size = snprintf(name, sizeof(name), "shop-%d", (int)level);
        ASSERT_OK(tp_table_builder_i64(builder, 0, 1000000 + (int64_t)i));
        ASSERT_OK(tp_table_builder_days(builder, 1, day));
        ASSERT_OK(tp_table_builder_str(builder, 2, (tp_str){name, (size_t)size}));
        ASSERT_OK(tp_table_builder_f64(builder, 3, x));
        ASSERT_OK(tp_table_builder_str(builder, 4, y ? TP_STR("yes") : TP_STR("no")));
        ASSERT_OK(tp_table_builder_i64(builder, 5, 7));
        ASSERT_OK(tp_table_builder_null(builder, 6));
        ASSERT_OK(tp_table_builder_bool(builder, 7, i % 3 == 0));
        ASSERT_OK(tp_table_builder_i64(builder, 8, day * INT64_C(86400000000) + 3600000000));
        ASSERT_OK(tp_table_builder_str(builder, 9, i % 2 == 0 ? TP_STR("a") : TP_STR("b")));
        ASSERT_OK(tp_table_builder_i64(builder, 10, y));
    }
    for (uint32_t i = 0; i < ROWS - TRAIN; i++) {
        test_rows[i] = TRAIN + i;
    }
    ASSERT_OK(tp_table_builder_view(builder, ret_table, &test_err));
    return builder;
}

static void write_auto(const tapeout_table *table, tp_buffer *text, tp_buffer *notes)
{
    const tp_env env = tp_env_plain();
    const tp_feature_auto_data data = {.table = table,
                                       .rows = {NULL, TRAIN},
                                       .target = TP_STR("y"),
                                       .target_is_class = true,
                                       .values = target};
    tp_buffer_init(text, env.alloc, 1u << 20);
    tp_buffer_init(notes, env.alloc, 1u << 20);
    ASSERT_OK(tp_feature_auto(&env, &data, text, notes, &test_err));
    tp_buffer_append_char(text, '\0');
    tp_buffer_append_char(notes, '\0');
}

static void has(const tp_buffer *buffer, const char *part)
{
    if (strstr(buffer->data, part) == NULL) {
        test_fail(__FILE__, __LINE__, "no '%s' in:\n%s", part, buffer->data);
    }
}

static void test_text(void)
{
    const tapeout_table *table = NULL;
    tp_buffer text;
    tp_buffer notes;
    tp_table_builder *builder = make_table(&table);
    write_auto(table, &text, &notes);
    has(&text, "# features: auto, for 20000 training rows\n");
    has(&text, "# id is left out: a key: 20000 different values in 20000 rows\n");
    has(&text, "\nday_weekday = weekday(day)");
    has(&text, "\nday_month = month(day)\n");
    has(&text, "\n`shop name_mean` = target_mean(`shop name`, smoothing = 20)");
    has(&text, "\n`shop name_count` = count_encode(`shop name`)");
    has(&text, "\nx = x\n");
    has(&text, "# answer is left out: it gives the target away");
    has(&text, "# one is left out: constant");
    has(&text, "# none is left out: all missing");
    has(&text, "\ncolumn_flag = _flag\n");
    has(&text, "\n`and` = category(`and`, min_count = 2)");
    has(&text, "\nat_hour = hour(at)  # UTC");
    ASSERT(strstr(text.data, "year") == NULL); // 300 days
    has(&notes, "id: left out, a key");
    has(&notes, "answer: left out, it gives the target away");
    tp_buffer_deinit(&text);
    tp_buffer_deinit(&notes);
    tp_table_builder_free(builder);
}

static void test_nothing_left(void)
{
    static const tp_field only[] = {{{"y", 1}, TAPEOUT_TYPE_INT64}, {{"c", 1}, TAPEOUT_TYPE_INT64}};
    const tp_schema two = {only, 2};
    const tp_env env = tp_env_plain();
    tp_table_builder *builder = NULL;
    const tapeout_table *table = NULL;
    tp_buffer text;
    static const double values[] = {0, 1};
    ASSERT_OK(tp_table_builder_new(env.alloc, &two, &builder, &test_err));
    for (int64_t i = 0; i < 2; i++) {
        ASSERT_OK(tp_table_builder_i64(builder, 0, i));
        ASSERT_OK(tp_table_builder_i64(builder, 1, 5));
    }
    ASSERT_OK(tp_table_builder_view(builder, &table, &test_err));
    tp_buffer_init(&text, env.alloc, 1u << 20);
    const tp_feature_auto_data data = {
        .table = table, .rows = {NULL, 2}, .target = TP_STR("y"), .values = values};
    ASSERT_FAILS(tp_feature_auto(&env, &data, &text, &text, &test_err), TAPEOUT_E_DATA,
                 "finds no column to learn from");
    tp_buffer_deinit(&text);
    tp_table_builder_free(builder);
}

// -- better than raw -----------------------------------------------------------------------------
static tapeout_status read_feature(void *user, const tp_learn_slice *slice, double *ret_values,
                                   tapeout_error *err)
{
    double *targets[] = {ret_values};
    const tp_feature_block block = {.row_begin = slice->row_begin,
                                    .row_count = slice->row_count,
                                    .outputs = &slice->feature,
                                    .output_count = 1,
                                    .values = targets};
    return tp_feature_run_block(user, slice->worker, &block, err);
}

static double auc_of(const tp_gbt *gbt, tp_feature_run *run, const tp_feature_program *program)
{
    const tp_env env = tp_env_plain();
    enum { COUNT = ROWS - TRAIN };
    double *margins = tp_alloc_array(env.alloc, COUNT, sizeof(double));
    void *scratch = tp_alloc(env.alloc, tp_gbt_scratch_size(gbt, 1000));
    static double columns[FEATURES][1000];
    double *pointers[FEATURES];
    for (int i = 0; i < FEATURES; i++) {
        pointers[i] = columns[i];
    }
    ASSERT(tp_feature_output_count(program) <= FEATURES);
    for (uint32_t at = 0; at < COUNT; at += 1000) {
        const tp_feature_block block = {.row_begin = at, .row_count = 1000, .values = pointers};
        ASSERT_OK(tp_feature_run_block(run, 0, &block, &test_err));
        tp_gbt_margins(gbt, (const double *const *)pointers, 1000, scratch, margins + at);
    }
    tp_metric_values values;
    static double prediction[COUNT];
    for (int i = 0; i < COUNT; i++) {
        prediction[i] = margins[i] > 0 ? 1 : 0;
        margins[i] = tp_logistic(margins[i]);
    }
    const tp_metric_data data = {.task = TP_TASK_BINARY,
                                 .objective = TP_OBJECTIVE_BINARY,
                                 .class_count = 2,
                                 .row_count = COUNT,
                                 .target = target + TRAIN,
                                 .probability = margins,
                                 .prediction = prediction};
    ASSERT_OK(tp_metrics_compute(&env, &data, 0, 1, &values, &test_err));
    tp_free(env.alloc, scratch, tp_gbt_scratch_size(gbt, 1000));
    tp_free_array(env.alloc, margins, COUNT, sizeof(double));
    return values.value[TP_METRIC_AUC];
}

static double quality(const tapeout_table *table, const char *text)
{
    const tp_env env = tp_env_plain();
    tp_feature_program *program = NULL;
    tp_feature_run *run = NULL;
    tp_gbt *gbt = NULL;
    tp_gbt_report report;
    tp_gbt_options options;
    tp_learn_feature features[FEATURES] = {0};
    ASSERT_OK(tp_feature_parse(&env, tp_str_from(text), &schema, &program, &test_err));
    const tp_feature_fit_data fit = {
        .table = table, .rows = {NULL, TRAIN}, .target = target, .seed = 1};
    ASSERT_OK(tp_feature_fit(&env, program, &fit, &test_err));
    ASSERT_OK(tp_feature_run_new(&env, program, 1, &run, &test_err));
    ASSERT_OK(tp_feature_run_bind(run, table, fit.rows, TP_FEATURE_TRAIN, &test_err));
    const uint32_t count = tp_feature_output_count(program);
    for (uint32_t i = 0; i < count; i++) {
        const tp_feature_output *output = tp_feature_output_at(program, i);
        features[i] = (tp_learn_feature){.name = output->name,
                                         .is_category = output->is_category,
                                         .category_count = output->category_count};
    }
    const tp_learn_data data = {.row_count = TRAIN,
                                .feature_count = count,
                                .features = features,
                                .target = target,
                                .read = read_feature,
                                .user = run,
                                .block_rows = TP_FEATURE_BLOCK_ROWS};
    tp_gbt_options_init(&options, TP_OBJECTIVE_BINARY);
    options.trees = 60;
    ASSERT_OK(tp_gbt_train(&env, &data, NULL, &options, &gbt, &report, &test_err));
    const tp_row_choice rows = {test_rows, ROWS - TRAIN};
    ASSERT_OK(tp_feature_run_bind(run, table, rows, TP_FEATURE_SERVE, &test_err));
    const double auc = auc_of(gbt, run, program);
    tp_gbt_free(gbt);
    tp_feature_run_free(run);
    tp_feature_program_free(program);
    return auc;
}

static void test_beats_raw_columns(void)
{
    // Every column as it is, the leak apart: with it there would be nothing to compare.
    static const char raw[] = "id = id\nday = days_between(\"1970-01-01\", day)\n"
                              "shop = category(`shop name`)\nx = x\none = one\nflag = _flag\n"
                              "at = at - \"1970-01-01\"\nc = category(`and`)\n";
    const tapeout_table *table = NULL;
    tp_buffer text;
    tp_buffer notes;
    tp_table_builder *builder = make_table(&table);
    write_auto(table, &text, &notes);
    const double auc_auto = quality(table, text.data);
    const double auc_raw = quality(table, raw);
    printf("# auc: auto %.4f, raw %.4f\n", auc_auto, auc_raw);
    ASSERT(auc_auto > auc_raw + 0.1);
    tp_buffer_deinit(&text);
    tp_buffer_deinit(&notes);
    tp_table_builder_free(builder);
}

TEST_MAIN(TEST(test_text), TEST(test_nothing_left), TEST(test_beats_raw_columns))
