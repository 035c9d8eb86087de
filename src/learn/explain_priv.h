// SPDX-License-Identifier: Apache-2.0
//
// Between the files that explain a forest. docs/internals/learn.md has the derivation.
//
// The players are columns. An element is a distinct set of columns that features of a tree depend
// on; it counts as known when all its columns are. Columns that two elements of a tree have in
// common are shared: the recursion tries both cases for them as it meets them, and given these the
// elements are independent of each other.
//
// Legend: G columns (groups), K outputs, Q quadrature points of a tree, E elements of a tree.
#ifndef EXPLAIN_PRIV_H
#define EXPLAIN_PRIV_H

#include "base/tp_arena.h"
#include "learn/gbt/tp_gbt.h"

enum { EXPLAIN_LANES = 4 }; // Q is a multiple of it

typedef struct explain_element {
    const uint32_t *private_columns; // columns of this element alone
    uint32_t private_count;
    const uint32_t *shared; // indexes into the tree's shared columns
    uint32_t shared_count;
} explain_element;

// Gauss-Legendre on (0, 1), padded with points of weight 0.
typedef struct explain_rule {
    uint32_t point_count; // Q
    double *weight;       // [Q]
    double *in;           // [Q] t, the chance that a column is known
    double *out;          // [Q] 1 - t
    double *in_power;     // [max private + 1][Q] t to the power of the row
} explain_rule;

typedef struct explain_node {
    uint32_t element;
    double share[2]; // of the node's rows that go left and right
} explain_node;

typedef struct explain_tree {
    const tp_tree *tree;
    uint32_t output;
    explain_node *nodes; // [inner]
    explain_element *elements;
    uint32_t element_count; // E
    uint32_t *shared_columns;
    uint32_t shared_count;
    uint32_t exact_points; // that make the tree's sums exact
    const explain_rule *rule;
} explain_tree;

typedef struct explain_plan {
    tp_arena arena;
    uint32_t group_count;  // G
    uint32_t output_count; // K
    uint32_t tree_count;   // those that split
    explain_tree *trees;
    double *base; // [K]
    // The most that any tree needs, for scratch.
    uint32_t max_elements;
    uint32_t max_shared;
    uint32_t max_points;
    uint32_t max_frames; // levels of the recursion
} explain_plan;

// Frees nothing on failure: the caller deinits the plan either way.
tapeout_status tp_explain_plan_init(const tp_env *env, const tp_gbt *gbt,
                                    const tp_explain_groups *groups, explain_plan *plan,
                                    tapeout_error *err);
void tp_explain_plan_deinit(explain_plan *plan);

// A rule that is exact for polynomials of degree 2 · points - 1; NULL without memory.
const explain_rule *tp_explain_rule_new(tp_arena *arena, uint32_t points, uint32_t max_power);

// Scratch of one worker.
typedef struct explain_scratch {
    double *phi;           // [K][G] of the row
    double *element_phi;   // [E]
    double *share;         // [E] product of the shares on the path so far
    uint8_t *state;        // [E] ELEMENT_* flags
    uint8_t *shared_state; // [shared]
    double *chance;        // [frames][Q]
    double *below;         // [frames][Q]
} explain_scratch;

size_t tp_explain_scratch_bytes(const explain_plan *plan);
void tp_explain_scratch_lay(const explain_plan *plan, void *memory, explain_scratch *ret_scratch);

// Adds to `phi` [G] what the tree gives each column of the row.
void tp_explain_tree_row(const explain_tree *tree, const explain_scratch *scratch,
                         const double *const *columns, uint32_t row, double *phi);

#endif
