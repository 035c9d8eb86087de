// SPDX-License-Identifier: Apache-2.0
//
// The lexer of chat templates: text outside tags becomes data, what is inside becomes tokens, and
// comments vanish. White space around tags is settled here as transformers renders (trim_blocks and
// lstrip_blocks on): a newline behind a block or comment goes, blanks before one at the start of a
// line go, "-" inside a tag eats all white space on its side, "+" keeps it. Line ends become "\n",
// one at the very end goes.
#include "llm/template/jinja_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_hex.h"
#include "table/tp_value.h"

#include <string.h>

typedef struct lexer {
    tp_arena *arena;
    tp_str source; // line ends settled
    size_t position;
    size_t counted; // how far `place` has come
    tp_jinja_place place;
    bool line_starting; // nothing but a line end before the position
    uint32_t depth;     // of open brackets within a tag
    tp_jinja_tokens *tokens;
    tapeout_error *err;
} lexer;

static char peek(const lexer *lex, size_t ahead)
{
    const size_t at = lex->position + ahead;
    return at < lex->source.size && at >= lex->position ? lex->source.data[at] : '\0';
}

static bool at_text(const lexer *lex, const char *text)
{
    const size_t size = strlen(text);
    return lex->source.size - lex->position >= size &&
           memcmp(lex->source.data + lex->position, text, size) == 0;
}

// Line and column of byte `position`; asked for in ascending order.
static tp_jinja_place place_at(lexer *lex, size_t position)
{
    for (; lex->counted < position; lex->counted++) {
        const char c = lex->source.data[lex->counted];
        if (c == '\n') {
            lex->place.line++;
            lex->place.column = 1;
        } else if (((unsigned char)c & 0xc0) != 0x80) {
            lex->place.column++;
        }
    }
    return lex->place;
}

static tapeout_status emit(lexer *lex, tp_jinja_token token)
{
    tp_jinja_tokens *tokens = lex->tokens;
    if (tokens->count == tokens->capacity) {
        const size_t capacity = tokens->capacity == 0 ? 256 : tokens->capacity * 2;
        tp_jinja_token *items = tp_arena_array(lex->arena, capacity, sizeof(*items));
        if (items == NULL) {
            return tp_arena_check(lex->arena, "chat template", lex->err);
        }
        if (tokens->count > 0) {
            memcpy(items, tokens->items, tokens->count * sizeof(*items));
        }
        tokens->items = items;
        tokens->capacity = capacity;
    }
    tokens->items[tokens->count++] = token;
    return TAPEOUT_OK;
}

// "\r\n" and "\r" to "\n", and without one at the end.
static tapeout_status settle_line_ends(lexer *lex, tp_str source)
{
    char *text = tp_arena_alloc(lex->arena, source.size + 1);
    if (text == NULL) {
        return tp_arena_check(lex->arena, "chat template", lex->err);
    }
    size_t size = 0;
    for (size_t i = 0; i < source.size; i++) {
        const char c = source.data[i];
        text[size++] = c == '\r' ? '\n' : c;
        if (c == '\r' && i + 1 < source.size && source.data[i + 1] == '\n') {
            i++;
        }
    }
    if (size > 0 && text[size - 1] == '\n') {
        size--;
    }
    lex->source = (tp_str){text, size};
    return TAPEOUT_OK;
}

static void skip_space(lexer *lex)
{
    size_t size;
    while (lex->position < lex->source.size &&
           tp_jinja_is_space(tp_jinja_char(lex->source, lex->position, &size))) {
        lex->position += size;
    }
}

static size_t strip_right(tp_str source, size_t begin, size_t end)
{
    while (end > begin) {
        const size_t before = tp_jinja_char_before(source, end);
        size_t size;
        if (before < begin || !tp_jinja_is_space(tp_jinja_char(source, before, &size))) {
            break;
        }
        end = before;
    }
    return end;
}

// Data from `begin` up to a tag at `end` that opens with `sign`.
static tapeout_status emit_data(lexer *lex, size_t begin, size_t end, char sign, bool strips_line)
{
    const tp_jinja_place place = place_at(lex, begin);
    if (sign == '-') {
        end = strip_right(lex->source, begin, end);
    } else if (sign != '+' && strips_line) {
        const size_t blank = strip_right(lex->source, begin, end);
        const char *last =
            blank < end ? memrchr(lex->source.data + blank, '\n', end - blank) : NULL;
        if (last != NULL) {
            end = (size_t)(last - lex->source.data) + 1;
        } else if ((blank == begin && lex->line_starting) ||
                   (blank > begin && lex->source.data[blank - 1] == '\n')) {
            end = blank;
        }
    }
    if (begin == end) {
        return TAPEOUT_OK;
    }
    return emit(lex, (tp_jinja_token){.kind = TP_JINJA_T_DATA,
                                      .place = place,
                                      .text = {lex->source.data + begin, end - begin}});
}

// Behind the end of a tag that may close with a sign: which white space goes with it. The position
// is at the sign or at `close`.
static bool skip_close(lexer *lex, const char *close, bool trims)
{
    const char sign = peek(lex, 0);
    const size_t signs = sign == '-' || (sign == '+' && trims) ? 1 : 0;
    lex->position += signs;
    if (!at_text(lex, close)) {
        lex->position -= signs;
        return false;
    }
    lex->position += 2;
    if (sign == '-') {
        skip_space(lex);
    } else if (sign != '+' && trims && peek(lex, 0) == '\n') {
        lex->position++;
    }
    lex->line_starting = lex->source.data[lex->position - 1] == '\n';
    return true;
}

static tapeout_status skip_comment(lexer *lex, tp_jinja_place place)
{
    for (; lex->position < lex->source.size; lex->position++) {
        const char c = peek(lex, 0);
        if ((c == '-' || c == '+' || c == '#') && skip_close(lex, "#}", true)) {
            return TAPEOUT_OK;
        }
    }
    return tp_jinja_fail_at(lex->err, TAPEOUT_E_CORRUPT, place,
                            "the comment that begins here has no end");
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c) ||
           ((unsigned char)c & 0x80) != 0;
}

// True, and behind it, where "{%" at the position opens `{% word %}`; `ret_sign` is the sign of its
// beginning. `trims`: a newline behind it goes too.
static bool skip_word_tag(lexer *lex, const char *word, bool trims, char *ret_sign)
{
    const size_t begin = lex->position;
    if (!at_text(lex, "{%")) {
        return false;
    }
    lex->position += 2;
    const char sign = peek(lex, 0);
    lex->position += sign == '-' || sign == '+' ? 1 : 0;
    skip_space(lex);
    if (at_text(lex, word)) {
        lex->position += strlen(word);
        skip_space(lex);
        const bool was_starting = lex->line_starting;
        if (skip_close(lex, "%}", trims)) {
            *ret_sign = sign;
            return true;
        }
        lex->line_starting = was_starting;
    }
    lex->position = begin;
    return false;
}

static tapeout_status lex_raw(lexer *lex, tp_jinja_place place)
{
    const size_t begin = lex->position;
    for (; lex->position < lex->source.size; lex->position++) {
        const size_t end = lex->position;
        const bool was_starting = lex->line_starting;
        char sign;
        if (peek(lex, 0) == '{' && skip_word_tag(lex, "endraw", true, &sign)) {
            const bool now_starting = lex->line_starting;
            lex->line_starting = was_starting;
            TP_TRY(emit_data(lex, begin, end, sign, true));
            lex->line_starting = now_starting;
            return TAPEOUT_OK;
        }
    }
    return tp_jinja_fail_at(lex->err, TAPEOUT_E_CORRUPT, place,
                            "the raw block that begins here has no endraw");
}

// \xNN, \uNNNN, \UNNNNNNNN at `at` behind the backslash; bytes read, or 0.
static size_t lex_code(tp_str text, size_t at, uint32_t *ret_code)
{
    const char c = text.data[at];
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0 || text.size - at <= digits) {
        return 0;
    }
    uint32_t code = 0;
    for (size_t i = 1; i <= digits; i++) {
        const int digit = tp_hex_digit(text.data[at + i]);
        if (digit < 0 || code > 0x10ffff) {
            return 0;
        }
        code = code << 4 | (uint32_t)digit;
    }
    *ret_code = code;
    return code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? 0 : digits + 1;
}

// What stands behind a backslash, as Python has it: an unknown escape keeps the backslash. Returns
// the bytes read, 0 for a broken one; at most as many as 4 bytes are written.
static size_t lex_escape(tp_str text, size_t at, char *out, size_t *ret_written)
{
    static const char plain[] = "\\'\"abfnrtv\n";
    static const char meant[] = "\\'\"\a\b\f\n\r\t\v";
    const char c = text.data[at];
    const char *found = c != '\0' ? strchr(plain, c) : NULL;
    if (found != NULL) {
        out[0] = meant[found - plain]; // a line end behind a backslash is nothing at all
        *ret_written = c == '\n' ? 0 : 1;
        return 1;
    }
    if (c >= '0' && c <= '7') {
        uint32_t code = 0;
        size_t digits = 0;
        while (digits < 3 && at + digits < text.size && text.data[at + digits] >= '0' &&
               text.data[at + digits] <= '7') {
            code = code * 8 + (uint32_t)(text.data[at + digits++] - '0');
        }
        *ret_written = tp_jinja_char_put(out, code);
        return digits;
    }
    if (c == 'x' || c == 'u' || c == 'U') {
        uint32_t code = 0;
        const size_t read = lex_code(text, at, &code);
        *ret_written = read > 0 ? tp_jinja_char_put(out, code) : 0;
        return read;
    }
    out[0] = '\\';
    *ret_written = 1;
    return c == 'N' ? 0 : SIZE_MAX; // SIZE_MAX: the backslash stands, nothing read
}

static tapeout_status lex_string(lexer *lex, tp_jinja_token *token)
{
    const char quote = peek(lex, 0);
    const size_t begin = ++lex->position;
    while (lex->position < lex->source.size && peek(lex, 0) != quote) {
        lex->position += peek(lex, 0) == '\\' ? 2 : 1;
    }
    if (lex->position >= lex->source.size) {
        return tp_jinja_fail_at(lex->err, TAPEOUT_E_CORRUPT, token->place,
                                "the string that begins here has no end");
    }
    const tp_str raw = {lex->source.data + begin, lex->position - begin};
    lex->position++;
    char *text = tp_arena_alloc(lex->arena, raw.size + 4);
    if (text == NULL) {
        return tp_arena_check(lex->arena, "chat template", lex->err);
    }
    size_t size = 0;
    for (size_t i = 0; i < raw.size; i++) {
        if (raw.data[i] != '\\') {
            text[size++] = raw.data[i];
            continue;
        }
        size_t written = 0;
        const size_t read = lex_escape(raw, i + 1, text + size, &written);
        if (read == 0) {
            return tp_jinja_fail_at(lex->err, TAPEOUT_E_CORRUPT, token->place,
                                    "the string has a broken escape \\%c", raw.data[i + 1]);
        }
        size += written;
        i += read == SIZE_MAX ? 0 : read;
    }
    token->kind = TP_JINJA_T_STRING;
    token->text = (tp_str){text, size};
    return TAPEOUT_OK;
}

// Digits of a base with "_" between them, copied without.
static size_t copy_digits(lexer *lex, char *out, size_t size, size_t capacity)
{
    while (is_digit(peek(lex, 0)) || (peek(lex, 0) == '_' && is_digit(peek(lex, 1)))) {
        if (peek(lex, 0) != '_' && size < capacity) {
            out[size++] = peek(lex, 0);
        }
        lex->position++;
    }
    return size;
}

static tapeout_status lex_number(lexer *lex, tp_jinja_token *token)
{
    char text[64];
    const bool after_dot = lex->position > 0 && lex->source.data[lex->position - 1] == '.';
    size_t size = copy_digits(lex, text, 0, 40);
    bool is_float = false;
    if (!after_dot && peek(lex, 0) == '.' && is_digit(peek(lex, 1))) {
        is_float = true;
        text[size++] = '.';
        lex->position++;
        size = copy_digits(lex, text, size, 50);
    }
    const size_t sign = peek(lex, 1) == '+' || peek(lex, 1) == '-' ? 1 : 0;
    if (!after_dot && (peek(lex, 0) | 0x20) == 'e' && is_digit(peek(lex, 1 + sign))) {
        is_float = true;
        text[size++] = 'e';
        lex->position++;
        if (sign > 0) {
            text[size++] = peek(lex, 0);
            lex->position++;
        }
        size = copy_digits(lex, text, size, 60);
    }
    token->kind = TP_JINJA_T_NUMBER;
    token->text = (tp_str){text, size};
    double number = 0;
    int64_t integer = 0;
    if (is_float ? !tp_parse_f64(token->text, &number) : !tp_parse_i64(token->text, &integer)) {
        return tp_jinja_fail_at(lex->err, TAPEOUT_E_CORRUPT, token->place,
                                "'%.*s' is no number that fits 64 bits", TP_STR_ARGS(token->text));
    }
    token->value = is_float ? tp_jinja_float(number) : tp_jinja_int(integer);
    token->text = (tp_str){NULL, 0};
    return TAPEOUT_OK;
}

static tapeout_status lex_sign(lexer *lex, tp_jinja_token *token)
{
    static const struct {
        char text[3];
        tp_jinja_token_kind kind;
        int depth;
    } signs[] = {
        {"//", TP_JINJA_T_FLOORDIV, 0},
        {"**", TP_JINJA_T_POW, 0},
        {"==", TP_JINJA_T_EQ, 0},
        {"!=", TP_JINJA_T_NE, 0},
        {">=", TP_JINJA_T_GE, 0},
        {"<=", TP_JINJA_T_LE, 0},
        {"+", TP_JINJA_T_ADD, 0},
        {"-", TP_JINJA_T_SUB, 0},
        {"/", TP_JINJA_T_DIV, 0},
        {"*", TP_JINJA_T_MUL, 0},
        {"%", TP_JINJA_T_MOD, 0},
        {"~", TP_JINJA_T_TILDE, 0},
        {">", TP_JINJA_T_GT, 0},
        {"<", TP_JINJA_T_LT, 0},
        {"=", TP_JINJA_T_ASSIGN, 0},
        {".", TP_JINJA_T_DOT, 0},
        {":", TP_JINJA_T_COLON, 0},
        {"|", TP_JINJA_T_PIPE, 0},
        {",", TP_JINJA_T_COMMA, 0},
        {"(", TP_JINJA_T_LEFT_PAREN, 1},
        {")", TP_JINJA_T_RIGHT_PAREN, -1},
        {"[", TP_JINJA_T_LEFT_BRACKET, 1},
        {"]", TP_JINJA_T_RIGHT_BRACKET, -1},
        {"{", TP_JINJA_T_LEFT_BRACE, 1},
        {"}", TP_JINJA_T_RIGHT_BRACE, -1},
    };
    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        if (!at_text(lex, signs[i].text)) {
            continue;
        }
        if (signs[i].depth < 0 && lex->depth == 0) {
            break;
        }
        lex->depth = (uint32_t)((int64_t)lex->depth + signs[i].depth);
        token->kind = signs[i].kind;
        lex->position += strlen(signs[i].text);
        return TAPEOUT_OK;
    }
    return tp_jinja_fail_at(lex->err, TAPEOUT_E_CORRUPT, token->place, "'%c' means nothing here",
                            peek(lex, 0));
}

// One token inside a tag that ends in `close`, or the end of the tag.
static tapeout_status lex_inside(lexer *lex, bool is_block, tp_jinja_token *token)
{
    const char c = peek(lex, 0);
    if (lex->depth == 0 && skip_close(lex, is_block ? "%}" : "}}", is_block)) {
        token->kind = is_block ? TP_JINJA_T_BLOCK_END : TP_JINJA_T_OUTPUT_END;
        return TAPEOUT_OK;
    }
    if (is_digit(c)) {
        return lex_number(lex, token);
    }
    if (c == '"' || c == '\'') {
        return lex_string(lex, token);
    }
    if (!is_name(c)) {
        return lex_sign(lex, token);
    }
    const size_t begin = lex->position;
    while (is_name(peek(lex, 0))) {
        lex->position++;
    }
    token->kind = TP_JINJA_T_NAME;
    token->text = (tp_str){lex->source.data + begin, lex->position - begin};
    return TAPEOUT_OK;
}

static tapeout_status lex_tag(lexer *lex, bool is_block, tp_jinja_place begin)
{
    TP_TRY(emit(
        lex, (tp_jinja_token){.kind = is_block ? TP_JINJA_T_BLOCK_BEGIN : TP_JINJA_T_OUTPUT_BEGIN,
                              .place = begin}));
    lex->depth = 0;
    for (;;) {
        skip_space(lex);
        if (lex->position >= lex->source.size) {
            return tp_jinja_fail_at(lex->err, TAPEOUT_E_CORRUPT, begin,
                                    "the tag that begins here has no end");
        }
        tp_jinja_token token = {.place = place_at(lex, lex->position)};
        TP_TRY(lex_inside(lex, is_block, &token));
        TP_TRY(emit(lex, token));
        if (token.kind == TP_JINJA_T_BLOCK_END || token.kind == TP_JINJA_T_OUTPUT_END) {
            return TAPEOUT_OK;
        }
    }
}

// From a "{" that opens a tag; data before it begins at `begin`.
static tapeout_status lex_opening(lexer *lex, size_t begin)
{
    const size_t end = lex->position;
    const char kind = peek(lex, 1);
    const bool was_starting = lex->line_starting;
    char sign;
    if (kind == '%' && skip_word_tag(lex, "raw", false, &sign)) {
        const bool now_starting = lex->line_starting;
        lex->line_starting = was_starting;
        TP_TRY(emit_data(lex, begin, end, sign, true));
        lex->line_starting = now_starting;
        return lex_raw(lex, place_at(lex, end));
    }
    lex->position += 2;
    sign = peek(lex, 0);
    lex->position += sign == '-' || sign == '+' ? 1 : 0;
    TP_TRY(emit_data(lex, begin, end, sign, kind != '{'));
    const tp_jinja_place place = place_at(lex, end);
    return kind == '#' ? skip_comment(lex, place) : lex_tag(lex, kind == '%', place);
}

tapeout_status tp_jinja_lex(tp_arena *arena, tp_str source, tp_jinja_tokens *ret_tokens,
                            tapeout_error *err)
{
    tp_jinja_tokens tokens = {0};
    lexer lex = {
        .arena = arena, .place = {1, 1}, .line_starting = true, .tokens = &tokens, .err = err};
    TP_TRY(settle_line_ends(&lex, source));
    size_t begin = 0;
    while (lex.position < lex.source.size) {
        const char next = peek(&lex, 1);
        if (peek(&lex, 0) == '{' && (next == '%' || next == '{' || next == '#')) {
            TP_TRY(lex_opening(&lex, begin));
            begin = lex.position;
        } else {
            lex.position++;
        }
    }
    TP_TRY(emit_data(&lex, begin, lex.source.size, '+', false));
    TP_TRY(emit(
        &lex, (tp_jinja_token){.kind = TP_JINJA_T_END, .place = place_at(&lex, lex.source.size)}));
    *ret_tokens = tokens;
    return TAPEOUT_OK;
}
