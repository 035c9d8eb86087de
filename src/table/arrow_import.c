// SPDX-License-Identifier: Apache-2.0
//
// A table out of Arrow's structures, copied: the result is our own, whatever the producer does
// next.
//
// Taken are struct arrays of null, bool, integers of all widths, float32 and float64, utf8 and
// large_utf8 (plain or as a dictionary with indexes of any integer type), date32, and timestamps of
// any unit with or without a zone; offsets of slices are followed. Everything else is refused by
// name. Pointers are the producer's word, as the interface has it; lengths, offsets into text,
// dictionary indexes and UTF-8 are checked.
#include <tapeout/table.h>

#include "base/limits.h"
#include "base/tp_arena.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "table/arrow_abi.h"
#include "table/table_priv.h"

#include <string.h>

typedef enum source_kind {
    SOURCE_NULL,
    SOURCE_BOOL,
    SOURCE_INTEGER,
    SOURCE_FLOAT,
    SOURCE_TEXT,
    SOURCE_DATE,
    SOURCE_TIME,
} source_kind;

// How the values of a column lie in the producer's buffers.
typedef struct source {
    source_kind kind;
    size_t width; // bytes of a number, or of a text's offsets
    bool is_signed;
    int64_t scale; // times: microseconds of a unit, negative: units of a microsecond
    tapeout_type type;
} source;

// -- formats -------------------------------------------------------------------------------------

static bool integer_source(char format, source *ret_source)
{
    static const char letters[] = "cCsSiIlL";
    const char *found = strchr(letters, format);
    if (format == '\0' || found == NULL) {
        return false;
    }
    const size_t at = (size_t)(found - letters);
    *ret_source = (source){.kind = SOURCE_INTEGER,
                           .width = (size_t)1 << (at / 2),
                           .is_signed = at % 2 == 0,
                           .type = TAPEOUT_TYPE_INT64};
    return true;
}

static bool time_source(const char *format, source *ret_source)
{
    static const struct {
        char unit;
        int64_t scale;
    } units[] = {{'s', 1000000}, {'m', 1000}, {'u', 1}, {'n', -1000}};
    if (strncmp(format, "ts", 2) != 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (format[2] == units[i].unit && format[3] == ':') {
            *ret_source = (source){.kind = SOURCE_TIME,
                                   .width = sizeof(int64_t),
                                   .is_signed = true,
                                   .scale = units[i].scale,
                                   .type = format[4] == '\0' ? TAPEOUT_TYPE_TIMESTAMP
                                                             : TAPEOUT_TYPE_TIMESTAMP_TZ};
            return true;
        }
    }
    return false;
}

static bool source_of(const char *format, source *ret_source)
{
    static const struct {
        const char *format;
        source source;
    } known[] = {
        {"n", {.kind = SOURCE_NULL, .type = TAPEOUT_TYPE_STRING}},
        {"b", {.kind = SOURCE_BOOL, .type = TAPEOUT_TYPE_BOOL}},
        {"f", {.kind = SOURCE_FLOAT, .width = sizeof(float), .type = TAPEOUT_TYPE_FLOAT64}},
        {"g", {.kind = SOURCE_FLOAT, .width = sizeof(double), .type = TAPEOUT_TYPE_FLOAT64}},
        {"u", {.kind = SOURCE_TEXT, .width = sizeof(int32_t), .type = TAPEOUT_TYPE_STRING}},
        {"U", {.kind = SOURCE_TEXT, .width = sizeof(int64_t), .type = TAPEOUT_TYPE_STRING}},
        {"tdD",
         {.kind = SOURCE_DATE,
          .width = sizeof(int32_t),
          .is_signed = true,
          .type = TAPEOUT_TYPE_DATE}},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(format, known[i].format) == 0) {
            *ret_source = known[i].source;
            return true;
        }
    }
    return (format[0] != '\0' && format[1] == '\0' && integer_source(format[0], ret_source)) ||
           time_source(format, ret_source);
}

// -- reading -------------------------------------------------------------------------------------

static bool bit_at(const void *bits, int64_t at)
{
    return (((const uint8_t *)bits)[at / 8] >> (at % 8) & 1) != 0;
}

static bool is_present(const struct ArrowArray *array, int64_t at)
{
    return array->null_count == 0 || array->buffers[0] == NULL || bit_at(array->buffers[0], at);
}

// An integer of any width; false where it is beyond int64.
static bool integer_at(const source *s, const void *values, int64_t at, int64_t *ret_value)
{
    uint64_t word = 0;
    memcpy(&word, (const uint8_t *)values + (size_t)at * s->width, s->width);
    const unsigned unused = 64 - 8 * (unsigned)s->width;
    *ret_value = s->is_signed ? (int64_t)(word << unused) >> unused : (int64_t)word;
    return s->is_signed || *ret_value >= 0;
}

static double float_at(const source *s, const void *values, int64_t at)
{
    if (s->width == sizeof(double)) {
        return ((const double *)values)[at];
    }
    return (double)((const float *)values)[at];
}

// False where the offsets run backwards.
static bool text_at(const source *s, const struct ArrowArray *array, int64_t at, tp_str *ret_text)
{
    const source offsets = {.width = s->width, .is_signed = true};
    int64_t begin = 0;
    int64_t end = 0;
    if (array->buffers[1] != NULL) {
        (void)integer_at(&offsets, array->buffers[1], at, &begin);
        (void)integer_at(&offsets, array->buffers[1], at + 1, &end);
    }
    if (begin < 0 || end < begin) {
        return false;
    }
    static const char nothing[1];
    *ret_text = (tp_str){begin == end ? nothing : (const char *)array->buffers[2] + begin,
                         (size_t)(end - begin)};
    return true;
}

// -- one column ----------------------------------------------------------------------------------

typedef struct import {
    tp_table_builder *builder;
    uint32_t column;
    const char *name;
    const struct ArrowArray *array;
    source values;  // of the array, or of its dictionary
    source indexes; // where there is a dictionary
    bool has_dictionary;
} import;

static tapeout_status fail_row(const import *in, int64_t row, const char *what, tapeout_error *err)
{
    return tp_fail(err, TAPEOUT_E_DATA, "arrow: column %s: row %lld: %s", in->name, (long long)row,
                   what);
}

static tapeout_status append_text(const import *in, const struct ArrowArray *array, int64_t at,
                                  int64_t row, tapeout_error *err)
{
    tp_str text;
    if (!text_at(&in->values, array, at, &text)) {
        return fail_row(in, row, "the offsets of the text run backwards", err);
    }
    if (!tp_utf8_check(text, NULL)) {
        return fail_row(in, row, "the text is not UTF-8", err);
    }
    const tapeout_status status = tp_table_builder_str(in->builder, in->column, text);
    if (status == TAPEOUT_E_LIMIT) {
        return tp_fail(err, status, "arrow: column %s: more than 2 GiB of different texts",
                       in->name);
    }
    return status == TAPEOUT_OK ? status : tp_fail_nomem(err);
}

static tapeout_status append_coded(const import *in, int64_t at, int64_t row, tapeout_error *err)
{
    const struct ArrowArray *texts = in->array->dictionary;
    int64_t index;
    if (!integer_at(&in->indexes, in->array->buffers[1], at, &index) || index < 0 ||
        index >= texts->length) {
        return fail_row(in, row, "the index lies outside the dictionary", err);
    }
    const int64_t place = texts->offset + index;
    if (!is_present(texts, place)) {
        return tp_table_builder_null(in->builder, in->column) == TAPEOUT_OK ? TAPEOUT_OK
                                                                            : tp_fail_nomem(err);
    }
    return append_text(in, texts, place, row, err);
}

static bool to_microseconds(int64_t scale, int64_t value, int64_t *ret_us)
{
    if (scale > 0) {
        return !__builtin_mul_overflow(value, scale, ret_us);
    }
    *ret_us = value / -scale - (value % -scale < 0); // towards the past
    return true;
}

static tapeout_status append_number(const import *in, int64_t at, int64_t row, tapeout_error *err)
{
    const source *s = &in->values;
    const void *values = in->array->buffers[1];
    int64_t value = 0;
    tapeout_status status;
    switch (s->kind) {
    case SOURCE_BOOL:
        status = tp_table_builder_bool(in->builder, in->column, bit_at(values, at));
        break;
    case SOURCE_FLOAT:
        status = tp_table_builder_f64(in->builder, in->column, float_at(s, values, at));
        break;
    case SOURCE_DATE:
        (void)integer_at(s, values, at, &value);
        status = tp_table_builder_days(in->builder, in->column, (int32_t)value);
        break;
    default:
        if (!integer_at(s, values, at, &value)) {
            return fail_row(in, row, "the number is beyond int64", err);
        }
        if (s->kind == SOURCE_TIME && !to_microseconds(s->scale, value, &value)) {
            return fail_row(in, row, "the time is beyond int64 in microseconds", err);
        }
        status = tp_table_builder_i64(in->builder, in->column, value);
        break;
    }
    return status == TAPEOUT_OK ? status : tp_fail_nomem(err);
}

static tapeout_status append_row(const import *in, int64_t at, int64_t row, tapeout_error *err)
{
    if (in->values.kind == SOURCE_NULL || !is_present(in->array, at)) {
        return tp_table_builder_null(in->builder, in->column) == TAPEOUT_OK ? TAPEOUT_OK
                                                                            : tp_fail_nomem(err);
    }
    if (in->has_dictionary) {
        return append_coded(in, at, row, err);
    }
    return in->values.kind == SOURCE_TEXT ? append_text(in, in->array, at, row, err)
                                          : append_number(in, at, row, err);
}

// -- the whole -----------------------------------------------------------------------------------

static tapeout_status plan_column(const struct ArrowSchema *schema, import *in, tapeout_error *err)
{
    in->name = schema->name == NULL ? "" : schema->name;
    if (in->name[0] == '\0') {
        return tp_fail(err, TAPEOUT_E_INVALID, "arrow: a column has no name");
    }
    const char *format = schema->format;
    in->has_dictionary = schema->dictionary != NULL;
    const bool is_known = in->has_dictionary
                              ? source_of(format, &in->indexes) &&
                                    in->indexes.kind == SOURCE_INTEGER &&
                                    source_of(schema->dictionary->format, &in->values) &&
                                    in->values.kind == SOURCE_TEXT
                              : source_of(format, &in->values);
    if (!is_known) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "arrow: column %s has the type \"%s\"%s%s: cast it to bool, an integer, "
                       "float32, float64, utf8, date32 or a timestamp",
                       in->name, format, in->has_dictionary ? " with a dictionary of " : "",
                       in->has_dictionary ? schema->dictionary->format : "");
    }
    return TAPEOUT_OK;
}

static tapeout_status check_array(const import *in, const struct ArrowArray *rows,
                                  tapeout_error *err)
{
    const struct ArrowArray *array = in->array;
    const bool is_null = in->values.kind == SOURCE_NULL;
    const bool is_text = in->values.kind == SOURCE_TEXT && !in->has_dictionary;
    const struct ArrowArray *texts = array->dictionary;
    const bool is_shaped =
        array->n_buffers == (is_null   ? 0
                             : is_text ? 3
                                       : 2) &&
        array->offset >= 0 && array->length >= 0 && rows->offset <= array->length &&
        rows->length <= array->length - rows->offset && in->has_dictionary == (texts != NULL) &&
        (texts == NULL || (texts->n_buffers == 3 && texts->offset >= 0 && texts->length >= 0));
    const bool has_values =
        is_null || rows->length == 0 || (is_shaped && array->buffers[1] != NULL);
    if (!is_shaped || !has_values) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "arrow: column %s: lengths or buffers do not fit its type", in->name);
    }
    return TAPEOUT_OK;
}

static tapeout_status check_rows(const struct ArrowSchema *schema, const struct ArrowArray *array,
                                 tapeout_error *err)
{
    if (strcmp(schema->format, "+s") != 0) {
        return tp_fail(
            err, TAPEOUT_E_UNSUPPORTED,
            "arrow: expected a record batch, that is a struct array (\"+s\"), got \"%s\"",
            schema->format);
    }
    if (array->n_children != schema->n_children || array->n_children < 0 ||
        array->n_children > TP_MAX_CSV_COLUMNS || array->length < 0 || array->offset < 0) {
        return tp_fail(err, TAPEOUT_E_INVALID, "arrow: schema and array do not fit each other");
    }
    if (array->length > TP_MAX_TABLE_ROWS) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "arrow: %lld rows, at most %u",
                       (long long)array->length, TP_MAX_TABLE_ROWS);
    }
    for (int64_t i = 0; array->null_count != 0 && i < array->length; i++) {
        if (array->n_buffers > 0 && !is_present(array, array->offset + i)) {
            return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                           "arrow: row %lld of the record batch is null as a whole", (long long)i);
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status fill(const struct ArrowSchema *schema, const struct ArrowArray *rows,
                           tp_table_builder *builder, tapeout_error *err)
{
    for (int64_t c = 0; c < schema->n_children; c++) {
import in = {.builder = builder, .column =(uint32_t) c, .array = rows->children[c] };
        TP_TRY(plan_column(schema->children[c], &in, err));
        TP_TRY(check_array(&in, rows, err));
        const int64_t begin = rows->offset + in.array->offset;
        for (int64_t row = 0; row < rows->length; row++) {
            TP_TRY(append_row(&in, begin + row, row, err));
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status make_fields(const struct ArrowSchema *schema, tp_arena *arena,
                                  tp_field *fields, tapeout_error *err)
{
    tp_dict seen;
    tp_dict_init(&seen, arena->alloc);
    tapeout_status status = TAPEOUT_OK;
    for (int64_t c = 0; status == TAPEOUT_OK && c < schema->n_children; c++) {
import in = {0 };
        uint32_t number = 0;
        status = plan_column(schema->children[c], &in, err);
        if (status == TAPEOUT_OK &&
            tp_dict_add(&seen, tp_str_from(in.name), &number) != TAPEOUT_OK) {
            status = tp_fail_nomem(err);
        }
        if (status == TAPEOUT_OK && number != c) {
            status = tp_fail(err, TAPEOUT_E_INVALID, "arrow: two columns are named %s", in.name);
        }
        fields[c] = (tp_field){tp_str_from(in.name), in.values.type};
    }
    tp_dict_deinit(&seen);
    return status;
}

static tapeout_status import_rows(const tp_env *env, const struct ArrowSchema *schema,
                                  const struct ArrowArray *array, tapeout_table **ret_table,
                                  tapeout_error *err)
{
    TP_TRY(check_rows(schema, array, err));
    tp_arena arena;
    tp_arena_init(&arena, env->alloc, SIZE_MAX);
    tp_field *fields = tp_arena_array(&arena, (size_t)schema->n_children + 1, sizeof *fields);
    tp_table_builder *builder = NULL;
    tapeout_status status =
        fields == NULL ? tp_fail_nomem(err) : make_fields(schema, &arena, fields, err);
    if (status == TAPEOUT_OK) {
        const tp_schema wanted = {fields, (uint32_t)schema->n_children};
        status = tp_table_builder_new(env->alloc, &wanted, &builder, err);
    }
    if (status == TAPEOUT_OK) {
        status = fill(schema, array, builder, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_table_builder_take(builder, ret_table, err);
    }
    tp_table_builder_free(builder);
    tp_arena_deinit(&arena);
    return status;
}

tapeout_status tapeout_table_import_arrow(tapeout_context *context, struct ArrowSchema *schema,
                                          struct ArrowArray *array, tapeout_table **ret_table,
                                          tapeout_error *err)
{
    tapeout_status status;
    if (context == NULL || schema == NULL || array == NULL || ret_table == NULL ||
        schema->release == NULL || array->release == NULL) {
        status = tp_fail(err, TAPEOUT_E_INVALID,
                         "tapeout_table_import_arrow: an argument is NULL or released");
    } else {
        status = import_rows(tp_context_env(context), schema, array, ret_table, err);
    }
    if (array != NULL && array->release != NULL) {
        array->release(array);
    }
    if (schema != NULL && schema->release != NULL) {
        schema->release(schema);
    }
    return status;
}
