// SPDX-License-Identifier: Apache-2.0
//
// The pages of one column in one group of rows: a dictionary, if there is one, then data until the
// values that the footer promises are there. Headers are compared with the bytes that follow them,
// with the schema and with each other: no count is negative, no page longer than the chunk, none
// too short for the values that it claims. The last rule needs no decompression, since a header
// gives the size of the page unpacked; a run of indices in zero bits, which would have any number
// of values come out of nothing, falls under it.
//
// Spec: apache/parquet-format, parquet.thrift and Encodings.md.
#include "table/parquet_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"

enum { PAGE_DATA = 0, PAGE_INDEX = 1, PAGE_DICTIONARY = 2, PAGE_DATA_V2 = 3 };
enum { ENCODING_PLAIN = 0, ENCODING_PLAIN_DICTIONARY = 2, ENCODING_RLE_DICTIONARY = 8 };
enum { CODEC_NONE = 0, INDEX_BITS_MAX = 32, INT32_VALUE_MAX = INT32_MAX };

// Some old writers forget the dictionary's header when they add up a chunk.
enum { CHUNK_SLACK_BYTES = 100 };

typedef struct page {
    uint64_t begin; // in the file
    int64_t kind;
    int64_t unpacked_size;
    int64_t stored_size;
    int64_t value_count;
    int64_t encoding;
    int64_t null_count;
    int64_t row_count;
    int64_t def_size;
    int64_t rep_size;
    bool is_packed;
    const uint8_t *bytes;
} page;

typedef struct walk {
    const parquet_file *file;
    const parquet_leaf *leaf;
    const parquet_chunk *chunk;
    tp_cursor cursor;    // over the file's data, at the next page
    int64_t values_left; // that the chunk still owes
    bool has_dictionary;
} walk;

static tapeout_status fail_page(const walk *w, const page *p, const char *what, tapeout_error *err)
{
    return tp_fail_at(
        err, TAPEOUT_E_CORRUPT, p->begin, "column \"%.*s\", row group %u, page at byte %llu: %s",
        TP_STR_ARGS(w->leaf->name), w->file->group, (unsigned long long)p->begin, what);
}

// -- headers -------------------------------------------------------------------------------------
// Which field of a page's own header holds what; 0: it has none.
typedef struct header_fields {
    uint8_t values, nulls, rows, encoding, def_size, rep_size, is_packed;
} header_fields;

static const header_fields DATA_FIELDS = {.values = 1, .encoding = 2};
static const header_fields DICTIONARY_FIELDS = {.values = 1, .encoding = 2};
static const header_fields DATA_V2_FIELDS = {1, 2, 3, 4, 5, 6, 7};

static void read_inner(tp_cursor *cursor, const header_fields *at, page *p)
{
    thrift_field field = {0};
    while (tp_thrift_next(cursor, &field)) {
        if (field.id == at->values) {
            p->value_count = tp_thrift_number(cursor, &field);
        } else if (field.id == at->encoding) {
            p->encoding = tp_thrift_number(cursor, &field);
        } else if (at->nulls != 0 && field.id == at->nulls) {
            p->null_count = tp_thrift_number(cursor, &field);
        } else if (at->rows != 0 && field.id == at->rows) {
            p->row_count = tp_thrift_number(cursor, &field);
        } else if (at->def_size != 0 && field.id == at->def_size) {
            p->def_size = tp_thrift_number(cursor, &field);
        } else if (at->rep_size != 0 && field.id == at->rep_size) {
            p->rep_size = tp_thrift_number(cursor, &field);
        } else if (at->is_packed != 0 && field.id == at->is_packed) {
            p->is_packed = tp_thrift_number(cursor, &field) != 0;
        } else {
            tp_thrift_skip(cursor, &field);
        }
    }
}

static void read_header(tp_cursor *cursor, page *p)
{
    thrift_field field = {0};
    while (tp_thrift_next(cursor, &field)) {
        const bool is_struct = field.type == THRIFT_STRUCT;
        if (field.id == 1) {
            p->kind = tp_thrift_number(cursor, &field);
        } else if (field.id == 2) {
            p->unpacked_size = tp_thrift_number(cursor, &field);
        } else if (field.id == 3) {
            p->stored_size = tp_thrift_number(cursor, &field);
        } else if (field.id == 5 && is_struct && p->kind == PAGE_DATA) {
            read_inner(cursor, &DATA_FIELDS, p);
        } else if (field.id == 7 && is_struct && p->kind == PAGE_DICTIONARY) {
            read_inner(cursor, &DICTIONARY_FIELDS, p);
        } else if (field.id == 8 && is_struct && p->kind == PAGE_DATA_V2) {
            read_inner(cursor, &DATA_V2_FIELDS, p);
        } else {
            tp_thrift_skip(cursor, &field);
        }
    }
}

// -- sizes ---------------------------------------------------------------------------------------
// The fewest bytes that `count` plain values of the leaf's type take.
static int64_t plain_size_min(const parquet_leaf *leaf, int64_t count)
{
    static const uint8_t sizes[] = {0, 4, 8, 12, 4, 8, 4}; // BYTE_ARRAY: its length
    if (leaf->type == 0) {
        return count / 8;
    }
    return count * (leaf->type < 7 ? sizes[leaf->type] : leaf->type_size);
}

// Whether `size` bytes of runs can stand for `count` indices. The longest that they can is one run
// of equal indices, whose head of k bytes counts up to 2^(7k-1) - 1; groups of eight in so many
// bits each need bytes of their own behind the head.
static bool runs_can_hold(int64_t size, int64_t count)
{
    return size >= 5 || (size > 0 && count < INT64_C(1) << (7 * size - 1));
}

static const char *fault_of_values(const walk *w, const page *p)
{
    const bool is_indexed =
        p->encoding == ENCODING_RLE_DICTIONARY || p->encoding == ENCODING_PLAIN_DICTIONARY;
    const bool is_v2 = p->kind == PAGE_DATA_V2;
    // What of the page is values is known where the levels' size is, or where there are none.
    const bool is_bare = is_v2 || (w->leaf->max_def == 0 && w->leaf->max_rep == 0);
    const int64_t levels = is_v2 ? p->def_size + p->rep_size : 0;
    const int64_t size = p->unpacked_size - levels;
    const int64_t present = p->value_count - (is_v2 ? p->null_count : 0);
    if (is_indexed && !w->has_dictionary) {
        return "its values are indices, but no dictionary came before it";
    }
    if (!is_bare || present == 0) {
        return NULL;
    }
    if (p->encoding == ENCODING_PLAIN && size < plain_size_min(w->leaf, present)) {
        return "it is too short for the values that its header counts";
    }
    if (is_indexed && !runs_can_hold(size - 1, present)) {
        return "it is too short for the indices that its header counts, unless they had zero bits";
    }
    if (is_indexed && !p->is_packed && p->bytes[levels] > INDEX_BITS_MAX) {
        return "its indices are wider than 32 bits";
    }
    return NULL;
}

static const char *fault_of_v2(const walk *w, const page *p)
{
    if (p->null_count < 0 || p->null_count > p->value_count) {
        return "the number of its missing values is not between zero and that of its values";
    }
    if (w->leaf->max_def == 0 && (p->null_count > 0 || p->def_size > 0)) {
        return "values of a required column are missing";
    }
    if (p->row_count < 0 || p->row_count > p->value_count ||
        (w->leaf->max_rep == 0 && p->row_count != p->value_count)) {
        return "its numbers of rows and values do not agree";
    }
    if (p->def_size < 0 || p->rep_size < 0 || p->def_size > INT32_VALUE_MAX ||
        p->rep_size > INT32_VALUE_MAX || p->def_size + p->rep_size > p->stored_size ||
        p->def_size + p->rep_size > p->unpacked_size) {
        return "its levels are longer than the page";
    }
    return NULL;
}

static const char *fault_of_dictionary(const walk *w, const page *p)
{
    if (w->has_dictionary || w->values_left < w->chunk->value_count) {
        return "a dictionary that does not come first";
    }
    if (p->encoding != ENCODING_PLAIN && p->encoding != ENCODING_PLAIN_DICTIONARY) {
        return "a dictionary that is not plain";
    }
    return p->unpacked_size < plain_size_min(w->leaf, p->value_count)
               ? "the dictionary is too short for the entries that its header counts"
               : NULL;
}

static const char *fault_of(const walk *w, const page *p)
{
    if (p->unpacked_size < 0 || p->unpacked_size > INT32_VALUE_MAX || p->stored_size < 0) {
        return "a negative size";
    }
    if (!p->is_packed && p->stored_size != p->unpacked_size) {
        return "two sizes for a page that is not compressed";
    }
    if (p->kind == PAGE_INDEX) {
        return NULL;
    }
    if (p->value_count < 0 || p->value_count > INT32_VALUE_MAX) {
        return "a negative number of values";
    }
    if (p->kind == PAGE_DICTIONARY) {
        return fault_of_dictionary(w, p);
    }
    if (p->kind != PAGE_DATA && p->kind != PAGE_DATA_V2) {
        return "a kind of page that the format does not know";
    }
    if (p->value_count > w->values_left) {
        return "more values than the footer gives the column";
    }
    const char *fault = p->kind == PAGE_DATA_V2 ? fault_of_v2(w, p) : NULL;
    return fault != NULL ? fault : fault_of_values(w, p);
}

// -- walking -------------------------------------------------------------------------------------
static tapeout_status walk_page(walk *w, tapeout_error *err)
{
    page p = {.begin = w->cursor.position,
              .kind = PARQUET_UNKNOWN,
              .unpacked_size = PARQUET_UNKNOWN,
              .stored_size = PARQUET_UNKNOWN,
              .value_count = PARQUET_UNKNOWN,
              .encoding = PARQUET_UNKNOWN,
              .is_packed = true};
    read_header(&w->cursor, &p);
    if (w->cursor.failed) {
        return fail_page(w, &p, "its header is damaged or cut short", err);
    }
    p.is_packed = p.is_packed && w->chunk->codec != CODEC_NONE;
    p.bytes = w->cursor.data + w->cursor.position;
    if (p.stored_size > 0 && !tp_cursor_skip(&w->cursor, (uint64_t)p.stored_size)) {
        return fail_page(w, &p, "it is longer than the column's part of the file", err);
    }
    const char *fault = fault_of(w, &p);
    if (fault != NULL) {
        return fail_page(w, &p, fault, err);
    }
    w->has_dictionary = w->has_dictionary || p.kind == PAGE_DICTIONARY;
    w->values_left -= p.kind == PAGE_DATA || p.kind == PAGE_DATA_V2 ? p.value_count : 0;
    return TAPEOUT_OK;
}

tapeout_status tp_parquet_pages_check(const parquet_file *file, uint32_t c, tapeout_error *err)
{
    const parquet_chunk *chunk = &file->chunks[c];
    if (chunk->value_count == 0) {
        return TAPEOUT_OK;
    }
    const bool has_dictionary_first =
        chunk->dictionary_offset > 0 && chunk->dictionary_offset < chunk->data_offset;
    // In range: parquet_check.c has compared them with the file.
    const size_t begin =
        (size_t)(has_dictionary_first ? chunk->dictionary_offset : chunk->data_offset);
    const size_t room = file->data_end - begin;
    const size_t wanted = (size_t)chunk->stored_size + CHUNK_SLACK_BYTES;
    walk w = {
        .file = file, .leaf = &file->leaves[c], .chunk = chunk, .values_left = chunk->value_count};
    tp_cursor_init(&w.cursor, file->data, begin + (wanted < room ? wanted : room));
    (void)tp_cursor_seek(&w.cursor, begin); // within it
    while (w.values_left > 0) {
        TP_TRY(walk_page(&w, err));
    }
    return TAPEOUT_OK;
}
