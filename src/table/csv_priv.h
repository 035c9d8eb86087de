// SPDX-License-Identifier: Apache-2.0
//
// How a CSV file becomes a table, in the order of its steps:
//
//   csv_header.c   the delimiter, the names, and what is wanted of each column
//   csv_split.c    the text in segments of whole rows, and how many rows each has
//   csv_batch.c    a segment in batches of rows: where each field ends, and that rows are in shape
//   csv_kind.c     what type a value looks like, and what two of them have in common
//   csv_column.c   the fields of one column of a batch, parsed to its type
//   csv_merge.c    what the segments found, put together: types, dictionaries, null counts
//   csv_read.c     the whole of it
//
// Segments are cut by the size of the text and put together in their order, so the table does not
// depend on how many threads there are.
#ifndef CSV_PRIV_H
#define CSV_PRIV_H

#include "base/tp_arena.h"
#include "base/tp_buffer.h"
#include "base/tp_error.h"
#include "kernels/tp_kernels_table.h"
#include "table/table_priv.h"

// What a value looks like, from the narrowest on. Kinds form a lattice: the kind of a column is the
// join of those of its values, in whatever order they are seen.
typedef enum csv_kind {
    CSV_NONE, // no value seen
    CSV_BOOL,
    CSV_INT,
    CSV_FLOAT,
    CSV_DATE,
    CSV_TIME,
    CSV_TIME_TZ,
    CSV_STRING,
} csv_kind;

csv_kind tp_csv_kind_of(tp_str text); // trimmed, not empty, no marker
csv_kind tp_csv_kind_join(csv_kind a, csv_kind b);
tapeout_type tp_csv_kind_type(csv_kind kind); // string for CSV_NONE

// The missing markers, and the characters at which a field needs a second look.
typedef struct csv_markers {
    const tp_str *texts; // [count]
    size_t count;
    bool is_special[256]; // begins a marker, or is a quote, a space or a tab
    uint64_t sizes;       // bit i: some marker has i bytes (63: or more)
} csv_markers;

bool tp_csv_is_marker(const csv_markers *markers, tp_str text);

// One column of the file.
typedef struct csv_column {
    tp_str name;
    bool is_wanted;
    bool is_fixed;      // the type is given; else `kind` says what it is taken for
    bool is_active;     // parsed in this round
    bool is_string_now; // atomic: some segment has found that it is text
    csv_kind kind;
    tapeout_type type;
    uint32_t target; // its index in the table
    void *values;    // of the table's store
    uint8_t *validity;
} csv_column;

// Whole rows of the text; may hold none.
typedef struct csv_segment {
    size_t begin;
    size_t end;
    uint64_t first_row;
    uint64_t row_count;
    bool has_blanks; // there are empty lines among the rows, to be passed over
    bool has_tail;   // the last row has no line feed
} csv_segment;

// What one segment found in one column.
typedef struct csv_cell {
    csv_kind kind;    // the join over its values, where that was asked for
    bool is_conflict; // a value did not fit the type: nothing of this round counts
    uint32_t null_count;
    tp_dict *dict; // strings: codes count within the segment until they are merged
} csv_cell;

typedef struct csv_job {
    const tp_env *env;
    const char *name; // for messages
    const uint8_t *data;
    size_t size;
    size_t body; // where the first row begins
    char delimiter;
    tp_kernels_table kernels;
    csv_markers markers;
    tp_arena arena; // names
    uint32_t column_count;
    csv_column *columns; // [C]
    size_t segment_count;
    csv_segment *segments; // [segment_count]
    csv_cell *cells;       // [segment_count, C]
    uint64_t row_count;
    tapeout_table *table;
} csv_job;

static inline csv_cell *csv_cell_at(const csv_job *job, size_t segment, uint32_t column)
{
    return &job->cells[segment * job->column_count + column];
}

// -- messages ------------------------------------------------------------------------------------
typedef struct csv_place {
    const void *at;  // in the text
    uint32_t column; // csv_no_column: none to name
} csv_place;

static const uint32_t csv_no_column = UINT32_MAX;

// E_DATA: "csv: name:line: column c (header): ...". O(text) for the line.
tapeout_status tp_csv_fail(const csv_job *job, tapeout_error *err, csv_place place,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));

// Makes the failure just told one of E_LIMIT.
static inline tapeout_status csv_limit(tapeout_error *err, tapeout_status failed)
{
    (void)failed;
    if (err != NULL) {
        err->status = TAPEOUT_E_LIMIT;
    }
    return TAPEOUT_E_LIMIT;
}

// -- header --------------------------------------------------------------------------------------
tapeout_status tp_csv_header_read(csv_job *job, const tp_csv_options *options, tapeout_error *err);
tapeout_status tp_csv_header_plan(csv_job *job, const tp_csv_options *options, tapeout_error *err);

// -- segments ------------------------------------------------------------------------------------
tapeout_status tp_csv_split(csv_job *job, tapeout_error *err);

// -- batches -------------------------------------------------------------------------------------
typedef struct csv_batch {
    const uint8_t *text;  // of the segment
    const uint8_t *limit; // behind the last byte of the whole text
    const uint32_t *ends; // [row_count, C] where fields end; ends[-1] + 1 is where the first begins
    uint32_t row_count;
    uint64_t first_row;
    bool has_quote;
    bool has_return;
} csv_batch;

// The codes of short texts lately seen, so that a column of few values seldom asks its dictionary.
// Emptied with each segment.
enum { CSV_CACHE_SIZE = 4096, CSV_CACHE_TEXT_MAX = 7 };

typedef struct csv_cached {
    uint64_t key; // the bytes, and how many
    uint32_t column;
    int32_t code;
} csv_cached;

// What one thread needs to read segments; its memory serves one after another.
typedef struct csv_reader {
    const csv_job *job;
    const csv_segment *segment;
    tp_csv_index_state state;
    uint32_t *positions; // positions[0 … count-1], of which those before `cursor` are done with
    size_t capacity;
    size_t count;
    size_t cursor;
    size_t scanned; // bytes of the segment
    size_t scan_bytes;
    uint64_t rows_done;
    bool had_quote;
    bool had_return;
    tp_buffer scratch;
    csv_cached *cache; // [CSV_CACHE_SIZE]
} csv_reader;

tapeout_status tp_csv_reader_init(csv_reader *reader, const csv_job *job, tapeout_error *err);
void tp_csv_reader_deinit(csv_reader *reader);
void tp_csv_reader_start(csv_reader *reader, const csv_segment *segment, size_t scan_bytes);
// `ret_batch->row_count` is zero at the end. Rows are in shape and fields well-formed.
tapeout_status tp_csv_reader_next(csv_reader *reader, csv_batch *ret_batch, tapeout_error *err);

// Field k of a batch as it stands in the text; `is_last` of the columns, where a CR is dropped.
static inline tp_str csv_field(const csv_batch *batch, size_t k, bool is_last)
{
    const uint32_t begin = (batch->ends + k)[-1] + 1; // wraps to zero at the segment's begin
    const uint32_t end = batch->ends[k];
    tp_str field = {(const char *)batch->text + begin, end - begin};
    if (is_last && batch->has_return && field.size > 0 && field.data[field.size - 1] == '\r') {
        field.size--;
    }
    return field;
}

// A quoted field without its quotes; inner quotes stay doubled.
static inline tp_str csv_unquote(tp_str field)
{
    if (field.size >= 2 && field.data[0] == '"') {
        return (tp_str){field.data + 1, field.size - 2};
    }
    return field;
}

// The text of a field: without quotes, doubled ones made single (in the reader's scratch then).
tapeout_status tp_csv_unescape(csv_reader *reader, tp_str field, tp_str *ret_text,
                               tapeout_error *err);

// -- columns -------------------------------------------------------------------------------------
// Parses column `column` of the batch, or only looks for its kind where there is no place for
// values.
tapeout_status tp_csv_column_parse(csv_reader *reader, const csv_batch *batch, uint32_t column,
                                   csv_cell *cell, tapeout_error *err);

// -- together ------------------------------------------------------------------------------------
void tp_csv_dict_drop(const csv_job *job, csv_cell *cell);
tapeout_status tp_csv_merge(csv_job *job, tapeout_error *err);

#endif
