// SPDX-License-Identifier: Apache-2.0
//
// One pass with a stack of names. The text of the innermost open element is gathered in one buffer,
// which a child's beginning empties: of an element that has others in it, nobody asks for the text.
#include "registry/s3_xml.h"

#include "base/limits.h"
#include "base/tp_cursor.h"
#include "base/tp_error.h"
#include "base/tp_hex.h"

#include <string.h>

enum { NAME_BYTES = 64, ENTITY_BYTES = 10 };

typedef struct reading {
    tp_cursor in;
    s3_xml_take *take;
    void *user;
    tp_str open[TP_MAX_S3_DEPTH]; // [depth] names
    uint32_t depth;
    bool is_leaf; // nothing was closed since the innermost was opened
    bool is_done; // the outermost was closed
    tp_buffer text;
} reading;

static tapeout_status fail(const reading *it, const char *what, tapeout_error *err)
{
    return tp_fail_at(err, TAPEOUT_E_CORRUPT, it->in.position, "S3's answer: %s at byte %zu", what,
                      it->in.position);
}

// The next byte, which stays; 0 at the end.
static char peek(const reading *it)
{
    return it->in.position < it->in.size ? (char)it->in.data[it->in.position] : '\0';
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(reading *it)
{
    while (is_space(peek(it))) {
        (void)tp_cursor_skip(&it->in, 1);
    }
}

static bool skip_byte(reading *it, char c)
{
    return peek(it) == c && tp_cursor_skip(&it->in, 1);
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == ':';
}

static tp_str read_name(reading *it)
{
    const size_t begin = it->in.position;
    while (is_name_byte(peek(it))) {
        (void)tp_cursor_skip(&it->in, 1);
    }
    return (tp_str){(const char *)it->in.data + begin, it->in.position - begin};
}

// -- text ----------------------------------------------------------------------------------------
static bool append_code(tp_buffer *text, uint32_t code)
{
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
        return false;
    }
    if (code < 0x80) {
        tp_buffer_append_char(text, (char)code);
        return true;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t marks[] = {0, 0xc0, 0xe0, 0xf0};
    tp_buffer_append_char(text, (char)(marks[more] | (code >> (6 * more))));
    for (int i = more - 1; i >= 0; i--) {
        tp_buffer_append_char(text, (char)(0x80 | ((code >> (6 * i)) & 0x3f)));
    }
    return true;
}

// "#65" or "#x41".
static bool append_number(tp_buffer *text, tp_str digits)
{
    const bool is_hex = digits.size > 1 && digits.data[1] == 'x';
    uint32_t code = 0;
    if (digits.size < (is_hex ? 3u : 2u)) {
        return false;
    }
    for (size_t i = is_hex ? 2 : 1; i < digits.size; i++) {
        const int value = tp_hex_digit(digits.data[i]);
        if (value < 0 || value > (is_hex ? 15 : 9)) {
            return false;
        }
        code = code * (is_hex ? 16 : 10) + (uint32_t)value; // 8 digits at most: it fits
    }
    return append_code(text, code);
}

static tapeout_status read_entity(reading *it, tapeout_error *err)
{
    static const struct {
        const char *name;
        char meaning;
    } known[] = {{"lt", '<'}, {"gt", '>'}, {"amp", '&'}, {"quot", '"'}, {"apos", '\''}};
    const size_t begin = ++it->in.position; // behind the '&'
    while (peek(it) != ';' && peek(it) != '\0' && it->in.position - begin < ENTITY_BYTES) {
        it->in.position++;
    }
    const tp_str name = {(const char *)it->in.data + begin, it->in.position - begin};
    if (!skip_byte(it, ';')) {
        return fail(it, "an entity without an end", err);
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (tp_str_equal(name, tp_str_from(known[i].name))) {
            tp_buffer_append_char(&it->text, known[i].meaning);
            return TAPEOUT_OK;
        }
    }
    return name.size > 0 && name.data[0] == '#' && append_number(&it->text, name)
               ? TAPEOUT_OK
               : fail(it, "an entity that is not XML's own", err);
}

// -- elements ------------------------------------------------------------------------------------
static tapeout_status close_element(reading *it, tapeout_error *err)
{
    it->depth--;
    const s3_xml_element element = {
        .parent = it->depth > 0 ? it->open[it->depth - 1] : (tp_str){"", 0},
        .name = it->open[it->depth],
        .text = it->is_leaf ? tp_buffer_view(&it->text) : (tp_str){"", 0},
        .depth = it->depth};
    TP_TRY(tp_buffer_check(&it->text, "S3's answer", err));
    TP_TRY(it->take(it->user, &element, err));
    it->is_leaf = false;
    it->is_done = it->depth == 0;
    tp_buffer_clear(&it->text);
    return TAPEOUT_OK;
}

// Passed over: S3 gives nothing there but the name of its schema.
static tapeout_status skip_attributes(reading *it, tapeout_error *err)
{
    for (skip_space(it); is_name_byte(peek(it)); skip_space(it)) {
        (void)read_name(it);
        skip_space(it);
        if (!skip_byte(it, '=')) {
            return fail(it, "an attribute without a value", err);
        }
        skip_space(it);
        const char quote = peek(it);
        if (quote != '"' && quote != '\'') {
            return fail(it, "an attribute without quotes", err);
        }
        (void)tp_cursor_skip(&it->in, 1);
        while (peek(it) != quote && peek(it) != '<' && peek(it) != '\0') {
            (void)tp_cursor_skip(&it->in, 1);
        }
        if (!skip_byte(it, quote)) {
            return fail(it, "an attribute without an end", err);
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status open_element(reading *it, tapeout_error *err)
{
    const tp_str name = read_name(it);
    if (name.size == 0 || name.size > NAME_BYTES || it->is_done) {
        return fail(it, "something that is no element", err);
    }
    if (it->depth == TP_MAX_S3_DEPTH) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "S3's answer: more than %u elements in each other",
                       TP_MAX_S3_DEPTH);
    }
    TP_TRY(skip_attributes(it, err));
    const bool is_empty = skip_byte(it, '/');
    if (!skip_byte(it, '>')) {
        return fail(it, "an element without an end", err);
    }
    it->open[it->depth++] = name;
    it->is_leaf = true;
    tp_buffer_clear(&it->text);
    return is_empty ? close_element(it, err) : TAPEOUT_OK;
}

static tapeout_status end_element(reading *it, tapeout_error *err)
{
    const tp_str name = read_name(it);
    skip_space(it);
    if (it->depth == 0 || !tp_str_equal(name, it->open[it->depth - 1]) || !skip_byte(it, '>')) {
        return fail(it, "the end of an element that is not open", err);
    }
    return close_element(it, err);
}

static tapeout_status read_content(reading *it, tapeout_error *err)
{
    const char c = peek(it);
    if (c == '<') {
        (void)tp_cursor_skip(&it->in, 1);
        return skip_byte(it, '/') ? end_element(it, err) : open_element(it, err);
    }
    if (it->depth == 0 && !is_space(c)) {
        return fail(it, "text beside the elements", err);
    }
    if (c == '&') {
        return read_entity(it, err);
    }
    if (c == '\0') {
        return fail(it, "a byte of zero", err);
    }
    if (it->depth > 0) {
        tp_buffer_append_char(&it->text, c);
    }
    (void)tp_cursor_skip(&it->in, 1);
    return TAPEOUT_OK;
}

// "<?xml …?>", where there is one.
static tapeout_status skip_first_line(reading *it, tapeout_error *err)
{
    static const char start[] = "<?xml ";
    if (!tp_cursor_has(&it->in, sizeof(start) - 1) ||
        memcmp(it->in.data, start, sizeof(start) - 1) != 0) {
        return TAPEOUT_OK;
    }
    (void)tp_cursor_skip(&it->in, sizeof(start) - 1);
    while (peek(it) != '?' && peek(it) != '<' && peek(it) != '\0') {
        (void)tp_cursor_skip(&it->in, 1);
    }
    return skip_byte(it, '?') && skip_byte(it, '>') ? TAPEOUT_OK
                                                    : fail(it, "a first line without an end", err);
}

tapeout_status tp_s3_xml_read(const tapeout_allocator *alloc, tp_str document, s3_xml_take *take,
                              void *user, tapeout_error *err)
{
    reading it = {.take = take, .user = user};
    tp_cursor_init(&it.in, document.data, document.size);
    tp_buffer_init(&it.text, alloc, TP_MAX_S3_ANSWER_BYTES);
    tapeout_status status = skip_first_line(&it, err);
    while (status == TAPEOUT_OK && tp_cursor_left(&it.in) > 0) {
        status = read_content(&it, err);
    }
    if (status == TAPEOUT_OK && !it.is_done) {
        status = fail(&it, "the end comes too early", err);
    }
    tp_buffer_deinit(&it.text);
    return status;
}
