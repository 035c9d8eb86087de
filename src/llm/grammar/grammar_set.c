// SPDX-License-Identifier: Apache-2.0
//
// Sets of characters, and the bytes that spell them. A set is kept once, by its ranges; a set of
// ASCII alone becomes one node, any other a rule of its own that all its users call, so that a
// pattern of a thousand dots holds the automaton of UTF-8 once.
#include "llm/grammar/grammar_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

size_t tp_grammar_put_utf8(uint32_t code, uint8_t bytes[4])
{
    if (code < 0x80) {
        bytes[0] = (uint8_t)code;
        return 1;
    }
    const size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size - 1; i > 0; i--) {
        bytes[i] = (uint8_t)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    bytes[0] = (uint8_t)(leads[size] | code);
    return size;
}

uint32_t tp_grammar_take_utf8(tp_str text, size_t *position)
{
    const uint8_t *at = (const uint8_t *)text.data + *position;
    const size_t size = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    assert(*position + size <= text.size);
    static const uint8_t masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = at[0] & masks[size];
    for (size_t i = 1; i < size; i++) {
        code = code << 6 | (at[i] & 0x3f);
    }
    *position += size;
    return code;
}

static int compare_ranges(const void *a, const void *b)
{
    const grammar_range *left = a;
    const grammar_range *right = b;
    return left->low < right->low ? -1 : left->low > right->low;
}

// Ranges sorted and joined in place; how many are left.
static uint32_t join(grammar_range *ranges, uint32_t count)
{
    uint32_t kept = 0;
    if (count > 0) {
        qsort(ranges, count, sizeof(*ranges), compare_ranges);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (kept > 0 && ranges[i].low <= ranges[kept - 1].high + 1) {
            if (ranges[i].high > ranges[kept - 1].high) {
                ranges[kept - 1].high = ranges[i].high;
            }
        } else {
            ranges[kept++] = ranges[i];
        }
    }
    return kept;
}

// Adds low to high without the surrogates, which no text has.
static void put_range(grammar_range *ranges, uint32_t *count, uint32_t low, uint32_t high)
{
    const grammar_range parts[] = {{low, high < 0xd7ff ? high : 0xd7ff},
                                   {low > 0xe000 ? low : 0xe000, high}};
    for (int i = 0; i < 2; i++) {
        if (parts[i].low <= parts[i].high) {
            ranges[(*count)++] = parts[i];
        }
    }
}

uint32_t tp_grammar_set(grammar_builder *b, grammar_range *ranges, uint32_t count, bool is_negated)
{
    grammar_range *all = tp_arena_array(&b->arena, 2 * (size_t)count + 2, sizeof(*all));
    uint32_t set = 0;
    if (all == NULL) {
        tp_grammar_fail_nomem(b);
        return 0;
    }
    uint32_t filled = 0;
    uint32_t from = 0;
    count = join(ranges, count);
    for (uint32_t i = 0; i < count; i++) {
        if (!is_negated) {
            put_range(all, &filled, ranges[i].low, ranges[i].high);
        } else if (ranges[i].low > from) {
            put_range(all, &filled, from, ranges[i].low - 1);
        }
        from = ranges[i].high + 1;
    }
    if (is_negated && from <= GRAMMAR_MAX_CODE) {
        put_range(all, &filled, from, GRAMMAR_MAX_CODE);
    }
    const tp_str key = {(const char *)all, filled * sizeof(*all)};
    const tapeout_status status = tp_dict_add(&b->sets, key, &set);
    if (status != TAPEOUT_OK) {
        tp_grammar_fail_nomem(b);
        return 0;
    }
    return set;
}

grammar_set tp_grammar_set_view(grammar_builder *b, uint32_t set)
{
    const tp_str key = b->sets.count > set ? tp_dict_get(&b->sets, set) : (tp_str){NULL, 0};
    grammar_range *ranges = tp_arena_alloc(&b->arena, key.size);
    if (ranges == NULL) {
        tp_grammar_fail_nomem(b);
        return (grammar_set){NULL, 0};
    }
    if (key.size > 0) {
        memcpy(ranges, key.data, key.size);
    }
    return (grammar_set){ranges, (uint32_t)(key.size / sizeof(*ranges))};
}

// The bytes of all code points of a range, which have `size` bytes each. Where leading bytes
// differ, the last ones must run over all values, or the range is cut: then each byte has a range
// of its own.
static void add_utf8(grammar_builder *b, uint32_t node, grammar_range range, size_t size,
                     uint32_t next)
{
    uint8_t low[4];
    uint8_t high[4];
    (void)tp_grammar_put_utf8(range.low, low);
    (void)tp_grammar_put_utf8(range.high, high);
    for (size_t i = 1; i < size; i++) {
        const uint32_t mask = (1u << (6 * i)) - 1; // the last i bytes
        if ((range.low & ~mask) == (range.high & ~mask)) {
            break; // the bytes before them are the same
        }
        if ((range.low & mask) != 0) {
            add_utf8(b, node, (grammar_range){range.low, range.low | mask}, size, next);
            add_utf8(b, node, (grammar_range){(range.low | mask) + 1, range.high}, size, next);
            return;
        }
        if ((range.high & mask) != mask) {
            add_utf8(b, node, (grammar_range){range.low, (range.high & ~mask) - 1}, size, next);
            add_utf8(b, node, (grammar_range){range.high & ~mask, range.high}, size, next);
            return;
        }
    }
    for (size_t i = size - 1; i > 0; i--) {
        next = tp_grammar_bytes(b, low[i], high[i], next);
    }
    tp_grammar_add_bytes(b, node, (grammar_edge){.target = next, .low = low[0], .high = high[0]});
}

static void add_range(grammar_builder *b, uint32_t node, grammar_range range, uint32_t next)
{
    static const uint32_t lasts[] = {0x7f, 0x7ff, 0xffff, GRAMMAR_MAX_CODE};
    uint32_t first = 0;
    for (size_t size = 1; size <= 4; size++) {
        const uint32_t low = range.low > first ? range.low : first;
        const uint32_t high = range.high < lasts[size - 1] ? range.high : lasts[size - 1];
        if (low <= high) {
            add_utf8(b, node, (grammar_range){low, high}, size, next);
        }
        first = lasts[size - 1] + 1;
    }
}

static bool needs_escape(uint32_t code)
{
    return code < 0x20 || code == '"' || code == '\\';
}

static uint32_t escape(grammar_builder *b, uint32_t code, uint32_t next)
{
    static const char plain[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    static const char digits[] = "0123456789abcdef";
    const char *found = code == 0 ? NULL : strchr(plain, (int)code);
    if (found != NULL) {
        return tp_grammar_literal(b, (tp_str){&letters[found - plain], 1}, next);
    }
    const char text[] = {'u', '0', '0', digits[code >> 4], digits[code & 15]};
    return tp_grammar_literal(b, (tp_str){text, sizeof(text)}, next);
}

// A range by characters that stand for themselves, and one by one those that do not.
static void add_json(grammar_builder *b, grammar_range range, uint32_t nodes[2], uint32_t next)
{
    uint32_t from = range.low;
    for (uint32_t code = range.low; code <= range.high && code <= '\\'; code++) {
        if (!needs_escape(code)) {
            continue;
        }
        if (code > from) {
            add_range(b, nodes[0], (grammar_range){from, code - 1}, next);
        }
        tp_grammar_add(b, nodes[1], escape(b, code, next));
        from = code + 1;
    }
    if (from <= range.high) {
        add_range(b, nodes[0], (grammar_range){from, range.high}, next);
    }
}

// A rule that reads one character of the set.
static uint32_t build_rule(grammar_builder *b, grammar_set set, grammar_spelling spelling)
{
    const uint32_t rule = tp_grammar_rule(b);
    const uint32_t level = b->level;
    b->level = 0;
    uint32_t nodes[2] = {tp_grammar_node(b, GRAMMAR_BYTES, 0, 0),
                         tp_grammar_node(b, GRAMMAR_SPLIT, 0, 0)};
    for (uint32_t i = 0; i < set.count; i++) {
        if (spelling == GRAMMAR_JSON) {
            add_json(b, set.ranges[i], nodes, GRAMMAR_DONE);
        } else {
            add_range(b, nodes[0], set.ranges[i], GRAMMAR_DONE);
        }
    }
    if (b->status == TAPEOUT_OK && b->nodes[nodes[1]].edge_count > 0) {
        tp_grammar_add_bytes(b, nodes[0],
                             (grammar_edge){.target = nodes[1], .low = '\\', .high = '\\'});
    }
    b->level = level;
    if (b->status == TAPEOUT_OK) {
        b->rules[rule] = nodes[0];
    }
    return rule;
}

static bool is_simple(grammar_set set, grammar_spelling spelling)
{
    for (uint32_t i = 0; i < set.count; i++) {
        const grammar_range r = set.ranges[i];
        if (r.high > 0x7f) {
            return false;
        }
        for (uint32_t code = r.low; spelling == GRAMMAR_JSON && code <= r.high; code++) {
            if (needs_escape(code)) {
                return false;
            }
        }
    }
    return true;
}

uint32_t tp_grammar_set_char(grammar_builder *b, uint32_t set, grammar_spelling spelling,
                             uint32_t next)
{
    const uint32_t key[2] = {set, (uint32_t)spelling};
    uint32_t index = 0;
    const int64_t found = tp_dict_find(&b->set_rules, (tp_str){(const char *)key, sizeof(key)});
    if (found >= 0) {
        return tp_grammar_call(b, b->set_rule[found], next);
    }
    const grammar_set view = tp_grammar_set_view(b, set);
    if (is_simple(view, spelling)) {
        const uint32_t node = tp_grammar_node(b, GRAMMAR_BYTES, 0, 0);
        for (uint32_t i = 0; i < view.count; i++) {
            tp_grammar_add_bytes(b, node,
                                 (grammar_edge){.target = next,
                                                .low = (uint8_t)view.ranges[i].low,
                                                .high = (uint8_t)view.ranges[i].high});
        }
        return node;
    }
    const uint32_t rule = build_rule(b, view, spelling);
    void *rules = b->set_rule;
    const grammar_list list = {&rules, &b->set_rule_capacity, b->set_rules.count,
                               sizeof(*b->set_rule)};
    const bool has_room = tp_grammar_reserve(b, list, TP_MAX_GRAMMAR_RULES, "rules");
    b->set_rule = rules;
    if (!has_room) {
        return GRAMMAR_DEAD;
    }
    if (tp_dict_add(&b->set_rules, (tp_str){(const char *)key, sizeof(key)}, &index) !=
        TAPEOUT_OK) {
        tp_grammar_fail_nomem(b);
        return GRAMMAR_DEAD;
    }
    b->set_rule[index] = rule;
    return tp_grammar_call(b, rule, next);
}
