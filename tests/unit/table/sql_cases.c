// SPDX-License-Identifier: Apache-2.0
//
// Helpers of the SQL and Parquet tests; see sql_cases.h.
#include "sql_cases.h"

#include "table/tp_value.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *cases_library(void)
{
    static char path[4200];
    const char *named = getenv("TAPEOUT_DUCKDB");
    if (named != NULL && named[0] != '\0') {
        return named;
    }
    (void)snprintf(path, sizeof(path), "%s/.deps/duckdb/libduckdb.so", test_source_dir());
    if (access(path, R_OK) != 0) {
        test_skip("no libduckdb.so: make setup fetches it, or set TAPEOUT_DUCKDB");
    }
    return path;
}

const char *cases_path(const char *directory, const char *name)
{
    static char paths[8][4200];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

void cases_write_bytes(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    ASSERT(file != NULL);
    ASSERT_EQ_UINT(fwrite(data, 1, size, file), size);
    ASSERT_EQ_INT(fclose(file), 0);
}

void cases_write(const char *path, const char *text)
{
    cases_write_bytes(path, text, strlen(text));
}

void cases_read(const char *path, char **ret_data, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    ASSERT(file != NULL);
    ASSERT_EQ_INT(fseek(file, 0, SEEK_END), 0);
    const long size = ftell(file);
    ASSERT(size >= 0);
    rewind(file);
    *ret_data = malloc((size_t)size + 1);
    ASSERT(*ret_data != NULL);
    ASSERT_EQ_UINT(fread(*ret_data, 1, (size_t)size, file), (size_t)size);
    *ret_size = (size_t)size;
    ASSERT_EQ_INT(fclose(file), 0);
}

static size_t print_value(const tp_column *column, uint64_t row, char *ret_text, size_t size)
{
    if (!tp_column_is_valid(column, row)) {
        return (size_t)snprintf(ret_text, size, "NULL");
    }
    switch (column->type) {
    case TAPEOUT_TYPE_BOOL:
        return (size_t)snprintf(ret_text, size, "%s",
                                column->values.bits[row >> 3] >> (row & 7) & 1 ? "true" : "false");
    case TAPEOUT_TYPE_INT64:
        return tp_print_i64(column->values.i64[row], ret_text);
    case TAPEOUT_TYPE_FLOAT64:
        return tp_print_f64(column->values.f64[row], ret_text);
    case TAPEOUT_TYPE_DATE:
        return tp_print_date(column->values.days[row], ret_text);
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        return tp_print_timestamp(column->values.i64[row],
                                  column->type == TAPEOUT_TYPE_TIMESTAMP_TZ, ret_text);
    case TAPEOUT_TYPE_STRING: {
        const tp_str text = tp_dict_get(column->dict, (uint32_t)column->values.codes[row]);
        return (size_t)snprintf(ret_text, size, "%.*s", TP_STR_ARGS(text));
    }
    }
    return 0;
}

const char *cases_value(const tapeout_table *table, const char *column, uint64_t row)
{
    static char texts[4][512];
    static unsigned next;
    char *text = texts[next++ % 4];
    const tp_column *found = tp_table_find(table, tp_str_from(column));
    ASSERT(found != NULL);
    ASSERT(row < table->row_count);
    text[print_value(found, row, text, sizeof(texts[0]))] = '\0';
    return text;
}

static void assert_same_column(const tp_column *got, const tp_column *want)
{
    ASSERT(tp_str_equal(got->name, want->name));
    ASSERT_EQ_STR(tapeout_type_name(got->type), tapeout_type_name(want->type));
    ASSERT_EQ_UINT(got->null_count, want->null_count);
    char got_text[512];
    char want_text[512];
    for (uint64_t row = 0; row < want->row_count; row++) {
        ASSERT_EQ_INT(tp_column_is_valid(got, row), tp_column_is_valid(want, row));
        if (want->type == TAPEOUT_TYPE_FLOAT64) {
            ASSERT_EQ_F64(got->values.f64[row], want->values.f64[row]);
            continue;
        }
        const size_t got_size = print_value(got, row, got_text, sizeof(got_text));
        const size_t want_size = print_value(want, row, want_text, sizeof(want_text));
        ASSERT_EQ_BYTES(got_text, got_size, want_text, want_size);
    }
}

void cases_assert_same(const tapeout_table *got, const tapeout_table *want)
{
    ASSERT_EQ_UINT(got->row_count, want->row_count);
    ASSERT_EQ_UINT(got->column_count, want->column_count);
    for (uint32_t c = 0; c < want->column_count; c++) {
        assert_same_column(&got->columns[c], &want->columns[c]);
    }
}
