// SPDX-License-Identifier: Apache-2.0
//
// Feature programs out of arbitrary text. What parses is fitted on a small table, run whole and row
// by row, stored and loaded again; all must give the same bits. A program may be refused with a
// message that has a place, never anything else.
#include "base/tp_alloc.h"
#include "feature/tp_feature.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS = 11, MOST_OUTPUTS = 200 };

static const tp_field fields[] = {
    {{"x", 1}, TAPEOUT_TYPE_FLOAT64}, {{"n", 1}, TAPEOUT_TYPE_INT64},
    {{"b", 1}, TAPEOUT_TYPE_BOOL},    {{"s", 1}, TAPEOUT_TYPE_STRING},
    {{"d", 1}, TAPEOUT_TYPE_DATE},    {{"t", 1}, TAPEOUT_TYPE_TIMESTAMP_TZ},
};
static const tp_schema schema = {fields, sizeof(fields) / sizeof(fields[0])};

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static tp_table_builder *make_table(const tapeout_table **ret_table)
{
    static const char *const texts[] = {"UA", "AA", "", "Ünited", "ua ", "UA"};
    static const double numbers[] = {0, -1.5, 3, 1e300, 2.5, -1e-300};
    tp_table_builder *builder = NULL;
    check(tp_table_builder_new(tp_allocator_default(), &schema, &builder, NULL) == TAPEOUT_OK);
    for (int i = 0; i < ROWS; i++) {
        for (uint32_t c = 0; c < schema.count; c++) {
            tapeout_status status = TAPEOUT_OK;
            if ((i + (int)c) % 6 == 5) {
                status = tp_table_builder_null(builder, c);
            } else if (c == 0) {
                status = tp_table_builder_f64(builder, c, numbers[i % 6]);
            } else if (c == 1) {
                status = tp_table_builder_i64(builder, c, i == 3 ? INT64_MIN : i - 4);
            } else if (c == 2) {
                status = tp_table_builder_bool(builder, c, i % 2 == 0);
            } else if (c == 3) {
                status = tp_table_builder_str(builder, c, tp_str_from(texts[i % 6]));
            } else if (c == 4) {
                status = tp_table_builder_days(builder, c, i == 2 ? INT32_MIN : i * 400);
            } else {
                status = tp_table_builder_i64(builder, c, i == 4 ? INT64_MAX : i * 86400000000);
            }
            check(status == TAPEOUT_OK);
        }
    }
    check(tp_table_builder_view(builder, ret_table, NULL) == TAPEOUT_OK);
    return builder;
}

// All outputs over all rows in blocks of `step`; rows without an output count for nothing.
static void run(const tp_env *env, const tp_feature_program *program, const tapeout_table *table,
                uint32_t step, double *values)
{
    tp_feature_run *run = NULL;
    double *targets[MOST_OUTPUTS];
    const uint32_t count = tp_feature_output_count(program);
    const tp_row_choice rows = {NULL, ROWS};
    check(tp_feature_run_new(env, program, 1, &run, NULL) == TAPEOUT_OK);
    check(tp_feature_run_bind(run, table, rows, TP_FEATURE_SERVE, NULL) == TAPEOUT_OK);
    for (uint32_t at = 0; at < ROWS; at += step) {
        for (uint32_t i = 0; i < count; i++) {
            targets[i] = values + i * ROWS + at;
        }
        const tp_feature_block block = {
            .row_begin = at, .row_count = ROWS - at < step ? ROWS - at : step, .values = targets};
        check(tp_feature_run_block(run, 0, &block, NULL) == TAPEOUT_OK);
    }
    tp_feature_run_free(run);
}

static void use(const tp_env *env, tp_feature_program *program, const tapeout_table *table)
{
    static double whole[MOST_OUTPUTS * ROWS];
    static double single[MOST_OUTPUTS * ROWS];
    static const double target[ROWS] = {0, 1, 1, 0, 0, 1, 0, 1, 1, 0, 1};
    const tp_feature_fit_data fit = {.table = table, .rows = {NULL, ROWS}, .target = target};
    tapeout_error err = {0};
    const tapeout_status status = tp_feature_fit(env, program, &fit, &err);
    if (status != TAPEOUT_OK) {
        check(status == TAPEOUT_E_DATA || status == TAPEOUT_E_INVALID || status == TAPEOUT_E_LIMIT);
        return;
    }
    const uint32_t count = tp_feature_output_count(program);
    if (count > MOST_OUTPUTS) {
        return;
    }
    run(env, program, table, ROWS, whole);
    run(env, program, table, 1, single);
    check(memcmp(whole, single, count * ROWS * sizeof(double)) == 0);
    tp_buffer state;
    tp_feature_program *loaded = NULL;
    tp_buffer_init(&state, env->alloc, 1u << 30);
    tp_feature_state_write(program, &state);
    check(tp_feature_load(env, tp_feature_text(program), &schema, tp_buffer_view(&state), &loaded,
                          NULL) == TAPEOUT_OK);
    check(tp_feature_output_count(loaded) == count);
    run(env, loaded, table, 4, single);
    check(memcmp(whole, single, count * ROWS * sizeof(double)) == 0);
    tp_feature_program_free(loaded);
    tp_buffer_deinit(&state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_env env = tp_env_plain();
    const tapeout_table *table = NULL;
    tp_feature_program *program = NULL;
    tapeout_error err = {0};
    tp_table_builder *builder = make_table(&table);
    const tp_str text = {(const char *)data, size};
    const tapeout_status status = tp_feature_parse(&env, text, &schema, &program, &err);
    if (status == TAPEOUT_OK) {
        use(&env, program, table);
    } else {
        check(status == TAPEOUT_E_INVALID || status == TAPEOUT_E_LIMIT);
        check(strncmp(err.message, "features:", 9) == 0);
    }
    tp_feature_program_free(program);
    tp_table_builder_free(builder);
    return 0;
}
