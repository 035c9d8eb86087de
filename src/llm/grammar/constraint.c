// SPDX-License-Identifier: Apache-2.0
//
// One generation's place in a grammar, and the mask of what may come next.
//
// A mask is a walk over the tree of the vocabulary's pieces beside a walk over the grammar; a
// subtree whose first byte cannot come is left out whole. It is computed for an abstraction of the
// place, a few frames of each stack, so that it serves all places that look alike: anywhere inside
// a string, at any depth. The few tokens that reach below what the abstraction knows are left open
// in it and decided by the whole stack each time; where they are many, more frames are taken.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "llm/grammar/grammar_mask.h"
#include "llm/grammar/grammar_walk.h"
#include "llm/grammar/vocab_index.h"

#include <assert.h>
#include <string.h>

struct tp_constraint {
    const tapeout_allocator *alloc;
    tp_grammar *grammar;
    const tp_vocab_index *index;
    grammar_walk walk;
    uint32_t state;
    bool has_ended; // an end-of-generation token was accepted
    grammar_mask mask;
    uint32_t *states; // [longest + 1] of the walk over the tree, by depth
    bool *opens;      // [longest + 1] whether anything before that depth is unknown
    tp_buffer key;
};

static tapeout_status make(const tapeout_allocator *alloc, tp_grammar *grammar,
                           const tp_vocab_index *index, tp_constraint **ret, tapeout_error *err)
{
    const uint32_t words = (index->count + 31) / 32;
    tp_constraint *c = tp_alloc_zero(alloc, sizeof(*c));
    if (c == NULL) {
        return tp_fail_nomem(err);
    }
    c->alloc = alloc;
    c->index = index;
    c->grammar = tp_grammar_ref(grammar);
    tp_buffer_init(&c->key, alloc, TP_MAX_GRAMMAR_KEY_BYTES);
    c->mask.bits = tp_alloc_array_zero(alloc, words, sizeof(*c->mask.bits));
    c->mask.word_count = words;
    c->states = tp_alloc_array(alloc, (size_t)index->longest + 1, sizeof(*c->states));
    c->opens = tp_alloc_array(alloc, (size_t)index->longest + 1, sizeof(*c->opens));
    tapeout_status status = tp_grammar_walk_init(&c->walk, alloc, grammar, err);
    if (status == TAPEOUT_OK && (c->mask.bits == NULL || c->states == NULL || c->opens == NULL)) {
        status = tp_fail_nomem(err);
    }
    if (status != TAPEOUT_OK) {
        tp_constraint_free(c);
        return status;
    }
    *ret = c;
    return TAPEOUT_OK;
}

tapeout_status tp_constraint_new(const tp_env *env, tp_grammar *grammar,
                                 const tp_vocab_index *index, tp_constraint **ret,
                                 tapeout_error *err)
{
    tp_constraint *c = NULL;
    TP_TRY(make(env->alloc, grammar, index, &c, err));
    const tapeout_status status = tp_grammar_walk_start(&c->walk, &c->state, err);
    if (status != TAPEOUT_OK) {
        tp_constraint_free(c);
        return status;
    }
    *ret = c;
    return TAPEOUT_OK;
}

tapeout_status tp_constraint_fork(const tp_constraint *constraint, tp_constraint **ret,
                                  tapeout_error *err)
{
    tp_constraint *c = NULL;
    TP_TRY(make(constraint->alloc, constraint->grammar, constraint->index, &c, err));
    const tapeout_status status =
        tp_grammar_walk_copy(&constraint->walk, constraint->state, &c->walk, &c->state, err);
    if (status != TAPEOUT_OK) {
        tp_constraint_free(c);
        return status;
    }
    c->has_ended = constraint->has_ended;
    *ret = c;
    return TAPEOUT_OK;
}

void tp_constraint_free(tp_constraint *constraint)
{
    if (constraint == NULL) {
        return;
    }
    tp_constraint *c = constraint;
    tp_grammar_walk_deinit(&c->walk);
    tp_buffer_deinit(&c->key);
    tp_free_array(c->alloc, c->mask.bits, c->mask.word_count, sizeof(*c->mask.bits));
    tp_free_array(c->alloc, c->states, (size_t)c->index->longest + 1, sizeof(*c->states));
    tp_free_array(c->alloc, c->opens, (size_t)c->index->longest + 1, sizeof(*c->opens));
    tp_grammar_unref(c->grammar);
    tp_free(c->alloc, c, sizeof(*c));
}

// A walk that has seen too many states starts afresh with the one that matters.
static tapeout_status renew(tp_constraint *c, tapeout_error *err)
{
    if (!tp_grammar_walk_is_full(&c->walk)) {
        return TAPEOUT_OK;
    }
    grammar_walk fresh;
    uint32_t state = 0;
    tapeout_status status = tp_grammar_walk_init(&fresh, c->alloc, c->grammar, err);
    if (status == TAPEOUT_OK) {
        status = tp_grammar_walk_copy(&c->walk, c->state, &fresh, &state, err);
    }
    if (status != TAPEOUT_OK) {
        tp_grammar_walk_deinit(&fresh);
        return status;
    }
    tp_grammar_walk_deinit(&c->walk);
    c->walk = fresh;
    c->state = state;
    return TAPEOUT_OK;
}

static tapeout_status step(tp_constraint *c, uint32_t state, uint8_t byte, uint32_t *ret_state,
                           tapeout_error *err)
{
    const uint32_t known = tp_grammar_walk_peek(&c->walk, state, byte);
    if (known != UINT32_MAX) {
        *ret_state = known;
        return TAPEOUT_OK;
    }
    return tp_grammar_walk_step(&c->walk, state, byte, ret_state, err);
}

static void allow(tp_constraint *c, const vocab_node *node)
{
    for (uint32_t token = node->token; token != VOCAB_NONE;
         token = node->has_twins ? c->index->same[token] : VOCAB_NONE) {
        c->mask.bits[token / 32] |= 1u << (token % 32);
    }
}

static void leave_open(tp_constraint *c, uint32_t token)
{
    for (; token != VOCAB_NONE && !c->mask.needs_more; token = c->index->same[token]) {
        if (c->mask.open_count == GRAMMAR_MAX_OPEN) {
            c->mask.needs_more = true;
        } else {
            c->mask.open[c->mask.open_count++] = token;
        }
    }
}

// Fills c->mask for a state that may be abstract.
static tapeout_status compute(tp_constraint *c, uint32_t state, tapeout_error *err)
{
    const tp_vocab_index *index = c->index;
    memset(c->mask.bits, 0, c->mask.word_count * sizeof(*c->mask.bits));
    c->mask.open_count = 0;
    c->mask.needs_more = false;
    c->states[0] = state;
    c->opens[0] = false; // what the state itself left open cannot be read from here
    if ((c->walk.states[state].flags & GRAMMAR_STATE_OPEN) != 0) {
        c->opens[0] = true;
    }
    for (uint32_t i = 0; i < index->node_count && !c->mask.needs_more;) {
        const vocab_node *node = &index->nodes[i];
        const uint32_t depth = node->depth;
        uint32_t next = GRAMMAR_STATE_DEAD;
        if (c->states[depth] != GRAMMAR_STATE_DEAD) {
            TP_TRY(step(c, c->states[depth], node->byte, &next, err));
        }
        if (next != GRAMMAR_STATE_DEAD) {
            allow(c, node);
        } else if (c->opens[depth]) {
            leave_open(c, node->token);
        } else {
            i = node->end;
            continue;
        }
        c->states[depth + 1] = next;
        c->opens[depth + 1] =
            c->opens[depth] || (c->walk.states[next].flags & GRAMMAR_STATE_OPEN) != 0;
        i++;
    }
    return TAPEOUT_OK;
}

// The mask of the place with `depth` frames of its stacks known, or all of it for UINT32_MAX.
static tapeout_status look_up(tp_constraint *c, uint32_t depth, tapeout_error *err)
{
    uint32_t state = c->state;
    if (depth != UINT32_MAX) {
        TP_TRY(tp_grammar_walk_abstract(&c->walk, c->state, depth, &state, err));
    }
    tp_buffer_clear(&c->key);
    tp_buffer_append_u64le(&c->key, c->index->hash);
    tp_buffer_append_u32le(&c->key, c->index->count);
    tp_grammar_walk_key(&c->walk, state, &c->key);
    const bool has_key = c->key.status == TAPEOUT_OK; // else it is too long to be worth keeping
    if (has_key && tp_grammar_mask_find(c->grammar->masks, tp_buffer_view(&c->key), &c->mask)) {
        return TAPEOUT_OK;
    }
    TP_TRY(compute(c, state, err));
    if (has_key) {
        tp_grammar_mask_keep(c->grammar->masks, tp_buffer_view(&c->key), &c->mask);
    }
    return TAPEOUT_OK;
}

// The state behind a piece; GRAMMAR_STATE_DEAD where it cannot come.
static tapeout_status read_piece(tp_constraint *c, uint32_t id, uint32_t *ret_state,
                                 tapeout_error *err)
{
    const tp_str piece = tp_vocab_index_piece(c->index, id);
    uint32_t state = piece.size == 0 ? (uint32_t)GRAMMAR_STATE_DEAD : c->state;
    for (size_t i = 0; i < piece.size && state != GRAMMAR_STATE_DEAD; i++) {
        TP_TRY(step(c, state, (uint8_t)piece.data[i], &state, err));
    }
    *ret_state = state;
    return TAPEOUT_OK;
}

static tapeout_status decide_open(tp_constraint *c, tapeout_error *err)
{
    for (uint32_t i = 0; i < c->mask.open_count; i++) {
        const uint32_t id = c->mask.open[i];
        uint32_t state = GRAMMAR_STATE_DEAD;
        TP_TRY(read_piece(c, id, &state, err));
        if (state != GRAMMAR_STATE_DEAD) {
            c->mask.bits[id / 32] |= 1u << (id % 32);
        }
    }
    return TAPEOUT_OK;
}

static bool is_empty(const grammar_mask *mask)
{
    uint32_t any = 0;
    for (uint32_t i = 0; i < mask->word_count; i++) {
        any |= mask->bits[i];
    }
    return any == 0;
}

tapeout_status tp_constraint_mask(tp_constraint *constraint, const uint32_t **ret_bits,
                                  tapeout_error *err)
{
    static const uint32_t depths[] = {3, 8, 24, UINT32_MAX};
    tp_constraint *c = constraint;
    TP_TRY(renew(c, err));
    if (c->has_ended || !tp_grammar_walk_reads(&c->walk, c->state)) {
        memset(c->mask.bits, 0, c->mask.word_count * sizeof(*c->mask.bits));
    } else {
        c->mask.needs_more = true;
        for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]) && c->mask.needs_more; i++) {
            TP_TRY(look_up(c, depths[i], err));
        }
        TP_TRY(decide_open(c, err));
    }
    if (tp_constraint_is_complete(c)) {
        for (uint32_t i = 0; i < c->mask.word_count; i++) {
            c->mask.bits[i] |= c->index->eog[i];
        }
    } else if (is_empty(&c->mask)) {
        return tp_fail(err, TAPEOUT_E_DATA,
                       "grammar: the vocabulary has no token for what must come next");
    }
    *ret_bits = c->mask.bits;
    return TAPEOUT_OK;
}

tapeout_status tp_constraint_accept(tp_constraint *constraint, uint32_t id, tapeout_error *err)
{
    tp_constraint *c = constraint;
    if (id >= c->index->count || c->has_ended) {
        return tp_fail(err, TAPEOUT_E_INVALID, "grammar: token %u %s", id,
                       c->has_ended ? "comes after the end" : "is not in the vocabulary");
    }
    TP_TRY(renew(c, err));
    uint32_t state = c->state;
    const bool is_end = tp_vocab_index_is_eog(c->index, id);
    if (!is_end) {
        TP_TRY(read_piece(c, id, &state, err));
    } else if (!tp_constraint_is_complete(c)) {
        state = GRAMMAR_STATE_DEAD;
    }
    if (state == GRAMMAR_STATE_DEAD) {
        return tp_fail(err, TAPEOUT_E_INVALID, "grammar: token %u ('%.*s') cannot come here", id,
                       TP_STR_ARGS(tp_vocab_index_piece(c->index, id)));
    }
    c->state = state;
    c->has_ended = is_end;
    return TAPEOUT_OK;
}

tapeout_status tp_constraint_accept_bytes(tp_constraint *constraint, tp_str bytes,
                                          tapeout_error *err)
{
    tp_constraint *c = constraint;
    TP_TRY(renew(c, err));
    uint32_t state = c->state;
    for (size_t i = 0; i < bytes.size && state != GRAMMAR_STATE_DEAD; i++) {
        TP_TRY(step(c, state, (uint8_t)bytes.data[i], &state, err));
    }
    if (state == GRAMMAR_STATE_DEAD || c->has_ended) {
        return tp_fail(err, TAPEOUT_E_INVALID, "grammar: '%.*s' cannot come here",
                       TP_STR_ARGS(bytes));
    }
    c->state = state;
    return TAPEOUT_OK;
}

bool tp_constraint_is_complete(const tp_constraint *constraint)
{
    return (constraint->walk.states[constraint->state].flags & GRAMMAR_STATE_COMPLETE) != 0;
}

bool tp_constraint_is_finished(const tp_constraint *constraint)
{
    return constraint->has_ended || (tp_constraint_is_complete(constraint) &&
                                     !tp_grammar_walk_reads(&constraint->walk, constraint->state));
}

// The one byte that can follow a state, or -1 where there are several or none.
static int only_byte(const tp_constraint *c, uint32_t state)
{
    const walk_state *s = &c->walk.states[state];
    const tp_grammar *g = c->grammar;
    int only = -1;
    if ((s->flags & GRAMMAR_STATE_COMPLETE) != 0) {
        return -1;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        const grammar_node *n = &g->nodes[c->walk.pairs[s->begin + i].node];
        for (uint32_t e = n->edges; e < n->edges + n->edge_count; e++) {
            const grammar_edge *edge = &g->edges[e];
            if (edge->low != edge->high || (only >= 0 && only != edge->low)) {
                return -1;
            }
            only = edge->low;
        }
    }
    return only;
}

tapeout_status tp_constraint_forced(tp_constraint *constraint, char *bytes, size_t capacity,
                                    size_t *ret_size, tapeout_error *err)
{
    tp_constraint *c = constraint;
    TP_TRY(renew(c, err));
    uint32_t state = c->state;
    size_t size = 0;
    for (int byte = only_byte(c, state); byte >= 0 && size < capacity && !c->has_ended;
         byte = only_byte(c, state)) {
        uint32_t next = GRAMMAR_STATE_DEAD;
        TP_TRY(step(c, state, (uint8_t)byte, &next, err));
        if (next == GRAMMAR_STATE_DEAD) {
            break; // the edge exists, but its target lies too deep
        }
        bytes[size++] = (char)byte;
        state = next;
    }
    *ret_size = size;
    return TAPEOUT_OK;
}
