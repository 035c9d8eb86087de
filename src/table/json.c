// SPDX-License-Identifier: Apache-2.0
//
// The bridge to yyjson, and JSON text by appending. yyjson frees blocks without saying how large
// they were, while our allocators want the size back: each block carries its size in a header of 16
// bytes, which keeps the alignment.
#include "table/tp_json.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/tp_value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_HEADER_SIZE = 16 };

static void *json_alloc(void *user, size_t size)
{
    const tapeout_allocator *alloc = user;
    if (size > SIZE_MAX - BLOCK_HEADER_SIZE) {
        return NULL;
    }
    char *block = tp_alloc(alloc, size + BLOCK_HEADER_SIZE);
    if (block == NULL) {
        return NULL;
    }
    memcpy(block, &size, sizeof(size));
    return block + BLOCK_HEADER_SIZE;
}

static void json_free(void *user, void *pointer)
{
    if (pointer == NULL) {
        return;
    }
    char *block = (char *)pointer - BLOCK_HEADER_SIZE;
    size_t size = 0;
    memcpy(&size, block, sizeof(size));
    tp_free(user, block, size + BLOCK_HEADER_SIZE);
}

static void *json_resize(void *user, void *pointer, size_t old_size, size_t size)
{
    void *block = json_alloc(user, size);
    if (block == NULL) {
        return NULL;
    }
    memcpy(block, pointer, old_size < size ? old_size : size);
    json_free(user, pointer);
    return block;
}

yyjson_alc tp_json_allocator(const tapeout_allocator *alloc)
{
    // yyjson passes its context on unchanged; the cast drops a const that the callbacks restore.
    return (yyjson_alc){json_alloc, json_resize, json_free, (void *)(uintptr_t)alloc};
}

static bool key_repeats(yyjson_val *object, yyjson_val *key)
{
    yyjson_obj_iter iter = yyjson_obj_iter_with(object);
    for (yyjson_val *other = yyjson_obj_iter_next(&iter); other != NULL && other != key;
         other = yyjson_obj_iter_next(&iter)) {
        if (yyjson_get_len(other) == yyjson_get_len(key) &&
            memcmp(yyjson_get_str(other), yyjson_get_str(key), yyjson_get_len(key)) == 0) {
            return true;
        }
    }
    return false;
}

static int compare_keys(const void *a, const void *b)
{
    const tp_str *left = a;
    const tp_str *right = b;
    return tp_str_compare(*left, *right);
}

// Sorting finds a repeat among many keys; a few are compared one by one.
static tapeout_status check_object(const tapeout_allocator *alloc, yyjson_val *object,
                                   const char *what, tapeout_error *err)
{
    const size_t count = yyjson_obj_size(object);
    tp_str *names = count > 16 ? tp_alloc_array(alloc, count, sizeof(*names)) : NULL;
    if (count > 16 && names == NULL) {
        return tp_fail_nomem(err);
    }
    tp_str repeated = {NULL, 0};
    yyjson_obj_iter iter = yyjson_obj_iter_with(object);
    size_t filled = 0;
    for (yyjson_val *key = yyjson_obj_iter_next(&iter); key != NULL;
         key = yyjson_obj_iter_next(&iter)) {
        if (names != NULL) {
            names[filled++] = tp_json_str(key);
        } else if (key_repeats(object, key)) {
            repeated = tp_json_str(key);
        }
    }
    if (names != NULL) {
        qsort(names, count, sizeof(*names), compare_keys);
        for (size_t i = 1; i < count; i++) {
            repeated = tp_str_equal(names[i - 1], names[i]) ? names[i] : repeated;
        }
    }
    tapeout_status status = TAPEOUT_OK;
    if (repeated.data != NULL) {
        status = tp_fail(err, TAPEOUT_E_CORRUPT, "%s: key \"%.*s\" stands twice in one object",
                         what, TP_STR_ARGS(repeated));
    }
    tp_free_array(alloc, names, count, sizeof(*names));
    return status;
}

// Depth is counted over the text's own nesting: yyjson stores values in document order, and a
// container's extent follows from where the next value begins.
static tapeout_status check_values(const tapeout_allocator *alloc, yyjson_doc *doc,
                                   const char *what, tapeout_error *err)
{
    yyjson_val *ends[TP_MAX_JSON_DEPTH];
    size_t depth = 0;
    yyjson_val *value = yyjson_doc_get_root(doc);
    const size_t count = yyjson_doc_get_val_count(doc);
    for (size_t i = 0; i < count; i++, value++) {
        while (depth > 0 && value >= ends[depth - 1]) {
            depth--;
        }
        if (!yyjson_is_ctn(value)) {
            continue;
        }
        if (depth == TP_MAX_JSON_DEPTH) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "%s: nested deeper than %d levels", what,
                           TP_MAX_JSON_DEPTH);
        }
        ends[depth++] = unsafe_yyjson_get_next(value);
        if (yyjson_is_obj(value)) {
            TP_TRY(check_object(alloc, value, what, err));
        }
    }
    return TAPEOUT_OK;
}

tapeout_status tp_json_parse(const tapeout_allocator *alloc, tp_str text, const char *what,
                             yyjson_doc **ret_doc, tapeout_error *err)
{
    const yyjson_alc json_alc = tp_json_allocator(alloc);
    yyjson_read_err read_err = {0};
    // Without YYJSON_READ_INSITU yyjson copies and never writes to its input.
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)text.data, text.size, YYJSON_READ_NOFLAG,
                                       &json_alc, &read_err);
    if (doc == NULL && read_err.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION) {
        return tp_fail_nomem(err);
    }
    if (doc == NULL) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, read_err.pos, "%s: not JSON at byte %zu: %s",
                          what, read_err.pos, read_err.msg);
    }
    const tapeout_status status = check_values(alloc, doc, what, err);
    if (status != TAPEOUT_OK) {
        yyjson_doc_free(doc);
        return status;
    }
    *ret_doc = doc;
    return TAPEOUT_OK;
}

tp_str tp_json_str(yyjson_val *value)
{
    const char *data = yyjson_get_str(value);
    return (tp_str){data, data == NULL ? 0 : yyjson_get_len(value)};
}

tp_str tp_json_get_str(yyjson_val *object, const char *key)
{
    return tp_json_str(yyjson_obj_get(object, key));
}

void tp_json_append_str(tp_buffer *buffer, tp_str text)
{
    static const char hex[] = "0123456789abcdef";
    tp_buffer_append_char(buffer, '"');
    size_t begin = 0;
    for (size_t i = 0; i < text.size; i++) {
        const unsigned char c = (unsigned char)text.data[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        tp_buffer_append(buffer, text.data + begin, i - begin);
        begin = i + 1;
        const char *const short_form = c == '"'    ? "\\\""
                                       : c == '\\' ? "\\\\"
                                       : c == '\n' ? "\\n"
                                       : c == '\t' ? "\\t"
                                       : c == '\r' ? "\\r"
                                                   : NULL;
        if (short_form != NULL) {
            tp_buffer_append(buffer, short_form, 2);
        } else {
            const char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            tp_buffer_append(buffer, escape, sizeof(escape));
        }
    }
    if (begin < text.size) { // an empty text may be NULL, which has no offsets
        tp_buffer_append(buffer, text.data + begin, text.size - begin);
    }
    tp_buffer_append_char(buffer, '"');
}

void tp_json_append_f64(tp_buffer *buffer, double value)
{
    if (!isfinite(value)) {
        tp_buffer_append(buffer, "null", 4);
        return;
    }
    char text[TP_VALUE_TEXT_SIZE];
    tp_buffer_append(buffer, text, tp_print_f64(value, text));
}

void tp_json_append_i64(tp_buffer *buffer, int64_t value)
{
    char text[TP_VALUE_TEXT_SIZE];
    tp_buffer_append(buffer, text, tp_print_i64(value, text));
}

void tp_json_append_u64(tp_buffer *buffer, uint64_t value)
{
    tp_buffer_printf(buffer, "%llu", (unsigned long long)value);
}

void tp_json_append_key_str(tp_buffer *buffer, tp_str key)
{
    if (buffer->size > 0 && buffer->data[buffer->size - 1] != '{') {
        tp_buffer_append_char(buffer, ',');
    }
    tp_json_append_str(buffer, key);
    tp_buffer_append_char(buffer, ':');
}

void tp_json_append_key(tp_buffer *buffer, const char *key)
{
    tp_json_append_key_str(buffer, tp_str_from(key));
}

void tp_json_put_str(tp_buffer *buffer, const char *key, tp_str text)
{
    tp_json_append_key(buffer, key);
    tp_json_append_str(buffer, text);
}

void tp_json_put_i64(tp_buffer *buffer, const char *key, int64_t value)
{
    tp_json_append_key(buffer, key);
    tp_json_append_i64(buffer, value);
}

void tp_json_put_u64(tp_buffer *buffer, const char *key, uint64_t value)
{
    tp_json_append_key(buffer, key);
    tp_json_append_u64(buffer, value);
}

void tp_json_put_json(tp_buffer *buffer, const char *key, tp_str json)
{
    tp_json_append_key(buffer, key);
    tp_buffer_append_str(buffer, json);
}

void tp_json_append_value(tp_buffer *buffer, yyjson_val *value)
{
    const yyjson_alc alc = tp_json_allocator(buffer->alloc);
    size_t size = 0;
    char *text = yyjson_val_write_opts(value, YYJSON_WRITE_NOFLAG, &alc, &size, NULL);
    if (text == NULL) {
        // Values are parsed ones, so nothing but memory can be lacking.
        buffer->status = buffer->status == TAPEOUT_OK ? TAPEOUT_E_NOMEM : buffer->status;
        return;
    }
    tp_buffer_append(buffer, text, size);
    alc.free(alc.ctx, text);
}

tapeout_status tp_json_parse_own(const tapeout_allocator *alloc, tp_str text, yyjson_doc **ret_doc)
{
    const yyjson_alc alc = tp_json_allocator(alloc);
    // Without the in-situ flag the text is only read.
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)text.data, text.size, 0, &alc, NULL);
    if (doc == NULL) {
        return TAPEOUT_E_NOMEM;
    }
    *ret_doc = doc;
    return TAPEOUT_OK;
}
