// SPDX-License-Identifier: Apache-2.0
//
// UBJSON (Universal Binary JSON, draft 12), as XGBoost writes it: a letter for the type, numbers
// with the most significant byte first, keys without a letter of their own. Lists may say the type
// and number of their items; objects may say their number.
#include "base/limits.h"
#include "base/tp_cursor.h"
#include "base/tp_error.h"
#include "import/document_priv.h"

#include <string.h>

typedef struct reader {
    tp_cursor cursor;
    tp_arena *arena;
    tapeout_error *err;
} reader;

static tapeout_status corrupt(reader *r, const char *what)
{
    return tp_fail_at(r->err, TAPEOUT_E_CORRUPT, r->cursor.position, "UBJSON: %s at byte %zu", what,
                      r->cursor.position);
}

// Bytes of a number of this type; 0 for what is none.
static size_t number_size(uint8_t type)
{
    switch (type) {
    case 'i':
    case 'U':
        return 1;
    case 'I':
        return 2;
    case 'l':
    case 'd':
        return 4;
    case 'L':
    case 'D':
        return 8;
    default:
        return 0;
    }
}

static tapeout_status read_type(reader *r, uint8_t *ret_type)
{
    do { // 'N' is no operation
        *ret_type = tp_cursor_u8(&r->cursor);
    } while (*ret_type == 'N');
    return tp_cursor_check(&r->cursor, "UBJSON", r->err);
}

static tapeout_status read_number(reader *r, uint8_t type, double *ret_number)
{
    const tp_str bytes = tp_cursor_bytes(&r->cursor, number_size(type));
    if (bytes.data == NULL) {
        return tp_cursor_check(&r->cursor, "UBJSON", r->err);
    }
    const tp_document_value one = {.type = (char)type, .run = bytes.data};
    *ret_number = tp_document_number(&one, 0);
    return TAPEOUT_OK;
}

// A length or count: a whole number with its type in front, of things of `item_size` bytes at
// least.
static tapeout_status read_count(reader *r, size_t item_size, uint32_t *ret_count)
{
    uint8_t type = 0;
    double count = 0;
    TP_TRY(read_type(r, &type));
    if (number_size(type) == 0 || type == 'd' || type == 'D') {
        return corrupt(r, "a length that is no whole number");
    }
    TP_TRY(read_number(r, type, &count));
    const double most = (double)(tp_cursor_left(&r->cursor) / item_size);
    if (!(count >= 0 && count <= most && count <= UINT32_MAX)) {
        return corrupt(r, "a length that exceeds the file, or is below 0,");
    }
    *ret_count = (uint32_t)count;
    return TAPEOUT_OK;
}

static tapeout_status read_text(reader *r, tp_str *ret_text)
{
    uint32_t size = 0;
    TP_TRY(read_count(r, 1, &size));
    *ret_text = tp_cursor_bytes(&r->cursor, size);
    return tp_utf8_check(*ret_text, NULL) ? TAPEOUT_OK : corrupt(r, "a text that is not UTF-8");
}

static tapeout_status read_value(reader *r, uint8_t type, uint32_t depth, tp_document_value *to);

// The next item or member in the chain that `link` ends.
static tapeout_status add_item(reader *r, tp_document_value ***link, tp_document_value **ret_item)
{
    tp_document_value *item = tp_arena_alloc(r->arena, sizeof(*item));
    if (item == NULL) {
        return tp_arena_check(r->arena, "UBJSON", r->err);
    }
    **link = item;
    *link = &item->next;
    *ret_item = item;
    return TAPEOUT_OK;
}

// A chain of numbers becomes a run of them.
static tapeout_status pack_numbers(reader *r, tp_document_value *list)
{
    bool all = list->count > 0;
    for (const tp_document_value *item = list->first; all && item != NULL; item = item->next) {
        all = item->kind == TP_DOCUMENT_NUMBER;
    }
    if (!all) {
        return TAPEOUT_OK;
    }
    double *run = tp_arena_array(r->arena, list->count, sizeof(*run));
    if (run == NULL) {
        return tp_arena_check(r->arena, "UBJSON", r->err);
    }
    size_t used = 0;
    for (const tp_document_value *item = list->first; item != NULL; item = item->next) {
        run[used++] = item->number;
    }
    list->kind = TP_DOCUMENT_NUMBERS;
    list->type = 'h';
    list->run = run;
    list->first = NULL;
    return TAPEOUT_OK;
}

static tapeout_status read_run(reader *r, uint8_t type, tp_document_value *to)
{
    if (number_size(type) == 0) {
        return corrupt(r, "a list of items of one type that is no number's");
    }
    if (tp_cursor_u8(&r->cursor) != '#') {
        return corrupt(r, "a list with a type but no length");
    }
    TP_TRY(read_count(r, number_size(type), &to->count));
    to->kind = TP_DOCUMENT_NUMBERS;
    to->type = (char)type;
    to->run = tp_cursor_array(&r->cursor, to->count, number_size(type));
    return tp_cursor_check(&r->cursor, "UBJSON", r->err);
}

static tapeout_status read_list(reader *r, uint32_t depth, tp_document_value *to)
{
    uint8_t type = 0;
    uint32_t count = UINT32_MAX;
    tp_document_value **link = &to->first;
    TP_TRY(read_type(r, &type));
    if (type == '$') {
        TP_TRY(read_type(r, &type));
        return read_run(r, type, to);
    }
    const bool is_counted = type == '#';
    to->kind = TP_DOCUMENT_LIST;
    if (is_counted) {
        TP_TRY(read_count(r, 1, &count));
    }
    while (to->count < count) {
        tp_document_value *item = NULL;
        if (is_counted) {
            TP_TRY(read_type(r, &type));
        } else if (type == ']') {
            break;
        }
        TP_TRY(add_item(r, &link, &item));
        TP_TRY(read_value(r, type, depth + 1, item));
        to->count++;
        if (!is_counted) {
            TP_TRY(read_type(r, &type));
        }
    }
    return pack_numbers(r, to);
}

static tapeout_status read_object(reader *r, uint32_t depth, tp_document_value *to)
{
    uint32_t count = UINT32_MAX;
    tp_document_value **link = &to->first;
    to->kind = TP_DOCUMENT_OBJECT;
    uint8_t type = tp_cursor_u8(&r->cursor);
    if (type == '$') {
        return corrupt(r, "an object of members of one type");
    }
    const bool is_counted = type == '#';
    if (is_counted) {
        TP_TRY(read_count(r, 3, &count));
    } else {
        r->cursor.position -= r->cursor.failed ? 0 : 1;
    }
    while (to->count < count) {
        tp_document_value *member = NULL;
        if (!is_counted && tp_cursor_has(&r->cursor, 1) &&
            r->cursor.data[r->cursor.position] == '}') {
            (void)tp_cursor_u8(&r->cursor);
            break;
        }
        TP_TRY(add_item(r, &link, &member));
        TP_TRY(read_text(r, &member->key));
        TP_TRY(read_type(r, &type));
        TP_TRY(read_value(r, type, depth + 1, member));
        to->count++;
    }
    return TAPEOUT_OK;
}

static tapeout_status read_value(reader *r, uint8_t type, uint32_t depth, tp_document_value *to)
{
    if (depth > TP_MAX_DOCUMENT_DEPTH) {
        return corrupt(r, "too many levels of lists and objects");
    }
    switch (type) {
    case '{':
        return read_object(r, depth, to);
    case '[':
        return read_list(r, depth, to);
    case 'S':
        to->kind = TP_DOCUMENT_TEXT;
        return read_text(r, &to->text);
    case 'T':
    case 'F':
        to->kind = TP_DOCUMENT_BOOL;
        to->number = type == 'T';
        return TAPEOUT_OK;
    case 'Z':
        return TAPEOUT_OK;
    default:
        to->kind = TP_DOCUMENT_NUMBER;
        return number_size(type) > 0 ? read_number(r, type, &to->number)
                                     : corrupt(r, "an unknown type");
    }
}

tapeout_status tp_document_from_ubjson(const tp_env *env, tp_str bytes, tp_document *ret_document,
                                       tapeout_error *err)
{
    tp_document document = {.json = NULL};
    reader r = {.arena = &document.arena, .err = err};
    uint8_t type = 0;
    tp_arena_init(&document.arena, env->alloc, TP_DOCUMENT_ARENA_BYTES(bytes.size));
    tp_cursor_init(&r.cursor, bytes.data, bytes.size);
    document.root = tp_arena_alloc(&document.arena, sizeof(*document.root));
    tapeout_status status = document.root == NULL ? tp_fail_nomem(err) : read_type(&r, &type);
    if (status == TAPEOUT_OK) {
        status = read_value(&r, type, 0, document.root);
    }
    if (status == TAPEOUT_OK && tp_cursor_left(&r.cursor) > 0) {
        status = corrupt(&r, "bytes behind the end");
    }
    if (status != TAPEOUT_OK) {
        tp_document_deinit(&document);
        return status;
    }
    *ret_document = document;
    return TAPEOUT_OK;
}
