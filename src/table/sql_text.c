// SPDX-License-Identifier: Apache-2.0
//
// The words of a query: just enough of SQL's lexical rules (PostgreSQL's, which DuckDB follows) to
// tell a quoted file name from a comment. Nothing is decided here about what the query means: a
// name found too many costs a look at a file, and one that is overlooked is a file that DuckDB may
// not open. Forbidden calls are looked for in the bytes, without these rules, so that no trick of
// quoting or commenting can hide one.
#include "table/sql_priv.h"

#include <string.h>

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool starts_with(tp_str query, size_t offset, const char *two)
{
    return query.size - offset >= 2 && memcmp(query.data + offset, two, 2) == 0;
}

// Functions that a SELECT can call and that reach beyond it: they print, write logs, take pointers,
// wait, or run text as SQL, in which all the others could hide.
static const char *const forbidden_calls[] = {
    "arrow_scan",
    "arrow_scan_dumb",
    "checkpoint",
    "disable_logging",
    "disable_peg_parser",
    "disable_profiling",
    "enable_logging",
    "enable_peg_parser",
    "enable_profiling",
    "force_checkpoint",
    "json_execute_serialized_sql",
    "query",
    "sleep_ms",
    "truncate_duckdb_logs",
    "write_log",
};

static bool is_ascii_word_byte(char c)
{
    return is_word_byte(c) && (unsigned char)c < 0x80;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool has_word_at(tp_str query, size_t offset, tp_str word)
{
    if (query.size - offset < word.size ||
        (offset > 0 && is_ascii_word_byte(query.data[offset - 1]))) {
        return false;
    }
    for (size_t i = 0; i < word.size; i++) {
        if (lower(query.data[offset + i]) != word.data[i]) {
            return false;
        }
    }
    return true;
}

// Whether what stands behind a name can make it a call: a parenthesis, or a comment that may hide
// one. Quotes, spaces and whatever is not ASCII (spaces of Unicode among it) are passed over.
static bool may_be_called(tp_str query, size_t offset)
{
    while (offset < query.size) {
        const char c = query.data[offset];
        if (c == '(' || c == '/' || c == '-') {
            return true;
        }
        if (c != '"' && c != ' ' && (unsigned char)c > 0x20 && (unsigned char)c < 0x7f) {
            return false;
        }
        offset++;
    }
    return false;
}

const char *tp_sql_forbidden_call(tp_str query)
{
    for (size_t i = 0; i < sizeof(forbidden_calls) / sizeof(forbidden_calls[0]); i++) {
        const tp_str word = tp_str_from(forbidden_calls[i]);
        for (size_t offset = 0; offset < query.size; offset++) {
            if (has_word_at(query, offset, word) && may_be_called(query, offset + word.size)) {
                return forbidden_calls[i];
            }
        }
    }
    return NULL;
}

// Past `-- to the end of the line` and `/* nested /* comments */ */`; where there is none, nowhere.
static size_t skip_comment(tp_str query, size_t offset)
{
    if (starts_with(query, offset, "--")) {
        while (offset < query.size && query.data[offset] != '\n' && query.data[offset] != '\r') {
            offset++;
        }
        return offset;
    }
    if (!starts_with(query, offset, "/*")) {
        return offset;
    }
    size_t depth = 0;
    while (offset < query.size) {
        if (starts_with(query, offset, "/*")) {
            depth++;
            offset += 2;
        } else if (starts_with(query, offset, "*/")) {
            depth--;
            offset += 2;
        } else {
            offset++;
        }
        if (depth == 0) {
            break;
        }
    }
    return offset;
}

static size_t skip_space(tp_str query, size_t offset)
{
    for (;;) {
        while (offset < query.size && is_space(query.data[offset])) {
            offset++;
        }
        const size_t behind = offset < query.size ? skip_comment(query, offset) : offset;
        if (behind == offset) {
            return offset;
        }
        offset = behind;
    }
}

// From the byte after the opening quote to the closing one or the end.
static size_t find_quote(tp_str query, size_t offset, char quote)
{
    while (offset < query.size) {
        if (query.data[offset] != quote) {
            offset++;
        } else if (offset + 1 < query.size && query.data[offset + 1] == quote) {
            offset += 2;
        } else {
            return offset;
        }
    }
    return query.size;
}

bool tp_sql_token_next(tp_str query, size_t *offset, sql_token *ret_token)
{
    const size_t begin = skip_space(query, *offset);
    if (begin >= query.size) {
        *offset = query.size;
        return false;
    }
    const char c = query.data[begin];
    size_t end = begin + 1;
    if (c == '\'' || c == '"') {
        end = find_quote(query, begin + 1, c);
        ret_token->kind = c == '"' ? SQL_TOKEN_NAME : SQL_TOKEN_LITERAL;
        ret_token->text = (tp_str){query.data + begin + 1, end - begin - 1};
        *offset = end < query.size ? end + 1 : end;
        return true;
    }
    ret_token->kind = SQL_TOKEN_MARK;
    if (is_word_byte(c)) {
        ret_token->kind = SQL_TOKEN_WORD;
        while (end < query.size && is_word_byte(query.data[end])) {
            end++;
        }
    }
    ret_token->text = (tp_str){query.data + begin, end - begin};
    *offset = end;
    return true;
}

void tp_sql_token_value(const sql_token *token, tp_buffer *text)
{
    const char quote = token->kind == SQL_TOKEN_NAME ? '"' : '\'';
    const bool quoted = token->kind == SQL_TOKEN_NAME || token->kind == SQL_TOKEN_LITERAL;
    tp_buffer_clear(text);
    for (size_t i = 0; i < token->text.size; i++) {
        const char c = token->text.data[i];
        tp_buffer_append_char(text, c);
        if (quoted && c == quote) {
            i++; // the second of a pair
        }
    }
}

void tp_sql_append_quoted(tp_buffer *text, char quote, tp_str value)
{
    tp_buffer_append_char(text, quote);
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] == quote) {
            tp_buffer_append_char(text, quote);
        }
        tp_buffer_append_char(text, value.data[i]);
    }
    tp_buffer_append_char(text, quote);
}
