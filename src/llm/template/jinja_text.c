// SPDX-License-Identifier: Apache-2.0
//
// Text and its marks: building, cutting, counting characters. Every operation on strings goes
// through the few functions here, so that a byte which came from a request never loses its mark.
// Marks are bytes beside the text, none where the whole text is of one kind.
#include "llm/template/jinja_priv.h"

#include "base/limits.h"

#include <string.h>

void tp_jinja_out_init(tp_jinja_out *out, tp_arena *arena)
{
    *out = (tp_jinja_out){.arena = arena, .max_size = TP_MAX_TEMPLATE_OUTPUT_BYTES};
}

// Room for `size` more bytes. A buffer that is outgrown stays in the arena: together they are at
// most as large again as the last.
static bool reserve(tp_jinja_out *out, size_t size)
{
    if (out->has_failed || size > out->max_size - out->size) {
        out->is_full = out->is_full || !out->has_failed;
        out->has_failed = true;
        return false;
    }
    if (size <= out->capacity - out->size) {
        return true;
    }
    size_t capacity = out->capacity == 0 ? 64 : out->capacity * 2;
    capacity = capacity < out->size + size ? out->size + size : capacity;
    char *data = tp_arena_alloc(out->arena, capacity);
    uint8_t *marks = data != NULL ? tp_arena_alloc(out->arena, capacity) : NULL;
    if (marks == NULL) {
        out->has_failed = true;
        return false;
    }
    if (out->size > 0) {
        memcpy(data, out->data, out->size);
        memcpy(marks, out->marks, out->size);
    }
    out->data = data;
    out->marks = marks;
    out->capacity = capacity;
    return true;
}

void tp_jinja_put(tp_jinja_out *out, tp_str bytes, bool is_untrusted)
{
    if (bytes.size > 0 && reserve(out, bytes.size)) {
        memcpy(out->data + out->size, bytes.data, bytes.size);
        memset(out->marks + out->size, is_untrusted, bytes.size);
        out->size += bytes.size;
    }
}

void tp_jinja_put_part(tp_jinja_out *out, const tp_jinja_text *text, size_t begin, size_t end)
{
    const size_t size = end > begin ? end - begin : 0;
    if (size == 0 || !reserve(out, size)) {
        return;
    }
    memcpy(out->data + out->size, text->data + begin, size);
    if (text->marks != NULL) {
        memcpy(out->marks + out->size, text->marks + begin, size);
    } else {
        memset(out->marks + out->size, text->is_untrusted, size);
    }
    out->size += size;
}

void tp_jinja_put_text(tp_jinja_out *out, const tp_jinja_text *text)
{
    tp_jinja_put_part(out, text, 0, text->size);
}

bool tp_jinja_text_marked(const tp_jinja_text *text, size_t at)
{
    return text->marks != NULL && at < text->size ? text->marks[at] != 0 : text->is_untrusted;
}

void tp_jinja_put_like(tp_jinja_out *out, const tp_jinja_text *text, size_t at, tp_str bytes)
{
    tp_jinja_put(out, bytes, tp_jinja_text_marked(text, at));
}

static tapeout_status new_text(tp_jinja_run *run, tp_jinja_text text, tp_jinja_value *ret)
{
    tp_jinja_text *made = tp_arena_alloc(run->arena, sizeof(*made));
    if (made == NULL) {
        return tp_jinja_fail_memory(run);
    }
    *made = text;
    made->length = tp_jinja_char_count((tp_str){text.data, text.size});
    *ret = (tp_jinja_value){.kind = TP_JINJA_TEXT, .text = made};
    return TAPEOUT_OK;
}

// Marks that are all alike are none.
static void settle_marks(tp_jinja_text *text)
{
    if (text->marks == NULL) {
        return;
    }
    const bool first = text->size > 0 && text->marks[0] != 0;
    const bool other = text->size > 0 && memchr(text->marks, !first, text->size) != NULL;
    text->is_untrusted = first || other;
    if (!other) {
        text->marks = NULL;
    }
}

tapeout_status tp_jinja_take(tp_jinja_run *run, tp_jinja_out *out, tp_jinja_value *ret)
{
    if (out->is_full) {
        return tp_jinja_fail_limit(run, "a text of more than %u bytes",
                                   TP_MAX_TEMPLATE_OUTPUT_BYTES);
    }
    if (out->has_failed) {
        return tp_jinja_fail_memory(run);
    }
    TP_TRY(tp_jinja_spend(run, out->size / 16));
    tp_jinja_text text = {
        .data = out->data != NULL ? out->data : "", .size = out->size, .marks = out->marks};
    settle_marks(&text);
    return new_text(run, text, ret);
}

tapeout_status tp_jinja_text_view(tp_jinja_run *run, tp_str bytes, bool is_untrusted,
                                  tp_jinja_value *ret)
{
    return new_text(
        run, (tp_jinja_text){.data = bytes.data, .size = bytes.size, .is_untrusted = is_untrusted},
        ret);
}

tapeout_status tp_jinja_text_part(tp_jinja_run *run, const tp_jinja_text *text, size_t begin,
                                  size_t end, tp_jinja_value *ret)
{
    TP_TRY(tp_jinja_spend(run, (end - begin) / 64));
    tp_jinja_text part = {.data = text->data + begin,
                          .size = end - begin,
                          .marks = text->marks != NULL ? text->marks + begin : NULL,
                          .is_untrusted = text->is_untrusted};
    settle_marks(&part);
    return new_text(run, part, ret);
}

bool tp_jinja_text_init(tp_arena *arena, tp_str bytes, bool is_untrusted, tp_jinja_value *ret)
{
    tp_jinja_text *text = tp_arena_alloc(arena, sizeof(*text));
    if (text != NULL) {
        *text = (tp_jinja_text){.data = bytes.data != NULL ? bytes.data : "",
                                .size = bytes.size,
                                .length = tp_jinja_char_count(bytes),
                                .is_untrusted = is_untrusted};
        *ret = (tp_jinja_value){.kind = TP_JINJA_TEXT, .text = text};
    }
    return text != NULL;
}

tp_str tp_jinja_bytes(const tp_jinja_value *value)
{
    return (tp_str){value->text->data, value->text->size};
}

uint32_t tp_jinja_char(tp_str text, size_t at, size_t *ret_size)
{
    const uint8_t *p = (const uint8_t *)text.data + at;
    const size_t left = text.size - at;
    const size_t size = p[0] < 0xc0 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    *ret_size = size > left ? left : size;
    if (size == 1 || size > left) {
        return p[0];
    }
    uint32_t code = p[0] & (0xffu >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        code = code << 6 | (p[i] & 0x3fu);
    }
    return code;
}

size_t tp_jinja_char_before(tp_str text, size_t end)
{
    size_t at = end - 1;
    while (at > 0 && end - at < 4 && ((uint8_t)text.data[at] & 0xc0) == 0x80) {
        at--;
    }
    return at;
}

size_t tp_jinja_char_count(tp_str text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++) {
        count += ((uint8_t)text.data[i] & 0xc0) != 0x80;
    }
    return count;
}

size_t tp_jinja_char_offset(const tp_jinja_text *text, size_t index)
{
    if (text->length == text->size || index >= text->length) {
        return index >= text->length ? text->size : index;
    }
    size_t at = 0;
    for (size_t seen = 0; at < text->size; at++) {
        seen += ((uint8_t)text->data[at] & 0xc0) != 0x80;
        if (seen > index) {
            break;
        }
    }
    return at;
}

size_t tp_jinja_char_put(char *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    const size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    out[0] = (char)(0xf00u >> size | code); // 0xc0, 0xe0, 0xf0 in the low byte
    return size;
}

bool tp_jinja_is_space(uint32_t code)
{
    return (code >= 9 && code <= 13) || (code >= 28 && code <= 32) || code == 0x85 ||
           code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
           code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

size_t tp_jinja_find_bytes(tp_str text, tp_str part, size_t from)
{
    if (from > text.size || part.size > text.size - from) {
        return SIZE_MAX;
    }
    const char *found = part.size == 0
                            ? text.data + from
                            : memmem(text.data + from, text.size - from, part.data, part.size);
    return found != NULL ? (size_t)(found - text.data) : SIZE_MAX;
}
