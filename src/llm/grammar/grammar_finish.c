// SPDX-License-Identifier: Apache-2.0
//
// From a builder to a grammar: what can never end is dropped, so that no walk meets a dead end; a
// rule that calls itself before it reads a byte is refused; the rest is packed.
//
// Two least fixed points are wanted of each node: whether the rule can be left from here at all,
// and with how many levels of stack (`need`); and whether without reading a byte. Both come from
// one search that settles nodes in ascending order of levels, as Dijkstra's does with distances: a
// call costs a level, and counts once both the called rule and what follows are settled.
#include "llm/grammar/grammar_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "llm/grammar/grammar_mask.h"

#include <assert.h>
#include <string.h>

enum { UNSETTLED = UINT16_MAX, NOWHERE = UINT32_MAX };

typedef struct finish {
    grammar_builder *b;
    uint32_t *pred_begin; // [nodes + 1] of `preds`
    uint32_t *preds;      // the nodes that depend on one
    uint32_t pred_capacity;
    uint16_t *levels;   // [nodes] settled at, in stack levels from the rule's begin
    uint16_t *nullable; // the same without a byte
    uint32_t *link;     // [nodes] in a bucket; later the stack of Tarjan's search
    uint32_t *number;   // [nodes] in Tarjan's search; later the new number
    uint32_t *low;      // [nodes]
} finish;

static bool is_tail(const grammar_builder *b, const grammar_node *call)
{
    return b->nodes[call->next].op == GRAMMAR_RETURN;
}

// Calls `visit` with what the node's own value depends on.
static void each_successor(const grammar_builder *b, uint32_t node,
                           void (*visit)(void *user, uint32_t successor), void *user)
{
    const grammar_node *n = &b->nodes[node];
    if (n->op == GRAMMAR_BYTES || n->op == GRAMMAR_SPLIT) {
        for (uint32_t e = n->edges; e > 0; e = b->edges[e - 1].link) {
            visit(user, b->edges[e - 1].target);
        }
    } else if (n->op != GRAMMAR_RETURN) {
        visit(user, n->next);
    }
    if (n->op == GRAMMAR_CALL) {
        visit(user, b->rules[n->a]);
    }
}

static void count_successor(void *user, uint32_t successor)
{
    uint32_t *counts = user;
    counts[successor + 1]++;
}

typedef struct put_state {
    finish *f;
    uint32_t node;
} put_state;

static void put_successor(void *user, uint32_t successor)
{
    put_state *put = user;
    put->f->preds[put->f->link[successor]++] = put->node;
}

static bool find_preds(finish *f)
{
    const grammar_builder *b = f->b;
    for (uint32_t i = 0; i < b->node_count; i++) {
        each_successor(b, i, count_successor, f->pred_begin);
    }
    for (uint32_t i = 0; i < b->node_count; i++) {
        f->pred_begin[i + 1] += f->pred_begin[i];
        f->link[i] = f->pred_begin[i];
    }
    f->pred_capacity = f->pred_begin[b->node_count];
    f->preds = tp_alloc_array(b->alloc, f->pred_capacity, sizeof(*f->preds));
    if (f->preds == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < b->node_count; i++) {
        put_state put = {f, i};
        each_successor(b, i, put_successor, &put);
    }
    return true;
}

// What `node` costs now that one of its successors is settled at `level`; UNSETTLED: not yet known.
static uint32_t cost(const finish *f, const uint16_t *values, uint32_t node, uint32_t level)
{
    const grammar_node *n = &f->b->nodes[node];
    if (n->op == GRAMMAR_COUNT) {
        return level > n->level + 1u ? level : n->level + 1u;
    }
    if (n->op != GRAMMAR_CALL) {
        return level;
    }
    const uint32_t inside = values[f->b->rules[n->a]];
    const uint32_t after = values[n->next];
    if (inside == UNSETTLED || after == UNSETTLED) {
        return UNSETTLED;
    }
    const uint32_t call = inside + n->level + (is_tail(f->b, n) ? 0 : 1);
    return call > after ? call : after;
}

// A node settles when its bucket's turn comes; a value is written when it is found, which is in
// ascending order, so the first is the least.
static void settle(finish *f, uint16_t *values, bool by_bytes)
{
    uint32_t buckets[TP_MAX_GRAMMAR_DEPTH + 1];
    memset(buckets, 0xff, sizeof(buckets)); // NOWHERE
    memset(values, 0xff, f->b->node_count * sizeof(*values));
    values[GRAMMAR_DONE] = 0;
    buckets[0] = GRAMMAR_DONE;
    f->link[GRAMMAR_DONE] = NOWHERE;
    for (uint32_t level = 0; level <= TP_MAX_GRAMMAR_DEPTH; level++) {
        while (buckets[level] != NOWHERE) {
            const uint32_t node = buckets[level];
            buckets[level] = f->link[node];
            for (uint32_t i = f->pred_begin[node]; i < f->pred_begin[node + 1]; i++) {
                const uint32_t pred = f->preds[i];
                const uint32_t value = cost(f, values, pred, level);
                if (values[pred] != UNSETTLED || value > TP_MAX_GRAMMAR_DEPTH ||
                    (!by_bytes && f->b->nodes[pred].op == GRAMMAR_BYTES)) {
                    continue;
                }
                values[pred] = (uint16_t)value;
                f->link[pred] = buckets[value];
                buckets[value] = pred;
            }
        }
    }
}

// Tarjan's strongly connected components over the edges that read no byte, without recursion.
typedef struct left_search {
    finish *f;
    uint32_t *path; // nodes being visited, a stack
    uint32_t *edge; // [path] where its successors go on
    uint32_t path_size;
    uint32_t *open; // nodes without a component yet, a stack
    uint32_t open_size;
    uint32_t counter;
} left_search;

enum { IN_COMPONENT = 0x80000000u };

// The next successor without a byte; NOWHERE behind the last, GRAMMAR_DEAD for one to pass over.
static uint32_t left_successor(const finish *f, uint32_t node, uint32_t *cursor)
{
    const grammar_builder *b = f->b;
    const grammar_node *n = &b->nodes[node];
    uint32_t target = NOWHERE;
    if (n->op == GRAMMAR_SPLIT) {
        target = *cursor > 0 ? b->edges[*cursor - 1].target : (uint32_t)NOWHERE;
        *cursor = *cursor > 0 ? b->edges[*cursor - 1].link : 0;
    } else {
        const uint32_t turn = (*cursor)++;
        if (n->op == GRAMMAR_CALL && turn == 0) {
            target = b->rules[n->a];
        } else if (n->op == GRAMMAR_CALL && turn == 1) {
            target = f->nullable[b->rules[n->a]] == UNSETTLED ? (uint32_t)GRAMMAR_DEAD : n->next;
        } else if ((n->op == GRAMMAR_COUNT || n->op == GRAMMAR_LOOP) && turn == 0) {
            target = n->next;
        }
    }
    return target == NOWHERE || f->levels[target] != UNSETTLED ? target : (uint32_t)GRAMMAR_DEAD;
}

static void enter(left_search *s, uint32_t node)
{
    s->f->number[node] = ++s->counter;
    s->f->low[node] = s->counter;
    s->path[s->path_size] = node;
    const grammar_node *n = &s->f->b->nodes[node];
    s->edge[s->path_size++] = n->op == GRAMMAR_SPLIT ? n->edges : 0;
    s->open[s->open_size++] = node;
}

// All nodes above `node` on the open stack share its component, whose number they get.
static void leave(left_search *s, uint32_t node)
{
    finish *f = s->f;
    s->path_size--;
    if (s->path_size > 0) {
        const uint32_t parent = s->path[s->path_size - 1];
        f->low[parent] = f->low[node] < f->low[parent] ? f->low[node] : f->low[parent];
    }
    if (f->low[node] != f->number[node]) {
        return;
    }
    for (;;) {
        const uint32_t member = s->open[--s->open_size];
        f->low[member] = f->number[node] | IN_COMPONENT;
        if (member == node) {
            return;
        }
    }
}

static void search_from(left_search *s, uint32_t begin)
{
    finish *f = s->f;
    enter(s, begin);
    while (s->path_size > 0) {
        const uint32_t node = s->path[s->path_size - 1];
        const uint32_t next = left_successor(f, node, &s->edge[s->path_size - 1]);
        if (next == NOWHERE) {
            leave(s, node);
        } else if (next != GRAMMAR_DEAD && f->number[next] == 0) {
            enter(s, next);
        } else if (next != GRAMMAR_DEAD && (f->low[next] & IN_COMPONENT) == 0 &&
                   f->number[next] < f->low[node]) {
            f->low[node] = f->number[next];
        }
    }
}

static void check_left_recursion(finish *f)
{
    grammar_builder *b = f->b;
    const uint32_t count = b->node_count;
    left_search s = {.f = f};
    uint32_t *stacks = tp_alloc_array(b->alloc, 3 * (size_t)count, sizeof(*stacks));
    if (stacks == NULL) {
        tp_grammar_fail_nomem(b);
        return;
    }
    s.path = stacks;
    s.edge = stacks + count;
    s.open = stacks + 2 * (size_t)count;
    for (uint32_t i = 0; i < count; i++) {
        if (f->number[i] == 0 && f->levels[i] != UNSETTLED) {
            search_from(&s, i);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        const grammar_node *n = &b->nodes[i];
        if (n->op == GRAMMAR_CALL && f->levels[i] != UNSETTLED && !is_tail(b, n) &&
            f->low[i] == f->low[b->rules[n->a]]) {
            tp_grammar_fail(b, TAPEOUT_E_INVALID,
                            "grammar: a rule calls itself before anything is read (left "
                            "recursion): write the repetition with * or put the call last");
        }
        if (n->op == GRAMMAR_COUNT && f->nullable[n->next] != UNSETTLED) {
            tp_grammar_fail(b, TAPEOUT_E_INVALID,
                            "grammar: a counted repetition of what may be empty: make what is "
                            "repeated read something");
        }
    }
    tp_free_array(b->alloc, stacks, 3 * (size_t)count, sizeof(*stacks));
}

// New numbers for what can be left again; DEAD and DONE keep theirs.
static uint32_t number_nodes(finish *f)
{
    uint32_t count = 2;
    f->number[GRAMMAR_DEAD] = GRAMMAR_DEAD;
    f->number[GRAMMAR_DONE] = GRAMMAR_DONE;
    for (uint32_t i = 2; i < f->b->node_count; i++) {
        f->number[i] = f->levels[i] == UNSETTLED ? (uint32_t)GRAMMAR_DEAD : count++;
    }
    return count;
}

static void pack(const finish *f, tp_grammar *grammar)
{
    const grammar_builder *b = f->b;
    for (uint32_t i = 0; i < b->node_count; i++) {
        const grammar_node *old = &b->nodes[i];
        const uint32_t number = f->number[i];
        if (number == GRAMMAR_DEAD) {
            continue;
        }
        grammar_node *node = &grammar->nodes[number];
        *node = *old;
        node->need =
            (uint16_t)(f->levels[i] - (f->levels[i] > old->level ? old->level : f->levels[i]));
        node->edges = grammar->edge_count;
        node->edge_count = 0;
        for (uint32_t e = old->edges; e > 0; e = b->edges[e - 1].link) {
            const uint32_t target = f->number[b->edges[e - 1].target];
            if (target != GRAMMAR_DEAD) {
                grammar->edges[grammar->edge_count] = b->edges[e - 1];
                grammar->edges[grammar->edge_count++].target = target;
                node->edge_count++;
            }
        }
        node->next = f->number[old->next];
        if (old->op == GRAMMAR_CALL) {
            node->a = f->number[b->rules[old->a]];
        } else if (old->op == GRAMMAR_COUNT || old->op == GRAMMAR_LOOP) {
            node->a = f->number[old->a];
        }
    }
}

static tapeout_status make(finish *f, uint32_t start_rule, tp_grammar **ret, tapeout_error *err)
{
    const grammar_builder *b = f->b;
    tp_grammar *grammar = tp_alloc_zero(b->alloc, sizeof(*grammar));
    if (grammar == NULL) {
        return tp_fail_nomem(err);
    }
    grammar->alloc = b->alloc;
    atomic_init(&grammar->refs, 1);
    grammar->node_count = number_nodes(f);
    grammar->nodes = tp_alloc_array_zero(b->alloc, grammar->node_count, sizeof(*grammar->nodes));
    grammar->edges = tp_alloc_array(b->alloc, b->edge_count, sizeof(*grammar->edges));
    tapeout_status status = TAPEOUT_OK;
    if (grammar->nodes == NULL || grammar->edges == NULL) {
        status = tp_fail_nomem(err);
    }
    if (status == TAPEOUT_OK) {
        pack(f, grammar);
        grammar->start = f->number[b->rules[start_rule]];
        status = tp_grammar_mask_cache_new(b->alloc, &grammar->masks, err);
    }
    if (grammar->edges != NULL && status == TAPEOUT_OK && grammar->edge_count < b->edge_count) {
        // Given back by the size that it was asked for, so the slack goes now.
        grammar_edge *edges = tp_resize_array(b->alloc, grammar->edges, b->edge_count,
                                              grammar->edge_count, sizeof(*edges));
        status = edges == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
        grammar->edges = edges == NULL ? grammar->edges : edges;
    }
    if (status != TAPEOUT_OK) {
        tp_free_array(b->alloc, grammar->edges, b->edge_count, sizeof(*grammar->edges));
        grammar->edges = NULL;
        grammar->edge_count = 0;
        tp_grammar_unref(grammar);
        return status;
    }
    *ret = grammar;
    return TAPEOUT_OK;
}

static bool finish_init(finish *f, grammar_builder *b)
{
    const size_t count = b->node_count;
    *f = (finish){.b = b};
    f->pred_begin = tp_alloc_array_zero(b->alloc, count + 1, sizeof(*f->pred_begin));
    f->levels = tp_alloc_array(b->alloc, count, sizeof(*f->levels));
    f->nullable = tp_alloc_array(b->alloc, count, sizeof(*f->nullable));
    f->link = tp_alloc_array(b->alloc, count, sizeof(*f->link));
    f->number = tp_alloc_array_zero(b->alloc, count, sizeof(*f->number));
    f->low = tp_alloc_array_zero(b->alloc, count, sizeof(*f->low));
    return f->pred_begin != NULL && f->levels != NULL && f->nullable != NULL && f->link != NULL &&
           f->number != NULL && f->low != NULL && find_preds(f);
}

static void finish_deinit(finish *f)
{
    const tapeout_allocator *alloc = f->b->alloc;
    const size_t count = f->b->node_count;
    tp_free_array(alloc, f->pred_begin, count + 1, sizeof(*f->pred_begin));
    tp_free_array(alloc, f->preds, f->preds == NULL ? 0 : f->pred_capacity, sizeof(*f->preds));
    tp_free_array(alloc, f->levels, count, sizeof(*f->levels));
    tp_free_array(alloc, f->nullable, count, sizeof(*f->nullable));
    tp_free_array(alloc, f->link, count, sizeof(*f->link));
    tp_free_array(alloc, f->number, count, sizeof(*f->number));
    tp_free_array(alloc, f->low, count, sizeof(*f->low));
}

tapeout_status tp_grammar_finish(grammar_builder *b, uint32_t start_rule, tp_grammar **ret,
                                 tapeout_error *err)
{
    finish f;
    if (b->status != TAPEOUT_OK) {
        return b->status;
    }
    if (finish_init(&f, b)) {
        settle(&f, f.levels, true);
        settle(&f, f.nullable, false);
        check_left_recursion(&f);
    } else {
        tp_grammar_fail_nomem(b);
    }
    if (b->status == TAPEOUT_OK && f.levels[b->rules[start_rule]] == UNSETTLED) {
        tp_grammar_fail(b, TAPEOUT_E_INVALID,
                        "grammar: no text can follow it: its parts exclude each other, or call "
                        "each other without an end");
    }
    const tapeout_status status =
        b->status == TAPEOUT_OK ? make(&f, start_rule, ret, err) : b->status;
    finish_deinit(&f);
    return status;
}

tp_grammar *tp_grammar_ref(tp_grammar *grammar)
{
    atomic_fetch_add_explicit(&grammar->refs, 1, memory_order_relaxed); // the caller holds one
    return grammar;
}

void tp_grammar_unref(tp_grammar *grammar)
{
    // Whoever takes the last one must see what the others wrote.
    if (grammar == NULL ||
        atomic_fetch_sub_explicit(&grammar->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    const tapeout_allocator *alloc = grammar->alloc;
    tp_grammar_mask_cache_free(grammar->masks);
    tp_free_array(alloc, grammar->nodes, grammar->node_count, sizeof(*grammar->nodes));
    tp_free_array(alloc, grammar->edges, grammar->edge_count, sizeof(*grammar->edges));
    tp_free(alloc, grammar->texts, grammar->texts_size);
    tp_free(alloc, grammar, sizeof(*grammar));
}
