// SPDX-License-Identifier: Apache-2.0
//
// Closing sets of pairs, keeping them once, and stepping from one to the next. See grammar_walk.h.
//
// A set that is closed holds only pairs that read bytes: splits, calls, returns and counters have
// been followed. No pair is a dead end: the grammar has been pruned, and a pair is kept only where
// the shortest way out fits below the greatest depth.
#include "llm/grammar/grammar_walk.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROOT = 0,    // the frame below which the text ends
    UNKNOWN = 1, // the frame that stands for any
    ROWS_A_BLOCK = 16,
    FAR_ROUNDS = 32,
    // Abstract stacks stand for real ones of up to half the greatest depth, and grow by the other.
    HALF_DEPTH = TP_MAX_GRAMMAR_DEPTH / 2,
};

#define UNSET UINT32_MAX // of a successor
// A counter that is at least FAR_ROUNDS away from its bounds: of its count only the rounds that it
// has made since are kept.
#define FAR 0x80000000u
#define FAR_EXIT 0x40000000u // and it may end

static uint64_t mix(uint64_t a, uint64_t b)
{
    a = (a ^ b) * UINT64_C(0x9e3779b97f4a7c15);
    return a ^ (a >> 29);
}

// Doubles a list that is full; false and the walk's status set where it may not grow.
static bool grow(grammar_walk *walk, grammar_list list, uint32_t most)
{
    if (list.count < *list.capacity) {
        return true;
    }
    if (list.count >= most) {
        walk->status = TAPEOUT_E_LIMIT;
        return false;
    }
    const uint32_t capacity = *list.capacity == 0 ? 64 : *list.capacity * 2;
    void *data = tp_resize_array(walk->alloc, *list.data, *list.capacity, capacity, list.item_size);
    if (data == NULL) {
        walk->status = TAPEOUT_E_NOMEM;
        return false;
    }
    *list.data = data;
    *list.capacity = capacity;
    return true;
}

// Room for one more number at at most half load; `hash_of` gives the hash of a number kept.
static bool grow_table(grammar_walk *walk, walk_table *table, uint32_t count,
                       uint64_t (*hash_of)(const grammar_walk *walk, uint32_t number))
{
    if (count * 2 < table->capacity) {
        return true;
    }
    const uint32_t capacity = table->capacity == 0 ? 256 : table->capacity * 2;
    uint32_t *slots = tp_alloc_array_zero(walk->alloc, capacity, sizeof(*slots));
    if (slots == NULL) {
        walk->status = TAPEOUT_E_NOMEM;
        return false;
    }
    for (uint32_t i = 0; i < table->capacity; i++) {
        if (table->slots[i] != 0) {
            uint32_t slot = (uint32_t)hash_of(walk, table->slots[i] - 1) & (capacity - 1);
            while (slots[slot] != 0) {
                slot = (slot + 1) & (capacity - 1);
            }
            slots[slot] = table->slots[i];
        }
    }
    tp_free_array(walk->alloc, table->slots, table->capacity, sizeof(*slots));
    *table = (walk_table){slots, capacity};
    return true;
}

// -- frames --------------------------------------------------------------------------------------
static uint64_t frame_hash(const grammar_walk *walk, uint32_t number)
{
    return walk->frames[number].hash;
}

static uint32_t get_frame(grammar_walk *walk, uint32_t parent, uint32_t node, uint32_t count,
                          bool is_counter)
{
    if (!grow_table(walk, &walk->frame_table, walk->frame_count, frame_hash)) {
        return ROOT;
    }
    const walk_frame *below = &walk->frames[parent];
    const uint64_t tag = (uint64_t)node << 32 | count;
    const uint64_t hash = mix(mix(below->hash, tag), is_counter ? 3 : 5);
    const uint32_t mask = walk->frame_table.capacity - 1;
    uint32_t slot = (uint32_t)hash & mask;
    for (; walk->frame_table.slots[slot] != 0; slot = (slot + 1) & mask) {
        const uint32_t number = walk->frame_table.slots[slot] - 1;
        const walk_frame *f = &walk->frames[number];
        if (f->hash == hash && f->parent == parent && f->node == node && f->count == count &&
            f->is_counter == is_counter) {
            return number;
        }
    }
    const walk_frame made = {.hash = hash,
                             .parent = parent,
                             .node = node,
                             .count = count,
                             .depth = (uint16_t)(below->depth + 1),
                             .is_counter = is_counter,
                             .is_abstract = below->is_abstract};
    void *frames = walk->frames;
    const grammar_list list = {&frames, &walk->frame_capacity, walk->frame_count,
                               sizeof(*walk->frames)};
    const bool has_room = grow(walk, list, TP_MAX_GRAMMAR_FRAMES);
    walk->frames = frames;
    if (!has_room) {
        return ROOT;
    }
    walk->frames[walk->frame_count] = made;
    walk->frame_table.slots[slot] = ++walk->frame_count;
    return walk->frame_count - 1;
}

// -- sets ----------------------------------------------------------------------------------------
// True the first time that a pair is met in this set.
static bool is_new(grammar_walk *walk, walk_pair pair)
{
    if (walk->seen_count * 2 >= walk->seen_capacity) {
        const uint32_t capacity = walk->seen_capacity == 0 ? 256 : walk->seen_capacity * 2;
        uint64_t *seen = tp_alloc_array_zero(walk->alloc, capacity, sizeof(*seen));
        if (seen == NULL) {
            walk->status = TAPEOUT_E_NOMEM;
            return false;
        }
        for (uint32_t i = 0; i < walk->seen_capacity; i++) {
            uint32_t slot = (uint32_t)mix(walk->seen[i], 1) & (capacity - 1);
            while (walk->seen[i] != 0 && seen[slot] != 0) {
                slot = (slot + 1) & (capacity - 1);
            }
            seen[slot] = walk->seen[i] != 0 ? walk->seen[i] : seen[slot];
        }
        tp_free_array(walk->alloc, walk->seen, walk->seen_capacity, sizeof(*seen));
        walk->seen = seen;
        walk->seen_capacity = capacity;
    }
    const uint64_t key = (uint64_t)pair.frame << 32 | pair.node; // nodes met are never zero
    const uint32_t mask = walk->seen_capacity - 1;
    uint32_t slot = (uint32_t)mix(key, 1) & mask;
    for (; walk->seen[slot] != 0; slot = (slot + 1) & mask) {
        if (walk->seen[slot] == key) {
            return false;
        }
    }
    walk->seen[slot] = key;
    walk->seen_count++;
    return true;
}

static void begin_set(grammar_walk *walk)
{
    if (walk->seen_count > 0) {
        memset(walk->seen, 0, walk->seen_capacity * sizeof(*walk->seen));
    }
    walk->seen_count = 0;
    walk->queue_count = 0;
    walk->new_begin = walk->pair_count;
    walk->new_flags = 0;
    walk->status = TAPEOUT_OK;
}

// A pair to be followed, if the way out of its rule fits below the greatest depth.
static void enqueue(grammar_walk *walk, uint32_t node, uint32_t frame)
{
    const walk_frame *f = &walk->frames[frame];
    const uint32_t depth = f->depth + walk->grammar->nodes[node].need;
    if (walk->status != TAPEOUT_OK || node == GRAMMAR_DEAD) {
        return;
    }
    if (f->is_abstract && depth > HALF_DEPTH) {
        walk->new_flags |= GRAMMAR_STATE_OPEN;
        return;
    }
    if (depth > TP_MAX_GRAMMAR_DEPTH || !is_new(walk, (walk_pair){node, frame})) {
        return;
    }
    void *queue = walk->queue;
    const grammar_list list = {&queue, &walk->queue_capacity, walk->queue_count,
                               sizeof(*walk->queue)};
    const bool has_room = grow(walk, list, TP_MAX_GRAMMAR_PAIRS);
    walk->queue = queue;
    if (has_room) {
        walk->queue[walk->queue_count++] = (walk_pair){node, frame};
    }
}

// Whoever calls makes sure that what comes after the call can be left too.
static void follow_call(grammar_walk *walk, const grammar_node *n, uint32_t frame)
{
    const grammar_node *nodes = walk->grammar->nodes;
    if (nodes[n->next].op == GRAMMAR_RETURN) {
        enqueue(walk, n->a, frame); // a call at the end needs no way back
        return;
    }
    const uint32_t depth = walk->frames[frame].depth + nodes[n->next].need;
    if (walk->frames[frame].is_abstract && depth > HALF_DEPTH) {
        walk->new_flags |= GRAMMAR_STATE_OPEN;
    } else if (depth <= TP_MAX_GRAMMAR_DEPTH && walk->frames[frame].depth < TP_MAX_GRAMMAR_DEPTH) {
        enqueue(walk, n->a, get_frame(walk, frame, n->next, 0, false));
    }
}

static void follow_return(grammar_walk *walk, uint32_t frame)
{
    if (frame == ROOT) {
        walk->new_flags |= GRAMMAR_STATE_COMPLETE;
    } else if (frame == UNKNOWN) {
        walk->new_flags |= GRAMMAR_STATE_OPEN;
    } else {
        enqueue(walk, walk->frames[frame].node, walk->frames[frame].parent);
    }
}

static void follow_far_loop(grammar_walk *walk, const grammar_node *n, uint32_t loop, walk_frame f)
{
    const uint32_t round = (f.count & 0xffff) + 1;
    if (round > FAR_ROUNDS) {
        walk->new_flags |= GRAMMAR_STATE_OPEN;
        return;
    }
    const uint32_t count = (f.count & ~0xffffu) | round;
    enqueue(walk, n->a, get_frame(walk, f.parent, loop, count, true));
    if ((f.count & FAR_EXIT) != 0) {
        enqueue(walk, n->next, f.parent);
    }
}

static void follow_loop(grammar_walk *walk, const grammar_node *n, uint32_t loop, uint32_t frame)
{
    const walk_frame f = walk->frames[frame];
    if (frame == UNKNOWN) { // the counter itself was left out
        walk->new_flags |= GRAMMAR_STATE_OPEN;
        return;
    }
    if ((f.count & FAR) != 0) {
        follow_far_loop(walk, n, loop, f);
        return;
    }
    const uint32_t done = f.count + 1;
    if (n->max == GRAMMAR_NO_MAX) {
        const uint32_t kept = done < n->min ? done : n->min; // more makes no difference
        enqueue(walk, n->a, get_frame(walk, f.parent, loop, kept, true));
    } else if (done < n->max) {
        enqueue(walk, n->a, get_frame(walk, f.parent, loop, done, true));
    }
    if (done >= n->min) {
        enqueue(walk, n->next, f.parent);
    }
}

static void keep_pair(grammar_walk *walk, walk_pair pair)
{
    void *pairs = walk->pairs;
    const grammar_list list = {&pairs, &walk->pair_capacity, walk->pair_count,
                               sizeof(*walk->pairs)};
    const bool has_room = grow(walk, list, TP_MAX_GRAMMAR_STATE_PAIRS);
    walk->pairs = pairs;
    if (has_room) {
        walk->pairs[walk->pair_count++] = pair;
    }
}

static void follow_all(grammar_walk *walk)
{
    const tp_grammar *g = walk->grammar;
    while (walk->queue_count > 0 && walk->status == TAPEOUT_OK) {
        const walk_pair pair = walk->queue[--walk->queue_count];
        const grammar_node *n = &g->nodes[pair.node];
        switch ((grammar_op)n->op) {
        case GRAMMAR_BYTES:
            keep_pair(walk, pair);
            break;
        case GRAMMAR_SPLIT:
            for (uint32_t i = 0; i < n->edge_count; i++) {
                enqueue(walk, g->edges[n->edges + i].target, pair.frame);
            }
            break;
        case GRAMMAR_CALL:
            follow_call(walk, n, pair.frame);
            break;
        case GRAMMAR_RETURN:
            follow_return(walk, pair.frame);
            break;
        case GRAMMAR_COUNT:
            if (walk->frames[pair.frame].depth < TP_MAX_GRAMMAR_DEPTH) {
                enqueue(walk, n->next, get_frame(walk, pair.frame, n->a, 0, true));
            }
            break;
        case GRAMMAR_LOOP:
            follow_loop(walk, n, pair.node, pair.frame);
            break;
        case GRAMMAR_CHAR:
        case GRAMMAR_BEGIN:
        case GRAMMAR_END:
            break; // none is left in a finished grammar
        }
    }
}

// -- states --------------------------------------------------------------------------------------
static uint64_t state_hash(const grammar_walk *walk, uint32_t number)
{
    return walk->states[number].hash;
}

static int compare_pairs(const void *a, const void *b, void *user)
{
    const grammar_walk *walk = user;
    const walk_pair *left = a;
    const walk_pair *right = b;
    if (left->node != right->node) {
        return left->node < right->node ? -1 : 1;
    }
    const uint64_t one = walk->frames[left->frame].hash;
    const uint64_t other = walk->frames[right->frame].hash;
    return one < other ? -1 : one > other;
}

static tapeout_status fail_set(grammar_walk *walk, tapeout_error *err)
{
    walk->pair_count = walk->new_begin;
    if (walk->status == TAPEOUT_E_NOMEM) {
        return tp_fail_nomem(err);
    }
    return tp_fail(
        err, TAPEOUT_E_LIMIT,
        "grammar: too ambiguous: more than %u ways to read the text so far, or %u states "
        "of them",
        TP_MAX_GRAMMAR_PAIRS, TP_MAX_GRAMMAR_STATES);
}

static bool is_same_set(const grammar_walk *walk, const walk_state *s, const walk_state *made)
{
    return s->hash == made->hash && s->count == made->count && s->flags == made->flags &&
           (made->count == 0 || // then there may be no pairs at all, and NULL has no offsets
            memcmp(walk->pairs + s->begin, walk->pairs + made->begin,
                   made->count * sizeof(*walk->pairs)) == 0);
}

// The number of the set that was just closed, an old one or a new one.
static tapeout_status end_set(grammar_walk *walk, uint32_t *ret_state, tapeout_error *err)
{
    const uint32_t begin = walk->new_begin;
    walk_state made = {.begin = begin, .count = walk->pair_count - begin, .flags = walk->new_flags};
    void *states = walk->states;
    const grammar_list list = {&states, &walk->state_capacity, walk->state_count,
                               sizeof(*walk->states)};
    const bool has_room = walk->status == TAPEOUT_OK && grow(walk, list, TP_MAX_GRAMMAR_STATES);
    walk->states = states;
    if (!has_room || !grow_table(walk, &walk->state_table, walk->state_count, state_hash)) {
        return fail_set(walk, err);
    }
    if (made.count > 1) {
        qsort_r(walk->pairs + begin, made.count, sizeof(walk_pair), compare_pairs, walk);
    }
    made.hash = mix(made.flags, made.count);
    for (uint32_t i = 0; i < made.count; i++) {
        const walk_pair pair = walk->pairs[begin + i];
        made.hash = mix(mix(made.hash, pair.node), walk->frames[pair.frame].hash);
    }
    const uint32_t mask = walk->state_table.capacity - 1;
    uint32_t slot = (uint32_t)made.hash & mask;
    for (; walk->state_table.slots[slot] != 0; slot = (slot + 1) & mask) {
        const uint32_t number = walk->state_table.slots[slot] - 1;
        if (is_same_set(walk, &walk->states[number], &made)) {
            walk->pair_count = begin;
            *ret_state = number;
            return TAPEOUT_OK;
        }
    }
    walk->states[walk->state_count] = made;
    walk->state_table.slots[slot] = ++walk->state_count;
    *ret_state = walk->state_count - 1;
    return TAPEOUT_OK;
}

tapeout_status tp_grammar_walk_init(grammar_walk *walk, const tapeout_allocator *alloc,
                                    const tp_grammar *grammar, tapeout_error *err)
{
    *walk = (grammar_walk){.alloc = alloc, .grammar = grammar};
    walk->frames = tp_alloc_array_zero(alloc, 64, sizeof(*walk->frames));
    if (walk->frames == NULL) {
        return tp_fail_nomem(err);
    }
    walk->frame_capacity = 64;
    walk->frame_count = 2;
    walk->frames[ROOT].hash = 1;
    walk->frames[UNKNOWN] = (walk_frame){.hash = 2, .is_abstract = true};
    uint32_t dead = 0;
    begin_set(walk);
    return end_set(walk, &dead, err);
}

void tp_grammar_walk_deinit(grammar_walk *walk)
{
    const tapeout_allocator *alloc = walk->alloc;
    for (uint32_t i = 0; i < walk->block_count; i++) {
        tp_free_array(alloc, walk->blocks[i], ROWS_A_BLOCK * 256, sizeof(uint32_t));
    }
    tp_free_array(alloc, walk->blocks, walk->block_capacity, sizeof(*walk->blocks));
    tp_free_array(alloc, walk->frames, walk->frame_capacity, sizeof(*walk->frames));
    tp_free_array(alloc, walk->pairs, walk->pair_capacity, sizeof(*walk->pairs));
    tp_free_array(alloc, walk->states, walk->state_capacity, sizeof(*walk->states));
    tp_free_array(alloc, walk->queue, walk->queue_capacity, sizeof(*walk->queue));
    tp_free_array(alloc, walk->seen, walk->seen_capacity, sizeof(*walk->seen));
    tp_free_array(alloc, walk->frame_table.slots, walk->frame_table.capacity, sizeof(uint32_t));
    tp_free_array(alloc, walk->state_table.slots, walk->state_table.capacity, sizeof(uint32_t));
    *walk = (grammar_walk){.alloc = alloc};
}

tapeout_status tp_grammar_walk_start(grammar_walk *walk, uint32_t *ret_state, tapeout_error *err)
{
    begin_set(walk);
    enqueue(walk, walk->grammar->start, ROOT);
    follow_all(walk);
    return end_set(walk, ret_state, err);
}

static uint32_t *get_row(const grammar_walk *walk, uint32_t state)
{
    const uint32_t row = walk->states[state].row;
    return row == 0 ? NULL
                    : walk->blocks[(row - 1) / ROWS_A_BLOCK] + (row - 1) % ROWS_A_BLOCK * 256;
}

static bool make_row(grammar_walk *walk, uint32_t state)
{
    if (walk->row_count == walk->block_count * ROWS_A_BLOCK) {
        void *blocks = walk->blocks;
        const grammar_list list = {&blocks, &walk->block_capacity, walk->block_count,
                                   sizeof(*walk->blocks)};
        const bool has_room = grow(walk, list, TP_MAX_GRAMMAR_STATES);
        walk->blocks = blocks;
        uint32_t *block =
            has_room ? tp_alloc_array(walk->alloc, ROWS_A_BLOCK * 256, sizeof(*block)) : NULL;
        if (block == NULL) {
            return false;
        }
        memset(block, 0xff, ROWS_A_BLOCK * 256 * sizeof(*block)); // UNSET
        walk->blocks[walk->block_count++] = block;
    }
    walk->states[state].row = ++walk->row_count;
    return true;
}

uint32_t tp_grammar_walk_peek(const grammar_walk *walk, uint32_t state, uint8_t byte)
{
    const uint32_t *row = get_row(walk, state);
    return row == NULL ? UNSET : row[byte];
}

tapeout_status tp_grammar_walk_step(grammar_walk *walk, uint32_t state, uint8_t byte,
                                    uint32_t *ret_state, tapeout_error *err)
{
    const tp_grammar *g = walk->grammar;
    const uint32_t known = tp_grammar_walk_peek(walk, state, byte);
    if (known != UNSET) {
        *ret_state = known;
        return TAPEOUT_OK;
    }
    begin_set(walk);
    const walk_state from = walk->states[state];
    for (uint32_t i = 0; i < from.count; i++) {
        const walk_pair pair = walk->pairs[from.begin + i];
        const grammar_node *n = &g->nodes[pair.node];
        for (uint32_t e = n->edges; e < n->edges + n->edge_count; e++) {
            if (g->edges[e].low <= byte && byte <= g->edges[e].high) {
                enqueue(walk, g->edges[e].target, pair.frame);
            }
        }
    }
    follow_all(walk);
    uint32_t next = 0;
    TP_TRY(end_set(walk, &next, err));
    if (walk->states[state].row == 0 && !make_row(walk, state)) {
        return tp_fail_nomem(err);
    }
    get_row(walk, state)[byte] = next;
    *ret_state = next;
    return TAPEOUT_OK;
}

// -- abstraction, copies, keys -------------------------------------------------------------------
static uint32_t merge_count(const grammar_node *loop, uint32_t count)
{
    if ((count & FAR) != 0) {
        return count;
    }
    if (count + FAR_ROUNDS < loop->min) {
        return FAR;
    }
    const bool is_far = loop->max != GRAMMAR_NO_MAX && loop->max - count > FAR_ROUNDS;
    return is_far && count >= loop->min ? FAR | FAR_EXIT : count;
}

static uint32_t abstract_frame(grammar_walk *walk, uint32_t frame, uint32_t depth)
{
    if (frame == ROOT || frame == UNKNOWN || depth == 0) {
        return frame == ROOT ? ROOT : UNKNOWN;
    }
    const walk_frame f = walk->frames[frame];
    const uint32_t parent = abstract_frame(walk, f.parent, depth - 1);
    const uint32_t count =
        f.is_counter ? merge_count(&walk->grammar->nodes[f.node], f.count) : f.count;
    return get_frame(walk, parent, f.node, count, f.is_counter);
}

tapeout_status tp_grammar_walk_abstract(grammar_walk *walk, uint32_t state, uint32_t depth,
                                        uint32_t *ret_state, tapeout_error *err)
{
    begin_set(walk);
    const walk_state from = walk->states[state];
    walk->new_flags = from.flags;
    for (uint32_t i = 0; i < from.count; i++) {
        if (walk->frames[walk->pairs[from.begin + i].frame].depth > HALF_DEPTH) {
            depth = UINT32_MAX; // so deep that the greatest depth may matter
        }
    }
    for (uint32_t i = 0; i < from.count && walk->status == TAPEOUT_OK; i++) {
        const walk_pair pair = walk->pairs[from.begin + i];
        const walk_pair made = {pair.node, abstract_frame(walk, pair.frame, depth)};
        if (walk->status == TAPEOUT_OK && is_new(walk, made)) {
            keep_pair(walk, made);
        }
    }
    return end_set(walk, ret_state, err);
}

static uint32_t copy_frame(const grammar_walk *from, uint32_t frame, grammar_walk *to)
{
    if (frame == ROOT || frame == UNKNOWN) {
        return frame;
    }
    const walk_frame f = from->frames[frame];
    const uint32_t parent = copy_frame(from, f.parent, to);
    return get_frame(to, parent, f.node, f.count, f.is_counter);
}

tapeout_status tp_grammar_walk_copy(const grammar_walk *from, uint32_t state, grammar_walk *to,
                                    uint32_t *ret_state, tapeout_error *err)
{
    begin_set(to);
    const walk_state s = from->states[state];
    to->new_flags = s.flags;
    for (uint32_t i = 0; i < s.count && to->status == TAPEOUT_OK; i++) {
        const walk_pair pair = from->pairs[s.begin + i];
        keep_pair(to, (walk_pair){pair.node, copy_frame(from, pair.frame, to)});
    }
    return end_set(to, ret_state, err);
}

void tp_grammar_walk_key(const grammar_walk *walk, uint32_t state, tp_buffer *key)
{
    const walk_state s = walk->states[state];
    tp_buffer_append_u32le(key, s.flags);
    for (uint32_t i = 0; i < s.count; i++) {
        const walk_pair pair = walk->pairs[s.begin + i];
        tp_buffer_append_u32le(key, pair.node);
        uint32_t frame = pair.frame;
        while (frame != ROOT && frame != UNKNOWN) {
            const walk_frame *f = &walk->frames[frame];
            tp_buffer_append_u32le(key, f->is_counter ? UINT32_MAX - 2 : UINT32_MAX - 3);
            tp_buffer_append_u32le(key, f->node);
            tp_buffer_append_u32le(key, f->count);
            frame = f->parent;
        }
        tp_buffer_append_u32le(key, UINT32_MAX - frame); // greater than any node
    }
}

bool tp_grammar_walk_is_full(const grammar_walk *walk)
{
    return walk->state_count > TP_MAX_GRAMMAR_STATES / 4 ||
           walk->frame_count > TP_MAX_GRAMMAR_FRAMES / 4 ||
           walk->pair_count > TP_MAX_GRAMMAR_STATE_PAIRS / 4;
}

bool tp_grammar_walk_reads(const grammar_walk *walk, uint32_t state)
{
    return walk->states[state].count > 0;
}
