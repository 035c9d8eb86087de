// SPDX-License-Identifier: Apache-2.0
//
// Expressions of a chat template to a tree, one function a level of Jinja's grammar, loosest first:
// x if y else z, or, and, not, comparisons and in, + -, ~, * / // %, **, sign, then attributes,
// items, calls, filters and tests. Filters and tests are looked up here, so that a template which
// needs an unknown one is refused when it is loaded and not in the middle of a conversation.
#include "llm/template/jinja_priv.h"

static tapeout_status parse_unary(tp_jinja_parser *parser, bool with_filters, tp_jinja_node **ret);
static tapeout_status parse_primary(tp_jinja_parser *parser, tp_jinja_node **ret);
static tapeout_status parse_or(tp_jinja_parser *parser, tp_jinja_node **ret);

// A node of two operands around `*inout`.
static tapeout_status wrap(tp_jinja_parser *parser, tp_jinja_node_kind kind, tp_jinja_node *a,
                           tp_jinja_node **ret)
{
    tp_jinja_node *node;
    TP_TRY(tp_jinja_node_new(parser, kind, &node));
    node->op = parser->at->kind;
    node->a = a;
    *ret = node;
    return TAPEOUT_OK;
}

static bool is_between(const tp_jinja_parser *parser, tp_jinja_token_kind first,
                       tp_jinja_token_kind last)
{
    return parser->at->kind >= first && parser->at->kind <= last;
}

static tapeout_status parse_power(tp_jinja_parser *parser, tp_jinja_node **ret)
{
    TP_TRY(parse_unary(parser, true, ret));
    while (parser->at->kind == TP_JINJA_T_POW) {
        TP_TRY(wrap(parser, TP_JINJA_N_BINARY, *ret, ret));
        parser->at++;
        TP_TRY(parse_unary(parser, true, &(*ret)->b));
    }
    return TAPEOUT_OK;
}

static tapeout_status parse_product(tp_jinja_parser *parser, tp_jinja_node **ret)
{
    TP_TRY(parse_power(parser, ret));
    while (is_between(parser, TP_JINJA_T_MUL, TP_JINJA_T_MOD)) {
        TP_TRY(wrap(parser, TP_JINJA_N_BINARY, *ret, ret));
        parser->at++;
        TP_TRY(parse_power(parser, &(*ret)->b));
    }
    return TAPEOUT_OK;
}

static tapeout_status parse_concat(tp_jinja_parser *parser, tp_jinja_node **ret)
{
    TP_TRY(parse_product(parser, ret));
    if (parser->at->kind != TP_JINJA_T_TILDE) {
        return TAPEOUT_OK;
    }
    tp_jinja_node *concat;
    TP_TRY(tp_jinja_node_new(parser, TP_JINJA_N_CONCAT, &concat));
    concat->items = *ret;
    tp_jinja_node **link = &concat->items->next;
    while (parser->at->kind == TP_JINJA_T_TILDE) {
        parser->at++;
        TP_TRY(parse_product(parser, link));
        link = &(*link)->next;
    }
    *ret = concat;
    return TAPEOUT_OK;
}

static tapeout_status parse_sum(tp_jinja_parser *parser, tp_jinja_node **ret)
{
    TP_TRY(parse_concat(parser, ret));
    while (is_between(parser, TP_JINJA_T_ADD, TP_JINJA_T_SUB)) {
        TP_TRY(wrap(parser, TP_JINJA_N_BINARY, *ret, ret));
        parser->at++;
        TP_TRY(parse_concat(parser, &(*ret)->b));
    }
    return TAPEOUT_OK;
}

// The comparison at the parser, past it, or TP_JINJA_T_END for none.
static tp_jinja_token_kind skip_comparison(tp_jinja_parser *parser)
{
    if (is_between(parser, TP_JINJA_T_EQ, TP_JINJA_T_LE)) {
        return (parser->at++)->kind;
    }
    if (tp_jinja_skip_name(parser, "in")) {
        return TP_JINJA_T_IN;
    }
    if (tp_jinja_at_name(parser->at, "not") && tp_jinja_at_name(parser->at + 1, "in")) {
        parser->at += 2;
        return TP_JINJA_T_NOT_IN;
    }
    return TP_JINJA_T_END;
}

static tapeout_status parse_comparison(tp_jinja_parser *parser, tp_jinja_node **ret)
{
    TP_TRY(parse_sum(parser, ret));
    tp_jinja_node *compare = NULL;
    tp_jinja_node **link = NULL;
    for (;;) {
        const tp_jinja_token_kind op = skip_comparison(parser);
        if (op == TP_JINJA_T_END) {
            return TAPEOUT_OK;
        }
        if (compare == NULL) {
            TP_TRY(wrap(parser, TP_JINJA_N_COMPARE, *ret, &compare));
            link = &compare->items;
            *ret = compare;
        }
        TP_TRY(tp_jinja_node_new(parser, TP_JINJA_N_COMPARE, link));
        (*link)->op = op;
        TP_TRY(parse_sum(parser, &(*link)->a));
        link = &(*link)->next;
    }
}

static tapeout_status parse_not(tp_jinja_parser *parser, tp_jinja_node **ret)
{
    if (!tp_jinja_skip_name(parser, "not")) {
        return parse_comparison(parser, ret);
    }
    TP_TRY(tp_jinja_enter(parser));
    TP_TRY(tp_jinja_node_new(parser, TP_JINJA_N_NOT, ret));
    TP_TRY(parse_not(parser, &(*ret)->a));
    tp_jinja_leave(parser);
    return TAPEOUT_OK;
}

static tapeout_status parse_and(tp_jinja_parser *parser, tp_jinja_node **ret)
{
    TP_TRY(parse_not(parser, ret));
    while (tp_jinja_skip_name(parser, "and")) {
        TP_TRY(wrap(parser, TP_JINJA_N_AND, *ret, ret));
        TP_TRY(parse_not(parser, &(*ret)->b));
    }
    return TAPEOUT_OK;
}

static tapeout_status parse_or(tp_jinja_parser *parser, tp_jinja_node **ret)
{
    TP_TRY(parse_and(parser, ret));
    while (tp_jinja_skip_name(parser, "or")) {
        TP_TRY(wrap(parser, TP_JINJA_N_OR, *ret, ret));
        TP_TRY(parse_and(parser, &(*ret)->b));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_parse_expression(tp_jinja_parser *parser, bool with_condition,
                                         tp_jinja_node **ret)
{
    TP_TRY(tp_jinja_enter(parser));
    tp_jinja_node *node;
    TP_TRY(parse_or(parser, &node));
    while (with_condition && tp_jinja_skip_name(parser, "if")) {
        TP_TRY(wrap(parser, TP_JINJA_N_CONDITIONAL, node, &node));
        TP_TRY(parse_or(parser, &node->b));
        if (tp_jinja_skip_name(parser, "else")) {
            TP_TRY(tp_jinja_parse_expression(parser, true, &node->c));
        }
    }
    tp_jinja_leave(parser);
    *ret = node;
    return TAPEOUT_OK;
}

static bool at_tuple_end(const tp_jinja_parser *parser)
{
    const tp_jinja_token_kind kind = parser->at->kind;
    return kind == TP_JINJA_T_OUTPUT_END || kind == TP_JINJA_T_BLOCK_END ||
           kind == TP_JINJA_T_RIGHT_PAREN;
}

// What may follow the first of a tuple: `node` becomes the tuple where a comma does.
static tapeout_status parse_more(tp_jinja_parser *parser, bool with_condition,
                                 tp_jinja_node **inout)
{
    if (parser->at->kind != TP_JINJA_T_COMMA) {
        return TAPEOUT_OK;
    }
    tp_jinja_node *tuple;
    TP_TRY(tp_jinja_node_new(parser, TP_JINJA_N_TUPLE, &tuple));
    tuple->items = *inout;
    tp_jinja_node **link = &tuple->items->next;
    while (parser->at->kind == TP_JINJA_T_COMMA) {
        parser->at++;
        if (at_tuple_end(parser)) {
            break;
        }
        TP_TRY(tp_jinja_parse_expression(parser, with_condition, link));
        link = &(*link)->next;
    }
    *inout = tuple;
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_parse_tuple(tp_jinja_parser *parser, bool with_condition,
                                    tp_jinja_node **ret)
{
    tp_jinja_node *node;
    TP_TRY(tp_jinja_parse_expression(parser, with_condition, &node));
    TP_TRY(parse_more(parser, with_condition, &node));
    *ret = node;
    return TAPEOUT_OK;
}

static tapeout_status parse_one_target(tp_jinja_parser *parser, bool with_attribute,
                                       tp_jinja_node **ret)
{
    if (parser->at->kind == TP_JINJA_T_LEFT_PAREN) {
        parser->at++;
        TP_TRY(tp_jinja_enter(parser));
        TP_TRY(tp_jinja_parse_target(parser, with_attribute, ret));
        tp_jinja_leave(parser);
        return tp_jinja_expect(parser, TP_JINJA_T_RIGHT_PAREN, "')'");
    }
    tp_jinja_node *node;
    TP_TRY(tp_jinja_node_new(parser, TP_JINJA_N_NAME, &node));
    TP_TRY(tp_jinja_expect_name(parser, &node->name));
    if (with_attribute && parser->at->kind == TP_JINJA_T_DOT) {
        tp_jinja_node *attribute;
        TP_TRY(wrap(parser, TP_JINJA_N_ATTRIBUTE, node, &attribute));
        parser->at++;
        TP_TRY(tp_jinja_expect_name(parser, &attribute->name));
        node = attribute;
    }
    *ret = node;
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_parse_target(tp_jinja_parser *parser, bool with_attribute,
                                     tp_jinja_node **ret)
{
    tp_jinja_node *first;
    TP_TRY(parse_one_target(parser, with_attribute, &first));
    if (parser->at->kind == TP_JINJA_T_COMMA) {
        tp_jinja_node *tuple;
        TP_TRY(tp_jinja_node_new(parser, TP_JINJA_N_TUPLE, &tuple));
        tuple->items = first;
        tp_jinja_node **link = &first->next;
        while (parser->at->kind == TP_JINJA_T_COMMA) {
            parser->at++;
            if (tp_jinja_at_name(parser->at, "in") || parser->at->kind == TP_JINJA_T_ASSIGN) {
                break;
            }
            TP_TRY(parse_one_target(parser, with_attribute, link));
            link = &(*link)->next;
        }
        first = tuple;
    }
    *ret = first;
    return TAPEOUT_OK;
}

// The arguments of a call behind its "(": values, then name = value.
static tapeout_status parse_arguments(tp_jinja_parser *parser, tp_jinja_node **ret_items)
{
    tp_jinja_node *items = NULL;
    tp_jinja_node **link = &items;
    size_t count = 0;
    bool has_keyword = false;
    parser->at++;
    while (parser->at->kind != TP_JINJA_T_RIGHT_PAREN) {
        if (parser->at->kind == TP_JINJA_T_MUL || parser->at->kind == TP_JINJA_T_POW) {
            return tp_jinja_fail_at(parser->err, TAPEOUT_E_UNSUPPORTED, parser->at->place,
                                    "*arguments and **arguments are not supported");
        }
        if (++count > TP_JINJA_MAX_ARGUMENTS) {
            return tp_jinja_fail_at(parser->err, TAPEOUT_E_LIMIT, parser->at->place,
                                    "more than %d arguments", TP_JINJA_MAX_ARGUMENTS);
        }
        if (parser->at->kind == TP_JINJA_T_NAME && parser->at[1].kind == TP_JINJA_T_ASSIGN) {
            TP_TRY(tp_jinja_node_new(parser, TP_JINJA_N_KEYWORD, link));
            (*link)->name = parser->at->text;
            parser->at += 2;
            has_keyword = true;
            TP_TRY(tp_jinja_parse_expression(parser, true, &(*link)->a));
        } else if (has_keyword) {
            return tp_jinja_unexpected(parser, "name = value behind another of its kind");
        } else {
            TP_TRY(tp_jinja_parse_expression(parser, true, link));
        }
        link = &(*link)->next;
        if (parser->at->kind != TP_JINJA_T_COMMA) {
            break;
        }
        parser->at++;
    }
    *ret_items = items;
    return tp_jinja_expect(parser, TP_JINJA_T_RIGHT_PAREN, "',' or ')'");
}

// One bound of a slice, or nothing.
static tapeout_status parse_bound(tp_jinja_parser *parser, tp_jinja_node **ret)
{
    const tp_jinja_token_kind kind = parser->at->kind;
    if (kind == TP_JINJA_T_COLON || kind == TP_JINJA_T_RIGHT_BRACKET) {
        return TAPEOUT_OK;
    }
    return tp_jinja_parse_expression(parser, true, ret);
}

// [item] or [from:to:step] behind `inner`.
static tapeout_status parse_brackets(tp_jinja_parser *parser, tp_jinja_node *inner,
                                     tp_jinja_node **ret)
{
    tp_jinja_node *node;
    TP_TRY(wrap(parser, TP_JINJA_N_ITEM, inner, &node));
    parser->at++;
    TP_TRY(parse_bound(parser, &node->b));
    if (parser->at->kind == TP_JINJA_T_COLON) {
        node->kind = TP_JINJA_N_SLICE;
        parser->at++;
        TP_TRY(parse_bound(parser, &node->c));
        if (parser->at->kind == TP_JINJA_T_COLON) {
            parser->at++;
            TP_TRY(parse_bound(parser, &node->d));
        }
    } else if (node->b == NULL) {
        return tp_jinja_unexpected(parser, "an index");
    }
    *ret = node;
    return tp_jinja_expect(parser, TP_JINJA_T_RIGHT_BRACKET, "']'");
}

static tapeout_status parse_dot(tp_jinja_parser *parser, tp_jinja_node *inner, tp_jinja_node **ret)
{
    tp_jinja_node *node;
    TP_TRY(wrap(parser, TP_JINJA_N_ATTRIBUTE, inner, &node));
    parser->at++;
    if (parser->at->kind == TP_JINJA_T_NUMBER && parser->at->value.kind == TP_JINJA_INT) {
        node->kind = TP_JINJA_N_ITEM; // a.0
        TP_TRY(parse_primary(parser, &node->b));
    } else {
        TP_TRY(tp_jinja_expect_name(parser, &node->name));
    }
    *ret = node;
    return TAPEOUT_OK;
}

static tapeout_status parse_call(tp_jinja_parser *parser, tp_jinja_node *inner, tp_jinja_node **ret)
{
    tp_jinja_node *node;
    TP_TRY(wrap(parser, TP_JINJA_N_CALL, inner, &node));
    TP_TRY(parse_arguments(parser, &node->items));
    *ret = node;
    return TAPEOUT_OK;
}

static tapeout_status parse_postfix(tp_jinja_parser *parser, tp_jinja_node **inout)
{
    for (;;) {
        if (parser->at->kind == TP_JINJA_T_DOT) {
            TP_TRY(parse_dot(parser, *inout, inout));
        } else if (parser->at->kind == TP_JINJA_T_LEFT_BRACKET) {
            TP_TRY(parse_brackets(parser, *inout, inout));
        } else if (parser->at->kind == TP_JINJA_T_LEFT_PAREN) {
            TP_TRY(parse_call(parser, *inout, inout));
        } else {
            return TAPEOUT_OK;
        }
    }
}

tapeout_status tp_jinja_parse_filters(tp_jinja_parser *parser, tp_jinja_node *inner,
                                      tp_jinja_node **ret)
{
    for (;;) {
        tp_jinja_node *node;
        TP_TRY(wrap(parser, TP_JINJA_N_FILTER, inner, &node));
        TP_TRY(tp_jinja_expect_name(parser, &node->name));
        node->builtin = tp_jinja_find_filter(node->name);
        if (node->builtin == NULL) {
            return tp_jinja_fail_at(parser->err, TAPEOUT_E_UNSUPPORTED, node->place,
                                    "there is no filter '%.*s'", TP_STR_ARGS(node->name));
        }
        if (parser->at->kind == TP_JINJA_T_LEFT_PAREN) {
            TP_TRY(parse_arguments(parser, &node->items));
        }
        *ret = inner = node;
        if (parser->at->kind != TP_JINJA_T_PIPE) {
            return TAPEOUT_OK;
        }
        parser->at++;
    }
}

// True where a test without brackets has an argument: `is divisibleby 3`.
static bool at_test_argument(const tp_jinja_parser *parser)
{
    switch ((int)parser->at->kind) {
    case TP_JINJA_T_NAME:
        return !tp_jinja_at_name(parser->at, "else") && !tp_jinja_at_name(parser->at, "or") &&
               !tp_jinja_at_name(parser->at, "and") && !tp_jinja_at_name(parser->at, "is");
    case TP_JINJA_T_STRING:
    case TP_JINJA_T_NUMBER:
    case TP_JINJA_T_LEFT_BRACKET:
    case TP_JINJA_T_LEFT_BRACE:
        return true;
    default:
        return false;
    }
}

// Behind "is".
static tapeout_status parse_test(tp_jinja_parser *parser, tp_jinja_node *inner, tp_jinja_node **ret)
{
    tp_jinja_node *node;
    TP_TRY(wrap(parser, TP_JINJA_N_TEST, inner, &node));
    const bool is_negated = tp_jinja_skip_name(parser, "not");
    node->place = parser->at->place;
    TP_TRY(tp_jinja_expect_name(parser, &node->name));
    node->builtin = tp_jinja_find_test(node->name);
    if (node->builtin == NULL) {
        return tp_jinja_fail_at(parser->err, TAPEOUT_E_UNSUPPORTED, node->place,
                                "there is no test '%.*s'", TP_STR_ARGS(node->name));
    }
    if (parser->at->kind == TP_JINJA_T_LEFT_PAREN) {
        TP_TRY(parse_arguments(parser, &node->items));
    } else if (at_test_argument(parser)) {
        TP_TRY(parse_primary(parser, &node->items));
        TP_TRY(parse_postfix(parser, &node->items));
    }
    *ret = node;
    return is_negated ? wrap(parser, TP_JINJA_N_NOT, node, ret) : TAPEOUT_OK;
}

static tapeout_status parse_unary(tp_jinja_parser *parser, bool with_filters, tp_jinja_node **ret)
{
    const tp_jinja_token_kind kind = parser->at->kind;
    tp_jinja_node *node;
    TP_TRY(tp_jinja_enter(parser));
    if (kind == TP_JINJA_T_SUB || kind == TP_JINJA_T_ADD) {
        TP_TRY(tp_jinja_node_new(
            parser, kind == TP_JINJA_T_SUB ? TP_JINJA_N_NEGATE : TP_JINJA_N_PLUS, &node));
        parser->at++;
        TP_TRY(parse_unary(parser, false, &node->a));
    } else {
        TP_TRY(parse_primary(parser, &node));
    }
    tp_jinja_leave(parser);
    TP_TRY(parse_postfix(parser, &node));
    while (with_filters) {
        if (parser->at->kind == TP_JINJA_T_PIPE) {
            parser->at++;
            TP_TRY(tp_jinja_parse_filters(parser, node, &node));
        } else if (tp_jinja_skip_name(parser, "is")) {
            TP_TRY(parse_test(parser, node, &node));
        } else if (parser->at->kind == TP_JINJA_T_LEFT_PAREN) {
            TP_TRY(parse_call(parser, node, &node));
        } else {
            break;
        }
    }
    *ret = node;
    return TAPEOUT_OK;
}

// Items between brackets, `pairs`: key: value.
static tapeout_status parse_items(tp_jinja_parser *parser, tp_jinja_token_kind close, bool pairs,
                                  tp_jinja_node *node)
{
    tp_jinja_node **link = &node->items;
    parser->at++;
    while (parser->at->kind != close) {
        if (link != &node->items) {
            TP_TRY(tp_jinja_expect(parser, TP_JINJA_T_COMMA, pairs ? "',' or '}'" : "',' or ']'"));
            if (parser->at->kind == close) {
                break;
            }
        }
        TP_TRY(tp_jinja_parse_expression(parser, true, link));
        link = &(*link)->next;
        if (pairs) {
            TP_TRY(tp_jinja_expect(parser, TP_JINJA_T_COLON, "':'"));
            TP_TRY(tp_jinja_parse_expression(parser, true, link));
            link = &(*link)->next;
        }
    }
    parser->at++;
    return TAPEOUT_OK;
}

static tapeout_status parse_parentheses(tp_jinja_parser *parser, tp_jinja_node **ret)
{
    parser->at++;
    if (parser->at->kind == TP_JINJA_T_RIGHT_PAREN) {
        TP_TRY(tp_jinja_node_new(parser, TP_JINJA_N_TUPLE, ret));
    } else {
        TP_TRY(tp_jinja_parse_tuple(parser, true, ret));
    }
    return tp_jinja_expect(parser, TP_JINJA_T_RIGHT_PAREN, "')'");
}

// Strings beside each other are one.
static tapeout_status parse_string(tp_jinja_parser *parser, tp_jinja_node *node)
{
    tp_jinja_out out;
    tp_jinja_out_init(&out, parser->arena);
    for (; parser->at->kind == TP_JINJA_T_STRING; parser->at++) {
        tp_jinja_put(&out, parser->at->text, false);
    }
    if (out.has_failed ||
        !tp_jinja_text_init(parser->arena, (tp_str){out.data, out.size}, false, &node->value)) {
        return tp_arena_check(parser->arena, "chat template", parser->err);
    }
    return TAPEOUT_OK;
}

static void name_literal(tp_jinja_node *node)
{
    static const char *const words[] = {"true", "True", "false", "False", "none", "None"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (tp_str_equal(node->name, tp_str_from(words[i]))) {
            node->kind = TP_JINJA_N_LITERAL;
            node->value = i < 4 ? tp_jinja_bool(i < 2) : tp_jinja_none();
        }
    }
}

static tapeout_status parse_primary(tp_jinja_parser *parser, tp_jinja_node **ret)
{
    tp_jinja_node *node;
    switch ((int)parser->at->kind) {
    case TP_JINJA_T_LEFT_PAREN:
        return parse_parentheses(parser, ret);
    case TP_JINJA_T_NAME:
        TP_TRY(tp_jinja_node_new(parser, TP_JINJA_N_NAME, &node));
        node->name = (parser->at++)->text;
        name_literal(node);
        break;
    case TP_JINJA_T_STRING:
        TP_TRY(tp_jinja_node_new(parser, TP_JINJA_N_LITERAL, &node));
        TP_TRY(parse_string(parser, node));
        break;
    case TP_JINJA_T_NUMBER:
        TP_TRY(tp_jinja_node_new(parser, TP_JINJA_N_LITERAL, &node));
        node->value = (parser->at++)->value;
        break;
    case TP_JINJA_T_LEFT_BRACKET:
        TP_TRY(tp_jinja_node_new(parser, TP_JINJA_N_LIST, &node));
        TP_TRY(parse_items(parser, TP_JINJA_T_RIGHT_BRACKET, false, node));
        break;
    case TP_JINJA_T_LEFT_BRACE:
        TP_TRY(tp_jinja_node_new(parser, TP_JINJA_N_DICT, &node));
        TP_TRY(parse_items(parser, TP_JINJA_T_RIGHT_BRACE, true, node));
        break;
    default:
        return tp_jinja_unexpected(parser, "an expression");
    }
    *ret = node;
    return TAPEOUT_OK;
}
