// SPDX-License-Identifier: Apache-2.0
//
// A segment read in batches of whole rows.
//
// A stretch of text small enough for the cache is indexed (where does each field end?), and the
// rows that are complete in it become a batch; what is left of the last row waits for the next
// stretch. A batch is handed out only when its rows are in shape: as many fields as the header has,
// quotes around whole fields with those inside doubled, no carriage return but before a line feed
// or inside quotes. Empty lines of a table with several columns are passed over; they end a batch,
// since fields of a batch lie next to each other.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "table/csv_priv.h"

#include <string.h>

enum { SCAN_BYTES_MAX = 64 << 10 };

tapeout_status tp_csv_reader_init(csv_reader *reader, const csv_job *job, tapeout_error *err)
{
    *reader = (csv_reader){.job = job};
    reader->capacity = 2 + job->column_count + (size_t)SCAN_BYTES_MAX + TP_CSV_INDEX_SLACK;
    reader->positions = tp_alloc_array(job->env->alloc, reader->capacity, sizeof(uint32_t));
    tp_buffer_init(&reader->scratch, job->env->alloc, TP_MAX_CSV_FIELD_BYTES);
    reader->cache = tp_alloc_array(job->env->alloc, CSV_CACHE_SIZE, sizeof *reader->cache);
    return reader->positions == NULL || reader->cache == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
}

void tp_csv_reader_deinit(csv_reader *reader)
{
    if (reader->job != NULL) {
        tp_free_array(reader->job->env->alloc, reader->positions, reader->capacity,
                      sizeof(uint32_t));
        tp_free_array(reader->job->env->alloc, reader->cache, CSV_CACHE_SIZE,
                      sizeof *reader->cache);
        tp_buffer_deinit(&reader->scratch);
    }
    *reader = (csv_reader){0};
}

void tp_csv_reader_start(csv_reader *reader, const csv_segment *segment, size_t scan_bytes)
{
    reader->segment = segment;
    memset(reader->cache, 0xff, CSV_CACHE_SIZE * sizeof *reader->cache);
    reader->state = (tp_csv_index_state){.delimiter = reader->job->delimiter};
    reader->positions[0] = UINT32_MAX; // the first field begins at its successor, zero
    reader->count = 1;
    reader->cursor = 1;
    reader->scanned = 0;
    reader->scan_bytes = scan_bytes < SCAN_BYTES_MAX ? scan_bytes : SCAN_BYTES_MAX;
    reader->rows_done = 0;
    reader->had_quote = false;
    reader->had_return = false;
}

static const uint8_t *segment_text(const csv_reader *reader)
{
    return reader->job->data + reader->segment->begin;
}

// The last row's end where there is no line feed, not to be read.
static bool is_tail(const csv_reader *reader, uint32_t position)
{
    return position == reader->segment->end - reader->segment->begin;
}

static bool is_row_end(const csv_reader *reader, uint32_t position)
{
    return is_tail(reader, position) || segment_text(reader)[position] == '\n';
}

// -- shape ---------------------------------------------------------------------------------------

// The row at the cursor is not in shape; tells how.
static tapeout_status fail_ragged(const csv_reader *reader, size_t row_begin, tapeout_error *err)
{
    const csv_job *job = reader->job;
    const uint8_t *at = segment_text(reader) + (uint32_t)(reader->positions[row_begin - 1] + 1);
    size_t fields = 0;
    while (row_begin + fields < reader->count && fields <= job->column_count) {
        if (is_row_end(reader, reader->positions[row_begin + fields++])) {
            break;
        }
    }
    if (fields > job->column_count) {
        return tp_csv_fail(
            job, err, (csv_place){at, csv_no_column},
            "the row has more fields than the header, which has %u; put quotes around "
            "fields that contain the delimiter '%c'",
            job->column_count, job->delimiter == '\t' ? ' ' : job->delimiter);
    }
    return tp_csv_fail(job, err, (csv_place){at, (uint32_t)fields},
                       "the row ends after %zu of %u fields, before this one", fields,
                       job->column_count);
}

// Rows from the cursor on: each ends with a line feed, and no other field does.
static tapeout_status check_shape(const csv_reader *reader, size_t rows, tapeout_error *err)
{
    const size_t columns = reader->job->column_count;
    const uint32_t *ends = reader->positions + reader->cursor;
    for (size_t row = 0; row < rows; row++, ends += columns) {
        bool is_good = is_row_end(reader, ends[columns - 1]);
        for (size_t i = 0; i + 1 < columns; i++) {
            is_good &= segment_text(reader)[ends[i]] != '\n';
        }
        if (!is_good) {
            return fail_ragged(reader, reader->cursor + row * columns, err);
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status check_quoted(const csv_job *job, tp_str field, uint32_t column,
                                   tapeout_error *err)
{
    const tp_str inner = csv_unquote(field);
    bool is_good = field.size >= 2 && field.data[field.size - 1] == '"';
    for (size_t i = 0; is_good && i < inner.size; i++) {
        if (inner.data[i] == '"') {
            is_good = i + 1 < inner.size && inner.data[i + 1] == '"';
            i++;
        }
    }
    if (!is_good) {
        return tp_csv_fail(job, err, (csv_place){field.data, column},
                           "text after the closing quote; double the quotes inside a quoted field");
    }
    return TAPEOUT_OK;
}

static tapeout_status check_field(const csv_job *job, tp_str field, uint32_t column,
                                  tapeout_error *err)
{
    if (field.size > TP_MAX_CSV_FIELD_BYTES) {
        return csv_limit(err, tp_csv_fail(job, err, (csv_place){field.data, column},
                                          "a field of %zu bytes, at most %u", field.size,
                                          TP_MAX_CSV_FIELD_BYTES));
    }
    if (field.size == 0) {
        return TAPEOUT_OK;
    }
    if (field.data[0] == '"') {
        return check_quoted(job, field, column, err);
    }
    const char *quote = memchr(field.data, '"', field.size);
    if (quote != NULL) {
        return tp_csv_fail(
            job, err, (csv_place){quote, column},
            "a double quote inside a field that is not quoted; put the whole field in "
            "quotes and double those inside");
    }
    const char *carriage = memchr(field.data, '\r', field.size);
    if (carriage != NULL) {
        return tp_csv_fail(job, err, (csv_place){carriage, column},
                           "a carriage return without line feed; end lines with LF or CRLF");
    }
    return TAPEOUT_OK;
}

static tapeout_status check_fields(const csv_reader *reader, const csv_batch *batch,
                                   tapeout_error *err)
{
    const uint32_t columns = reader->job->column_count;
    const uint32_t last = batch->ends[(size_t)batch->row_count * columns - 1];
    const bool is_long = last - (batch->ends[-1] + 1) > TP_MAX_CSV_FIELD_BYTES;
    if (!batch->has_quote && !batch->has_return && !is_long) {
        return TAPEOUT_OK;
    }
    size_t k = 0;
    for (uint32_t row = 0; row < batch->row_count; row++) {
        for (uint32_t column = 0; column < columns; column++, k++) {
            const tp_str field = csv_field(batch, k, column + 1 == columns);
            TP_TRY(check_field(reader->job, field, column, err));
        }
    }
    return TAPEOUT_OK;
}

// -- batches -------------------------------------------------------------------------------------

// Indexes the next stretch behind what is left of the last one: less than a row, so the positions
// of a row and of a stretch are all that there ever are.
static void scan_more(csv_reader *reader)
{
    const size_t kept = reader->count - reader->cursor + 1;
    memmove(reader->positions, reader->positions + reader->cursor - 1, kept * sizeof(uint32_t));
    reader->cursor = 1;
    reader->count = kept;
    const csv_segment *segment = reader->segment;
    const size_t size = segment->end - segment->begin;
    const size_t left = size - reader->scanned;
    const size_t stretch = left < reader->scan_bytes ? left : reader->scan_bytes;
    reader->had_quote = kept > 1 && (reader->had_quote || reader->state.has_quote);
    reader->had_return = kept > 1 && (reader->had_return || reader->state.has_return);
    reader->state.has_quote = false;
    reader->state.has_return = false;
    reader->state.base = (uint32_t)reader->scanned;
    reader->count +=
        reader->job->kernels.csv_index(segment_text(reader) + reader->scanned, stretch,
                                       &reader->state, reader->positions + reader->count);
    reader->scanned += stretch;
    if (reader->scanned == size && segment->has_tail) {
        reader->positions[reader->count++] = (uint32_t)size;
    }
}

// Is the row that begins at positions[first] an empty line?
static bool is_blank(const csv_reader *reader, size_t first)
{
    const uint32_t begin = reader->positions[first - 1] + 1;
    const uint32_t end = reader->positions[first];
    const uint8_t *text = segment_text(reader);
    return is_row_end(reader, end) &&
           (begin == end || (end - begin == 1 && text[begin] == '\r' && !is_tail(reader, end)));
}

// How many rows from the cursor on are complete and have no empty line before or among them.
static size_t count_rows(csv_reader *reader)
{
    const size_t columns = reader->job->column_count;
    const bool may_skip = reader->segment->has_blanks && columns > 1;
    while (may_skip && reader->cursor < reader->count && is_blank(reader, reader->cursor)) {
        reader->cursor++;
    }
    const size_t rows = (reader->count - reader->cursor) / columns;
    if (!may_skip) {
        return rows;
    }
    for (size_t row = 1; row < rows; row++) {
        if (is_blank(reader, reader->cursor + row * columns)) {
            return row;
        }
    }
    return rows;
}

tapeout_status tp_csv_reader_next(csv_reader *reader, csv_batch *ret_batch, tapeout_error *err)
{
    const csv_segment *segment = reader->segment;
    const size_t size = segment->end - segment->begin;
    size_t rows = count_rows(reader);
    while (rows == 0 && reader->scanned < size) {
        scan_more(reader);
        rows = count_rows(reader);
    }
    *ret_batch = (csv_batch){
        .text = segment_text(reader),
        .limit = reader->job->data + reader->job->size,
        .ends = reader->positions + reader->cursor,
        .row_count = (uint32_t)rows,
        .first_row = segment->first_row + reader->rows_done,
        .has_quote = reader->had_quote || reader->state.has_quote,
        .has_return = reader->had_return || reader->state.has_return,
    };
    if (rows == 0) {
        return reader->cursor == reader->count ? TAPEOUT_OK
                                               : fail_ragged(reader, reader->cursor, err);
    }
    TP_TRY(check_shape(reader, rows, err));
    TP_TRY(check_fields(reader, ret_batch, err));
    reader->cursor += rows * reader->job->column_count;
    reader->rows_done += rows;
    return TAPEOUT_OK;
}

tapeout_status tp_csv_unescape(csv_reader *reader, tp_str field, tp_str *ret_text,
                               tapeout_error *err)
{
    tp_str inner = csv_unquote(field);
    const char *quote =
        inner.size == 0 || inner.data == field.data ? NULL : memchr(inner.data, '"', inner.size);
    if (quote == NULL) {
        *ret_text = inner;
        return TAPEOUT_OK;
    }
    tp_buffer_clear(&reader->scratch);
    while (quote != NULL) {
        const size_t size = (size_t)(quote - inner.data) + 1;
        tp_buffer_append(&reader->scratch, inner.data, size);
        inner.data += size + 1;
        inner.size -= size + 1;
        quote = inner.size == 0 ? NULL : memchr(inner.data, '"', inner.size);
    }
    tp_buffer_append(&reader->scratch, inner.data, inner.size);
    *ret_text = tp_buffer_view(&reader->scratch);
    return tp_buffer_check(&reader->scratch, "csv: a quoted field", err);
}
