// SPDX-License-Identifier: Apache-2.0
//
// Writing CSV (RFC 4180 but for LF line ends). Numbers come in the shortest form that reads back to
// the same bits; a string is quoted when it holds a delimiter, a quote, a line end, or nothing, and
// when unquoted it would read back as something else at its edges (white space).
#include "table/tp_csv_write.h"

#include "base/tp_buffer.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "table/tp_value.h"

#include <string.h>

enum { CHUNK_BYTES = 1 << 16, MAX_BUFFER_BYTES = 1 << 30 };

static void append_text(tp_buffer *out, tp_str text)
{
    // At the begin of the file, three bytes would be taken for its byte order mark.
    bool needs_quotes = text.size == 0 || tp_str_has_prefix(text, TP_STR("\xef\xbb\xbf"));
    for (size_t i = 0; i < text.size && !needs_quotes; i++) {
        const char c = text.data[i];
        needs_quotes = c == ',' || c == '"' || c == '\n' || c == '\r' ||
                       ((i == 0 || i + 1 == text.size) && (c == ' ' || c == '\t'));
    }
    if (!needs_quotes) {
        tp_buffer_append_str(out, text);
        return;
    }
    tp_buffer_append_char(out, '"');
    for (size_t begin = 0; begin < text.size;) {
        const char *quote = memchr(text.data + begin, '"', text.size - begin);
        const size_t end = quote == NULL ? text.size : (size_t)(quote - text.data) + 1;
        tp_buffer_append(out, text.data + begin, end - begin);
        if (quote != NULL) {
            tp_buffer_append_char(out, '"');
        }
        begin = end;
    }
    tp_buffer_append_char(out, '"');
}

static void append_value(tp_buffer *out, const tp_column *column, uint64_t row)
{
    char text[TP_VALUE_TEXT_SIZE];
    size_t size = 0;
    if (!tp_column_is_valid(column, row)) {
        return;
    }
    switch (column->type) {
    case TAPEOUT_TYPE_STRING:
        append_text(out, tp_dict_get(column->dict, (uint32_t)column->values.codes[row]));
        return;
    case TAPEOUT_TYPE_BOOL:
        tp_buffer_append_text(out,
                              column->values.bits[row >> 3] >> (row & 7) & 1 ? "true" : "false");
        return;
    case TAPEOUT_TYPE_INT64:
        size = tp_print_i64(column->values.i64[row], text);
        break;
    case TAPEOUT_TYPE_FLOAT64:
        size = tp_print_f64(column->values.f64[row], text);
        break;
    case TAPEOUT_TYPE_DATE:
        size = tp_print_date(column->values.days[row], text);
        break;
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        size = tp_print_timestamp(column->values.i64[row],
                                  column->type == TAPEOUT_TYPE_TIMESTAMP_TZ, text);
        break;
    }
    tp_buffer_append(out, text, size);
}

static void append_header(tp_buffer *out, const tapeout_table *table)
{
    for (uint32_t c = 0; c < table->column_count; c++) {
        if (c > 0) {
            tp_buffer_append_char(out, ',');
        }
        append_text(out, table->columns[c].name);
    }
    tp_buffer_append_char(out, '\n');
}

tapeout_status tp_csv_write(const tp_env *env, const tapeout_table *table, tapeout_write_fn write,
                            void *user, tapeout_error *err)
{
    tp_buffer out;
    tp_buffer_init(&out, env->alloc, MAX_BUFFER_BYTES);
    append_header(&out, table);
    tapeout_status status = TAPEOUT_OK;
    for (uint64_t row = 0; status == TAPEOUT_OK && row < table->row_count; row++) {
        for (uint32_t c = 0; c < table->column_count; c++) {
            if (c > 0) {
                tp_buffer_append_char(&out, ',');
            }
            append_value(&out, &table->columns[c], row);
        }
        tp_buffer_append_char(&out, '\n');
        if (out.size >= CHUNK_BYTES) {
            status = tp_buffer_check(&out, "csv", err);
            status = status == TAPEOUT_OK ? write(user, out.data, out.size, err) : status;
            tp_buffer_clear(&out);
        }
    }
    if (status == TAPEOUT_OK) {
        status = tp_buffer_check(&out, "csv", err);
    }
    if (status == TAPEOUT_OK && out.size > 0) {
        status = write(user, out.data, out.size, err);
    }
    tp_buffer_deinit(&out);
    return status;
}

static tapeout_status write_piece(void *user, const char *data, size_t size, tapeout_error *err)
{
    return tp_writer_write(user, data, size, err);
}

tapeout_status tp_csv_write_file(const tp_env *env, const char *path, const tapeout_table *table,
                                 tapeout_error *err)
{
    tp_writer *writer = NULL;
    TP_TRY(tp_writer_open(env->alloc, path, &writer, err));
    const tapeout_status status = tp_csv_write(env, table, write_piece, writer, err);
    if (status != TAPEOUT_OK) {
        tp_writer_abort(&writer);
        return status;
    }
    return tp_writer_commit(&writer, err);
}
