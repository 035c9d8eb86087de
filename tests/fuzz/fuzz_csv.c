// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as CSV. What is read must be a sound table (codes inside the dictionary, missing values
// zero), the same with the plain kernels' small stretches or a schema that asks for what was found,
// and, written out, read back the same: rows, types that the text still shows, and every value.
#include "base/tp_alloc.h"
#include "base/tp_buffer.h"
#include "table/tp_csv_write.h"
#include "table/tp_table.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static int64_t word_at(const tp_column *c, uint64_t row)
{
    switch (c->type) {
    case TAPEOUT_TYPE_BOOL:
        return c->values.bits[row >> 3] >> (row & 7) & 1;
    case TAPEOUT_TYPE_DATE:
    case TAPEOUT_TYPE_STRING:
        return c->values.codes[row];
    default:
        return c->values.i64[row];
    }
}

static void check_sound(const tapeout_table *table)
{
    for (uint32_t i = 0; i < table->column_count; i++) {
        const tp_column *c = &table->columns[i];
        uint64_t missing = 0;
        check(c->row_count == table->row_count);
        for (uint64_t row = 0; row < table->row_count; row++) {
            const bool is_valid = tp_column_is_valid(c, row);
            missing += !is_valid;
            check(is_valid || word_at(c, row) == 0);
            if (c->type == TAPEOUT_TYPE_STRING && is_valid) {
                check(word_at(c, row) >= 0 && word_at(c, row) < c->dict->count);
                check(tp_utf8_check(tp_dict_get(c->dict, (uint32_t)word_at(c, row)), NULL));
            }
        }
        check(missing == c->null_count);
    }
}

static void check_same(const tapeout_table *a, const tapeout_table *b)
{
    check(a->row_count == b->row_count && a->column_count == b->column_count);
    for (uint32_t i = 0; i < a->column_count; i++) {
        const tp_column *x = &a->columns[i];
        const tp_column *y = &b->columns[i];
        check(x->type == y->type && tp_str_equal(x->name, y->name));
        for (uint64_t row = 0; row < a->row_count; row++) {
            check(tp_column_is_valid(x, row) == tp_column_is_valid(y, row));
            check(word_at(x, row) == word_at(y, row));
        }
    }
}

static tapeout_status append(void *user, const char *data, size_t size, tapeout_error *err)
{
    tp_buffer_append(user, data, size);
    return tp_buffer_check(user, "fuzz", err);
}

static tapeout_table *parse(const tp_env *env, tp_str text, const tp_csv_options *options)
{
    tapeout_table *table = NULL;
    tapeout_error err = {0};
    const tapeout_status status = tp_csv_parse(env, text, options, &table, &err);
    check((status == TAPEOUT_OK) == (table != NULL));
    check(status == TAPEOUT_OK || err.message[0] != '\0');
    return table;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_env env = tp_env_plain();
    tp_csv_options options;
    tp_csv_options_init(&options);
    tapeout_table *table = parse(&env, (tp_str){(const char *)data, size}, &options);
    if (table == NULL) {
        return 0;
    }
    check_sound(table);
    tp_field *fields = tp_alloc_array(env.alloc, table->column_count, sizeof *fields);
    for (uint32_t i = 0; i < table->column_count; i++) {
        fields[i] = (tp_field){table->columns[i].name, table->columns[i].type};
    }
    const tp_schema schema = {fields, table->column_count};
    options.expect = &schema;
    tapeout_table *expected = parse(&env, (tp_str){(const char *)data, size}, &options);
    check(expected != NULL);
    check_same(table, expected);
    tp_buffer text;
    tp_buffer_init(&text, env.alloc, SIZE_MAX);
    check(tp_csv_write(&env, table, append, &text, NULL) == TAPEOUT_OK);
    options.delimiter = ',';
    options.missing_count = 0; // what was a marker is an empty field now
    tapeout_table *back = parse(&env, tp_buffer_view(&text), &options);
    check(back != NULL);
    check_same(table, back);
    tp_buffer_deinit(&text);
    tp_table_unref(back);
    tp_table_unref(expected);
    tp_free_array(env.alloc, fields, table->column_count, sizeof *fields);
    tp_table_unref(table);
    return 0;
}
