// SPDX-License-Identifier: Apache-2.0
//
// Statements of a chat template to a tree: text, {{ output }} and the blocks if, for, set, macro,
// call, filter, with, generation, break, continue. What would reach for other files (include,
// import, extends, block) is refused by name: a chat template stands alone.
#include "llm/template/jinja_priv.h"

#include "base/limits.h"

#include <stdarg.h>
#include <stdio.h>

tapeout_status tp_jinja_fail_at(tapeout_error *err, tapeout_status status, tp_jinja_place place,
                                const char *format, ...)
{
    char message[TAPEOUT_ERROR_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments); // a cut message is still one
    va_end(arguments);
    return tp_fail_at(err, status, place.line, "chat template:%u:%u: %s", place.line, place.column,
                      message);
}

tapeout_status tp_jinja_node_new(tp_jinja_parser *parser, tp_jinja_node_kind kind,
                                 tp_jinja_node **ret)
{
    tp_jinja_node *node = tp_arena_alloc(parser->arena, sizeof(*node));
    if (node == NULL) {
        return tp_arena_check(parser->arena, "chat template", parser->err);
    }
    node->kind = kind;
    node->place = parser->at->place;
    *ret = node;
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_unexpected(tp_jinja_parser *parser, const char *expected)
{
    const tp_jinja_token *at = parser->at;
    const char *found = at->kind == TP_JINJA_T_END ? "the end"
                        : at->kind == TP_JINJA_T_BLOCK_END || at->kind == TP_JINJA_T_OUTPUT_END
                            ? "the end of the tag"
                        : at->kind == TP_JINJA_T_STRING ? "a string"
                        : at->kind == TP_JINJA_T_NUMBER ? "a number"
                                                        : "a sign";
    if (at->kind == TP_JINJA_T_NAME) {
        return tp_jinja_fail_at(parser->err, TAPEOUT_E_CORRUPT, at->place,
                                "expected %s, found '%.*s'", expected, TP_STR_ARGS(at->text));
    }
    return tp_jinja_fail_at(parser->err, TAPEOUT_E_CORRUPT, at->place, "expected %s, found %s",
                            expected, found);
}

tapeout_status tp_jinja_expect(tp_jinja_parser *parser, tp_jinja_token_kind kind, const char *what)
{
    if (parser->at->kind != kind) {
        return tp_jinja_unexpected(parser, what);
    }
    parser->at++;
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_expect_name(tp_jinja_parser *parser, tp_str *ret)
{
    const tp_str name = parser->at->text;
    TP_TRY(tp_jinja_expect(parser, TP_JINJA_T_NAME, "a name"));
    *ret = name;
    return TAPEOUT_OK;
}

bool tp_jinja_at_name(const tp_jinja_token *token, const char *name)
{
    return token->kind == TP_JINJA_T_NAME && tp_str_equal(token->text, tp_str_from(name));
}

bool tp_jinja_skip_name(tp_jinja_parser *parser, const char *name)
{
    const bool is_there = tp_jinja_at_name(parser->at, name);
    parser->at += is_there ? 1 : 0;
    return is_there;
}

tapeout_status tp_jinja_enter(tp_jinja_parser *parser)
{
    if (parser->depth >= TP_MAX_TEMPLATE_DEPTH) {
        return tp_jinja_fail_at(parser->err, TAPEOUT_E_LIMIT, parser->at->place,
                                "nested deeper than %u levels", TP_MAX_TEMPLATE_DEPTH);
    }
    parser->depth++;
    return TAPEOUT_OK;
}

void tp_jinja_leave(tp_jinja_parser *parser)
{
    parser->depth--;
}

static tapeout_status parse_body(tp_jinja_parser *parser, const char *const *ends,
                                 const tp_jinja_node *opener, tp_jinja_node **ret_body);

static tapeout_status end_of_tag(tp_jinja_parser *parser)
{
    return tp_jinja_expect(parser, TP_JINJA_T_BLOCK_END, "the end of the tag");
}

// The body of a block with one possible end.
static tapeout_status parse_simple_body(tp_jinja_parser *parser, const char *end,
                                        tp_jinja_node *node)
{
    const char *const ends[] = {end, NULL};
    TP_TRY(end_of_tag(parser));
    TP_TRY(parse_body(parser, ends, node, &node->body));
    parser->at++; // the end's name
    return end_of_tag(parser);
}

static tapeout_status parse_if(tp_jinja_parser *parser, tp_jinja_node **ret)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    tp_jinja_node *first = NULL;
    tp_jinja_node **link = &first;
    for (;;) {
        tp_jinja_node *node = NULL;
        TP_TRY(tp_jinja_node_new(parser, TP_JINJA_N_IF, &node));
        TP_TRY(tp_jinja_parse_tuple(parser, false, &node->a));
        TP_TRY(end_of_tag(parser));
        TP_TRY(parse_body(parser, ends, node, &node->body));
        *link = node;
        if (!tp_jinja_skip_name(parser, "elif")) {
            if (tp_jinja_at_name(parser->at, "else")) {
                static const char *const last[] = {"endif", NULL};
                parser->at++;
                TP_TRY(end_of_tag(parser));
                TP_TRY(parse_body(parser, last, node, &node->orelse));
            }
            break;
        }
        link = &node->orelse;
    }
    parser->at++; // endif
    *ret = first;
    return end_of_tag(parser);
}

static tapeout_status parse_for(tp_jinja_parser *parser, tp_jinja_node *node)
{
    static const char *const ends[] = {"else", "endfor", NULL};
    static const char *const last[] = {"endfor", NULL};
    TP_TRY(tp_jinja_parse_target(parser, false, &node->a));
    if (!tp_jinja_skip_name(parser, "in")) {
        return tp_jinja_unexpected(parser, "'in'");
    }
    TP_TRY(tp_jinja_parse_tuple(parser, false, &node->b));
    if (tp_jinja_skip_name(parser, "if")) {
        TP_TRY(tp_jinja_parse_expression(parser, true, &node->c));
    }
    if (tp_jinja_at_name(parser->at, "recursive")) {
        return tp_jinja_fail_at(parser->err, TAPEOUT_E_UNSUPPORTED, parser->at->place,
                                "recursive loops are not supported");
    }
    TP_TRY(end_of_tag(parser));
    parser->loop_depth++;
    TP_TRY(parse_body(parser, ends, node, &node->body));
    parser->loop_depth--;
    if (tp_jinja_skip_name(parser, "else")) {
        TP_TRY(end_of_tag(parser));
        TP_TRY(parse_body(parser, last, node, &node->orelse));
    }
    parser->at++; // endfor
    return end_of_tag(parser);
}

static tapeout_status parse_set(tp_jinja_parser *parser, tp_jinja_node *node)
{
    TP_TRY(tp_jinja_parse_target(parser, true, &node->a));
    if (parser->at->kind == TP_JINJA_T_ASSIGN) {
        parser->at++;
        TP_TRY(tp_jinja_parse_tuple(parser, true, &node->b));
        return end_of_tag(parser);
    }
    if (parser->at->kind == TP_JINJA_T_PIPE) {
        parser->at++;
        TP_TRY(tp_jinja_parse_filters(parser, NULL, &node->c));
    }
    return parse_simple_body(parser, "endset", node);
}

// (name, name = default)
static tapeout_status parse_parameters(tp_jinja_parser *parser, tp_jinja_node *node)
{
    tp_jinja_node **link = &node->items;
    TP_TRY(tp_jinja_expect(parser, TP_JINJA_T_LEFT_PAREN, "'('"));
    for (bool has_default = false; parser->at->kind != TP_JINJA_T_RIGHT_PAREN;) {
        if (link != &node->items) {
            TP_TRY(tp_jinja_expect(parser, TP_JINJA_T_COMMA, "',' or ')'"));
        }
        TP_TRY(tp_jinja_node_new(parser, TP_JINJA_N_KEYWORD, link));
        TP_TRY(tp_jinja_expect_name(parser, &(*link)->name));
        if (parser->at->kind == TP_JINJA_T_ASSIGN) {
            parser->at++;
            has_default = true;
            TP_TRY(tp_jinja_parse_expression(parser, true, &(*link)->a));
        } else if (has_default) {
            return tp_jinja_unexpected(parser, "a default, as the parameter before has one");
        }
        link = &(*link)->next;
    }
    parser->at++;
    return TAPEOUT_OK;
}

static tapeout_status parse_macro(tp_jinja_parser *parser, tp_jinja_node *node)
{
    const uint32_t loop_depth = parser->loop_depth;
    parser->loop_depth = 0;
    TP_TRY(tp_jinja_expect_name(parser, &node->name));
    TP_TRY(parse_parameters(parser, node));
    TP_TRY(parse_simple_body(parser, "endmacro", node));
    parser->loop_depth = loop_depth;
    return TAPEOUT_OK;
}

static tapeout_status parse_call_block(tp_jinja_parser *parser, tp_jinja_node *node)
{
    const uint32_t loop_depth = parser->loop_depth;
    parser->loop_depth = 0;
    if (parser->at->kind == TP_JINJA_T_LEFT_PAREN) {
        TP_TRY(parse_parameters(parser, node));
    }
    TP_TRY(tp_jinja_parse_expression(parser, true, &node->a));
    if (node->a->kind != TP_JINJA_N_CALL) {
        return tp_jinja_fail_at(parser->err, TAPEOUT_E_CORRUPT, node->place,
                                "a call block needs a call");
    }
    TP_TRY(parse_simple_body(parser, "endcall", node));
    parser->loop_depth = loop_depth;
    return TAPEOUT_OK;
}

static tapeout_status parse_filter_block(tp_jinja_parser *parser, tp_jinja_node *node)
{
    TP_TRY(tp_jinja_parse_filters(parser, NULL, &node->a));
    return parse_simple_body(parser, "endfilter", node);
}

static tapeout_status parse_with(tp_jinja_parser *parser, tp_jinja_node *node)
{
    for (tp_jinja_node **link = &node->items; parser->at->kind != TP_JINJA_T_BLOCK_END;
         link = &(*link)->next) {
        if (link != &node->items) {
            TP_TRY(tp_jinja_expect(parser, TP_JINJA_T_COMMA, "','"));
        }
        TP_TRY(tp_jinja_node_new(parser, TP_JINJA_N_SET, link));
        TP_TRY(tp_jinja_parse_target(parser, false, &(*link)->a));
        TP_TRY(tp_jinja_expect(parser, TP_JINJA_T_ASSIGN, "'='"));
        TP_TRY(tp_jinja_parse_expression(parser, true, &(*link)->b));
    }
    return parse_simple_body(parser, "endwith", node);
}

static tapeout_status parse_generation(tp_jinja_parser *parser, tp_jinja_node *node)
{
    return parse_simple_body(parser, "endgeneration", node);
}

static tapeout_status parse_jump(tp_jinja_parser *parser, tp_jinja_node *node)
{
    if (parser->loop_depth == 0) {
        return tp_jinja_fail_at(parser->err, TAPEOUT_E_CORRUPT, node->place,
                                "break and continue stand inside a loop");
    }
    return end_of_tag(parser);
}

// Behind "{%": a statement.
static tapeout_status parse_statement(tp_jinja_parser *parser, tp_jinja_node **ret)
{
    static const struct {
        const char *word;
        tp_jinja_node_kind kind;
        tapeout_status (*parse)(tp_jinja_parser *parser, tp_jinja_node *node);
    } statements[] = {
        {"for", TP_JINJA_N_FOR, parse_for},
        {"set", TP_JINJA_N_SET, parse_set},
        {"macro", TP_JINJA_N_MACRO, parse_macro},
        {"call", TP_JINJA_N_CALL_BLOCK, parse_call_block},
        {"filter", TP_JINJA_N_FILTER_BLOCK, parse_filter_block},
        {"with", TP_JINJA_N_WITH, parse_with},
        {"generation", TP_JINJA_N_SCOPE, parse_generation},
        {"break", TP_JINJA_N_BREAK, parse_jump},
        {"continue", TP_JINJA_N_CONTINUE, parse_jump},
    };
    if (tp_jinja_skip_name(parser, "if")) {
        return parse_if(parser, ret);
    }
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        if (tp_jinja_at_name(parser->at, statements[i].word)) {
            TP_TRY(tp_jinja_node_new(parser, statements[i].kind, ret));
            parser->at++;
            return statements[i].parse(parser, *ret);
        }
    }
    if (parser->at->kind != TP_JINJA_T_NAME) {
        return tp_jinja_unexpected(parser, "a statement");
    }
    return tp_jinja_fail_at(parser->err, TAPEOUT_E_UNSUPPORTED, parser->at->place,
                            "the statement '%.*s' is unknown or stands where none can; known are "
                            "if, for, set, macro, call, filter, with, generation, break, continue, "
                            "raw",
                            TP_STR_ARGS(parser->at->text));
}

static bool at_one_of(const tp_jinja_token *token, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (tp_jinja_at_name(token, *names)) {
            return true;
        }
    }
    return false;
}

static tapeout_status parse_output(tp_jinja_parser *parser, tp_jinja_node **ret)
{
    TP_TRY(tp_jinja_node_new(parser, TP_JINJA_N_OUTPUT, ret));
    parser->at++;
    TP_TRY(tp_jinja_parse_tuple(parser, true, &(*ret)->a));
    return tp_jinja_expect(parser, TP_JINJA_T_OUTPUT_END, "'}}'");
}

static tapeout_status parse_text(tp_jinja_parser *parser, tp_jinja_node **ret)
{
    TP_TRY(tp_jinja_node_new(parser, TP_JINJA_N_TEXT, ret));
    if (!tp_jinja_text_init(parser->arena, parser->at->text, false, &(*ret)->value)) {
        return tp_arena_check(parser->arena, "chat template", parser->err);
    }
    parser->at++;
    return TAPEOUT_OK;
}

// Until a tag whose first word is among `ends`, and to that word; `ends` NULL: to the end.
static tapeout_status parse_body(tp_jinja_parser *parser, const char *const *ends,
                                 const tp_jinja_node *opener, tp_jinja_node **ret_body)
{
    tp_jinja_node *body = NULL;
    tp_jinja_node **link = &body;
    TP_TRY(tp_jinja_enter(parser));
    for (;;) {
        if (parser->at->kind == TP_JINJA_T_END) {
            if (ends == NULL) {
                break;
            }
            while (ends[1] != NULL) {
                ends++; // the last is the one that it cannot do without
            }
            return tp_jinja_fail_at(parser->err, TAPEOUT_E_CORRUPT, opener->place,
                                    "the block that begins here has no %s", ends[0]);
        }
        if (parser->at->kind == TP_JINJA_T_DATA) {
            TP_TRY(parse_text(parser, link));
        } else if (parser->at->kind == TP_JINJA_T_OUTPUT_BEGIN) {
            TP_TRY(parse_output(parser, link));
        } else {
            parser->at++;
            if (ends != NULL && at_one_of(parser->at, ends)) {
                break;
            }
            TP_TRY(parse_statement(parser, link));
        }
        link = &(*link)->next;
    }
    tp_jinja_leave(parser);
    *ret_body = body;
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_parse(tp_arena *arena, const tp_jinja_tokens *tokens,
                              tp_jinja_node **ret_body, tapeout_error *err)
{
    tp_jinja_parser parser = {.arena = arena, .at = tokens->items, .err = err};
    return parse_body(&parser, NULL, NULL, ret_body);
}
