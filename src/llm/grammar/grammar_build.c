// SPDX-License-Identifier: Apache-2.0
//
// Building the automaton: nodes, edges, rules, and what can go wrong. Nodes and edges live in lists
// that double up to a named limit; a number of a node stays what it is.
#include "llm/grammar/grammar_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

void tp_grammar_builder_init(grammar_builder *b, const tp_env *env, tapeout_error *err)
{
    *b = (grammar_builder){.alloc = env->alloc, .err = err};
    tp_arena_init(&b->arena, env->alloc, TP_MAX_GRAMMAR_ARENA);
    tp_dict_init(&b->sets, env->alloc);
    tp_dict_init(&b->set_rules, env->alloc);
    (void)tp_grammar_node(b, GRAMMAR_SPLIT, 0, 0);  // GRAMMAR_DEAD
    (void)tp_grammar_node(b, GRAMMAR_RETURN, 0, 0); // GRAMMAR_DONE; a failure stays in the builder
}

void tp_grammar_builder_deinit(grammar_builder *b)
{
    tp_free_array(b->alloc, b->nodes, b->node_capacity, sizeof(*b->nodes));
    tp_free_array(b->alloc, b->edges, b->edge_capacity, sizeof(*b->edges));
    tp_free_array(b->alloc, b->rules, b->rule_capacity, sizeof(*b->rules));
    tp_free_array(b->alloc, b->set_rule, b->set_rule_capacity, sizeof(*b->set_rule));
    tp_dict_deinit(&b->sets);
    tp_dict_deinit(&b->set_rules);
    tp_arena_deinit(&b->arena);
}

void tp_grammar_fail(grammar_builder *b, tapeout_status status, const char *format, ...)
{
    if (b->status != TAPEOUT_OK) {
        return;
    }
    char message[TAPEOUT_ERROR_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments); // a cut message is still one
    va_end(arguments);
    b->status = tp_fail(b->err, status, "%s", message);
}

void tp_grammar_fail_nomem(grammar_builder *b)
{
    if (b->status == TAPEOUT_OK) {
        b->status = tp_arena_check(&b->arena, "grammar", b->err);
    }
    if (b->status == TAPEOUT_OK) {
        b->status = tp_fail_nomem(b->err);
    }
}

bool tp_grammar_reserve(grammar_builder *b, grammar_list list, uint32_t most, const char *what)
{
    if (list.count < *list.capacity) {
        return b->status == TAPEOUT_OK;
    }
    if (list.count >= most) {
        tp_grammar_fail(b, TAPEOUT_E_LIMIT, "grammar: more than %u %s: make it smaller", most,
                        what);
        return false;
    }
    const uint32_t wanted = *list.capacity == 0 ? 64 : *list.capacity * 2;
    const uint32_t capacity = wanted < most ? wanted : most;
    void *data = tp_resize_array(b->alloc, *list.data, *list.capacity, capacity, list.item_size);
    if (data == NULL) {
        tp_grammar_fail_nomem(b);
        return false;
    }
    *list.data = data;
    *list.capacity = capacity;
    return b->status == TAPEOUT_OK;
}

uint32_t tp_grammar_node(grammar_builder *b, grammar_op op, uint32_t a, uint32_t next)
{
    void *nodes = b->nodes;
    const grammar_list list = {&nodes, &b->node_capacity, b->node_count, sizeof(*b->nodes)};
    const bool has_room = tp_grammar_reserve(b, list, TP_MAX_GRAMMAR_NODES, "nodes");
    b->nodes = nodes;
    if (!has_room) {
        return GRAMMAR_DEAD;
    }
    b->nodes[b->node_count] =
        (grammar_node){.op = (uint8_t)op, .level = (uint16_t)b->level, .a = a, .next = next};
    return b->node_count++;
}

void tp_grammar_add_bytes(grammar_builder *b, uint32_t node, grammar_edge edge)
{
    void *edges = b->edges;
    const grammar_list list = {&edges, &b->edge_capacity, b->edge_count, sizeof(*b->edges)};
    const bool has_room = tp_grammar_reserve(b, list, TP_MAX_GRAMMAR_EDGES, "edges");
    b->edges = edges;
    if (!has_room || node == GRAMMAR_DEAD) {
        return;
    }
    edge.link = b->nodes[node].edges;
    b->edges[b->edge_count++] = edge;
    b->nodes[node].edges = b->edge_count;
    b->nodes[node].edge_count++;
}

void tp_grammar_add(grammar_builder *b, uint32_t split, uint32_t target)
{
    tp_grammar_add_bytes(b, split, (grammar_edge){.target = target});
}

uint32_t tp_grammar_split(grammar_builder *b, uint32_t one, uint32_t other)
{
    const uint32_t split = tp_grammar_node(b, GRAMMAR_SPLIT, 0, 0);
    tp_grammar_add(b, split, one);
    tp_grammar_add(b, split, other);
    return split;
}

uint32_t tp_grammar_bytes(grammar_builder *b, uint8_t low, uint8_t high, uint32_t next)
{
    const uint32_t node = tp_grammar_node(b, GRAMMAR_BYTES, 0, 0);
    tp_grammar_add_bytes(b, node, (grammar_edge){.target = next, .low = low, .high = high});
    return node;
}

uint32_t tp_grammar_literal(grammar_builder *b, tp_str text, uint32_t next)
{
    for (size_t i = text.size; i > 0; i--) {
        const uint8_t byte = (uint8_t)text.data[i - 1];
        next = tp_grammar_bytes(b, byte, byte, next);
    }
    return next;
}

uint32_t tp_grammar_call(grammar_builder *b, uint32_t rule, uint32_t next)
{
    return tp_grammar_node(b, GRAMMAR_CALL, rule, next);
}

grammar_count tp_grammar_count_open(grammar_builder *b, uint32_t min, uint32_t max, uint32_t next)
{
    grammar_count count = {.min = min, .max = max, .next = next};
    b->level++;
    if (b->level > TP_MAX_GRAMMAR_NESTING) {
        tp_grammar_fail(b, TAPEOUT_E_LIMIT, "grammar: repetitions nest deeper than %u",
                        TP_MAX_GRAMMAR_NESTING);
    }
    count.loop = tp_grammar_node(b, GRAMMAR_LOOP, 0, next);
    if (count.loop != GRAMMAR_DEAD) {
        b->nodes[count.loop].min = min > 0 ? min : 1;
        b->nodes[count.loop].max = max;
    }
    return count;
}

uint32_t tp_grammar_count_close(grammar_builder *b, const grammar_count *count, uint32_t body)
{
    assert(b->level > 0);
    b->level--;
    if (count->loop != GRAMMAR_DEAD) {
        b->nodes[count->loop].a = body;
    }
    const uint32_t begin =
        count->max == 0 ? GRAMMAR_DEAD : tp_grammar_node(b, GRAMMAR_COUNT, count->loop, body);
    return count->min == 0 ? tp_grammar_split(b, begin, count->next) : begin;
}

uint32_t tp_grammar_rule(grammar_builder *b)
{
    void *rules = b->rules;
    const grammar_list list = {&rules, &b->rule_capacity, b->rule_count, sizeof(*b->rules)};
    const bool has_room = tp_grammar_reserve(b, list, TP_MAX_GRAMMAR_RULES, "rules");
    b->rules = rules;
    if (!has_room) {
        return 0;
    }
    b->rules[b->rule_count] = GRAMMAR_DEAD;
    return b->rule_count++;
}
