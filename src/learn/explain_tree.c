// SPDX-License-Identifier: Apache-2.0
//
// The Shapley values of one tree and one row, exactly, in one recursion over the tree.
//
// Let every column be known by itself with chance t. The tree's expected value is then a polynomial
// in t, and a column's Shapley value is the integral over t from 0 to 1 of the derivative by that
// column's own chance (Owen, 1972). Along a path the chances of the elements multiply: an element
// whose splits the row passes with o = 1 or fails with o = 0, and which a share z of the training
// rows passes, is worth z + (o - z) t^p for its p columns. So the recursion carries, for each
// quadrature point, the product over the path; what comes back from below is the sum over leaves of
// value times product; an edge's element gets that sum times the derivative of its own factor over
// the factor. A second split of the same element replaces the factor, and what the first edge would
// count twice is taken off again. Cost: O(nodes × Q) (compare Bifet, Read and Xu, 2022).
//
// Columns shared by several elements break the product. For each such column the recursion takes
// both cases where it first meets it, known and not, with chances t and 1 - t: given these, the
// elements are independent again, and the column's own derivative is the difference of the cases.
#include "learn/explain_priv.h"

#include <math.h>

enum { ELEMENT_ON_PATH = 1, ELEMENT_FAILED = 2 };
enum { SHARED_OPEN = 0, SHARED_KNOWN = 1, SHARED_UNKNOWN = 2 };

typedef struct tree_walk {
    const explain_tree *tree;
    const explain_rule *rule;
    const explain_scratch *scratch;
    const double *const *columns;
    uint32_t row;
    double *phi;
} tree_walk;

size_t tp_explain_scratch_bytes(const explain_plan *plan)
{
    const size_t doubles = (size_t)plan->output_count * plan->group_count +
                           2 * (size_t)plan->max_elements +
                           2 * (size_t)plan->max_frames * plan->max_points;
    return doubles * sizeof(double) + plan->max_elements + plan->max_shared;
}

void tp_explain_scratch_lay(const explain_plan *plan, void *memory, explain_scratch *ret_scratch)
{
    double *next = memory;
    ret_scratch->phi = next;
    next += (size_t)plan->output_count * plan->group_count;
    ret_scratch->element_phi = next;
    next += plan->max_elements;
    ret_scratch->share = next;
    next += plan->max_elements;
    ret_scratch->chance = next;
    next += (size_t)plan->max_frames * plan->max_points;
    ret_scratch->below = next;
    next += (size_t)plan->max_frames * plan->max_points;
    ret_scratch->state = (uint8_t *)next;
    ret_scratch->shared_state = ret_scratch->state + plan->max_elements;
}

static bool goes_left(const tp_tree *tree, uint32_t node, double value)
{
    if ((tree->flags[node] & TP_TREE_CATEGORICAL) == 0) {
        return isnan(value) ? (tree->flags[node] & TP_TREE_MISSING_LEFT) != 0
                            : value <= tree->threshold[node];
    }
    const uint32_t begin = tree->category_begin[node];
    const uint32_t words = tree->category_begin[node + 1] - begin;
    if (!(value >= 0.0 && value < 32.0 * words)) {
        return isnan(value) && (tree->flags[node] & TP_TREE_MISSING_LEFT) != 0;
    }
    const uint32_t code = (uint32_t)value;
    return (tree->category_words[begin + code / 32] >> (code % 32) & 1) != 0;
}

// -- factors -------------------------------------------------------------------------------------
// An element as it stands on the path: share z, passed o, and whether its shared columns are known.
typedef struct factor {
    double share;
    bool passed;
    bool reachable;      // its shared columns are all known: its own columns decide
    const double *power; // [Q] t^p for its own columns
    const double *slope; // [Q] t^(p-1); NULL where it has none of its own
} factor;

static double factor_value(const factor *of, uint32_t q)
{
    if (!of->reachable) {
        return of->share;
    }
    const double passed = of->passed ? 1.0 : 0.0;
    return of->share * (1.0 - of->power[q]) + passed * of->power[q];
}

// The derivative by one of its own columns, over the value.
static double factor_rate(const factor *of, uint32_t q)
{
    const double passed = of->passed ? 1.0 : 0.0;
    return (passed - of->share) * of->slope[q] / factor_value(of, q);
}

// Nothing passes: the subtree below is worth nothing in any case.
static bool is_zero(const factor *of)
{
    if (!of->reachable) {
        return of->share == 0.0;
    }
    return !of->passed && (of->share == 0.0 || of->slope == NULL);
}

static factor factor_of(const tree_walk *walk, const explain_element *element, double share,
                        bool passed)
{
    const explain_rule *rule = walk->rule;
    bool reachable = true;
    for (uint32_t s = 0; s < element->shared_count; s++) {
        reachable &= walk->scratch->shared_state[element->shared[s]] == SHARED_KNOWN;
    }
    const size_t own = element->private_count;
    return (factor){.share = share,
                    .passed = passed,
                    .reachable = reachable,
                    .power = rule->in_power + own * rule->point_count,
                    .slope = own > 0 ? rule->in_power + (own - 1) * rule->point_count : NULL};
}

// -- the recursion -------------------------------------------------------------------------------
static void walk_node(const tree_walk *walk, int32_t child, uint32_t frame);

static double *chance_at(const tree_walk *walk, uint32_t frame)
{
    return walk->scratch->chance + (size_t)frame * walk->rule->point_count;
}

static double *below_at(const tree_walk *walk, uint32_t frame)
{
    return walk->scratch->below + (size_t)frame * walk->rule->point_count;
}

// Both cases of a shared column that the path has not met before.
static void walk_cases(const tree_walk *walk, int32_t child, uint32_t frame, uint32_t shared)
{
    const explain_rule *rule = walk->rule;
    const double *chance = chance_at(walk, frame);
    double *next = chance_at(walk, frame + 1);
    double *below = below_at(walk, frame);
    const double *part = below_at(walk, frame + 1);
    double difference = 0.0;
    for (uint32_t q = 0; q < rule->point_count; q++) {
        next[q] = chance[q] * rule->in[q];
    }
    walk->scratch->shared_state[shared] = SHARED_KNOWN;
    walk_node(walk, child, frame + 1);
    for (uint32_t q = 0; q < rule->point_count; q++) {
        below[q] = part[q];
        difference += rule->weight[q] * (part[q] / rule->in[q]);
        next[q] = chance[q] * rule->out[q];
    }
    walk->scratch->shared_state[shared] = SHARED_UNKNOWN;
    walk_node(walk, child, frame + 1);
    for (uint32_t q = 0; q < rule->point_count; q++) {
        below[q] += part[q];
        difference -= rule->weight[q] * (part[q] / rule->out[q]);
    }
    walk->scratch->shared_state[shared] = SHARED_OPEN;
    walk->phi[walk->tree->shared_columns[shared]] += difference;
}

// Adds an edge's part: the sum below, times the rate of its element now less that before.
static double edge_part(const tree_walk *walk, const factor *before, const factor *now,
                        const double *part)
{
    const explain_rule *rule = walk->rule;
    double sum = 0.0;
    if (before == NULL) {
        for (uint32_t q = 0; q < rule->point_count; q++) {
            sum += rule->weight[q] * part[q] * factor_rate(now, q);
        }
        return sum;
    }
    for (uint32_t q = 0; q < rule->point_count; q++) {
        sum += rule->weight[q] * part[q] * (factor_rate(now, q) - factor_rate(before, q));
    }
    return sum;
}

static void walk_edge(const tree_walk *walk, uint32_t node, uint32_t side, uint32_t frame)
{
    const explain_tree *tree = walk->tree;
    const explain_scratch *scratch = walk->scratch;
    const uint32_t e = tree->nodes[node].element;
    const explain_element *element = &tree->elements[e];
    const uint8_t old_state = scratch->state[e];
    const double old_share = scratch->share[e];
    const bool met = (old_state & ELEMENT_ON_PATH) != 0;
    const double value = walk->columns[tree->tree->feature[node]][walk->row];
    const bool passes = goes_left(tree->tree, node, value) == (side == 0);
    const factor before = factor_of(walk, element, old_share, (old_state & ELEMENT_FAILED) == 0);
    const factor now = factor_of(walk, element, tree->nodes[node].share[side] * old_share,
                                 before.passed && passes);
    if (is_zero(&now)) {
        return;
    }
    const double *chance = chance_at(walk, frame);
    double *next = chance_at(walk, frame + 1);
    for (uint32_t q = 0; q < walk->rule->point_count; q++) {
        const double taken_off = met ? chance[q] / factor_value(&before, q) : chance[q];
        next[q] = taken_off * factor_value(&now, q);
    }
    scratch->share[e] = now.share;
    scratch->state[e] = (uint8_t)(ELEMENT_ON_PATH | (now.passed ? 0 : ELEMENT_FAILED));
    walk_node(walk, side == 0 ? tree->tree->left[node] : tree->tree->right[node], frame + 1);
    scratch->share[e] = old_share;
    scratch->state[e] = old_state;
    double *below = below_at(walk, frame);
    const double *part = below_at(walk, frame + 1);
    for (uint32_t q = 0; q < walk->rule->point_count; q++) {
        below[q] += part[q];
    }
    if (now.reachable && now.slope != NULL) {
        scratch->element_phi[e] += edge_part(walk, met ? &before : NULL, &now, part);
    }
}

static void walk_node(const tree_walk *walk, int32_t child, uint32_t frame)
{
    const explain_tree *tree = walk->tree;
    double *below = below_at(walk, frame);
    if (child < 0) {
        const double *chance = chance_at(walk, frame);
        const double value = tree->tree->leaf_value[~child];
        for (uint32_t q = 0; q < walk->rule->point_count; q++) {
            below[q] = value * chance[q];
        }
        return;
    }
    const explain_element *element = &tree->elements[tree->nodes[child].element];
    for (uint32_t s = 0; s < element->shared_count; s++) {
        if (walk->scratch->shared_state[element->shared[s]] == SHARED_OPEN) {
            walk_cases(walk, child, frame, element->shared[s]);
            return;
        }
    }
    for (uint32_t q = 0; q < walk->rule->point_count; q++) {
        below[q] = 0.0;
    }
    walk_edge(walk, (uint32_t)child, 0, frame);
    walk_edge(walk, (uint32_t)child, 1, frame);
}

void tp_explain_tree_row(const explain_tree *tree, const explain_scratch *scratch,
                         const double *const *columns, uint32_t row, double *phi)
{
    const tree_walk walk = {tree, tree->rule, scratch, columns, row, phi};
    for (uint32_t e = 0; e < tree->element_count; e++) {
        scratch->element_phi[e] = 0.0;
        scratch->share[e] = 1.0;
        scratch->state[e] = 0;
    }
    for (uint32_t s = 0; s < tree->shared_count; s++) {
        scratch->shared_state[s] = SHARED_OPEN;
    }
    double *chance = chance_at(&walk, 0);
    for (uint32_t q = 0; q < tree->rule->point_count; q++) {
        chance[q] = 1.0;
    }
    walk_node(&walk, 0, 0);
    for (uint32_t e = 0; e < tree->element_count; e++) {
        const explain_element *element = &tree->elements[e];
        for (uint32_t c = 0; c < element->private_count; c++) {
            phi[element->private_columns[c]] += scratch->element_phi[e];
        }
    }
}
