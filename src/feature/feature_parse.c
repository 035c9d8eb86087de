// SPDX-License-Identifier: Apache-2.0
//
// The parser: tokens to a tree in an arena, by recursive descent. From weakest to strongest:
//
//   or   and   not   == != < <= > >=   + -   * / %   unary -   call, name, literal, ( )
//
// Comparisons do not chain. How deep parentheses nest and how high a tree grows have limits, since
// everything behind the parser walks trees by recursion.
#include "feature/feature_ast.h"

#include <stdio.h>

typedef struct parser {
    tp_feature_lexer lexer;
    tp_feature_token token; // the one at hand
    uint32_t depth;
    tapeout_error *err;
} parser;

static tapeout_status parse_expression(parser *p, tp_feature_node **ret_node);

static tapeout_status next(parser *p)
{
    return tp_feature_lex(&p->lexer, &p->token, p->err);
}

// What stands at hand, as words for a message.
static const char *found(const parser *p, char *buffer, size_t size)
{
    if (p->token.kind == TP_TOKEN_END) {
        return "the end of the program";
    }
    if (p->token.kind == TP_TOKEN_NEWLINE) {
        return "the end of the line";
    }
    (void)snprintf(buffer, size, "'%.*s'", TP_STR_ARGS(p->token.text));
    return buffer;
}

static tapeout_status unexpected(parser *p, const char *wanted)
{
    char buffer[128];
    return tp_feature_fail(p->err, p->token.place, "expected %s, found %s", wanted,
                           found(p, buffer, sizeof(buffer)));
}

static tapeout_status new_node(parser *p, tp_feature_node_kind kind, tp_feature_place place,
                               tp_feature_node **ret_node)
{
    tp_feature_node *node = tp_arena_alloc(p->lexer.arena, sizeof(*node));
    if (node == NULL) {
        return tp_fail_nomem(p->err);
    }
    node->kind = kind;
    node->place = place;
    node->height = 1;
    *ret_node = node;
    return TAPEOUT_OK;
}

static tapeout_status set_args(parser *p, tp_feature_node *node, tp_feature_node *const *args,
                               uint32_t count)
{
    node->args = tp_arena_array(p->lexer.arena, count, sizeof(tp_feature_node *));
    if (node->args == NULL) {
        return tp_fail_nomem(p->err);
    }
    node->arg_count = count;
    for (uint32_t i = 0; i < count; i++) {
        node->args[i] = args[i];
        if (args[i]->height >= node->height) {
            node->height = args[i]->height + 1;
        }
    }
    if (node->height > TP_MAX_FEATURE_HEIGHT) {
        return tp_feature_fail(p->err, node->place,
                               "the expression is more than %u operations deep; give parts of it "
                               "names on lines of their own",
                               TP_MAX_FEATURE_HEIGHT);
    }
    return TAPEOUT_OK;
}

// `label = expression` or an expression.
static tapeout_status parse_argument(parser *p, tp_feature_node **ret_node)
{
    const tp_feature_lexer lexer = p->lexer;
    const tp_feature_token token = p->token;
    if (token.kind == TP_TOKEN_NAME) {
        TP_TRY(next(p));
        if (p->token.kind == TP_TOKEN_ASSIGN) {
            TP_TRY(next(p));
            TP_TRY(parse_expression(p, ret_node));
            (*ret_node)->label = token.text;
            return TAPEOUT_OK;
        }
        p->lexer = lexer;
        p->token = token;
    }
    return parse_expression(p, ret_node);
}

// Behind "name(".
static tapeout_status parse_call(parser *p, const tp_feature_token *name,
                                 tp_feature_node **ret_node)
{
    tp_feature_node *args[TP_MAX_FEATURE_ARGUMENTS];
    uint32_t count = 0;
    while (p->token.kind != TP_TOKEN_RIGHT) {
        if (count == TP_MAX_FEATURE_ARGUMENTS) {
            return tp_feature_fail(p->err, p->token.place, "more than %u arguments",
                                   TP_MAX_FEATURE_ARGUMENTS);
        }
        TP_TRY(parse_argument(p, &args[count++]));
        if (p->token.kind == TP_TOKEN_COMMA) {
            TP_TRY(next(p));
        } else if (p->token.kind != TP_TOKEN_RIGHT) {
            return unexpected(p, "',' or ')'");
        }
    }
    TP_TRY(next(p));
    TP_TRY(new_node(p, TP_NODE_CALL, name->place, ret_node));
    (*ret_node)->text = name->text;
    return set_args(p, *ret_node, args, count);
}

static tapeout_status parse_literal(parser *p, tp_feature_node_kind kind, double number,
                                    tp_feature_node **ret_node)
{
    TP_TRY(new_node(p, kind, p->token.place, ret_node));
    (*ret_node)->number = number;
    (*ret_node)->text = p->token.text;
    return next(p);
}

static tapeout_status parse_primary(parser *p, tp_feature_node **ret_node)
{
    const tp_feature_token token = p->token;
    switch ((int)token.kind) {
    case TP_TOKEN_NUMBER:
        return parse_literal(p, TP_NODE_NUMBER, token.number, ret_node);
    case TP_TOKEN_STRING:
        return parse_literal(p, TP_NODE_STRING, 0, ret_node);
    case TP_TOKEN_TRUE:
        return parse_literal(p, TP_NODE_BOOL, 1, ret_node);
    case TP_TOKEN_FALSE:
        return parse_literal(p, TP_NODE_BOOL, 0, ret_node);
    case TP_TOKEN_NAME:
        TP_TRY(next(p));
        if (p->token.kind == TP_TOKEN_LEFT) {
            TP_TRY(next(p));
            return parse_call(p, &token, ret_node);
        }
        TP_TRY(new_node(p, TP_NODE_NAME, token.place, ret_node));
        (*ret_node)->text = token.text;
        return TAPEOUT_OK;
    case TP_TOKEN_LEFT:
        TP_TRY(next(p));
        TP_TRY(parse_expression(p, ret_node));
        if (p->token.kind != TP_TOKEN_RIGHT) {
            return unexpected(p, "')'");
        }
        return next(p);
    default:
        return unexpected(p, "a name, a number, a text or '('");
    }
}

static tapeout_status deeper(parser *p)
{
    return ++p->depth <= TP_MAX_FEATURE_DEPTH
               ? TAPEOUT_OK
               : tp_feature_fail(p->err, p->token.place, "nested more than %u deep",
                                 TP_MAX_FEATURE_DEPTH);
}

// A sign before one operand, itself read by `parse_operand`.
static tapeout_status
parse_prefix(parser *p, tapeout_status (*parse_operand)(parser *p, tp_feature_node **ret_node),
             tp_feature_node **ret_node)
{
    const tp_feature_token sign = p->token;
    tp_feature_node *operand = NULL;
    TP_TRY(deeper(p));
    TP_TRY(next(p));
    TP_TRY(parse_operand(p, &operand));
    p->depth--;
    TP_TRY(new_node(p, TP_NODE_UNARY, sign.place, ret_node));
    (*ret_node)->op = sign.kind;
    return set_args(p, *ret_node, &operand, 1);
}

// A minus before a number literal is part of the number.
static tapeout_status parse_unary(parser *p, tp_feature_node **ret_node)
{
    if (p->token.kind != TP_TOKEN_SUB) {
        return parse_primary(p, ret_node);
    }
    TP_TRY(parse_prefix(p, parse_unary, ret_node));
    tp_feature_node *operand = (*ret_node)->args[0];
    if (operand->kind == TP_NODE_NUMBER) {
        operand->number = -operand->number;
        operand->place = (*ret_node)->place;
        *ret_node = operand;
    }
    return TAPEOUT_OK;
}

static tapeout_status make_binary(parser *p, const tp_feature_token *sign, tp_feature_node *left,
                                  tp_feature_node *right, tp_feature_node **ret_node)
{
    tp_feature_node *args[2] = {left, right};
    tp_feature_node *node = NULL;
    TP_TRY(new_node(p, TP_NODE_BINARY, sign->place, &node));
    node->op = sign->kind;
    *ret_node = node;
    return set_args(p, node, args, 2);
}

// What makes signs of one rank, and reads what stands between them.
typedef struct rank {
    bool (*has)(tp_feature_token_kind kind);
    tapeout_status (*parse_part)(parser *p, tp_feature_node **ret_node);
} rank;

// Parts joined by signs of a rank, from left to right.
static tapeout_status parse_chain(parser *p, const rank *of, tp_feature_node **ret_node)
{
    TP_TRY(of->parse_part(p, ret_node));
    while (of->has(p->token.kind)) {
        const tp_feature_token sign = p->token;
        tp_feature_node *right = NULL;
        TP_TRY(next(p));
        TP_TRY(of->parse_part(p, &right));
        TP_TRY(make_binary(p, &sign, *ret_node, right, ret_node));
    }
    return TAPEOUT_OK;
}

static bool is_product_sign(tp_feature_token_kind kind)
{
    return kind == TP_TOKEN_MUL || kind == TP_TOKEN_DIV || kind == TP_TOKEN_MOD;
}

static tapeout_status parse_product(parser *p, tp_feature_node **ret_node)
{
    return parse_chain(p, &(rank){is_product_sign, parse_unary}, ret_node);
}

static bool is_sum_sign(tp_feature_token_kind kind)
{
    return kind == TP_TOKEN_ADD || kind == TP_TOKEN_SUB;
}

static tapeout_status parse_sum(parser *p, tp_feature_node **ret_node)
{
    return parse_chain(p, &(rank){is_sum_sign, parse_product}, ret_node);
}

static bool is_comparison(tp_feature_token_kind kind)
{
    return kind >= TP_TOKEN_EQ && kind <= TP_TOKEN_GE;
}

static tapeout_status parse_comparison(parser *p, tp_feature_node **ret_node)
{
    TP_TRY(parse_sum(p, ret_node));
    if (!is_comparison(p->token.kind)) {
        return TAPEOUT_OK;
    }
    const tp_feature_token sign = p->token;
    tp_feature_node *right = NULL;
    TP_TRY(next(p));
    TP_TRY(parse_sum(p, &right));
    if (is_comparison(p->token.kind)) {
        return tp_feature_fail(p->err, p->token.place,
                               "comparisons do not chain; write a < b and b < c");
    }
    return make_binary(p, &sign, *ret_node, right, ret_node);
}

static tapeout_status parse_not(parser *p, tp_feature_node **ret_node)
{
    return p->token.kind == TP_TOKEN_NOT ? parse_prefix(p, parse_not, ret_node)
                                         : parse_comparison(p, ret_node);
}

static bool is_and(tp_feature_token_kind kind)
{
    return kind == TP_TOKEN_AND;
}

static tapeout_status parse_and(parser *p, tp_feature_node **ret_node)
{
    return parse_chain(p, &(rank){is_and, parse_not}, ret_node);
}

static bool is_or(tp_feature_token_kind kind)
{
    return kind == TP_TOKEN_OR;
}

static tapeout_status parse_expression(parser *p, tp_feature_node **ret_node)
{
    TP_TRY(deeper(p));
    TP_TRY(parse_chain(p, &(rank){is_or, parse_and}, ret_node));
    p->depth--;
    return TAPEOUT_OK;
}

static tapeout_status parse_line(parser *p, tp_feature_line **ret_line)
{
    tp_feature_line *line = tp_arena_alloc(p->lexer.arena, sizeof(*line));
    if (line == NULL) {
        return tp_fail_nomem(p->err);
    }
    if (p->token.kind != TP_TOKEN_NAME) {
        return unexpected(p, "a feature's name");
    }
    line->name = p->token.text;
    line->place = p->token.place;
    TP_TRY(next(p));
    if (p->token.kind != TP_TOKEN_ASSIGN) {
        return unexpected(p, "'=' behind the feature's name");
    }
    TP_TRY(next(p));
    TP_TRY(parse_expression(p, &line->value));
    if (p->token.kind != TP_TOKEN_NEWLINE && p->token.kind != TP_TOKEN_END) {
        return unexpected(p, "an operator or the end of the line");
    }
    *ret_line = line;
    return TAPEOUT_OK;
}

static tapeout_status check_text(tp_str text, tapeout_error *err)
{
    if (text.size > TP_MAX_FEATURE_TEXT_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT,
                       "features: a program of %zu bytes exceeds the limit "
                       "of %u",
                       text.size, TP_MAX_FEATURE_TEXT_BYTES);
    }
    size_t offset = 0;
    if (!tp_utf8_check(text, &offset)) {
        return tp_fail_at(err, TAPEOUT_E_INVALID, offset, "features: byte %zu is not UTF-8",
                          offset);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_feature_parse_text(tp_arena *arena, tp_str text, tp_feature_line **ret_lines,
                                     tapeout_error *err)
{
    TP_TRY(check_text(text, err));
    parser p = {.lexer = {.arena = arena, .text = text, .place = {1, 1}}, .err = err};
    tp_feature_line *first = NULL;
    tp_feature_line **end = &first;
    uint32_t count = 0;
    TP_TRY(next(&p));
    while (p.token.kind != TP_TOKEN_END) {
        if (p.token.kind == TP_TOKEN_NEWLINE) {
            TP_TRY(next(&p));
            continue;
        }
        if (++count > TP_MAX_FEATURE_LINES) {
            return tp_feature_fail(err, p.token.place, "more than %u features",
                                   TP_MAX_FEATURE_LINES);
        }
        TP_TRY(parse_line(&p, end));
        end = &(*end)->next;
    }
    *ret_lines = first;
    return TAPEOUT_OK;
}
