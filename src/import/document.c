// SPDX-License-Identifier: Apache-2.0
//
// The document as its readers see it, and the way there from JSON, which yyjson parses.
#include "import/document_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <string.h>

void tp_document_deinit(tp_document *document)
{
    yyjson_doc_free(document->json);
    tp_arena_deinit(&document->arena);
    *document = (tp_document){.json = NULL};
}

const tp_document_value *tp_document_get(const tp_document_value *value, const char *key)
{
    if (value == NULL || value->kind != TP_DOCUMENT_OBJECT) {
        return NULL;
    }
    const tp_document_value *member = value->first;
    while (member != NULL && !tp_str_equal(member->key, tp_str_from(key))) {
        member = member->next;
    }
    return member;
}

tp_str tp_document_get_text(const tp_document_value *value, const char *key)
{
    const tp_document_value *member = tp_document_get(value, key);
    const bool is_text = member != NULL && member->kind == TP_DOCUMENT_TEXT;
    return is_text ? member->text : (tp_str){NULL, 0};
}

bool tp_document_is_numbers(const tp_document_value *value)
{
    return value != NULL && (value->kind == TP_DOCUMENT_NUMBERS ||
                             (value->kind == TP_DOCUMENT_LIST && value->count == 0));
}

// `size` bytes, the most significant first.
static uint64_t load(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

double tp_document_number(const tp_document_value *value, uint32_t index)
{
    const uint8_t *bytes = value->run;
    const size_t at = index;
    float narrow = 0;
    double wide = 0;
    uint64_t bits = 0;
    switch (value->type) {
    case 'j':
        return yyjson_get_num((yyjson_val *)(uintptr_t)value->run + at);
    case 'h':
        return ((const double *)value->run)[at];
    case 'i':
        return (double)(int8_t)bytes[at];
    case 'U':
        return (double)bytes[at];
    case 'I':
        return (double)(int16_t)load(bytes + 2 * at, 2);
    case 'l':
        return (double)(int32_t)load(bytes + 4 * at, 4);
    case 'L':
        return (double)(int64_t)load(bytes + 8 * at, 8);
    case 'd':
        bits = load(bytes + 4 * at, 4);
        memcpy(&narrow, &(uint32_t){(uint32_t)bits}, sizeof(narrow));
        return (double)narrow;
    default: // 'D'
        bits = load(bytes + 8 * at, 8);
        memcpy(&wide, &bits, sizeof(wide));
        return wide;
    }
}

// -- from JSON -----------------------------------------------------------------------------------

static tapeout_status convert(tp_arena *arena, yyjson_val *from, uint32_t depth,
                              tp_document_value *to, tapeout_error *err);

static bool are_numbers(yyjson_val *list)
{
    size_t index = 0;
    size_t count = 0;
    yyjson_val *item = NULL;
    yyjson_arr_foreach(list, index, count, item)
    {
        if (!yyjson_is_num(item)) {
            return false;
        }
    }
    return yyjson_arr_size(list) > 0;
}

static tapeout_status convert_items(tp_arena *arena, yyjson_val *from, uint32_t depth,
                                    tp_document_value *to, tapeout_error *err)
{
    const bool is_object = yyjson_is_obj(from);
    yyjson_arr_iter items = yyjson_arr_iter_with(from);
    yyjson_obj_iter members = yyjson_obj_iter_with(from);
    tp_document_value **link = &to->first;
    for (;;) {
        yyjson_val *key = is_object ? yyjson_obj_iter_next(&members) : NULL;
        yyjson_val *item = is_object ? yyjson_obj_iter_get_val(key) : yyjson_arr_iter_next(&items);
        if (item == NULL) {
            return TAPEOUT_OK;
        }
        *link = tp_arena_alloc(arena, sizeof(**link));
        if (*link == NULL) {
            return tp_arena_check(arena, "document", err);
        }
        (*link)->key = tp_json_str(key);
        TP_TRY(convert(arena, item, depth + 1, *link, err));
        link = &(*link)->next;
    }
}

static tapeout_status convert(tp_arena *arena, yyjson_val *from, uint32_t depth,
                              tp_document_value *to, tapeout_error *err)
{
    if (depth > TP_MAX_DOCUMENT_DEPTH) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "document: more than %u levels",
                       TP_MAX_DOCUMENT_DEPTH);
    }
    if (yyjson_is_bool(from) || yyjson_is_num(from)) {
        to->kind = yyjson_is_num(from) ? TP_DOCUMENT_NUMBER : TP_DOCUMENT_BOOL;
        to->number = yyjson_is_num(from) ? yyjson_get_num(from) : (double)yyjson_get_bool(from);
    } else if (yyjson_is_str(from)) {
        to->kind = TP_DOCUMENT_TEXT;
        to->text = tp_json_str(from);
    } else if (yyjson_is_ctn(from)) {
        const size_t count = yyjson_get_len(from);
        if (count > UINT32_MAX) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "document: a list of %zu items", count);
        }
        to->kind = yyjson_is_obj(from) ? TP_DOCUMENT_OBJECT : TP_DOCUMENT_LIST;
        to->count = (uint32_t)count;
        if (yyjson_is_arr(from) && are_numbers(from)) {
            to->kind = TP_DOCUMENT_NUMBERS;
            to->type = 'j';
            to->run = yyjson_arr_get_first(from); // numbers follow each other
            return TAPEOUT_OK;
        }
        return convert_items(arena, from, depth, to, err);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_document_from_json(const tp_env *env, tp_str bytes, tp_document *ret_document,
                                     tapeout_error *err)
{
    tp_document document = {.json = NULL};
    tp_arena_init(&document.arena, env->alloc, TP_DOCUMENT_ARENA_BYTES(bytes.size));
    tapeout_status status = tp_json_parse(env->alloc, bytes, "JSON", &document.json, err);
    if (status == TAPEOUT_OK) {
        document.root = tp_arena_alloc(&document.arena, sizeof(*document.root));
        status = document.root == NULL
                     ? tp_fail_nomem(err)
                     : convert(&document.arena, yyjson_doc_get_root(document.json), 0,
                               document.root, err);
    }
    if (status != TAPEOUT_OK) {
        tp_document_deinit(&document);
        return status;
    }
    *ret_document = document;
    return TAPEOUT_OK;
}
