// SPDX-License-Identifier: Apache-2.0
//
// The fixture of the feature tests (see the header). Everything is given back, so that leak
// checkers see the module's own leaks.
#include "feature_cases.h"

#include "base/tp_alloc.h"

#include <math.h>
#include <string.h>

static const tp_field fields[] = {
    {{"x", 1}, TAPEOUT_TYPE_FLOAT64},      {{"n", 1}, TAPEOUT_TYPE_INT64},
    {{"b", 1}, TAPEOUT_TYPE_BOOL},         {{"s", 1}, TAPEOUT_TYPE_STRING},
    {{"u", 1}, TAPEOUT_TYPE_STRING},       {{"d", 1}, TAPEOUT_TYPE_DATE},
    {{"t", 1}, TAPEOUT_TYPE_TIMESTAMP_TZ}, {{"l", 1}, TAPEOUT_TYPE_TIMESTAMP},
};

enum { FIELD_COUNT = sizeof(fields) / sizeof(fields[0]) };

const tp_schema case_schema = {fields, FIELD_COUNT};

static void put_field(feature_case *c, uint32_t column, tp_str text)
{
    if (text.size == 0) {
        ASSERT_OK(tp_table_builder_null(c->builder, column));
    } else if (fields[column].type == TAPEOUT_TYPE_STRING) {
        ASSERT_OK(tp_table_builder_str(c->builder, column, text));
    } else {
        ASSERT_OK(tp_table_builder_text(c->builder, column, text, &test_err));
    }
}

void case_rows(feature_case *c, const char *const *lines, size_t count)
{
    if (c->env.alloc == NULL) {
        c->env = tp_env_plain();
    }
    if (c->builder == NULL) {
        ASSERT_OK(tp_table_builder_new(c->env.alloc, &case_schema, &c->builder, &test_err));
    }
    tp_table_builder_clear(c->builder);
    for (size_t i = 0; i < count; i++) {
        const char *at = lines[i];
        for (uint32_t column = 0; column < FIELD_COUNT; column++) {
            const size_t size = strcspn(at, ",");
            put_field(c, column, (tp_str){at, size});
            at += at[size] == ',' ? size + 1 : size;
        }
    }
    ASSERT_OK(tp_table_builder_view(c->builder, &c->table, &test_err));
    c->row_count = count;
}

void case_threads(feature_case *c, uint32_t threads)
{
    c->env = tp_env_plain();
    ASSERT_OK(tp_pool_new(c->env.alloc, threads, &c->pool, &test_err));
    c->env.pool = c->pool;
}

void case_fit(feature_case *c, const char *text, const double *target)
{
    tp_feature_program_free(c->program);
    c->program = NULL;
    ASSERT_OK(tp_feature_parse(&c->env, tp_str_from(text), &case_schema, &c->program, &test_err));
    const tp_feature_fit_data data = {
        .table = c->table, .rows = {NULL, c->row_count}, .target = target, .seed = 7};
    ASSERT_OK(tp_feature_fit(&c->env, c->program, &data, &test_err));
}

static void free_values(feature_case *c)
{
    for (uint32_t i = 0; i < c->output_count; i++) {
        tp_free_array(c->env.alloc, c->values[i], c->row_count + 1, sizeof(double));
    }
    tp_free_array(c->env.alloc, c->values, c->output_count + 1, sizeof(double *));
    c->values = NULL;
    c->output_count = 0;
    tp_feature_run_free(c->run);
    c->run = NULL;
}

void case_run(feature_case *c, tp_feature_mode mode, uint32_t block_rows)
{
    free_values(c);
    c->output_count = tp_feature_output_count(c->program);
    c->values = tp_alloc_array_zero(c->env.alloc, c->output_count + 1, sizeof(double *));
    double **targets = tp_alloc_array_zero(c->env.alloc, c->output_count + 1, sizeof(double *));
    for (uint32_t i = 0; i < c->output_count; i++) {
        c->values[i] = tp_alloc_array_zero(c->env.alloc, c->row_count + 1, sizeof(double));
    }
    ASSERT_OK(tp_feature_run_new(&c->env, c->program, 1, &c->run, &test_err));
    const tp_row_choice rows = {NULL, c->row_count};
    ASSERT_OK(tp_feature_run_bind(c->run, c->table, rows, mode, &test_err));
    for (uint64_t at = 0; at < c->row_count; at += block_rows) {
        const uint64_t left = c->row_count - at;
        for (uint32_t i = 0; i < c->output_count; i++) {
            targets[i] = c->values[i] + at;
        }
        const tp_feature_block block = {.row_begin = at,
                                        .row_count =
                                            left < block_rows ? (uint32_t)left : block_rows,
                                        .values = targets};
        ASSERT_OK(tp_feature_run_block(c->run, 0, &block, &test_err));
    }
    tp_free_array(c->env.alloc, targets, c->output_count + 1, sizeof(double *));
}

void case_eval(feature_case *c, const char *text)
{
    case_fit(c, text, NULL);
    case_run(c, TP_FEATURE_SERVE, TP_FEATURE_BLOCK_ROWS);
}

uint32_t case_output(const feature_case *c, const char *name)
{
    for (uint32_t i = 0; i < tp_feature_output_count(c->program); i++) {
        if (tp_str_equal(tp_feature_output_at(c->program, i)->name, tp_str_from(name))) {
            return i;
        }
    }
    test_fail(__FILE__, __LINE__, "no output '%s'", name);
}

double case_value(const feature_case *c, const char *name, uint64_t row)
{
    return c->values[case_output(c, name)][row];
}

tp_feature_counts case_counts(const feature_case *c, const char *name)
{
    return tp_feature_run_counts(c->run, case_output(c, name));
}

void case_state(const feature_case *c, tp_buffer *ret_state)
{
    tp_buffer_init(ret_state, c->env.alloc, 1u << 30);
    tp_feature_state_write(c->program, ret_state);
    ASSERT_OK(tp_buffer_check(ret_state, "state", &test_err));
}

void case_free(feature_case *c)
{
    free_values(c);
    tp_feature_program_free(c->program);
    tp_table_builder_free(c->builder);
    tp_pool_free(c->pool);
    *c = (feature_case){.row_count = 0};
}

const char *case_error(const char *text)
{
    const tp_env env = tp_env_plain();
    tp_feature_program *program = NULL;
    test_err = (tapeout_error){0};
    const tapeout_status status =
        tp_feature_parse(&env, tp_str_from(text), &case_schema, &program, &test_err);
    if (status != TAPEOUT_E_INVALID) {
        test_fail(__FILE__, __LINE__, "'%s' parsed with %s", text, tapeout_status_name(status));
    }
    ASSERT(program == NULL);
    return test_err.message;
}
