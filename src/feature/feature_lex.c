// SPDX-License-Identifier: Apache-2.0
//
// The lexer of feature programs: bytes to tokens, one at a time. A line ends a statement except
// inside parentheses; "#" begins a comment; names are letters, digits and "_", or anything between
// `back quotes`; texts stand in double quotes with the escapes \" \\ \n \t \r and \uXXXX. What it
// refuses: control characters, text that never ends, numbers that are none. The program's bytes
// have been checked to be UTF-8 before.
#include "feature/feature_ast.h"

#include "base/tp_hex.h"
#include "table/tp_value.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

static tapeout_status fail_at(tapeout_error *err, tapeout_status status, tp_feature_place place,
                              const char *format, va_list arguments)
{
    char message[TAPEOUT_ERROR_MESSAGE_SIZE];
    (void)vsnprintf(message, sizeof(message), format, arguments); // a cut message is still one
    return tp_fail_at(err, status, place.line, "features:%u:%u: %s", place.line, place.column,
                      message);
}

tapeout_status tp_feature_fail(tapeout_error *err, tp_feature_place place, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const tapeout_status status = fail_at(err, TAPEOUT_E_INVALID, place, format, arguments);
    va_end(arguments);
    return status;
}

tapeout_status tp_feature_fail_data(tapeout_error *err, tp_feature_place place, const char *format,
                                    ...)
{
    va_list arguments;
    va_start(arguments, format);
    const tapeout_status status = fail_at(err, TAPEOUT_E_DATA, place, format, arguments);
    va_end(arguments);
    return status;
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// The byte `ahead` of the position, 0 behind the end.
static char peek(const tp_feature_lexer *lexer, size_t ahead)
{
    const size_t at = lexer->position + ahead;
    return at < lexer->text.size ? lexer->text.data[at] : '\0';
}

// One byte on; columns count characters, so continuation bytes count nothing.
static void advance(tp_feature_lexer *lexer)
{
    const char c = lexer->text.data[lexer->position++];
    if (c == '\n') {
        lexer->place.line++;
        lexer->place.column = 1;
    } else if ((c & 0xc0) != 0x80) {
        lexer->place.column++;
    }
}

static void skip_blank(tp_feature_lexer *lexer)
{
    while (lexer->position < lexer->text.size) {
        const char c = peek(lexer, 0);
        if (c == '#') {
            while (lexer->position < lexer->text.size && peek(lexer, 0) != '\n') {
                advance(lexer);
            }
        } else if (c == ' ' || c == '\t' || c == '\r' || (c == '\n' && lexer->depth > 0)) {
            advance(lexer);
        } else {
            return;
        }
    }
}

static tapeout_status lex_number(tp_feature_lexer *lexer, tp_feature_token *token,
                                 tapeout_error *err)
{
    const size_t begin = lexer->position;
    while (is_digit(peek(lexer, 0)) || peek(lexer, 0) == '.') {
        advance(lexer);
    }
    if (peek(lexer, 0) == 'e' || peek(lexer, 0) == 'E') {
        advance(lexer);
        if (peek(lexer, 0) == '+' || peek(lexer, 0) == '-') {
            advance(lexer);
        }
        while (is_digit(peek(lexer, 0))) {
            advance(lexer);
        }
    }
    while (is_name_start(peek(lexer, 0)) || is_digit(peek(lexer, 0))) {
        advance(lexer); // so that the message shows all of "12abc"
    }
    token->kind = TP_TOKEN_NUMBER;
    token->text = (tp_str){lexer->text.data + begin, lexer->position - begin};
    if (!tp_parse_f64(token->text, &token->number) || !isfinite(token->number)) {
        return tp_feature_fail(err, token->place, "'%.*s' is no number", TP_STR_ARGS(token->text));
    }
    return TAPEOUT_OK;
}

// UTF-8 of a code point below U+10000; how many bytes.
static size_t put_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    out[0] = (char)(0xe0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 0x3f));
    out[2] = (char)(0x80 | (code & 0x3f));
    return 3;
}

// Behind a backslash. Writes at most 3 bytes and returns how many, 0 for an unknown escape.
static size_t lex_escape(tp_feature_lexer *lexer, char *out)
{
    static const char plain[] = "\"\\ntr`";
    static const char meant[] = "\"\\\n\t\r`";
    const char c = peek(lexer, 0);
    for (size_t i = 0; plain[i] != '\0'; i++) {
        if (c == plain[i]) {
            advance(lexer);
            out[0] = meant[i];
            return 1;
        }
    }
    if (c != 'u') {
        return 0;
    }
    uint32_t code = 0;
    for (size_t i = 1; i <= 4; i++) {
        const int digit = tp_hex_digit(peek(lexer, i));
        if (digit < 0) {
            return 0;
        }
        code = code << 4 | (uint32_t)digit;
    }
    if (code == 0 || (code >= 0xd800 && code <= 0xdfff)) {
        return 0;
    }
    for (int i = 0; i < 5; i++) {
        advance(lexer);
    }
    return put_utf8(out, code);
}

// A string or a back-quoted name: what stands between two of `quote`.
static tapeout_status lex_quoted(tp_feature_lexer *lexer, char quote, tp_feature_token *token,
                                 tapeout_error *err)
{
    advance(lexer);
    size_t end = lexer->position;
    while (end < lexer->text.size && lexer->text.data[end] != quote) {
        end += lexer->text.data[end] == '\\' ? 2 : 1;
    }
    const size_t most = (end < lexer->text.size ? end : lexer->text.size) - lexer->position;
    char *text = tp_arena_alloc(lexer->arena, most + 4);
    if (text == NULL) {
        return tp_fail_nomem(err);
    }
    size_t size = 0;
    while (peek(lexer, 0) != quote) {
        const char c = peek(lexer, 0);
        const tp_feature_place place = lexer->place;
        if (lexer->position >= lexer->text.size || c == '\n') {
            return tp_feature_fail(err, token->place, "%s that begins here has no end",
                                   quote == '"' ? "text" : "quoted name");
        }
        advance(lexer);
        if (c != '\\') {
            text[size++] = c;
            continue;
        }
        const size_t written = lex_escape(lexer, text + size);
        if (written == 0) {
            return tp_feature_fail(err, place,
                                   "unknown escape; known are \\\" \\\\ \\n \\t \\r \\uXXXX");
        }
        size += written;
    }
    advance(lexer);
    token->kind = quote == '"' ? TP_TOKEN_STRING : TP_TOKEN_NAME;
    token->text = (tp_str){text, size};
    if (quote == '`' && size == 0) {
        return tp_feature_fail(err, token->place, "a quoted name is empty");
    }
    return TAPEOUT_OK;
}

static void lex_name(tp_feature_lexer *lexer, tp_feature_token *token)
{
    static const struct {
        const char *word;
        tp_feature_token_kind kind;
    } words[] = {{"and", TP_TOKEN_AND},
                 {"or", TP_TOKEN_OR},
                 {"not", TP_TOKEN_NOT},
                 {"true", TP_TOKEN_TRUE},
                 {"false", TP_TOKEN_FALSE}};
    const size_t begin = lexer->position;
    while (is_name_start(peek(lexer, 0)) || is_digit(peek(lexer, 0))) {
        advance(lexer);
    }
    token->kind = TP_TOKEN_NAME;
    token->text = (tp_str){lexer->text.data + begin, lexer->position - begin};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (tp_str_equal(token->text, tp_str_from(words[i].word))) {
            token->kind = words[i].kind;
        }
    }
}

static tapeout_status lex_sign(tp_feature_lexer *lexer, tp_feature_token *token, tapeout_error *err)
{
    static const struct {
        char text[3];
        tp_feature_token_kind kind;
    } signs[] = {{"==", TP_TOKEN_EQ},    {"!=", TP_TOKEN_NE},   {"<=", TP_TOKEN_LE},
                 {">=", TP_TOKEN_GE},    {"<", TP_TOKEN_LT},    {">", TP_TOKEN_GT},
                 {"=", TP_TOKEN_ASSIGN}, {"+", TP_TOKEN_ADD},   {"-", TP_TOKEN_SUB},
                 {"*", TP_TOKEN_MUL},    {"/", TP_TOKEN_DIV},   {"%", TP_TOKEN_MOD},
                 {"(", TP_TOKEN_LEFT},   {")", TP_TOKEN_RIGHT}, {",", TP_TOKEN_COMMA}};
    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        const tp_str sign = tp_str_from(signs[i].text);
        const tp_str rest = {lexer->text.data + lexer->position,
                             lexer->text.size - lexer->position};
        if (!tp_str_has_prefix(rest, sign)) {
            continue;
        }
        token->kind = signs[i].kind;
        token->text = (tp_str){rest.data, sign.size};
        for (size_t k = 0; k < sign.size; k++) {
            advance(lexer);
        }
        if (token->kind == TP_TOKEN_LEFT) {
            lexer->depth++;
        } else if (token->kind == TP_TOKEN_RIGHT && lexer->depth > 0) {
            lexer->depth--;
        }
        return TAPEOUT_OK;
    }
    const unsigned char c = (unsigned char)peek(lexer, 0);
    if (c < 0x20 || c == 0x7f) {
        return tp_feature_fail(err, token->place, "control character 0x%02x", c);
    }
    return tp_feature_fail(err, token->place, "'%c' means nothing here%s", c,
                           c == '\'' ? "; texts stand in double quotes" : "");
}

tapeout_status tp_feature_lex(tp_feature_lexer *lexer, tp_feature_token *ret_token,
                              tapeout_error *err)
{
    skip_blank(lexer);
    tp_feature_token token = {.place = lexer->place};
    const char c = peek(lexer, 0);
    if (lexer->position >= lexer->text.size) {
        token.kind = TP_TOKEN_END;
    } else if (c == '\n') {
        token.kind = TP_TOKEN_NEWLINE;
        advance(lexer);
    } else if (is_digit(c) || (c == '.' && is_digit(peek(lexer, 1)))) {
        TP_TRY(lex_number(lexer, &token, err));
    } else if (c == '"' || c == '`') {
        TP_TRY(lex_quoted(lexer, c, &token, err));
    } else if (is_name_start(c)) {
        lex_name(lexer, &token);
    } else {
        TP_TRY(lex_sign(lexer, &token, err));
    }
    *ret_token = token;
    return TAPEOUT_OK;
}
