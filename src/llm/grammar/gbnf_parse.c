// SPDX-License-Identifier: Apache-2.0
//
// Grammars in llama.cpp's notation: rules `name ::= alternatives`, literals in quotes, character
// classes, groups, `.`, and the repetitions * + ? {m} {m,} {m,n}; comments from # to the end of the
// line. A rule goes on over line ends inside parentheses and behind `::=` and `|`.
#include "llm/grammar/grammar_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_hex.h"

#include <string.h>

typedef struct gbnf_rule {
    grammar_expr *expr;
    size_t used_at;      // where it is first named, for a message
    bool is_being_asked; // whether it may be empty
    bool is_answered;
} gbnf_rule;

typedef struct gbnf_parser {
    grammar_builder *b;
    tp_str text;
    size_t position;
    uint32_t depth;
    tp_dict names;
    gbnf_rule *rules; // [names]; its number in the builder is `first_rule` and up
    uint32_t rule_capacity;
    uint32_t *numbers; // [names] in the builder
    uint32_t number_capacity;
} gbnf_parser;

static grammar_expr *parse_choice(gbnf_parser *p, bool is_nested);

static bool failed(const gbnf_parser *p)
{
    return p->b->status != TAPEOUT_OK;
}

static char peek(const gbnf_parser *p)
{
    return p->position < p->text.size ? p->text.data[p->position] : '\0';
}

static void invalid(gbnf_parser *p, const char *what)
{
    uint32_t line = 1;
    for (size_t i = 0; i < p->position && i < p->text.size; i++) {
        line += p->text.data[i] == '\n';
    }
    tp_grammar_fail(p->b, TAPEOUT_E_INVALID, "grammar: line %u, byte %zu: %s", line, p->position,
                    what);
}

static void skip_blank(gbnf_parser *p, bool over_lines)
{
    for (;;) {
        const char c = peek(p);
        if (c == '#') {
            while (p->position < p->text.size && peek(p) != '\n' && peek(p) != '\r') {
                p->position++;
            }
        } else if (c == ' ' || c == '\t' || (over_lines && (c == '\n' || c == '\r'))) {
            p->position++;
        } else {
            return;
        }
    }
}

static bool is_name_char(char c)
{
    const char low = (char)(c | 0x20);
    return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

// The number of a rule by its name, made on first sight.
static uint32_t get_rule(gbnf_parser *p, tp_str name, size_t at)
{
    grammar_builder *b = p->b;
    uint32_t index = 0;
    const int64_t found = tp_dict_find(&p->names, name);
    if (found >= 0) {
        return (uint32_t)found;
    }
    void *rules = p->rules;
    void *numbers = p->numbers;
    const grammar_list one = {&rules, &p->rule_capacity, p->names.count, sizeof(*p->rules)};
    const grammar_list other = {&numbers, &p->number_capacity, p->names.count, sizeof(*p->numbers)};
    const bool has_room = tp_grammar_reserve(b, one, TP_MAX_GRAMMAR_RULES, "rules") &&
                          tp_grammar_reserve(b, other, TP_MAX_GRAMMAR_RULES, "rules");
    p->rules = rules;
    p->numbers = numbers;
    if (!has_room || tp_dict_add(&p->names, name, &index) != TAPEOUT_OK) {
        tp_grammar_fail_nomem(b);
        return 0;
    }
    p->rules[index] = (gbnf_rule){.used_at = at};
    p->numbers[index] = tp_grammar_rule(b);
    return index;
}

static tp_str parse_name(gbnf_parser *p)
{
    const size_t begin = p->position;
    while (is_name_char(peek(p))) {
        p->position++;
    }
    return (tp_str){p->text.data + begin, p->position - begin};
}

static uint32_t parse_hex(gbnf_parser *p, size_t digit_count)
{
    uint32_t code = 0;
    for (size_t i = 0; i < digit_count; i++) {
        const int digit = tp_hex_digit(peek(p));
        if (digit < 0) {
            invalid(p, "a hexadecimal digit is missing");
            return 0;
        }
        code = code << 4 | (uint32_t)digit;
        p->position++;
    }
    if (code > GRAMMAR_MAX_CODE || (code >= 0xd800 && code < 0xe000)) {
        invalid(p, "the escape names no character");
    }
    return code;
}

static uint32_t parse_char(gbnf_parser *p)
{
    if (peek(p) != '\\') {
        return tp_grammar_take_utf8(p->text, &p->position);
    }
    p->position++;
    const char c = peek(p);
    p->position++;
    switch (c) {
    case 'x':
        return parse_hex(p, 2);
    case 'u':
        return parse_hex(p, 4);
    case 'U':
        return parse_hex(p, 8);
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'n':
        return '\n';
    case '\\':
    case '"':
    case '[':
    case ']':
    case '-':
    case '^':
        return (uint8_t)c;
    default:
        p->position--;
        invalid(p, "an escape that is none");
        return 0;
    }
}

static grammar_expr *set_expr(gbnf_parser *p, grammar_range *ranges, uint32_t count,
                              bool is_negated)
{
    return tp_grammar_expr(p->b, EXPR_SET, tp_grammar_set(p->b, ranges, count, is_negated));
}

// Behind the opening quote.
static grammar_expr *parse_literal(gbnf_parser *p)
{
    grammar_expr *sequence = tp_grammar_expr(p->b, EXPR_SEQUENCE, 0);
    while (!failed(p) && peek(p) != '"') {
        if (p->position >= p->text.size) {
            invalid(p, "a literal without its closing quote");
            break;
        }
        const uint32_t code = parse_char(p);
        grammar_range range = {code, code};
        tp_grammar_expr_add(sequence, set_expr(p, &range, 1, false));
    }
    p->position++;
    return sequence;
}

// Behind "[". No more ranges than bytes.
static grammar_expr *parse_brackets(gbnf_parser *p)
{
    size_t end = p->position;
    while (end < p->text.size && p->text.data[end] != ']') {
        end += p->text.data[end] == '\\' ? 2 : 1;
    }
    if (end >= p->text.size) {
        invalid(p, "[ without ]");
        return NULL;
    }
    grammar_range *ranges = tp_arena_array(&p->b->arena, end - p->position, sizeof(*ranges));
    if (ranges == NULL) {
        tp_grammar_fail_nomem(p->b);
        return NULL;
    }
    uint32_t count = 0;
    const bool is_negated = peek(p) == '^';
    p->position += is_negated ? 1 : 0;
    while (!failed(p) && p->position < end) {
        const uint32_t low = parse_char(p);
        uint32_t high = low;
        if (peek(p) == '-' && p->position + 1 < end) {
            p->position++;
            high = parse_char(p);
        }
        if (high < low) {
            invalid(p, "a range in brackets runs backwards");
        }
        ranges[count++] = (grammar_range){low, high};
    }
    p->position = end + 1;
    return set_expr(p, ranges, count, is_negated);
}

static grammar_expr *parse_atom(gbnf_parser *p)
{
    const char c = peek(p);
    const size_t begin = p->position;
    if (is_name_char(c)) {
        return tp_grammar_expr(p->b, EXPR_RULE, get_rule(p, parse_name(p), begin));
    }
    p->position++;
    if (c == '"') {
        return parse_literal(p);
    }
    if (c == '[') {
        return parse_brackets(p);
    }
    if (c == '.') {
        return set_expr(p, NULL, 0, true);
    }
    if (c == '(') {
        skip_blank(p, true);
        grammar_expr *inner = parse_choice(p, true);
        if (peek(p) != ')') {
            invalid(p, "( without )");
        }
        p->position++;
        return inner;
    }
    p->position--;
    invalid(p, "expected a literal, a class, a rule's name or a group");
    return NULL;
}

static uint32_t parse_number(gbnf_parser *p)
{
    uint32_t number = 0;
    if (peek(p) < '0' || peek(p) > '9') {
        invalid(p, "a number is missing in braces");
    }
    while (peek(p) >= '0' && peek(p) <= '9' && !failed(p)) {
        number = number * 10 + (uint32_t)(p->text.data[p->position++] - '0');
        if (number > TP_MAX_GRAMMAR_REPEAT) {
            tp_grammar_fail(p->b, TAPEOUT_E_LIMIT, "grammar: byte %zu: repeats more than %u times",
                            p->position, TP_MAX_GRAMMAR_REPEAT);
        }
    }
    return number;
}

// Behind "{".
static void parse_braces(gbnf_parser *p, grammar_expr *repeat)
{
    skip_blank(p, false);
    repeat->min = parse_number(p);
    repeat->max = repeat->min;
    skip_blank(p, false);
    if (peek(p) == ',') {
        p->position++;
        skip_blank(p, false);
        repeat->max = peek(p) == '}' ? GRAMMAR_NO_MAX : parse_number(p);
        skip_blank(p, false);
    }
    if (peek(p) != '}') {
        invalid(p, "{ without }");
    }
    p->position++;
    if (repeat->max < repeat->min) {
        invalid(p, "a repetition of at least more than at most");
    }
}

static grammar_expr *parse_repeated(gbnf_parser *p, bool is_nested)
{
    grammar_expr *atom = parse_atom(p);
    skip_blank(p, is_nested);
    for (char c = peek(p); !failed(p) && (c == '*' || c == '+' || c == '?' || c == '{');
         c = peek(p)) {
        grammar_expr *repeat = tp_grammar_expr(p->b, EXPR_REPEAT, 0);
        if (repeat == NULL || ++p->depth > TP_MAX_GRAMMAR_NESTING) {
            invalid(p, "repetitions of repetitions, too many");
            return NULL;
        }
        p->position++;
        repeat->min = c == '+' ? 1 : 0;
        repeat->max = c == '?' ? 1 : GRAMMAR_NO_MAX;
        if (c == '{') {
            parse_braces(p, repeat);
        }
        tp_grammar_expr_add(repeat, atom);
        atom = repeat;
        skip_blank(p, is_nested);
    }
    return atom;
}

static grammar_expr *parse_sequence(gbnf_parser *p, bool is_nested)
{
    grammar_expr *sequence = tp_grammar_expr(p->b, EXPR_SEQUENCE, 0);
    const uint32_t depth = p->depth;
    while (!failed(p) && p->position < p->text.size && peek(p) != '|' && peek(p) != ')' &&
           peek(p) != '\n' && peek(p) != '\r') {
        tp_grammar_expr_add(sequence, parse_repeated(p, is_nested));
        p->depth = depth;
    }
    return sequence;
}

static grammar_expr *parse_choice(gbnf_parser *p, bool is_nested)
{
    if (++p->depth > TP_MAX_GRAMMAR_NESTING) {
        tp_grammar_fail(p->b, TAPEOUT_E_LIMIT, "grammar: groups nest deeper than %u",
                        TP_MAX_GRAMMAR_NESTING);
        return NULL;
    }
    grammar_expr *choice = tp_grammar_expr(p->b, EXPR_CHOICE, 0);
    tp_grammar_expr_add(choice, parse_sequence(p, is_nested));
    while (!failed(p) && peek(p) == '|') {
        p->position++;
        skip_blank(p, true);
        tp_grammar_expr_add(choice, parse_sequence(p, is_nested));
    }
    p->depth--;
    return choice;
}

static void parse_rule(gbnf_parser *p)
{
    const size_t begin = p->position;
    const tp_str name = parse_name(p);
    if (name.size == 0) {
        invalid(p, "expected a rule's name");
        return;
    }
    const uint32_t rule = get_rule(p, name, begin);
    skip_blank(p, false);
    if (p->text.size - p->position < 3 || memcmp(p->text.data + p->position, "::=", 3) != 0) {
        invalid(p, "expected ::= behind a rule's name");
        return;
    }
    p->position += 3;
    skip_blank(p, true);
    grammar_expr *expr = parse_choice(p, false);
    if (!failed(p) && p->rules[rule].expr != NULL) {
        invalid(p, "the rule that ends here is defined twice");
    }
    if (!failed(p) && p->position < p->text.size && peek(p) != '\n' && peek(p) != '\r') {
        invalid(p, "expected the end of the line");
    }
    if (!failed(p)) {
        p->rules[rule].expr = expr;
    }
    skip_blank(p, true);
}

// Sets is_nullable where it follows from rules; a rule that asks for itself counts as not empty,
// and grammar_finish.c refuses what that leaves undecided.
static bool decide_nullable(gbnf_parser *p, grammar_expr *expr)
{
    if (expr->kind == EXPR_RULE) {
        gbnf_rule *rule = &p->rules[expr->value];
        if (!rule->is_answered && !rule->is_being_asked && p->depth < TP_MAX_GRAMMAR_RULE_CHAIN) {
            rule->is_being_asked = true;
            p->depth++;
            rule->expr->is_nullable = decide_nullable(p, rule->expr);
            p->depth--;
            rule->is_being_asked = false;
            rule->is_answered = true;
        }
        expr->is_nullable = rule->is_answered && rule->expr->is_nullable;
        return expr->is_nullable;
    }
    bool all = true;
    bool any = false;
    for (grammar_expr *part = expr->first; part != NULL; part = part->sibling) {
        const bool is_nullable = decide_nullable(p, part);
        all = all && is_nullable;
        any = any || is_nullable;
    }
    if (expr->kind == EXPR_SEQUENCE) {
        expr->is_nullable = all;
    } else if (expr->kind == EXPR_CHOICE) {
        expr->is_nullable = any;
    } else if (expr->kind == EXPR_REPEAT) {
        expr->is_nullable = expr->min == 0 || any;
    }
    return expr->is_nullable;
}

// Rules of the notation have their own numbers; the builder's are put in their place.
static void renumber(const gbnf_parser *p, grammar_expr *expr)
{
    for (grammar_expr *part = expr->first; part != NULL; part = part->sibling) {
        renumber(p, part);
    }
    if (expr->kind == EXPR_RULE) {
        expr->value = p->numbers[expr->value];
    }
}

static uint32_t build_rules(gbnf_parser *p)
{
    static const grammar_lowering plain = {.spelling = GRAMMAR_PLAIN};
    grammar_builder *b = p->b;
    const int64_t root = tp_dict_find(&p->names, TP_STR("root"));
    if (root < 0) {
        tp_grammar_fail(b, TAPEOUT_E_INVALID, "grammar: there is no rule 'root', the start");
    }
    for (uint32_t i = 0; i < p->names.count; i++) {
        if (!failed(p) && p->rules[i].expr == NULL) {
            p->position = p->rules[i].used_at;
            tp_grammar_fail(b, TAPEOUT_E_INVALID,
                            "grammar: byte %zu: the rule '%.*s' is not defined", p->position,
                            TP_STR_ARGS(tp_dict_get(&p->names, i)));
        }
    }
    p->depth = 0;
    for (uint32_t i = 0; i < p->names.count && !failed(p); i++) {
        if (!p->rules[i].is_answered) {
            p->rules[i].is_being_asked = true;
            p->rules[i].expr->is_nullable = decide_nullable(p, p->rules[i].expr);
            p->rules[i].is_being_asked = false;
            p->rules[i].is_answered = true;
        }
    }
    for (uint32_t i = 0; i < p->names.count && !failed(p); i++) {
        renumber(p, p->rules[i].expr);
        const uint32_t start = tp_grammar_lower(b, p->rules[i].expr, &plain, GRAMMAR_DONE);
        if (!failed(p)) {
            b->rules[p->numbers[i]] = start;
        }
    }
    return failed(p) ? 0 : p->numbers[root];
}

uint32_t tp_gbnf_build(grammar_builder *b, tp_str text)
{
    gbnf_parser p = {.b = b, .text = text};
    uint32_t root = 0;
    size_t offset = 0;
    tp_dict_init(&p.names, b->alloc);
    if (!tp_utf8_check(text, &offset)) {
        tp_grammar_fail(b, TAPEOUT_E_INVALID, "grammar: byte %zu is not UTF-8", offset);
    }
    skip_blank(&p, true);
    while (!failed(&p) && p.position < text.size) {
        parse_rule(&p);
    }
    if (!failed(&p)) {
        root = build_rules(&p);
    }
    tp_dict_deinit(&p.names);
    tp_free_array(b->alloc, p.rules, p.rule_capacity, sizeof(*p.rules));
    tp_free_array(b->alloc, p.numbers, p.number_capacity, sizeof(*p.numbers));
    return root;
}
