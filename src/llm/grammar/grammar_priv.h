// SPDX-License-Identifier: Apache-2.0
//
// What a grammar is inside: rules over bytes, each a small automaton whose edges read bytes,
// choose, call another rule, or count. A place in it is a set of (node, stack) pairs, walked by
// grammar_place.h; this file is how the automaton is built and finished.
//
// Everything is built from its end to its beginning: each function takes the node that follows and
// returns the one to enter, so no edge is ever left open. A builder that has failed keeps its first
// failure and goes on returning GRAMMAR_DEAD, so its users look once, at the end.
#ifndef GRAMMAR_PRIV_H
#define GRAMMAR_PRIV_H

#include "base/limits.h"
#include "base/tp_arena.h"
#include "base/tp_dict.h"
#include "llm/grammar/tp_grammar.h"

#include <stdatomic.h>

typedef enum grammar_op {
    GRAMMAR_BYTES,  // one byte by an edge
    GRAMMAR_SPLIT,  // any edge's target, for nothing
    GRAMMAR_CALL,   // rule `a` (its start node once finished), then `next`
    GRAMMAR_RETURN, // the rule ends
    GRAMMAR_COUNT,  // a counter at zero is pushed; `a` is its LOOP, `next` the body
    GRAMMAR_LOOP,   // behind the body: once more to `a` while below max, or, from min on, to `next`
    // Of characters, before grammar_expr.c turns them into bytes:
    GRAMMAR_CHAR,  // a character of set `a`, then `next`
    GRAMMAR_BEGIN, // only where the text begins
    GRAMMAR_END,   // only where it ends
} grammar_op;

enum { GRAMMAR_DEAD = 0, GRAMMAR_DONE = 1 }; // the node that leads nowhere; the one that returns

#define GRAMMAR_NO_MAX UINT32_MAX

typedef struct grammar_edge {
    uint32_t target;
    uint32_t link; // the node's next edge while building
    uint8_t low, high;
} grammar_edge;

typedef struct grammar_node {
    uint8_t op;
    uint16_t level; // counters that stand open here within the rule
    uint16_t need;  // stack levels that the shortest way out of the rule takes from here
    uint32_t a;
    uint32_t next;
    uint32_t min, max;
    uint32_t edges, edge_count; // while building, `edges` is the first of a list, plus one
} grammar_node;

// Code points, ascending, neither touching nor surrogates.
typedef struct grammar_range {
    uint32_t low, high;
} grammar_range;

typedef struct grammar_set {
    const grammar_range *ranges;
    uint32_t count;
} grammar_set;

typedef enum grammar_spelling {
    GRAMMAR_PLAIN, // UTF-8
    GRAMMAR_JSON,  // as inside a JSON string: UTF-8, and the shortest escape where one is needed
} grammar_spelling;

typedef struct grammar_builder {
    const tapeout_allocator *alloc;
    tapeout_error *err;
    tapeout_status status; // the first failure
    tp_arena arena;        // of expressions, sets and names, until the builder ends
    grammar_node *nodes;
    uint32_t node_count, node_capacity;
    grammar_edge *edges;
    uint32_t edge_count, edge_capacity;
    uint32_t *rules; // start nodes
    uint32_t rule_count, rule_capacity;
    tp_dict sets;       // a set's ranges as bytes
    tp_dict set_rules;  // (set, spelling) to rule
    uint32_t *set_rule; // [set_rules]
    uint32_t set_rule_capacity;
    uint32_t level;
} grammar_builder;

void tp_grammar_builder_init(grammar_builder *b, const tp_env *env, tapeout_error *err);
void tp_grammar_builder_deinit(grammar_builder *b);
void tp_grammar_fail(grammar_builder *b, tapeout_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void tp_grammar_fail_nomem(grammar_builder *b);

// One more item in a list that doubles, up to `most`; false, with the builder failed, otherwise.
typedef struct grammar_list {
    void **data;
    uint32_t *capacity;
    uint32_t count;
    size_t item_size;
} grammar_list;
bool tp_grammar_reserve(grammar_builder *b, grammar_list list, uint32_t most, const char *what);

uint32_t tp_grammar_node(grammar_builder *b, grammar_op op, uint32_t a, uint32_t next);
uint32_t tp_grammar_split(grammar_builder *b, uint32_t one, uint32_t other);
void tp_grammar_add(grammar_builder *b, uint32_t split, uint32_t target);
void tp_grammar_add_bytes(grammar_builder *b, uint32_t node, grammar_edge edge);
uint32_t tp_grammar_bytes(grammar_builder *b, uint8_t low, uint8_t high, uint32_t next);
uint32_t tp_grammar_literal(grammar_builder *b, tp_str text, uint32_t next);
uint32_t tp_grammar_call(grammar_builder *b, uint32_t rule, uint32_t next);

// A counted repetition is opened before its body is built and closed after it. The body must not
// match nothing.
typedef struct grammar_count {
    uint32_t min, max;
    uint32_t loop; // what the body is followed by
    uint32_t next;
} grammar_count;
grammar_count tp_grammar_count_open(grammar_builder *b, uint32_t min, uint32_t max, uint32_t next);
uint32_t tp_grammar_count_close(grammar_builder *b, const grammar_count *count, uint32_t body);

// A rule without a body yet, so that it can be called before it is built.
uint32_t tp_grammar_rule(grammar_builder *b);

// -- grammar_set.c -------------------------------------------------------------------------------
#define GRAMMAR_MAX_CODE 0x10ffffu
// Sorted, joined, without surrogates, and turned round if `is_negated`; a number for it.
uint32_t tp_grammar_set(grammar_builder *b, grammar_range *ranges, uint32_t count, bool is_negated);
grammar_set tp_grammar_set_view(grammar_builder *b, uint32_t set);
uint32_t tp_grammar_set_char(grammar_builder *b, uint32_t set, grammar_spelling spelling,
                             uint32_t next);
size_t tp_grammar_put_utf8(uint32_t code, uint8_t bytes[4]);
// One character of well-formed UTF-8 at `*position`, which moves behind it.
uint32_t tp_grammar_take_utf8(tp_str text, size_t *position);

// -- grammar_expr.c ------------------------------------------------------------------------------
typedef enum grammar_expr_kind {
    EXPR_SET, // a character
    EXPR_SEQUENCE,
    EXPR_CHOICE,
    EXPR_REPEAT,
    EXPR_RULE,
    EXPR_BEGIN,
    EXPR_END,
} grammar_expr_kind;

typedef struct grammar_expr {
    grammar_expr_kind kind;
    uint32_t value; // set or rule
    uint32_t min, max;
    bool has_anchor;
    bool is_nullable;
    struct grammar_expr *first, *last; // parts
    struct grammar_expr *sibling;
} grammar_expr;

grammar_expr *tp_grammar_expr(grammar_builder *b, grammar_expr_kind kind, uint32_t value);
void tp_grammar_expr_add(grammar_expr *whole, grammar_expr *part);

// How an expression becomes bytes.
typedef struct grammar_lowering {
    grammar_spelling spelling;
    bool is_search;    // may stand anywhere in the text, as JSON Schema's `pattern`
    bool has_length;   // of the whole text, in characters
    uint32_t min, max; // GRAMMAR_NO_MAX: none
} grammar_lowering;
uint32_t tp_grammar_lower(grammar_builder *b, grammar_expr *expr, const grammar_lowering *how,
                          uint32_t next);

// -- the notations -------------------------------------------------------------------------------
grammar_expr *tp_regex_parse(grammar_builder *b, tp_str pattern);
uint32_t tp_gbnf_build(grammar_builder *b, tp_str text); // the rule `root`
typedef struct grammar_json_style {
    bool is_compact;
} grammar_json_style;
uint32_t tp_schema_build(grammar_builder *b, tp_str text, grammar_json_style style);
uint32_t tp_json_object_build(grammar_builder *b, grammar_json_style style);

// -- grammar_finish.c ----------------------------------------------------------------------------
// Drops what can never end, refuses left recursion, and packs what is left.
typedef struct grammar_mask_cache grammar_mask_cache;
struct tp_grammar {
    const tapeout_allocator *alloc;
    atomic_uint refs;
    grammar_node *nodes; // DEAD and DONE keep their numbers
    uint32_t node_count;
    grammar_edge *edges;
    uint32_t edge_count;
    uint32_t start;
    grammar_mask_cache *masks;
    tp_grammar_source source; // its texts follow each other in `texts`
    char *texts;
    size_t texts_size;
};
tapeout_status tp_grammar_finish(grammar_builder *b, uint32_t start_rule, tp_grammar **ret,
                                 tapeout_error *err);

#endif
