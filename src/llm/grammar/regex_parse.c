// SPDX-License-Identifier: Apache-2.0
//
// Regular expressions in the notation of ECMA-262 with the u flag's escapes, as JSON Schema's
// `pattern` asks: classes, groups, alternatives, repetition, anchors. What no automaton of bounded
// size can do is refused by its name: backreferences, lookaround, word boundaries, flags, Unicode
// properties. Lazy repetition matches the same texts and is taken as such.
#include "llm/grammar/grammar_priv.h"

#include "base/tp_hex.h"

#include <string.h>

typedef struct regex_parser {
    grammar_builder *b;
    tp_str text;
    size_t position;
    uint32_t depth;
} regex_parser;

typedef struct range_list {
    grammar_range *ranges; // in the arena
    uint32_t count, capacity;
} range_list;

static grammar_expr *parse_choice(regex_parser *p);

static bool at_end(const regex_parser *p)
{
    return p->position >= p->text.size || p->b->status != TAPEOUT_OK;
}

static bool next_is(const regex_parser *p, const char *literal)
{
    const size_t size = strlen(literal);
    return p->text.size - p->position >= size &&
           memcmp(p->text.data + p->position, literal, size) == 0;
}

static bool take(regex_parser *p, const char *literal)
{
    if (!next_is(p, literal)) {
        return false;
    }
    p->position += strlen(literal);
    return true;
}

static void refuse(regex_parser *p, const char *what)
{
    tp_grammar_fail(p->b, TAPEOUT_E_UNSUPPORTED, "pattern: byte %zu: %s is not supported",
                    p->position, what);
}

static void invalid(regex_parser *p, const char *what)
{
    tp_grammar_fail(p->b, TAPEOUT_E_INVALID, "pattern: byte %zu: %s", p->position, what);
}

// -- sets ----------------------------------------------------------------------------------------
static void add_range(regex_parser *p, range_list *list, uint32_t low, uint32_t high)
{
    if (list->count == list->capacity) {
        const uint32_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        grammar_range *ranges = tp_arena_array(&p->b->arena, capacity, sizeof(*ranges));
        if (ranges == NULL) {
            tp_grammar_fail_nomem(p->b);
            return;
        }
        if (list->count > 0) {
            memcpy(ranges, list->ranges, list->count * sizeof(*ranges));
        }
        list->ranges = ranges;
        list->capacity = capacity;
    }
    list->ranges[list->count++] = (grammar_range){low, high};
}

static const grammar_range digits[] = {{'0', '9'}};
static const grammar_range words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const grammar_range spaces[] = {
    {'\t', '\r'},     {' ', ' '},       {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
    {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};
static const grammar_range line_ends[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

static void add_class(regex_parser *p, range_list *list, const grammar_range *ranges,
                      uint32_t count, bool is_negated)
{
    uint32_t from = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_negated) {
            add_range(p, list, ranges[i].low, ranges[i].high);
        } else if (ranges[i].low > from) {
            add_range(p, list, from, ranges[i].low - 1);
        }
        from = ranges[i].high + 1;
    }
    if (is_negated) {
        add_range(p, list, from, GRAMMAR_MAX_CODE);
    }
}

// \d and its like: true when `letter`, behind a backslash, is one.
static bool add_named_class(regex_parser *p, range_list *list, char letter)
{
    const bool is_negated = letter >= 'A' && letter <= 'Z';
    switch (letter | 0x20) {
    case 'd':
        add_class(p, list, digits, sizeof(digits) / sizeof(*digits), is_negated);
        return true;
    case 'w':
        add_class(p, list, words, sizeof(words) / sizeof(*words), is_negated);
        return true;
    case 's':
        add_class(p, list, spaces, sizeof(spaces) / sizeof(*spaces), is_negated);
        return true;
    default:
        return false;
    }
}

static uint32_t parse_hex(regex_parser *p, size_t digit_count)
{
    uint32_t code = 0;
    for (size_t i = 0; i < digit_count; i++) {
        const int digit = tp_hex_digit(at_end(p) ? '\0' : p->text.data[p->position]);
        if (digit < 0) {
            invalid(p, "a hexadecimal digit is missing");
            return 0;
        }
        code = code << 4 | (uint32_t)digit;
        p->position++;
    }
    return code;
}

// Behind \u: four digits, a pair of them for a character beyond, or digits in braces.
static uint32_t parse_unicode(regex_parser *p)
{
    uint32_t code = 0;
    if (take(p, "{")) {
        while (!at_end(p) && !next_is(p, "}") && code <= GRAMMAR_MAX_CODE) {
            code = code << 4 | parse_hex(p, 1);
        }
        if (!take(p, "}")) {
            invalid(p, "\\u{ without }, or beyond 10FFFF");
        }
    } else {
        code = parse_hex(p, 4);
        if (code >= 0xd800 && code < 0xdc00 && take(p, "\\u")) {
            const uint32_t low = parse_hex(p, 4);
            code = low >= 0xdc00 && low < 0xe000
                       ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
                       : code;
        }
    }
    if (code > GRAMMAR_MAX_CODE || (code >= 0xd800 && code < 0xe000)) {
        invalid(p, "\\u names no character");
    }
    return code;
}

static bool is_letter(char c)
{
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// A character behind a backslash, which has been read; named classes have been looked for.
static uint32_t parse_escape(regex_parser *p, bool in_class)
{
    static const char letters[] = "tnvfr";
    static const char meant[] = "\t\n\v\f\r";
    if (at_end(p)) {
        invalid(p, "a backslash at the end");
        return 0;
    }
    const char c = p->text.data[p->position];
    const char *letter = strchr(letters, c);
    if (c != '\0' && letter != NULL) {
        p->position++;
        return (uint8_t)meant[letter - letters];
    }
    if (take(p, "x")) {
        return parse_hex(p, 2);
    }
    if (take(p, "u")) {
        return parse_unicode(p);
    }
    if (c == 'c' && p->text.size - p->position > 1 && is_letter(p->text.data[p->position + 1])) {
        p->position += 2;
        return (uint32_t)p->text.data[p->position - 1] & 31;
    }
    if (c == '0' && !(p->text.size - p->position > 1 && is_digit(p->text.data[p->position + 1]))) {
        p->position++;
        return 0;
    }
    if (in_class && take(p, "b")) {
        return '\b';
    }
    if (is_digit(c) || c == 'k') {
        refuse(p, "a backreference");
    } else if (c == 'b' || c == 'B') {
        refuse(p, "the word boundary \\b or \\B");
    } else if (c == 'p' || c == 'P') {
        refuse(p, "a Unicode property \\p");
    } else if (is_letter(c)) {
        invalid(p, "an escape that is none");
    }
    return tp_grammar_take_utf8(p->text, &p->position);
}

// One character or named class inside brackets; false for a class, which has been added.
static bool parse_class_atom(regex_parser *p, range_list *list, uint32_t *ret_code)
{
    if (!take(p, "\\")) {
        *ret_code = tp_grammar_take_utf8(p->text, &p->position);
        return true;
    }
    if (!at_end(p) && add_named_class(p, list, p->text.data[p->position])) {
        p->position++;
        return false;
    }
    *ret_code = parse_escape(p, true);
    return true;
}

// Behind "[".
static grammar_expr *parse_brackets(regex_parser *p)
{
    range_list list = {NULL, 0, 0};
    const bool is_negated = take(p, "^");
    while (!at_end(p) && !next_is(p, "]")) {
        uint32_t low = 0;
        uint32_t high = 0;
        if (!parse_class_atom(p, &list, &low)) {
            continue;
        }
        const bool is_range = next_is(p, "-") && p->text.size - p->position > 1 &&
                              p->text.data[p->position + 1] != ']';
        if (!is_range) {
            add_range(p, &list, low, low);
            continue;
        }
        p->position++;
        if (!parse_class_atom(p, &list, &high)) { // "a-\d" is three things
            add_range(p, &list, low, low);
            add_range(p, &list, '-', '-');
        } else if (high < low) {
            invalid(p, "a range in brackets runs backwards");
        } else {
            add_range(p, &list, low, high);
        }
    }
    if (!take(p, "]")) {
        invalid(p, "[ without ]");
    }
    return tp_grammar_expr(p->b, EXPR_SET,
                           tp_grammar_set(p->b, list.ranges, list.count, is_negated));
}

// -- structure -----------------------------------------------------------------------------------
static void skip_group_name(regex_parser *p)
{
    while (!at_end(p) && !next_is(p, ">")) {
        p->position++;
    }
    if (!take(p, ">")) {
        invalid(p, "a group's name without >");
    }
}

// Behind "(".
static grammar_expr *parse_group(regex_parser *p)
{
    if (next_is(p, "?=") || next_is(p, "?!")) {
        refuse(p, "lookahead (?= or (?!");
    } else if (next_is(p, "?<=") || next_is(p, "?<!")) {
        refuse(p, "lookbehind (?<= or (?<!");
    } else if (take(p, "?<") || take(p, "?P<")) {
        skip_group_name(p);
    } else if (next_is(p, "?") && !take(p, "?:")) {
        refuse(p, "a group that begins with (? and is neither (?: nor (?<name>");
    }
    grammar_expr *inner = parse_choice(p);
    if (!take(p, ")")) {
        invalid(p, "( without )");
    }
    return inner;
}

static grammar_expr *char_expr(regex_parser *p, uint32_t code)
{
    grammar_range range = {code, code};
    return tp_grammar_expr(p->b, EXPR_SET, tp_grammar_set(p->b, &range, 1, false));
}

static grammar_expr *parse_atom(regex_parser *p)
{
    if (take(p, "(")) {
        return parse_group(p);
    }
    if (take(p, "[")) {
        return parse_brackets(p);
    }
    if (take(p, ".")) {
        range_list list = {NULL, 0, 0};
        add_class(p, &list, line_ends, sizeof(line_ends) / sizeof(*line_ends), true);
        return tp_grammar_expr(p->b, EXPR_SET,
                               tp_grammar_set(p->b, list.ranges, list.count, false));
    }
    if (take(p, "^")) {
        return tp_grammar_expr(p->b, EXPR_BEGIN, 0);
    }
    if (take(p, "$")) {
        return tp_grammar_expr(p->b, EXPR_END, 0);
    }
    if (next_is(p, "*") || next_is(p, "+") || next_is(p, "?")) {
        invalid(p, "nothing to repeat");
        return NULL;
    }
    if (!take(p, "\\")) {
        return char_expr(p, tp_grammar_take_utf8(p->text, &p->position));
    }
    range_list list = {NULL, 0, 0};
    if (!at_end(p) && add_named_class(p, &list, p->text.data[p->position])) {
        p->position++;
        return tp_grammar_expr(p->b, EXPR_SET,
                               tp_grammar_set(p->b, list.ranges, list.count, false));
    }
    return char_expr(p, parse_escape(p, false));
}

static bool parse_number(regex_parser *p, uint32_t *ret_number)
{
    const size_t begin = p->position;
    uint32_t number = 0;
    while (p->position < p->text.size && is_digit(p->text.data[p->position])) {
        number = number * 10 + (uint32_t)(p->text.data[p->position++] - '0');
        if (number > TP_MAX_GRAMMAR_REPEAT) {
            tp_grammar_fail(p->b, TAPEOUT_E_LIMIT, "pattern: byte %zu: repeats more than %u times",
                            begin, TP_MAX_GRAMMAR_REPEAT);
            return false;
        }
    }
    *ret_number = number;
    return p->position > begin;
}

// True when bounds stand here; a brace that begins none stands for itself.
static bool parse_bounds(regex_parser *p, uint32_t *ret_min, uint32_t *ret_max)
{
    const size_t begin = p->position;
    if (take(p, "*") || take(p, "+") || take(p, "?")) {
        const char c = p->text.data[begin];
        *ret_min = c == '+' ? 1 : 0;
        *ret_max = c == '?' ? 1 : GRAMMAR_NO_MAX;
        return true;
    }
    if (take(p, "{") && parse_number(p, ret_min)) {
        *ret_max = *ret_min;
        if (take(p, ",") && !parse_number(p, ret_max)) {
            *ret_max = GRAMMAR_NO_MAX;
        }
        if (take(p, "}")) {
            return true;
        }
    }
    p->position = begin;
    return false;
}

static grammar_expr *parse_repeated(regex_parser *p)
{
    grammar_expr *atom = parse_atom(p);
    uint32_t min = 0;
    uint32_t max = 0;
    if (atom == NULL || at_end(p) || !parse_bounds(p, &min, &max)) {
        return atom;
    }
    if (atom->kind == EXPR_BEGIN || atom->kind == EXPR_END) {
        invalid(p, "an anchor cannot be repeated");
    }
    if (max < min) {
        invalid(p, "a repetition of at least more than at most");
    }
    (void)take(p, "?"); // lazy: the same texts
    if (next_is(p, "*") || next_is(p, "+") || next_is(p, "?")) {
        invalid(p, "nothing to repeat");
    }
    grammar_expr *repeat = tp_grammar_expr(p->b, EXPR_REPEAT, 0);
    if (repeat != NULL) {
        repeat->min = min;
        repeat->max = max;
        tp_grammar_expr_add(repeat, atom);
    }
    return repeat;
}

static grammar_expr *parse_sequence(regex_parser *p)
{
    grammar_expr *sequence = tp_grammar_expr(p->b, EXPR_SEQUENCE, 0);
    while (!at_end(p) && !next_is(p, "|") && !next_is(p, ")")) {
        tp_grammar_expr_add(sequence, parse_repeated(p));
    }
    return sequence;
}

static grammar_expr *parse_choice(regex_parser *p)
{
    if (++p->depth > TP_MAX_GRAMMAR_NESTING) {
        tp_grammar_fail(p->b, TAPEOUT_E_LIMIT, "pattern: groups nest deeper than %u",
                        TP_MAX_GRAMMAR_NESTING);
        return NULL;
    }
    grammar_expr *choice = tp_grammar_expr(p->b, EXPR_CHOICE, 0);
    do {
        tp_grammar_expr_add(choice, parse_sequence(p));
    } while (!at_end(p) && take(p, "|"));
    p->depth--;
    return choice;
}

grammar_expr *tp_regex_parse(grammar_builder *b, tp_str pattern)
{
    regex_parser p = {.b = b, .text = pattern};
    size_t offset = 0;
    if (pattern.size > TP_MAX_GRAMMAR_TEXT_BYTES) {
        tp_grammar_fail(b, TAPEOUT_E_LIMIT, "pattern: %zu bytes, at most %u", pattern.size,
                        TP_MAX_GRAMMAR_TEXT_BYTES);
    } else if (!tp_utf8_check(pattern, &offset)) {
        tp_grammar_fail(b, TAPEOUT_E_INVALID, "pattern: byte %zu is not UTF-8", offset);
    }
    if (b->status != TAPEOUT_OK) {
        return NULL;
    }
    grammar_expr *expr = parse_choice(&p);
    if (!at_end(&p)) {
        invalid(&p, ") without (");
    }
    return b->status == TAPEOUT_OK ? expr : NULL;
}
