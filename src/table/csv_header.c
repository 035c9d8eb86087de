// SPDX-License-Identifier: Apache-2.0
//
// The first line: where it ends, what delimits it, the columns' names, and what is wanted of each.
//
// A byte order mark is passed over; UTF-16 is told by its mark and refused. The delimiter, unless
// given, is the one of comma, semicolon, tab and bar that cuts the most of the first lines into as
// many fields as the header has; on a tie the one that makes more fields, then the first in that
// order. Names are what stands in the header, without surrounding spaces unless quoted; each must
// be there, be UTF-8, and differ from all others.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_dict.h"
#include "table/csv_priv.h"

#include <string.h>

enum { GUESS_LINES = 16, GUESS_BYTES = 256 << 10 };

// -- delimiter -----------------------------------------------------------------------------------

// Fields of the line at `*at`, which is moved behind it.
static size_t count_fields(const csv_job *job, size_t end, char delimiter, size_t *at)
{
    size_t count = 1;
    bool is_inside = false;
    size_t i = *at;
    for (; i < end; i++) {
        const char c = (char)job->data[i];
        if (c == '"') {
            is_inside = !is_inside;
        } else if (c == '\n' && !is_inside) {
            i++;
            break;
        } else if (c == delimiter && !is_inside) {
            count++;
        }
    }
    *at = i;
    return count;
}

static char guess_delimiter(const csv_job *job)
{
    static const char candidates[] = {',', ';', '\t', '|'};
    const size_t left = job->size - job->body;
    const size_t end = job->body + (left < GUESS_BYTES ? left : GUESS_BYTES);
    char best = ',';
    size_t best_agreeing = 0;
    size_t best_fields = 1;
    for (size_t i = 0; i < sizeof candidates; i++) {
        size_t at = job->body;
        const size_t fields = count_fields(job, end, candidates[i], &at);
        size_t agreeing = 1;
        for (size_t line = 1; line < GUESS_LINES && at < end; line++) {
            agreeing += count_fields(job, end, candidates[i], &at) == fields;
        }
        if (fields > 1 &&
            (agreeing > best_agreeing || (agreeing == best_agreeing && fields > best_fields))) {
            best = candidates[i];
            best_agreeing = agreeing;
            best_fields = fields;
        }
    }
    return best;
}

// -- names ---------------------------------------------------------------------------------------

// Where the field at `begin` ends: at a delimiter, a line feed or the end of the text.
static size_t field_end(const csv_job *job, size_t begin)
{
    bool is_inside = false;
    for (size_t i = begin; i < job->size; i++) {
        const char c = (char)job->data[i];
        if (c == '"') {
            is_inside = !is_inside;
        } else if (!is_inside && (c == '\n' || c == job->delimiter)) {
            return i;
        }
    }
    return job->size;
}

// A quoted name without its quotes, doubled ones made single.
static tapeout_status unquote_name(csv_job *job, tp_str field, tp_str *ret_name, tapeout_error *err)
{
    const tp_str inner = csv_unquote(field);
    if (field.size < 2 || field.data[field.size - 1] != '"') {
        return tp_csv_fail(
            job, err, (csv_place){field.data, csv_no_column},
            "a quoted name in the header is never closed, or text follows its quote");
    }
    char *name = tp_arena_alloc(&job->arena, inner.size + 1);
    if (name == NULL) {
        return tp_fail_nomem(err);
    }
    size_t size = 0;
    for (size_t i = 0; i < inner.size; i++) {
        const bool is_quote = inner.data[i] == '"';
        if (is_quote && (i + 1 == inner.size || inner.data[i + 1] != '"')) {
            return tp_csv_fail(job, err, (csv_place){inner.data + i, csv_no_column},
                               "a double quote inside a quoted name; double it");
        }
        i += is_quote;
        name[size++] = inner.data[i];
    }
    *ret_name = (tp_str){name, size};
    return TAPEOUT_OK;
}

static tapeout_status read_name(csv_job *job, tp_str field, uint32_t index, tp_str *ret_name,
                                tapeout_error *err)
{
    if (field.size > TP_MAX_CSV_NAME_BYTES) {
        return csv_limit(err, tp_csv_fail(job, err, (csv_place){field.data, csv_no_column},
                                          "column %u: a name of %zu bytes, at most %u", index + 1,
                                          field.size, TP_MAX_CSV_NAME_BYTES));
    }
    tp_str name = tp_table_text_trim(field);
    if (field.size > 0 && field.data[0] == '"') {
        TP_TRY(unquote_name(job, field, &name, err));
    } else if (field.size > 0 && memchr(field.data, '"', field.size) != NULL) {
        return tp_csv_fail(job, err, (csv_place){field.data, csv_no_column},
                           "column %u: a double quote inside a name that is not quoted", index + 1);
    } else if (field.size > 0 && memchr(field.data, '\r', field.size) != NULL) {
        return tp_csv_fail(job, err, (csv_place){field.data, csv_no_column},
                           "a carriage return without line feed; end lines with LF or CRLF");
    }
    if (name.size == 0) {
        return tp_csv_fail(job, err, (csv_place){field.data, csv_no_column},
                           "column %u has no name; the first line must name every column",
                           index + 1);
    }
    if (!tp_utf8_check(name, NULL)) {
        return tp_csv_fail(job, err, (csv_place){field.data, csv_no_column},
                           "the name of column %u is not UTF-8; convert the file, for example with "
                           "iconv -f LATIN1 -t UTF-8",
                           index + 1);
    }
    *ret_name = name;
    return TAPEOUT_OK;
}

static tapeout_status count_columns(csv_job *job, tapeout_error *err)
{
    size_t count = 0;
    size_t begin = job->body;
    for (;;) {
        const size_t end = field_end(job, begin);
        if (++count > TP_MAX_CSV_COLUMNS) {
            return csv_limit(err,
                             tp_csv_fail(job, err, (csv_place){job->data + begin, csv_no_column},
                                         "more than %u columns", TP_MAX_CSV_COLUMNS));
        }
        if (end == job->size || job->data[end] == '\n') {
            break;
        }
        begin = end + 1;
    }
    job->column_count = (uint32_t)count;
    return TAPEOUT_OK;
}

static tapeout_status read_names(csv_job *job, tp_dict *seen, tapeout_error *err)
{
    size_t begin = job->body;
    for (uint32_t i = 0; i < job->column_count; i++) {
        const size_t end = field_end(job, begin);
        tp_str field = {(const char *)job->data + begin, end - begin};
        if (i + 1 == job->column_count && field.size > 0 && field.data[field.size - 1] == '\r') {
            field.size--;
        }
        TP_TRY(read_name(job, field, i, &job->columns[i].name, err));
        uint32_t number;
        const tapeout_status status = tp_dict_add(seen, job->columns[i].name, &number);
        if (status != TAPEOUT_OK) {
            return tp_fail_nomem(err);
        }
        if (number != i) {
            return tp_csv_fail(job, err, (csv_place){field.data, csv_no_column},
                               "columns %u and %u have the same name \"%.*s\"; rename one",
                               number + 1, i + 1, TP_STR_ARGS(job->columns[i].name));
        }
        begin = end < job->size ? end + 1 : end;
    }
    job->body = begin;
    return TAPEOUT_OK;
}

static tapeout_status skip_marks(csv_job *job, tapeout_error *err)
{
    const uint8_t *data = job->data;
    if (job->size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) {
        job->body = 3;
    }
    if (job->size >= 2 &&
        ((data[0] == 0xff && data[1] == 0xfe) || (data[0] == 0xfe && data[1] == 0xff))) {
        return tp_csv_fail(job, err, (csv_place){data, csv_no_column},
                           "the file is UTF-16; convert it, for example with iconv -t UTF-8");
    }
    if (job->body == job->size) {
        return tp_csv_fail(job, err, (csv_place){data, csv_no_column},
                           "the file is empty; the first line must name the columns");
    }
    return TAPEOUT_OK;
}

tapeout_status tp_csv_header_read(csv_job *job, const tp_csv_options *options, tapeout_error *err)
{
    const char d = options->delimiter;
    if (d == '"' || d == '\n' || d == '\r') {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "csv: the delimiter cannot be a quote or a line's end");
    }
    TP_TRY(skip_marks(job, err));
    job->delimiter = d != 0 ? d : guess_delimiter(job);
    TP_TRY(count_columns(job, err));
    job->columns = tp_alloc_array_zero(job->env->alloc, job->column_count, sizeof *job->columns);
    if (job->columns == NULL) {
        return tp_fail_nomem(err);
    }
    tp_dict seen;
    tp_dict_init(&seen, job->env->alloc);
    const tapeout_status status = read_names(job, &seen, err);
    tp_dict_deinit(&seen);
    return status;
}

// -- what is wanted ------------------------------------------------------------------------------

static int64_t find_column(const csv_job *job, tp_str name)
{
    for (uint32_t i = 0; i < job->column_count; i++) {
        if (tp_str_equal(job->columns[i].name, name)) {
            return i;
        }
    }
    return -1;
}

static tapeout_status plan_overrides(csv_job *job, const tp_csv_options *options,
                                     tapeout_error *err)
{
    for (size_t i = 0; i < options->type_count; i++) {
        const int64_t found = find_column(job, options->types[i].name);
        if (found < 0 && options->types_are_for_some) {
            continue;
        }
        if (found < 0) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "csv: %s: a type is given for column \"%.*s\", which the header does "
                           "not have",
                           job->name, TP_STR_ARGS(options->types[i].name));
        }
        job->columns[found].is_fixed = true;
        job->columns[found].type = options->types[i].type;
    }
    return TAPEOUT_OK;
}

tapeout_status tp_csv_header_plan(csv_job *job, const tp_csv_options *options, tapeout_error *err)
{
    if (options->expect == NULL) {
        for (uint32_t i = 0; i < job->column_count; i++) {
            job->columns[i].is_wanted = true;
            job->columns[i].target = i;
        }
        return plan_overrides(job, options, err);
    }
    for (uint32_t i = 0; i < options->expect->count; i++) {
        const int64_t found = find_column(job, options->expect->fields[i].name);
        if (found >= 0) {
            job->columns[found].is_wanted = true;
            job->columns[found].is_fixed = true;
            job->columns[found].type = options->expect->fields[i].type;
            job->columns[found].target = i;
        }
    }
    return TAPEOUT_OK;
}
