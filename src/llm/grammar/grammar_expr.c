// SPDX-License-Identifier: Apache-2.0
//
// Expressions over characters (what patterns and grammars are parsed to) and how they become bytes.
//
// Without anchors and lengths that is direct: each part is built before the one that it precedes.
// With them it is done twice: first an automaton over characters, then its product with where in
// the text one stands (at the begin, behind it, at the end) and how many characters were read. What
// the product cannot finish falls to the pruning of grammar_finish.c, so a pattern that cannot be
// matched within a length is no dead end but no text at all.
//
// A repetition with bounds is a counter, so that {1,10000} costs two nodes. It is written out where
// the copies differ or the counter could turn without reading: anchors or lengths, or a body that
// may match nothing. Such a body is first freed of that: (x|){2,3} is x{0,3}. Else a text that
// three rounds may read could be read by any of them, and rules within rules would multiply the
// ways.
#include "llm/grammar/grammar_priv.h"

#include "base/tp_alloc.h"

#include <string.h>

enum { FEW = 3 }; // rounds that are written out anyway

// Where in the text: bit 0 nothing has been read, bit 1 nothing may follow.
enum { AT_BEGIN = 1, AT_END = 2 };

grammar_expr *tp_grammar_expr(grammar_builder *b, grammar_expr_kind kind, uint32_t value)
{
    grammar_expr *expr = tp_arena_alloc(&b->arena, sizeof(*expr));
    if (expr == NULL) {
        tp_grammar_fail_nomem(b);
        return NULL;
    }
    expr->kind = kind;
    expr->value = value;
    expr->has_anchor = kind == EXPR_BEGIN || kind == EXPR_END;
    expr->is_nullable = kind == EXPR_SEQUENCE || expr->has_anchor;
    return expr;
}

void tp_grammar_expr_add(grammar_expr *whole, grammar_expr *part)
{
    if (whole == NULL || part == NULL) {
        return; // the builder has failed
    }
    *(whole->last == NULL ? &whole->first : &whole->last->sibling) = part;
    whole->last = part;
    whole->has_anchor |= part->has_anchor;
    if (whole->kind == EXPR_SEQUENCE) {
        whole->is_nullable &= part->is_nullable;
    } else if (whole->kind == EXPR_CHOICE) {
        whole->is_nullable |= part->is_nullable;
    } else {
        whole->is_nullable = whole->min == 0 || part->is_nullable;
    }
}

typedef struct emitter {
    grammar_builder *b;
    const grammar_lowering *how;
    bool is_direct; // bytes at once
} emitter;

static uint32_t emit(const emitter *e, const grammar_expr *expr, uint32_t next);

static uint32_t emit_star(const emitter *e, const grammar_expr *body, bool is_plus, uint32_t next)
{
    const uint32_t loop = tp_grammar_node(e->b, GRAMMAR_SPLIT, 0, 0);
    const uint32_t begin = emit(e, body, loop);
    tp_grammar_add(e->b, loop, begin);
    tp_grammar_add(e->b, loop, next);
    return is_plus ? begin : loop;
}

static uint32_t emit_copies(const emitter *e, const grammar_expr *repeat, uint32_t next)
{
    const grammar_builder *b = e->b;
    uint32_t at = next;
    if (repeat->max == GRAMMAR_NO_MAX) {
        at = emit_star(e, repeat->first, false, next);
    } else {
        for (uint32_t i = repeat->min; i < repeat->max && b->status == TAPEOUT_OK; i++) {
            at = tp_grammar_split(e->b, emit(e, repeat->first, at), next);
        }
    }
    for (uint32_t i = 0; i < repeat->min && b->status == TAPEOUT_OK; i++) {
        at = emit(e, repeat->first, at);
    }
    return at;
}

static grammar_expr *copy_part(grammar_builder *b, const grammar_expr *part)
{
    grammar_expr *copy = tp_grammar_expr(b, part->kind, part->value);
    if (copy != NULL) {
        *copy = *part;
        copy->sibling = NULL; // of what it stands in
    }
    return copy;
}

static grammar_expr *read_something(grammar_builder *b, const grammar_expr *expr);

// That the first part to read something is the i-th, for every i.
static grammar_expr *read_in_sequence(grammar_builder *b, const grammar_expr *sequence)
{
    grammar_expr *choice = tp_grammar_expr(b, EXPR_CHOICE, 0);
    for (const grammar_expr *part = sequence->first; part != NULL; part = part->sibling) {
        grammar_expr *row = tp_grammar_expr(b, EXPR_SEQUENCE, 0);
        grammar_expr *first = read_something(b, part);
        if (first == NULL) {
            return NULL;
        }
        tp_grammar_expr_add(row, first);
        for (const grammar_expr *rest = part->sibling; rest != NULL; rest = rest->sibling) {
            tp_grammar_expr_add(row, copy_part(b, rest));
        }
        tp_grammar_expr_add(choice, row);
    }
    return choice;
}

// The texts of `expr` but the empty one. NULL where a rule would have to be made anew, at anchors,
// and once the builder has failed.
static grammar_expr *read_something(grammar_builder *b, const grammar_expr *expr)
{
    if (!expr->is_nullable) {
        return copy_part(b, expr);
    }
    if (expr->kind == EXPR_SEQUENCE) {
        return read_in_sequence(b, expr);
    }
    if (expr->kind != EXPR_CHOICE && expr->kind != EXPR_REPEAT) {
        return NULL;
    }
    const bool is_never = expr->kind == EXPR_REPEAT && expr->max == 0; // a choice of nothing
    grammar_expr *whole = tp_grammar_expr(b, is_never ? EXPR_CHOICE : expr->kind, 0);
    for (const grammar_expr *part = is_never ? NULL : expr->first; part != NULL;
         part = part->sibling) {
        grammar_expr *something = read_something(b, part);
        if (something == NULL) {
            return NULL;
        }
        if (whole != NULL && expr->kind == EXPR_REPEAT) {
            whole->min = part->is_nullable || expr->min == 0 ? 1 : expr->min;
            whole->max = expr->max;
        }
        tp_grammar_expr_add(whole, something);
    }
    return whole;
}

static uint32_t emit_rounds(const emitter *e, const grammar_expr *repeat, uint32_t next)
{
    const grammar_expr *body = repeat->first;
    const uint32_t most = repeat->max == GRAMMAR_NO_MAX ? repeat->min : repeat->max;
    if (repeat->max == GRAMMAR_NO_MAX && (repeat->min <= 1 || body->is_nullable)) {
        return emit_star(e, body, repeat->min > 0 && !body->is_nullable, next);
    }
    if (most <= FEW || body->has_anchor || body->is_nullable || e->how->has_length) {
        return emit_copies(e, repeat, next);
    }
    const grammar_count count = tp_grammar_count_open(e->b, repeat->min, repeat->max, next);
    return tp_grammar_count_close(e->b, &count, emit(e, body, count.loop));
}

// A group of one is that one.
static grammar_expr *unwrap(grammar_expr *expr)
{
    while ((expr->kind == EXPR_SEQUENCE || expr->kind == EXPR_CHOICE) && expr->first != NULL &&
           expr->first == expr->last) {
        expr = expr->first;
    }
    return expr;
}

// (x{1,m}){0,n} is x{0,m*n}.
static uint32_t multiply_most(grammar_builder *b, uint32_t m, uint32_t n)
{
    if (m == GRAMMAR_NO_MAX || n == GRAMMAR_NO_MAX) {
        return n == 0 ? 0 : GRAMMAR_NO_MAX;
    }
    const uint64_t most = (uint64_t)m * n;
    if (most > TP_MAX_GRAMMAR_REPEAT) {
        tp_grammar_fail(b, TAPEOUT_E_LIMIT,
                        "grammar: %llu repeats, by repetitions within repetitions; at most %u",
                        (unsigned long long)most, TP_MAX_GRAMMAR_REPEAT);
        return 0;
    }
    return (uint32_t)most;
}

static uint32_t emit_repeat(const emitter *e, const grammar_expr *repeat, uint32_t next)
{
    grammar_expr *something =
        repeat->first->is_nullable ? read_something(e->b, repeat->first) : NULL;
    if (something == NULL) {
        return emit_rounds(e, repeat, next);
    }
    grammar_expr again = {.kind = EXPR_REPEAT, .max = repeat->max, .is_nullable = true};
    again.first = unwrap(something);
    while (again.first->kind == EXPR_REPEAT && again.first->min == 1) {
        again.max = multiply_most(e->b, again.first->max, again.max);
        again.first = unwrap(again.first->first);
    }
    return emit_rounds(e, &again, next);
}

// The parts are linked first to last and built last to first.
static uint32_t emit_sequence(const emitter *e, const grammar_expr *expr, uint32_t next)
{
    uint32_t count = 0;
    for (const grammar_expr *part = expr->first; part != NULL; part = part->sibling) {
        count++;
    }
    const grammar_expr **parts = tp_arena_array(&e->b->arena, count, sizeof(*parts));
    if (parts == NULL) {
        tp_grammar_fail_nomem(e->b);
        return GRAMMAR_DEAD;
    }
    count = 0;
    for (const grammar_expr *part = expr->first; part != NULL; part = part->sibling) {
        parts[count++] = part;
    }
    while (count > 0 && e->b->status == TAPEOUT_OK) {
        next = emit(e, parts[--count], next);
    }
    return next;
}

static uint32_t emit(const emitter *e, const grammar_expr *expr, uint32_t next)
{
    if (e->b->status != TAPEOUT_OK) {
        return GRAMMAR_DEAD;
    }
    switch (expr->kind) {
    case EXPR_SET:
        return e->is_direct ? tp_grammar_set_char(e->b, expr->value, e->how->spelling, next)
                            : tp_grammar_node(e->b, GRAMMAR_CHAR, expr->value, next);
    case EXPR_SEQUENCE:
        return emit_sequence(e, expr, next);
    case EXPR_CHOICE: {
        const uint32_t split = tp_grammar_node(e->b, GRAMMAR_SPLIT, 0, 0);
        for (const grammar_expr *part = expr->first; part != NULL; part = part->sibling) {
            tp_grammar_add(e->b, split, emit(e, part, next));
        }
        return split;
    }
    case EXPR_REPEAT:
        return emit_repeat(e, expr, next);
    case EXPR_RULE:
        return tp_grammar_call(e->b, expr->value, next);
    case EXPR_BEGIN:
        return tp_grammar_node(e->b, GRAMMAR_BEGIN, 0, next);
    case EXPR_END:
        return tp_grammar_node(e->b, GRAMMAR_END, 0, next);
    }
    return GRAMMAR_DEAD;
}

// -- the product ---------------------------------------------------------------------------------
typedef struct product_key {
    uint32_t node;  // of the automaton over characters
    uint32_t where; // AT_BEGIN, AT_END
    uint32_t count; // characters read, as far as they matter
} product_key;

typedef struct product {
    grammar_builder *b;
    const grammar_lowering *how;
    uint32_t exit; // the node at which the expression has been read
    uint32_t next; // what follows there
    tp_dict keys;  // a worklist too: numbers follow first appearance
    uint32_t *made;
    uint32_t made_capacity;
} product;

static uint32_t product_get(product *p, product_key key)
{
    grammar_builder *b = p->b;
    uint32_t number = 0;
    if (key.node == p->exit) {
        return p->how->has_length && key.count < p->how->min ? (uint32_t)GRAMMAR_DEAD : p->next;
    }
    const tp_str bytes = {(const char *)&key, sizeof(key)};
    const int64_t found = tp_dict_find(&p->keys, bytes);
    if (found >= 0) {
        return p->made[found];
    }
    void *made = p->made;
    const grammar_list list = {&made, &p->made_capacity, p->keys.count, sizeof(*p->made)};
    const bool has_room = tp_grammar_reserve(b, list, TP_MAX_GRAMMAR_NODES, "nodes");
    p->made = made;
    if (!has_room || tp_dict_add(&p->keys, bytes, &number) != TAPEOUT_OK) {
        tp_grammar_fail_nomem(b);
        return GRAMMAR_DEAD;
    }
    b->level = b->nodes[key.node].level;
    p->made[number] = tp_grammar_node(b, GRAMMAR_SPLIT, 0, 0);
    return p->made[number];
}

static uint32_t product_char(product *p, const grammar_node *from, product_key key)
{
    const grammar_lowering *how = p->how;
    product_key next = {from->next, 0, 0};
    if ((key.where & AT_END) != 0 || (how->has_length && key.count == how->max)) {
        return GRAMMAR_DEAD;
    }
    if (how->has_length) {
        const bool counts = how->max != GRAMMAR_NO_MAX || key.count < how->min;
        next.count = key.count + (counts ? 1 : 0);
    }
    const uint32_t target = product_get(p, next);
    p->b->level = from->level;
    return tp_grammar_set_char(p->b, from->a, how->spelling, target);
}

static void product_fill(product *p, product_key key, uint32_t made)
{
    grammar_builder *b = p->b;
    const grammar_node from = b->nodes[key.node]; // a copy: the list may move
    product_key next = {from.next, key.where, key.count};
    if (from.op == GRAMMAR_SPLIT) {
        for (uint32_t e = from.edges; e > 0; e = b->edges[e - 1].link) {
            next.node = b->edges[e - 1].target;
            tp_grammar_add(b, made, product_get(p, next));
        }
    } else if (from.op == GRAMMAR_CHAR) {
        tp_grammar_add(b, made, product_char(p, &from, key));
    } else if (from.op == GRAMMAR_BEGIN) {
        tp_grammar_add(b, made, (key.where & AT_BEGIN) != 0 ? product_get(p, next) : GRAMMAR_DEAD);
    } else if (from.op == GRAMMAR_END) {
        next.where |= AT_END;
        tp_grammar_add(b, made, product_get(p, next));
    } else {
        const uint32_t target = product_get(p, next);
        next.node = from.a;
        const uint32_t other = product_get(p, next);
        if (b->status == TAPEOUT_OK) {
            b->nodes[made] = from;
            b->nodes[made].next = target;
            b->nodes[made].a = other;
        }
    }
}

static uint32_t product_build(product *p, uint32_t begin)
{
    const uint32_t level = p->b->level;
    const uint32_t entry = product_get(p, (product_key){begin, AT_BEGIN, 0});
    for (uint32_t i = 0; i < p->keys.count && p->b->status == TAPEOUT_OK; i++) {
        product_key key;
        memcpy(&key, tp_dict_get(&p->keys, i).data, sizeof(key));
        product_fill(p, key, p->made[i]);
    }
    p->b->level = level;
    return entry;
}

// Any characters, then `next`.
static uint32_t emit_any(const emitter *e, uint32_t next)
{
    const uint32_t any = tp_grammar_set(e->b, NULL, 0, true);
    const uint32_t loop = tp_grammar_node(e->b, GRAMMAR_SPLIT, 0, 0);
    tp_grammar_add(e->b, loop, tp_grammar_node(e->b, GRAMMAR_CHAR, any, loop));
    tp_grammar_add(e->b, loop, next);
    return loop;
}

uint32_t tp_grammar_lower(grammar_builder *b, grammar_expr *expr, const grammar_lowering *how,
                          uint32_t next)
{
    if (b->status != TAPEOUT_OK || expr == NULL) {
        return GRAMMAR_DEAD;
    }
    emitter e = {b, how, !how->is_search && !how->has_length && !expr->has_anchor};
    if (e.is_direct) {
        return emit(&e, expr, next);
    }
    product p = {.b = b, .how = how, .next = next};
    tp_dict_init(&p.keys, b->alloc);
    p.exit = tp_grammar_node(b, GRAMMAR_SPLIT, 0, 0);
    uint32_t begin = emit(&e, expr, how->is_search ? emit_any(&e, p.exit) : p.exit);
    begin = how->is_search ? emit_any(&e, begin) : begin;
    const uint32_t entry = product_build(&p, begin);
    tp_dict_deinit(&p.keys);
    tp_free_array(b->alloc, p.made, p.made_capacity, sizeof(*p.made));
    return entry;
}
