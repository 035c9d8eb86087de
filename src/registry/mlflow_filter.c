// SPDX-License-Identifier: Apache-2.0
//
// The parser of MLflow's search filters: a lexer of six kinds of tokens and a descent of one level,
// since the grammar has no OR and no brackets. Everything is checked here, against what the
// searched thing has, so that writing SQL cannot fail. What it refuses and MLflow's own server lets
// pass: an AND behind which nothing comes.
#include "registry/mlflow_filter.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "table/tp_value.h"

#include <math.h>
#include <string.h>

typedef enum token_kind {
    TOKEN_END,
    TOKEN_NAME,   // a.b, a.`b c`, `b c`
    TOKEN_TEXT,   // 'a' or "a"
    TOKEN_NUMBER, // -1.5e3
    TOKEN_SIGN    // = != < <= > >= ( ) ,
} token_kind;

typedef struct token {
    token_kind kind;
    size_t begin;   // of the token in the text
    tp_str raw;     // as written
    tp_str text;    // of a name its last part or all of it, of a text what stands between quotes
    tp_str class;   // of a name, what stands before its first dot; {NULL, 0}: no dot
    bool is_quoted; // the name's key stood in quotes, so it is no keyword
    double number;
} token;

typedef struct parser {
    tp_arena *arena;
    const mlflow_entity *entity;
    tp_str text;
    size_t position;
    token now;
    uint32_t text_count; // of all lists
} parser;

// -- tokens --------------------------------------------------------------------------------------
static char peek(const parser *it)
{
    return it->position < it->text.size ? it->text.data[it->position] : '\0';
}

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || (c & 0x80) != 0;
}

static tapeout_status fail_here(const parser *it, tapeout_error *err, const char *expected)
{
    const token *now = &it->now;
    if (now->kind == TOKEN_END) {
        return tp_fail_at(err, TAPEOUT_E_INVALID, now->begin,
                          "filter: ends at character %zu where %s is expected", now->begin + 1,
                          expected);
    }
    return tp_fail_at(err, TAPEOUT_E_INVALID, now->begin,
                      "filter: \"%.*s\" at character %zu where %s is expected",
                      TP_STR_ARGS(now->raw), now->begin + 1, expected);
}

// What stands between two of the quote that the position is at; two of it within are one. A view
// into the text where there are none.
static tapeout_status lex_quoted(parser *it, tp_str *ret_text, tapeout_error *err)
{
    const size_t begin = it->position++;
    const char quote = it->text.data[begin];
    size_t doubled = 0;
    for (; it->position < it->text.size; it->position++) {
        if (peek(it) != quote) {
            continue;
        }
        if (it->position + 1 == it->text.size || it->text.data[it->position + 1] != quote) {
            break;
        }
        doubled++;
        it->position++;
    }
    if (it->position == it->text.size) {
        return tp_fail_at(err, TAPEOUT_E_INVALID, begin,
                          "filter: the quote at character %zu has no end", begin + 1);
    }
    const tp_str inner = {it->text.data + begin + 1, it->position - begin - 1};
    it->position++;
    *ret_text = inner;
    if (doubled == 0) {
        return TAPEOUT_OK;
    }
    char *copy = tp_arena_alloc(it->arena, inner.size);
    if (copy == NULL) {
        return tp_arena_check(it->arena, "filter", err);
    }
    size_t size = 0;
    for (size_t i = 0; i < inner.size; i++) {
        copy[size++] = inner.data[i];
        i += inner.data[i] == quote; // the second of two
    }
    *ret_text = (tp_str){copy, size};
    return TAPEOUT_OK;
}

// The key of "class.key" may be quoted; a plain key may have dots of its own.
static tapeout_status lex_name(parser *it, token *ret, tapeout_error *err)
{
    const size_t begin = it->position;
    while (is_word_char(peek(it))) {
        it->position++;
    }
    const tp_str word = {it->text.data + begin, it->position - begin};
    const char *dot = memchr(word.data, '.', word.size);
    ret->kind = TOKEN_NAME;
    ret->text = word;
    if (dot != NULL) {
        const size_t size = (size_t)(dot - word.data);
        ret->class = (tp_str){word.data, size};
        ret->text = (tp_str){dot + 1, word.size - size - 1};
    }
    if (ret->text.size == 0 && (peek(it) == '`' || peek(it) == '"')) {
        ret->is_quoted = true;
        return lex_quoted(it, &ret->text, err);
    }
    return TAPEOUT_OK;
}

static tapeout_status lex_number(parser *it, token *ret, tapeout_error *err)
{
    const size_t begin = it->position++;
    for (;; it->position++) {
        const char c = peek(it);
        const char before = it->text.data[it->position - 1];
        const bool is_exponent_sign =
            (c == '-' || c == '+') && (before == 'e' || before == 'E') && it->position > begin + 1;
        if (!is_word_char(c) && !is_exponent_sign) {
            break;
        }
    }
    const tp_str raw = {it->text.data + begin, it->position - begin};
    ret->kind = TOKEN_NUMBER;
    ret->text = raw;
    if (!tp_parse_f64(raw, &ret->number) || !isfinite(ret->number)) {
        return tp_fail_at(err, TAPEOUT_E_INVALID, begin,
                          "filter: \"%.*s\" at character %zu is no number; texts stand in quotes",
                          TP_STR_ARGS(raw), begin + 1);
    }
    return TAPEOUT_OK;
}

static bool lex_sign(parser *it, token *ret)
{
    static const char signs[][3] = {"<=", ">=", "!=", "=", "<", ">", "(", ")", ","};
    const tp_str rest = {it->text.data + it->position, it->text.size - it->position};
    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        const tp_str sign = tp_str_from(signs[i]);
        if (tp_str_has_prefix(rest, sign)) {
            ret->kind = TOKEN_SIGN;
            ret->text = sign;
            it->position += sign.size;
            return true;
        }
    }
    return false;
}

static tapeout_status next(parser *it, tapeout_error *err)
{
    while (it->position < it->text.size && strchr(" \t\r\n", peek(it)) != NULL) {
        it->position++;
    }
    token ret = {.begin = it->position};
    const char c = peek(it);
    if (it->position == it->text.size) {
        ret.kind = TOKEN_END;
    } else if (c == '\'' || c == '"') {
        ret.kind = TOKEN_TEXT;
        TP_TRY(lex_quoted(it, &ret.text, err));
    } else if (c == '`') {
        ret.kind = TOKEN_NAME;
        ret.is_quoted = true;
        TP_TRY(lex_quoted(it, &ret.text, err));
    } else if ((c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.') {
        TP_TRY(lex_number(it, &ret, err));
    } else if (is_word_char(c)) {
        TP_TRY(lex_name(it, &ret, err));
    } else if (!lex_sign(it, &ret)) {
        return tp_fail_at(err, TAPEOUT_E_INVALID, it->position,
                          "filter: character %zu, '%c', means nothing here", it->position + 1, c);
    }
    ret.raw = (tp_str){it->text.data + ret.begin, it->position - ret.begin};
    it->now = ret;
    return TAPEOUT_OK;
}

static bool is_sign(const parser *it, const char *sign)
{
    return it->now.kind == TOKEN_SIGN && tp_str_equal(it->now.text, tp_str_from(sign));
}

static bool is_word(const parser *it, const char *word)
{
    return it->now.kind == TOKEN_NAME && it->now.class.data == NULL && !it->now.is_quoted &&
           tp_str_equal_ignore_case(it->now.text, tp_str_from(word));
}

// -- names ---------------------------------------------------------------------------------------
static bool class_of(tp_str word, mlflow_class *ret_class)
{
    static const struct {
        const char *word;
        mlflow_class class;
    } words[] = {{"metric", MLFLOW_METRIC},
                 {"metrics", MLFLOW_METRIC},
                 {"param", MLFLOW_PARAM},
                 {"params", MLFLOW_PARAM},
                 {"parameter", MLFLOW_PARAM},
                 {"parameters", MLFLOW_PARAM},
                 {"tag", MLFLOW_TAG},
                 {"tags", MLFLOW_TAG},
                 {"attribute", MLFLOW_ATTRIBUTE},
                 {"attributes", MLFLOW_ATTRIBUTE},
                 {"attr", MLFLOW_ATTRIBUTE},
                 {"run", MLFLOW_ATTRIBUTE},
                 {"dataset", MLFLOW_DATASET},
                 {"datasets", MLFLOW_DATASET}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (tp_str_equal(word, tp_str_from(words[i].word))) {
            *ret_class = words[i].class;
            return true;
        }
    }
    return false;
}

static const mlflow_attribute dataset_attributes[] = {
    {"name", "x.name", MLFLOW_TEXT},
    {"digest", "x.digest", MLFLOW_TEXT},
    {"context", "x.context", MLFLOW_TEXT},
    {NULL, NULL, MLFLOW_TEXT},
};

static tapeout_status find_attribute(const parser *it, const mlflow_attribute *from,
                                     mlflow_name *name, tapeout_error *err)
{
    tp_str known[32];
    size_t count = 0;
    for (; from[count].name != NULL && count < 32; count++) {
        known[count] = tp_str_from(from[count].name);
        if (tp_str_equal(known[count], name->key)) {
            name->attribute = &from[count];
            return TAPEOUT_OK;
        }
    }
    const int nearest = tp_str_nearest(name->key, known, count);
    return tp_fail_at(err, TAPEOUT_E_INVALID, it->now.begin,
                      "filter: %s has no attribute \"%.*s\" (character %zu); did you mean "
                      "\"%s\"? Metrics, params and tags are written metrics.NAME and so on",
                      it->entity->what, TP_STR_ARGS(name->key), it->now.begin + 1,
                      from[nearest < 0 ? 0 : nearest].name);
}

static tapeout_status parse_name(parser *it, mlflow_name *ret_name, tapeout_error *err)
{
    const token *now = &it->now;
    mlflow_name name = {.class = MLFLOW_ATTRIBUTE, .key = now->text};
    if (now->kind != TOKEN_NAME) {
        return fail_here(it, err, "a name such as metrics.loss");
    }
    if (now->class.data != NULL && !class_of(now->class, &name.class)) {
        return fail_here(it, err,
                         "a name that begins with metrics., params., tags., attributes. "
                         "or datasets.");
    }
    if (name.key.size == 0 || name.key.size > TP_MAX_MLFLOW_KEY_BYTES) {
        return tp_fail_at(err, TAPEOUT_E_INVALID, now->begin,
                          "filter: a key of %zu bytes at character %zu; it has 1 to %u",
                          name.key.size, now->begin + 1, TP_MAX_MLFLOW_KEY_BYTES);
    }
    if (name.class == MLFLOW_ATTRIBUTE) {
        TP_TRY(find_attribute(it, it->entity->attributes, &name, err));
    } else if (it->entity->related[name.class] == NULL) {
        return tp_fail_at(err, TAPEOUT_E_INVALID, now->begin,
                          "filter: %s can't be searched by \"%.*s\" (character %zu)",
                          it->entity->what, TP_STR_ARGS(now->class), now->begin + 1);
    } else if (name.class == MLFLOW_DATASET) {
        TP_TRY(find_attribute(it, dataset_attributes, &name, err));
    }
    *ret_name = name;
    return next(it, err);
}

static mlflow_kind kind_of(const mlflow_name *name)
{
    if (name->attribute != NULL) {
        return name->attribute->kind;
    }
    return name->class == MLFLOW_METRIC ? MLFLOW_REAL : MLFLOW_TEXT;
}

// -- clauses -------------------------------------------------------------------------------------
static tapeout_status parse_compare_op(parser *it, mlflow_clause *clause, tapeout_error *err)
{
    static const struct {
        const char *sign;
        mlflow_op op;
    } ops[] = {{"=", MLFLOW_EQ},  {"!=", MLFLOW_NE}, {"<", MLFLOW_LT},
               {"<=", MLFLOW_LE}, {">", MLFLOW_GT},  {">=", MLFLOW_GE}};
    const bool is_text = kind_of(&clause->name) == MLFLOW_TEXT;
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        if (is_sign(it, ops[i].sign) && (!is_text || i < 2)) {
            clause->op = ops[i].op;
            return next(it, err);
        }
    }
    if (is_text && (is_word(it, "like") || is_word(it, "ilike"))) {
        clause->op = is_word(it, "like") ? MLFLOW_LIKE : MLFLOW_ILIKE;
        return next(it, err);
    }
    return fail_here(it, err,
                     is_text ? "one of = != LIKE ILIKE IN, which texts are compared with"
                             : "one of = != < <= > >=, which numbers are compared with");
}

static tapeout_status parse_text(parser *it, tp_str *ret_text, tapeout_error *err)
{
    if (it->now.kind != TOKEN_TEXT) {
        return fail_here(it, err, "a text in 'quotes'");
    }
    *ret_text = it->now.text;
    return next(it, err);
}

static tapeout_status parse_value(parser *it, mlflow_clause *clause, tapeout_error *err)
{
    const mlflow_kind kind = kind_of(&clause->name);
    if (kind == MLFLOW_TEXT) {
        clause->texts = tp_arena_array(it->arena, 1, sizeof(*clause->texts));
        if (clause->texts == NULL) {
            return tp_arena_check(it->arena, "filter", err);
        }
        clause->text_count = 1;
        return parse_text(it, clause->texts, err);
    }
    // Clients write version_number = '3' as well.
    const bool is_number = it->now.kind == TOKEN_NUMBER;
    if (kind == MLFLOW_REAL && !is_number) {
        return fail_here(it, err, "a number");
    }
    if (kind == MLFLOW_INTEGER && ((!is_number && it->now.kind != TOKEN_TEXT) ||
                                   !tp_str_to_int64(it->now.text, &clause->integer))) {
        return fail_here(it, err, "a whole number");
    }
    clause->number = it->now.number;
    return next(it, err);
}

// Behind the bracket.
static tapeout_status parse_list(parser *it, mlflow_clause *clause, tapeout_error *err)
{
    tp_str texts[TP_MAX_MLFLOW_LIST];
    uint32_t count = 0;
    do {
        if (it->text_count == TP_MAX_MLFLOW_LIST) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "filter: more than %u texts in lists",
                           TP_MAX_MLFLOW_LIST);
        }
        TP_TRY(next(it, err));
        TP_TRY(parse_text(it, &texts[count], err));
        count++;
        it->text_count++;
    } while (is_sign(it, ","));
    if (!is_sign(it, ")")) {
        return fail_here(it, err, "a comma or a closing bracket");
    }
    clause->texts = tp_arena_array(it->arena, count, sizeof(*clause->texts));
    if (clause->texts == NULL) {
        return tp_arena_check(it->arena, "filter", err);
    }
    memcpy(clause->texts, texts, count * sizeof(*texts));
    clause->text_count = count;
    return next(it, err);
}

static tapeout_status parse_membership(parser *it, mlflow_clause *clause, tapeout_error *err)
{
    if (kind_of(&clause->name) != MLFLOW_TEXT) {
        return fail_here(it, err, "a comparison, since IN is for texts");
    }
    clause->op = MLFLOW_IN;
    if (is_word(it, "not")) {
        clause->op = MLFLOW_NOT_IN;
        TP_TRY(next(it, err));
        if (!is_word(it, "in")) {
            return fail_here(it, err, "IN");
        }
    }
    TP_TRY(next(it, err));
    if (!is_sign(it, "(")) {
        return fail_here(it, err, "a list such as ('a', 'b')");
    }
    return parse_list(it, clause, err);
}

static tapeout_status parse_null(parser *it, mlflow_clause *clause, tapeout_error *err)
{
    if (clause->name.class != MLFLOW_PARAM && clause->name.class != MLFLOW_TAG) {
        return fail_here(it, err, "a comparison, since only params and tags may be NULL");
    }
    clause->op = MLFLOW_IS_NULL;
    TP_TRY(next(it, err));
    if (is_word(it, "not")) {
        clause->op = MLFLOW_IS_NOT_NULL;
        TP_TRY(next(it, err));
    }
    if (!is_word(it, "null")) {
        return fail_here(it, err, "NULL");
    }
    return next(it, err);
}

static tapeout_status parse_clause(parser *it, mlflow_clause *clause, tapeout_error *err)
{
    TP_TRY(parse_name(it, &clause->name, err));
    if (is_word(it, "is")) {
        return parse_null(it, clause, err);
    }
    if (is_word(it, "in") || is_word(it, "not")) {
        return parse_membership(it, clause, err);
    }
    TP_TRY(parse_compare_op(it, clause, err));
    return parse_value(it, clause, err);
}

static tapeout_status begin(parser *it, tapeout_error *err)
{
    if (it->text.size > TP_MAX_MLFLOW_FILTER_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "filter: %zu bytes, at most %u", it->text.size,
                       TP_MAX_MLFLOW_FILTER_BYTES);
    }
    size_t bad = 0;
    const bool is_text = tp_utf8_check(it->text, &bad);
    const char *nul = it->text.size == 0 ? NULL : memchr(it->text.data, '\0', it->text.size);
    if (!is_text || nul != NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID, "filter: byte %zu is no text",
                       (is_text ? (size_t)(nul - it->text.data) : bad) + 1);
    }
    return next(it, err);
}

tapeout_status tp_mlflow_filter_parse(tp_arena *arena, const mlflow_entity *entity, tp_str text,
                                      mlflow_filter *ret_filter, tapeout_error *err)
{
    mlflow_clause clauses[TP_MAX_MLFLOW_CLAUSES];
    uint32_t count = 0;
    parser it = {.arena = arena, .entity = entity, .text = text};
    TP_TRY(begin(&it, err));
    while (it.now.kind != TOKEN_END || count > 0) {
        if (count == TP_MAX_MLFLOW_CLAUSES) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "filter: more than %u clauses",
                           TP_MAX_MLFLOW_CLAUSES);
        }
        clauses[count] = (mlflow_clause){.op = MLFLOW_EQ};
        TP_TRY(parse_clause(&it, &clauses[count], err));
        count++;
        if (it.now.kind == TOKEN_END) {
            break;
        }
        if (!is_word(&it, "and")) {
            return fail_here(&it, err, "AND or the end");
        }
        TP_TRY(next(&it, err));
    }
    mlflow_filter filter = {.entity = entity, .count = count};
    filter.clauses = tp_arena_array(arena, count, sizeof(*filter.clauses));
    if (filter.clauses == NULL) {
        return tp_arena_check(arena, "filter", err);
    }
    if (count > 0) {
        memcpy(filter.clauses, clauses, count * sizeof(*clauses));
    }
    *ret_filter = filter;
    return TAPEOUT_OK;
}

tapeout_status tp_mlflow_order_parse(tp_arena *arena, const mlflow_entity *entity, tp_str text,
                                     mlflow_order *ret_order, tapeout_error *err)
{
    mlflow_order order = {.is_descending = false};
    parser it = {.arena = arena, .entity = entity, .text = text};
    TP_TRY(begin(&it, err));
    TP_TRY(parse_name(&it, &order.name, err));
    if (is_word(&it, "desc") || is_word(&it, "asc")) {
        order.is_descending = is_word(&it, "desc");
        TP_TRY(next(&it, err));
    }
    if (it.now.kind != TOKEN_END) {
        return fail_here(&it, err, "ASC, DESC or the end");
    }
    *ret_order = order;
    return TAPEOUT_OK;
}
