// SPDX-License-Identifier: Apache-2.0
//
// A Parquet file's footer against the file: magic and length at its end, a schema that is a tree,
// in each group of rows one chunk a column with as many values as there are rows, where it lies
// inside the file, and pages (parquet_pages.c) that keep to it. DuckDB decodes the file afterwards;
// what it is then given has passed here, so a count or size that lies is met by a bounded reader
// first.
//
// Groups are checked one by one as they are read; only the leaves of the schema are kept. Not
// checked: statistics beyond the number of missing values, indexes, Bloom filters, key-value notes.
//
// Spec: apache/parquet-format, README.md and parquet.thrift.
#include "table/parquet_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <string.h>

enum { MAGIC_BYTES = 4, TAIL_BYTES = 8, TYPE_COUNT = 8, TYPE_FIXED = 7 };
enum { REQUIRED, OPTIONAL, REPEATED };

static tapeout_status fail_footer(const char *what, tapeout_error *err)
{
    return tp_fail(err, TAPEOUT_E_CORRUPT, "footer: %s", what);
}

// -- schema --------------------------------------------------------------------------------------
typedef struct element {
    tp_str name;
    int64_t type;
    int64_t type_size;
    int64_t repetition;
    int64_t child_count;
} element;

static element read_element(tp_cursor *cursor)
{
    element e = {.type = PARQUET_UNKNOWN, .repetition = REQUIRED};
    thrift_field field = {0};
    while (tp_thrift_next(cursor, &field)) {
        switch (field.id) {
        case 1:
            e.type = tp_thrift_number(cursor, &field);
            break;
        case 2:
            e.type_size = tp_thrift_number(cursor, &field);
            break;
        case 3:
            e.repetition = tp_thrift_number(cursor, &field);
            break;
        case 4:
            e.name = tp_thrift_text(cursor, &field);
            break;
        case 5:
            e.child_count = tp_thrift_number(cursor, &field);
            break;
        default:
            tp_thrift_skip(cursor, &field);
        }
    }
    return e;
}

// A level of the tree on the way to the element that comes next.
typedef struct level {
    int64_t children_left;
    uint32_t max_def;
    uint32_t max_rep;
} level;

static const char *fault_of_element(const element *e, bool is_root)
{
    const bool is_leaf = e->type != PARQUET_UNKNOWN;
    if (e->child_count < 0 || (is_leaf && e->child_count > 0) ||
        (!is_leaf && !is_root && e->child_count == 0)) {
        return "a column with a wrong number of parts";
    }
    if (is_leaf && (e->type < 0 || e->type >= TYPE_COUNT)) {
        return "a column of a type that the format does not know";
    }
    if (e->type_size < 0 || (e->type == TYPE_FIXED && e->type_size == 0) ||
        e->type_size > INT32_MAX) {
        return "a column of bytes without a length";
    }
    return e->repetition < REQUIRED || e->repetition > REPEATED
               ? "a column that is neither required, optional nor repeated"
               : NULL;
}

static void add_leaf(parquet_file *file, const element *e, const level *at)
{
    file->leaves[file->leaf_count++] = (parquet_leaf){.name = e->name,
                                                      .type = e->type,
                                                      .type_size = e->type_size,
                                                      .max_def = at->max_def,
                                                      .max_rep = at->max_rep};
}

// Elements come depth first, each with the number of its children.
static tapeout_status read_schema(parquet_file *file, tp_cursor *cursor, uint32_t count,
                                  tapeout_error *err)
{
    if (count > TP_MAX_PARQUET_ELEMENTS || file->leaves != NULL) {
        return fail_footer("two schemas, or one with too many columns", err);
    }
    file->leaf_capacity = count + 1;
    file->leaves = tp_alloc_array_zero(file->alloc, file->leaf_capacity, sizeof(parquet_leaf));
    file->chunks = tp_alloc_array_zero(file->alloc, file->leaf_capacity, sizeof(parquet_chunk));
    if (file->leaves == NULL || file->chunks == NULL) {
        return tp_fail_nomem(err);
    }
    level levels[TP_MAX_PARQUET_DEPTH] = {{.children_left = 1}};
    uint32_t depth = 0;
    for (uint32_t i = 0; i < count; i++) {
        const element e = read_element(cursor);
        const char *fault = cursor->failed ? "cut short" : fault_of_element(&e, i == 0);
        while (depth > 0 && levels[depth].children_left == 0) {
            depth--;
        }
        if (fault == NULL && (levels[depth].children_left == 0 || (i == 0 && e.type >= 0) ||
                              (e.child_count > 0 && depth + 1 == TP_MAX_PARQUET_DEPTH))) {
            fault = "columns that make no tree";
        }
        if (fault != NULL) {
            return fail_footer(fault, err);
        }
        levels[depth].children_left--;
        const bool counts = i > 0;
        const level at = {.children_left = e.child_count,
                          .max_def = levels[depth].max_def + (counts && e.repetition != REQUIRED),
                          .max_rep = levels[depth].max_rep + (counts && e.repetition == REPEATED)};
        if (e.child_count > 0) {
            levels[++depth] = at;
        } else if (e.type >= 0) {
            add_leaf(file, &e, &at);
        }
    }
    for (uint32_t i = 0; i <= depth; i++) {
        if (levels[i].children_left != 0) {
            return fail_footer("a schema that lacks columns", err);
        }
    }
    return TAPEOUT_OK;
}

// -- groups of rows ------------------------------------------------------------------------------
static int64_t read_null_count(tp_cursor *cursor)
{
    int64_t nulls = PARQUET_UNKNOWN;
    thrift_field field = {0};
    while (tp_thrift_next(cursor, &field)) {
        if (field.id == 3) {
            nulls = tp_thrift_number(cursor, &field);
        } else {
            tp_thrift_skip(cursor, &field);
        }
    }
    return nulls;
}

static void read_column(tp_cursor *cursor, parquet_chunk *chunk)
{
    thrift_field field = {0};
    while (tp_thrift_next(cursor, &field)) {
        int64_t *const numbers[] = {
            [1] = &chunk->type,        [4] = &chunk->codec,       [5] = &chunk->value_count,
            [7] = &chunk->stored_size, [9] = &chunk->data_offset, [11] = &chunk->dictionary_offset,
        };
        const size_t known = sizeof(numbers) / sizeof(numbers[0]);
        if ((size_t)field.id < known && numbers[field.id] != NULL) {
            *numbers[field.id] = tp_thrift_number(cursor, &field);
        } else if (field.id == 12 && field.type == THRIFT_STRUCT) {
            chunk->null_count = read_null_count(cursor);
        } else {
            tp_thrift_skip(cursor, &field);
        }
    }
}

static void read_chunk(tp_cursor *cursor, parquet_chunk *chunk)
{
    *chunk = (parquet_chunk){.type = PARQUET_UNKNOWN,
                             .codec = PARQUET_UNKNOWN,
                             .value_count = PARQUET_UNKNOWN,
                             .stored_size = PARQUET_UNKNOWN,
                             .data_offset = PARQUET_UNKNOWN,
                             .null_count = PARQUET_UNKNOWN};
    thrift_field field = {0};
    while (tp_thrift_next(cursor, &field)) {
        if (field.id == 1) {
            chunk->is_elsewhere = tp_thrift_text(cursor, &field).size > 0;
        } else if (field.id == 3 && field.type == THRIFT_STRUCT) {
            read_column(cursor, chunk);
        } else {
            chunk->is_encrypted = chunk->is_encrypted || field.id >= 8;
            tp_thrift_skip(cursor, &field);
        }
    }
}

static const char *fault_of_chunk(const parquet_file *file, uint32_t c, int64_t rows)
{
    const parquet_leaf *leaf = &file->leaves[c];
    const parquet_chunk *chunk = &file->chunks[c];
    const int64_t end = (int64_t)file->data_end;
    const int64_t begin =
        chunk->dictionary_offset > 0 && chunk->dictionary_offset < chunk->data_offset
            ? chunk->dictionary_offset
            : chunk->data_offset;
    if (chunk->type != leaf->type) {
        return "its type is not that of the schema";
    }
    if (chunk->value_count < 0 || (leaf->max_rep == 0 && chunk->value_count != rows)) {
        return "it has another number of values than the group has rows";
    }
    if (chunk->value_count == 0) {
        return NULL; // writers differ in where they say that nothing lies
    }
    if (chunk->codec < 0 || chunk->dictionary_offset < 0 || begin < MAGIC_BYTES || begin > end ||
        chunk->stored_size < 0 || chunk->stored_size > end - begin) {
        return "it lies outside the file";
    }
    if (chunk->null_count < PARQUET_UNKNOWN || chunk->null_count > chunk->value_count ||
        (chunk->null_count > 0 && leaf->max_def == 0)) {
        return "values of a required column are missing, or more than there are";
    }
    return NULL;
}

static tapeout_status check_chunk(const parquet_file *file, uint32_t c, int64_t rows,
                                  tapeout_error *err)
{
    const parquet_chunk *chunk = &file->chunks[c];
    const tp_str name = file->leaves[c].name;
    if (chunk->is_elsewhere || chunk->is_encrypted) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "column \"%.*s\" is %s; write it to one plain file first", TP_STR_ARGS(name),
                       chunk->is_elsewhere ? "in another file" : "encrypted");
    }
    const char *fault = fault_of_chunk(file, c, rows);
    if (fault != NULL) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "column \"%.*s\", row group %u: %s",
                       TP_STR_ARGS(name), file->group, fault);
    }
    return tp_parquet_pages_check(file, c, err);
}

static tapeout_status read_group(parquet_file *file, tp_cursor *cursor, tapeout_error *err)
{
    uint32_t chunk_count = 0;
    int64_t rows = PARQUET_UNKNOWN;
    thrift_field field = {0};
    while (tp_thrift_next(cursor, &field)) {
        if (field.id == 1) {
            chunk_count = tp_thrift_list(cursor, &field, THRIFT_STRUCT);
            if (chunk_count != file->leaf_count) {
                return fail_footer("a row group with more or fewer columns than the schema", err);
            }
            for (uint32_t c = 0; c < chunk_count && !cursor->failed; c++) {
                read_chunk(cursor, &file->chunks[c]);
            }
        } else if (field.id == 3) {
            rows = tp_thrift_number(cursor, &field);
        } else {
            tp_thrift_skip(cursor, &field);
        }
    }
    if (cursor->failed || chunk_count != file->leaf_count || rows < 0 ||
        rows > file->row_count - file->rows_seen) {
        return fail_footer("a row group that is cut short, or more rows than the file has", err);
    }
    file->rows_seen += rows;
    for (uint32_t c = 0; c < chunk_count; c++) {
        TP_TRY(check_chunk(file, c, rows, err));
    }
    file->group++;
    return TAPEOUT_OK;
}

// -- the footer ----------------------------------------------------------------------------------
// Fields come in the order of their numbers, as every writer has them: schema, rows, groups.
static tapeout_status read_footer(parquet_file *file, tp_cursor *cursor, tapeout_error *err)
{
    thrift_field field = {0};
    while (tp_thrift_next(cursor, &field)) {
        if (field.id == 2) {
            TP_TRY(read_schema(file, cursor, tp_thrift_list(cursor, &field, THRIFT_STRUCT), err));
        } else if (field.id == 3) {
            file->row_count = tp_thrift_number(cursor, &field);
        } else if (field.id == 4) {
            const uint32_t groups = tp_thrift_list(cursor, &field, THRIFT_STRUCT);
            for (uint32_t i = 0; i < groups; i++) {
                TP_TRY(read_group(file, cursor, err));
            }
        } else {
            tp_thrift_skip(cursor, &field);
        }
    }
    if (cursor->failed) {
        return fail_footer("damaged or cut short", err);
    }
    if (file->leaves == NULL || file->row_count != file->rows_seen) {
        return fail_footer("no schema, or row groups that do not add up to the file's rows", err);
    }
    return TAPEOUT_OK;
}

static tapeout_status find_footer(parquet_file *file, tapeout_error *err)
{
    if (file->size < MAGIC_BYTES + TAIL_BYTES || memcmp(file->data, "PAR1", MAGIC_BYTES) != 0) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "%zu bytes that do not begin as a Parquet file does, with PAR1", file->size);
    }
    const uint8_t *tail = file->data + file->size - TAIL_BYTES;
    if (memcmp(tail + MAGIC_BYTES, "PARE", MAGIC_BYTES) == 0) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED, "the footer is encrypted");
    }
    if (memcmp(tail + MAGIC_BYTES, "PAR1", MAGIC_BYTES) != 0) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "it does not end as a Parquet file does, with PAR1; it may be cut short");
    }
    tp_cursor cursor;
    tp_cursor_init(&cursor, tail, TAIL_BYTES);
    const uint32_t footer_size = tp_cursor_u32(&cursor);
    const size_t most = file->size - MAGIC_BYTES - TAIL_BYTES;
    if (footer_size > most || footer_size > TP_MAX_PARQUET_FOOTER_BYTES) {
        return tp_fail(
            err, TAPEOUT_E_CORRUPT,
            "the footer says it has %u bytes; the file has room for %zu, and %u are read",
            footer_size, most, TP_MAX_PARQUET_FOOTER_BYTES);
    }
    file->data_end = file->size - TAIL_BYTES - footer_size;
    return TAPEOUT_OK;
}

tapeout_status tp_parquet_check(const tapeout_allocator *alloc, const void *data, size_t size,
                                tapeout_error *err)
{
    parquet_file file = {.alloc = alloc, .data = data, .size = size};
    TP_TRY(find_footer(&file, err));
    tp_cursor cursor;
    tp_cursor_init(&cursor, file.data + file.data_end, size - TAIL_BYTES - file.data_end);
    const tapeout_status status = read_footer(&file, &cursor, err);
    tp_free_array(alloc, file.leaves, file.leaf_capacity, sizeof(parquet_leaf));
    tp_free_array(alloc, file.chunks, file.leaf_capacity, sizeof(parquet_chunk));
    return status;
}
