// SPDX-License-Identifier: Apache-2.0
//
// The fields of one column of a batch, parsed to the column's type.
//
// One loop a type, so that what is predicted for one row is right for the next. Each takes the
// plain case (no quote, space or marker in sight, few digits) in line and everything else through
// one slow function, which also is the definition: quotes and spaces around a value do not matter,
// an empty field and a missing marker are missing; in a text column a quoted field is its text,
// whatever it is. A type that was given refuses what is none of its values; a type that was guessed
// notes a conflict, and from there on only the kinds of the values are joined.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "table/csv_priv.h"
#include "table/tp_value.h"

#include <math.h>
#include <string.h>

// One column of one batch being parsed. The fields that every row asks for are copies, so that the
// compiler keeps them in registers.
typedef struct parse {
    csv_reader *reader;
    const csv_batch *batch;
    csv_column *column;
    csv_cell *cell;
    uint32_t index;   // of the column
    bool is_stripped; // a CR at the end of a field is dropped
    const char *text;
    const uint32_t *ends; // of this column in the batch's first row
    size_t stride;
    uint64_t own_begin; // bytes of the bitmaps that no other segment writes
    uint64_t own_end;
} parse;

typedef enum outcome {
    VALUE,
    MISSING,
    CONFLICT,
} outcome;

static inline tp_str field_of(const parse *p, uint32_t row)
{
    const uint32_t *end = p->ends + row * p->stride;
    const uint32_t begin = end[-1] + 1; // wraps to zero at the segment's begin
    tp_str field = {p->text + begin, *end - begin};
    if (p->is_stripped && field.size > 0 && field.data[field.size - 1] == '\r') {
        field.size--;
    }
    return field;
}

// -- bitmaps -------------------------------------------------------------------------------------

// Segments meet within a byte: only there the change is atomic.
static void bitmap_flip(const parse *p, uint8_t *bits, uint64_t row)
{
    const uint64_t byte = row >> 3;
    const uint8_t bit = (uint8_t)(1u << (row & 7));
    if (byte >= p->own_begin && byte < p->own_end) {
        bits[byte] ^= bit;
    } else {
        (void)__atomic_fetch_xor(&bits[byte], bit, __ATOMIC_RELAXED);
    }
}

static void note_missing(const parse *p, uint32_t row)
{
    p->cell->null_count++;
    bitmap_flip(p, p->column->validity, p->batch->first_row + row);
}

// -- one value, the slow way ---------------------------------------------------------------------

static tapeout_status fail_value(const parse *p, tp_str field, tapeout_error *err)
{
    const tp_str text = csv_unquote(field);
    return tp_csv_fail(p->reader->job, err, (csv_place){field.data, p->index},
                       "\"%.*s\" is not %s: expected %s", (int)(text.size > 60 ? 60 : text.size),
                       text.data, tapeout_type_name(p->column->type),
                       tp_table_type_example(p->column->type));
}

// What the field is to a column that is not text; its bare text in `*ret_text`.
static bool is_missing(const csv_job *job, tp_str field, tp_str *ret_text)
{
    *ret_text = tp_table_text_trim(csv_unquote(field));
    return ret_text->size == 0 || tp_csv_is_marker(&job->markers, *ret_text);
}

static tapeout_status slow_value(const parse *p, tp_str field, outcome *ret_outcome,
                                 int64_t *ret_word, tapeout_error *err)
{
    tp_str text;
    *ret_word = 0;
    *ret_outcome = MISSING;
    if (is_missing(p->reader->job, field, &text)) {
        return TAPEOUT_OK;
    }
    const csv_column *column = p->column;
    if (!column->is_fixed) {
        const csv_kind joined = tp_csv_kind_join(column->kind, tp_csv_kind_of(text));
        if (joined != column->kind) {
            p->cell->kind = tp_csv_kind_join(p->cell->kind, joined);
            p->cell->is_conflict = true;
            *ret_outcome = CONFLICT;
            return TAPEOUT_OK;
        }
    }
    bool is_nan;
    if (!tp_table_text_parse(column->type, text, ret_word, &is_nan)) {
        return fail_value(p, field, err);
    }
    *ret_outcome = is_nan ? MISSING : VALUE;
    return TAPEOUT_OK;
}

// -- kinds ---------------------------------------------------------------------------------------

static bool is_plain_digit(tp_str field)
{
    return field.size == 1 && (unsigned)(field.data[0] - '0') < 10u;
}

// Joins the kinds of the rows from `row` on, until nothing is left to learn.
static void classify_rows(const parse *p, uint32_t row)
{
    const csv_markers *markers = &p->reader->job->markers;
    csv_kind kind = p->cell->kind;
    for (; row < p->batch->row_count && kind != CSV_STRING; row++) {
        const tp_str field = field_of(p, row);
        tp_str text;
        if (is_plain_digit(field) && !markers->is_special[(uint8_t)field.data[0]]) {
            kind = tp_csv_kind_join(kind, CSV_INT);
        } else if (!is_missing(p->reader->job, field, &text)) {
            kind = tp_csv_kind_join(kind, tp_csv_kind_of(text));
        }
    }
    p->cell->kind = kind;
    if (kind == CSV_STRING) {
        __atomic_store_n(&p->column->is_string_now, true, __ATOMIC_RELAXED);
    }
}

// -- one loop a type -----------------------------------------------------------------------------

// Eight digits at once, those of a shorter number behind zeros; false where one is none.
static inline bool digits_value(const char *text, size_t size, int64_t *ret_value)
{
    uint64_t word;
    memcpy(&word, text, sizeof word);
    const unsigned unused = 8 * (8 - (unsigned)size);
    const uint64_t zeros = UINT64_C(0x3030303030303030);
    word = unused == 0 ? word : word << unused | zeros >> (64 - unused);
    const uint64_t high = UINT64_C(0xf0f0f0f0f0f0f0f0);
    if (((word & high) | (((word + UINT64_C(0x0606060606060606)) & high) >> 4)) !=
        UINT64_C(0x3333333333333333)) {
        return false;
    }
    word -= zeros;
    word = word * 10 + (word >> 8);
    const uint64_t mask = UINT64_C(0x000000ff000000ff);
    const uint64_t pairs = (word & mask) * UINT64_C(0x000f424000000064) +
                           (word >> 16 & mask) * UINT64_C(0x0000271000000001);
    *ret_value = (int64_t)(pairs >> 32);
    return true;
}

static inline bool quick_int(tp_str field, const bool *is_special, const char *limit,
                             int64_t *ret_value)
{
    const bool is_negative = field.data[0] == '-';
    const char *digits = field.data + is_negative;
    const size_t size = field.size - is_negative;
    if (size - 1 >= 8 || (digits[0] == '0' && size > 1) || (size_t)(limit - digits) < 8 ||
        is_special[(uint8_t)field.data[0]]) {
        return false;
    }
    int64_t value;
    if (!digits_value(digits, size, &value)) {
        return false;
    }
    *ret_value = is_negative ? -value : value;
    return true;
}

static bool quick_float(const parse *p, tp_str field, double *ret_value)
{
    const bool is_negative = field.data[0] == '-';
    const char *digits = field.data + is_negative;
    const size_t size = field.size - is_negative;
    const bool has_zero = size > 1 && digits[0] == '0' && digits[1] != '.';
    if (size == 0 || (unsigned)(digits[0] - '0') > 9u || has_zero ||
        p->reader->job->markers.is_special[(uint8_t)field.data[0]]) {
        return false;
    }
    return tp_parse_f64(field, ret_value);
}

static tapeout_status parse_ints(const parse *p, tapeout_error *err)
{
    int64_t *values = (int64_t *)p->column->values + p->batch->first_row;
    const bool *is_special = p->reader->job->markers.is_special;
    const char *limit = (const char *)p->batch->limit;
    const parse fixed = *p;
    const uint32_t row_count = p->batch->row_count;
    for (uint32_t row = 0; row < row_count; row++) {
        const tp_str field = field_of(&fixed, row);
        if (field.size == 0) {
            values[row] = 0;
            note_missing(p, row);
        } else if (!quick_int(field, is_special, limit, &values[row])) {
            outcome found;
            TP_TRY(slow_value(p, field, &found, &values[row], err));
            if (found == CONFLICT) {
                classify_rows(p, row);
                return TAPEOUT_OK;
            }
            if (found == MISSING) {
                note_missing(p, row);
            }
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status parse_floats(const parse *p, tapeout_error *err)
{
    double *values = (double *)p->column->values + p->batch->first_row;
    for (uint32_t row = 0; row < p->batch->row_count; row++) {
        const tp_str field = field_of(p, row);
        if (field.size == 0) {
            values[row] = 0.0;
            note_missing(p, row);
        } else if (!quick_float(p, field, &values[row])) {
            outcome found;
            int64_t word;
            TP_TRY(slow_value(p, field, &found, &word, err));
            memcpy(&values[row], &word, sizeof word);
            if (found == CONFLICT) {
                classify_rows(p, row);
                return TAPEOUT_OK;
            }
            if (found == MISSING) {
                note_missing(p, row);
            }
        }
    }
    return TAPEOUT_OK;
}

static void store_word(const parse *p, uint32_t row, int64_t word)
{
    const uint64_t at = p->batch->first_row + row;
    switch (p->column->type) {
    case TAPEOUT_TYPE_BOOL:
        if (word != 0) {
            bitmap_flip(p, p->column->values, at);
        }
        break;
    case TAPEOUT_TYPE_DATE:
        ((int32_t *)p->column->values)[at] = (int32_t)word;
        break;
    default:
        ((int64_t *)p->column->values)[at] = word;
        break;
    }
}

// Bools, dates and times. Neighbouring rows often hold the same: one comparison then.
static tapeout_status parse_words(const parse *p, tapeout_error *err)
{
    tp_str known = {0};
    int64_t word = 0;
    for (uint32_t row = 0; row < p->batch->row_count; row++) {
        const tp_str field = field_of(p, row);
        if (field.size == 0 || field.size != known.size ||
            memcmp(field.data, known.data, known.size) != 0) {
            outcome found;
            TP_TRY(slow_value(p, field, &found, &word, err));
            if (found == CONFLICT) {
                classify_rows(p, row);
                return TAPEOUT_OK;
            }
            if (found == MISSING) {
                note_missing(p, row);
                store_word(p, row, 0);
                known.size = 0;
                continue;
            }
            known = field;
        }
        store_word(p, row, word);
    }
    return TAPEOUT_OK;
}

// -- text ----------------------------------------------------------------------------------------

static tapeout_status check_text(const parse *p, tp_str field, tp_str text, tapeout_error *err)
{
    size_t bad;
    if (!tp_utf8_check(text, &bad)) {
        return tp_csv_fail(p->reader->job, err, (csv_place){field.data, p->index},
                           "byte 0x%02x is not UTF-8; convert the file, for example with "
                           "iconv -f LATIN1 -t UTF-8",
                           (unsigned)(uint8_t)text.data[bad]);
    }
    return TAPEOUT_OK;
}

static tapeout_status add_text(const parse *p, tp_str field, int32_t *ret_code, tapeout_error *err)
{
    tp_str text;
    TP_TRY(tp_csv_unescape(p->reader, field, &text, err));
    tp_dict *dict = p->cell->dict;
    const uint32_t before = dict->count;
    uint32_t code;
    const tapeout_status status = tp_dict_add(dict, text, &code);
    if (status != TAPEOUT_OK) {
        return status == TAPEOUT_E_NOMEM
                   ? tp_fail_nomem(err)
                   : csv_limit(err,
                               tp_csv_fail(p->reader->job, err, (csv_place){field.data, p->index},
                                           "more than 2 GiB of different texts in one column, or "
                                           "texts made to collide"));
    }
    *ret_code = (int32_t)code;
    return dict->count == before ? TAPEOUT_OK : check_text(p, field, text, err);
}

// A text of at most seven bytes as a number, with its size; UINT64_MAX for any other.
static inline uint64_t short_key(tp_str field, const char *limit)
{
    if (field.size > CSV_CACHE_TEXT_MAX || field.data[0] == '"' ||
        (size_t)(limit - field.data) < sizeof(uint64_t)) {
        return UINT64_MAX;
    }
    uint64_t word;
    memcpy(&word, field.data, sizeof word);
    const unsigned bits = 8 * (unsigned)field.size;
    return (word & ((UINT64_C(1) << bits) - 1)) | (uint64_t)field.size << 56;
}

static inline csv_cached *cached(const parse *p, uint64_t key)
{
    const uint64_t mixed = (key + p->index) * UINT64_C(0x9e3779b97f4a7c15);
    return &p->reader->cache[mixed >> 52];
}

static tapeout_status parse_strings(const parse *p, tapeout_error *err)
{
    int32_t *codes = (int32_t *)p->column->values + p->batch->first_row;
    const csv_markers *markers = &p->reader->job->markers;
    for (uint32_t row = 0; row < p->batch->row_count; row++) {
        const tp_str field = field_of(p, row);
        if (field.size == 0 ||
            (markers->is_special[(uint8_t)field.data[0]] && tp_csv_is_marker(markers, field))) {
            codes[row] = 0;
            note_missing(p, row);
            continue;
        }
        const uint64_t key = short_key(field, (const char *)p->batch->limit);
        csv_cached *known = cached(p, key);
        if (known->key == key && known->column == p->index) {
            codes[row] = known->code;
            continue;
        }
        TP_TRY(add_text(p, field, &codes[row], err));
        if (key != UINT64_MAX) {
            *known = (csv_cached){key, p->index, codes[row]};
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status make_dict(const csv_job *job, csv_cell *cell, tapeout_error *err)
{
    if (cell->dict != NULL) {
        return TAPEOUT_OK;
    }
    cell->dict = tp_alloc(job->env->alloc, sizeof *cell->dict);
    if (cell->dict == NULL) {
        return tp_fail_nomem(err);
    }
    tp_dict_init(cell->dict, job->env->alloc);
    return TAPEOUT_OK;
}

void tp_csv_dict_drop(const csv_job *job, csv_cell *cell)
{
    if (cell->dict != NULL) {
        tp_dict_deinit(cell->dict);
        tp_free(job->env->alloc, cell->dict, sizeof *cell->dict);
        cell->dict = NULL;
    }
}

// -- which loop ----------------------------------------------------------------------------------

tapeout_status tp_csv_column_parse(csv_reader *reader, const csv_batch *batch, uint32_t column,
                                   csv_cell *cell, tapeout_error *err)
{
    const csv_job *job = reader->job;
    const csv_segment *segment = reader->segment;
    const parse p = {
        .reader = reader,
        .batch = batch,
        .column = &job->columns[column],
        .index = column,
        .cell = cell,
        .is_stripped = column + 1 == job->column_count && batch->has_return,
        .text = (const char *)batch->text,
        .ends = batch->ends + column,
        .stride = job->column_count,
        .own_begin = (segment->first_row + 7) / 8,
        .own_end = (segment->first_row + segment->row_count) / 8,
    };
    if (!p.column->is_fixed && __atomic_load_n(&p.column->is_string_now, __ATOMIC_RELAXED)) {
        return TAPEOUT_OK;
    }
    if (p.column->values == NULL || cell->is_conflict) {
        classify_rows(&p, 0);
        return TAPEOUT_OK;
    }
    switch (p.column->type) {
    case TAPEOUT_TYPE_INT64:
        return parse_ints(&p, err);
    case TAPEOUT_TYPE_FLOAT64:
        return parse_floats(&p, err);
    case TAPEOUT_TYPE_STRING:
        TP_TRY(make_dict(job, cell, err));
        return parse_strings(&p, err);
    case TAPEOUT_TYPE_BOOL:
    case TAPEOUT_TYPE_DATE:
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        break;
    }
    return parse_words(&p, err);
}
