// SPDX-License-Identifier: Apache-2.0
//
// What explaining a forest needs to know of its trees, whatever the rows: which columns each split
// depends on, which columns elements share, how many quadrature points make the sums exact, and
// what the forest says when nothing is known.
#include "learn/explain_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"

// A distinct set of columns, ascending.
typedef struct column_set {
    uint32_t *columns;
    uint32_t count;
} column_set;

typedef struct planner {
    const tp_gbt *gbt;
    const tp_explain_groups *groups;
    explain_plan *plan;
    column_set *sets;
    uint32_t set_count;
    uint32_t *set_of_feature;   // [F], UINT32_MAX until a split uses it
    uint32_t *element_of_set;   // [F], UINT32_MAX outside the tree at hand
    uint32_t *set_of_element;   // [F]
    uint32_t *column_uses;      // [G] elements of the tree that have the column
    uint32_t *column_on_path;   // [G] how often the column occurs on the path
    uint32_t *shared_index;     // [G]
    const explain_rule **rules; // [TP_MAX_EXPLAIN_COLUMNS + 1] by points
    uint32_t max_power;
} planner;

// -- sets of columns -----------------------------------------------------------------------------
static void insert_column(column_set *set, uint32_t column)
{
    uint32_t at = set->count;
    while (at > 0 && set->columns[at - 1] > column) {
        at--;
    }
    if (at > 0 && set->columns[at - 1] == column) {
        return;
    }
    for (uint32_t i = set->count; i > at; i--) {
        set->columns[i] = set->columns[i - 1];
    }
    set->columns[at] = column;
    set->count++;
}

static bool is_same_set(const column_set *a, const column_set *b)
{
    bool same = a->count == b->count;
    for (uint32_t i = 0; same && i < a->count; i++) {
        same = a->columns[i] == b->columns[i];
    }
    return same;
}

static tapeout_status set_of_feature(planner *at, uint32_t feature, uint32_t *ret_set,
                                     tapeout_error *err)
{
    if (at->set_of_feature[feature] != UINT32_MAX) {
        *ret_set = at->set_of_feature[feature];
        return TAPEOUT_OK;
    }
    const uint32_t count = at->groups->feature_group_counts[feature];
    column_set set = {tp_arena_array(&at->plan->arena, count, sizeof(uint32_t)), 0};
    if (set.columns == NULL && count > 0) {
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t column = at->groups->feature_groups[feature][i];
        if (column >= at->plan->group_count) {
            return tp_fail(err, TAPEOUT_E_INVALID, "explain: feature %u names column %u of %u",
                           feature, column, at->plan->group_count);
        }
        insert_column(&set, column);
    }
    if (set.count == 0) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "explain: the model splits on feature %u, which depends on no column",
                       feature);
    }
    uint32_t index = 0;
    while (index < at->set_count && !is_same_set(&at->sets[index], &set)) {
        index++;
    }
    if (index == at->set_count) {
        at->sets[at->set_count++] = set;
    }
    at->set_of_feature[feature] = index;
    *ret_set = index;
    return TAPEOUT_OK;
}

// -- elements of one tree ------------------------------------------------------------------------
static tapeout_status find_elements(planner *at, explain_tree *tree, tapeout_error *err)
{
    for (uint32_t i = 0; i + 1 < tree->tree->leaf_count; i++) {
        uint32_t set = 0;
        TP_TRY(set_of_feature(at, tree->tree->feature[i], &set, err));
        if (at->element_of_set[set] == UINT32_MAX) {
            at->element_of_set[set] = tree->element_count;
            at->set_of_element[tree->element_count++] = set;
            for (uint32_t c = 0; c < at->sets[set].count; c++) {
                const uint32_t column = at->sets[set].columns[c];
                tree->shared_count += ++at->column_uses[column] == 2;
            }
        }
        tree->nodes[i].element = at->element_of_set[set];
    }
    return TAPEOUT_OK;
}

// Cuts an element's columns into its own and the shared ones.
static tapeout_status split_columns(planner *at, explain_tree *tree, const column_set *set,
                                    explain_element *ret_element, tapeout_error *err)
{
    uint32_t *own = tp_arena_array(&at->plan->arena, set->count, sizeof(*own));
    uint32_t *shared = tp_arena_array(&at->plan->arena, set->count, sizeof(*shared));
    if (own == NULL || shared == NULL) {
        return tp_fail_nomem(err);
    }
    *ret_element = (explain_element){.private_columns = own, .shared = shared};
    for (uint32_t c = 0; c < set->count; c++) {
        const uint32_t column = set->columns[c];
        if (at->column_uses[column] < 2) {
            own[ret_element->private_count++] = column;
            continue;
        }
        if (at->shared_index[column] == UINT32_MAX) {
            at->shared_index[column] = tree->shared_count;
            tree->shared_columns[tree->shared_count++] = column;
        }
        shared[ret_element->shared_count++] = at->shared_index[column];
    }
    if (ret_element->private_count > at->max_power) {
        at->max_power = ret_element->private_count;
    }
    return TAPEOUT_OK;
}

static tapeout_status lay_elements(planner *at, explain_tree *tree, tapeout_error *err)
{
    tp_arena *arena = &at->plan->arena;
    tree->elements = tp_arena_array(arena, tree->element_count, sizeof(*tree->elements));
    tree->shared_columns = tp_arena_array(arena, tree->shared_count, sizeof(uint32_t));
    if (tree->elements == NULL || (tree->shared_columns == NULL && tree->shared_count > 0)) {
        return tp_fail_nomem(err);
    }
    tree->shared_count = 0;
    for (uint32_t e = 0; e < tree->element_count; e++) {
        TP_TRY(split_columns(at, tree, &at->sets[at->set_of_element[e]], &tree->elements[e], err));
    }
    return TAPEOUT_OK;
}

// Forgets the tree at hand in the planner's maps.
static void forget_elements(planner *at, const explain_tree *tree)
{
    for (uint32_t e = 0; e < tree->element_count; e++) {
        const column_set *set = &at->sets[at->set_of_element[e]];
        at->element_of_set[at->set_of_element[e]] = UINT32_MAX;
        for (uint32_t c = 0; c < set->count; c++) {
            at->column_uses[set->columns[c]] = 0;
            at->shared_index[set->columns[c]] = UINT32_MAX;
        }
    }
}

// -- paths ---------------------------------------------------------------------------------------
typedef struct path_walk {
    planner *at;
    explain_tree *tree;
    uint32_t columns; // distinct ones on the path
    uint32_t shared;  // of them shared
    uint32_t max_columns;
    uint32_t max_shared;
    uint32_t max_depth;
    double expected; // value of the subtree when nothing is known
} path_walk;

static double cover_of(const tp_tree *tree, int32_t child)
{
    return child >= 0 ? tree->inner_cover[child] : tree->leaf_cover[~child];
}

static void enter_columns(path_walk *walk, const column_set *set, bool leave)
{
    for (uint32_t c = 0; c < set->count; c++) {
        const uint32_t column = set->columns[c];
        uint32_t *on_path = &walk->at->column_on_path[column];
        const uint32_t is_shared = walk->at->shared_index[column] != UINT32_MAX ? 1 : 0;
        if (leave && --*on_path == 0) {
            walk->columns--;
            walk->shared -= is_shared;
        } else if (!leave && ++*on_path == 1) {
            walk->columns++;
            walk->shared += is_shared;
        }
    }
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static tapeout_status walk_node(path_walk *walk, int32_t child, uint32_t depth, tapeout_error *err)
{
    const tp_tree *tree = walk->tree->tree;
    if (child < 0) {
        walk->expected = tree->leaf_value[~child];
        return TAPEOUT_OK;
    }
    if (depth >= TP_MAX_EXPLAIN_DEPTH) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "explain: a tree has more than %u levels",
                       TP_MAX_EXPLAIN_DEPTH);
    }
    explain_node *node = &walk->tree->nodes[child];
    const int32_t children[2] = {tree->left[child], tree->right[child]};
    const double covers[2] = {cover_of(tree, children[0]), cover_of(tree, children[1])};
    const double total = covers[0] + covers[1];
    const column_set *set = &walk->at->sets[walk->at->set_of_element[node->element]];
    enter_columns(walk, set, false);
    walk->max_depth = larger(walk->max_depth, depth + 1);
    walk->max_columns = larger(walk->max_columns, walk->columns);
    walk->max_shared = larger(walk->max_shared, walk->shared);
    double expected = 0.0;
    for (uint32_t side = 0; side < 2; side++) {
        node->share[side] = total > 0.0 ? covers[side] / total : 0.5;
        TP_TRY(walk_node(walk, children[side], depth + 1, err));
        expected += node->share[side] * walk->expected;
    }
    walk->expected = expected;
    enter_columns(walk, set, true);
    return TAPEOUT_OK;
}

static tapeout_status check_path_limits(const path_walk *walk, tapeout_error *err)
{
    if (walk->max_shared > TP_MAX_EXPLAIN_SHARED) {
        return tp_fail(err, TAPEOUT_E_LIMIT,
                       "explain: %u columns on one path of a tree are shared by several features; "
                       "at most %u: give fewer features several columns, or fewer leaves",
                       walk->max_shared, TP_MAX_EXPLAIN_SHARED);
    }
    if (walk->max_columns > TP_MAX_EXPLAIN_COLUMNS) {
        return tp_fail(err, TAPEOUT_E_LIMIT,
                       "explain: %u columns on one path of a tree; at most %u", walk->max_columns,
                       TP_MAX_EXPLAIN_COLUMNS);
    }
    return TAPEOUT_OK;
}

// The derivative along a path has a degree below the number of its columns, and n points are exact
// up to degree 2n - 1.
static tapeout_status measure_paths(planner *at, explain_tree *tree, tapeout_error *err)
{
    path_walk walk = {.at = at, .tree = tree};
    TP_TRY(walk_node(&walk, 0, 0, err));
    TP_TRY(check_path_limits(&walk, err));
    explain_plan *plan = at->plan;
    plan->base[tree->output] += walk.expected;
    plan->max_elements = larger(plan->max_elements, tree->element_count);
    plan->max_shared = larger(plan->max_shared, tree->shared_count);
    plan->max_frames = larger(plan->max_frames, walk.max_depth + walk.max_shared + 1);
    tree->exact_points = (walk.max_columns + 1) / 2;
    plan->max_points = larger(plan->max_points, tree->exact_points + EXPLAIN_LANES);
    return TAPEOUT_OK;
}

// -- the plan ------------------------------------------------------------------------------------
static tapeout_status plan_tree(planner *at, uint32_t index, tapeout_error *err)
{
    const tp_tree *source = &at->gbt->trees[index];
    const uint32_t output = index % at->gbt->trees_per_iteration;
    if (source->leaf_count < 2) {
        at->plan->base[output] += source->leaf_value[0];
        return TAPEOUT_OK;
    }
    explain_tree *tree = &at->plan->trees[at->plan->tree_count];
    *tree = (explain_tree){.tree = source, .output = output};
    tree->nodes = tp_arena_array(&at->plan->arena, source->leaf_count - 1, sizeof(*tree->nodes));
    if (tree->nodes == NULL) {
        return tp_fail_nomem(err);
    }
    TP_TRY(find_elements(at, tree, err));
    TP_TRY(lay_elements(at, tree, err));
    TP_TRY(measure_paths(at, tree, err));
    forget_elements(at, tree);
    at->plan->tree_count++;
    return TAPEOUT_OK;
}

static tapeout_status make_rules(planner *at, tapeout_error *err)
{
    for (uint32_t t = 0; t < at->plan->tree_count; t++) {
        explain_tree *tree = &at->plan->trees[t];
        const explain_rule **rule = &at->rules[tree->exact_points];
        if (*rule == NULL) {
            *rule = tp_explain_rule_new(&at->plan->arena, tree->exact_points, at->max_power);
        }
        if (*rule == NULL) {
            return tp_fail_nomem(err);
        }
        tree->rule = *rule;
    }
    return TAPEOUT_OK;
}

static uint32_t *marks(tp_arena *arena, size_t count, uint32_t mark)
{
    uint32_t *values = tp_arena_array(arena, count, sizeof(*values));
    for (size_t i = 0; values != NULL && i < count; i++) {
        values[i] = mark;
    }
    return values;
}

static tapeout_status planner_init(planner *at, tapeout_error *err)
{
    tp_arena *arena = &at->plan->arena;
    const size_t features = (size_t)at->gbt->feature_count + 1; // never nothing
    const size_t columns = (size_t)at->plan->group_count + 1;
    at->sets = tp_arena_array(arena, features, sizeof(*at->sets));
    at->set_of_feature = marks(arena, features, UINT32_MAX);
    at->element_of_set = marks(arena, features, UINT32_MAX);
    at->set_of_element = marks(arena, features, 0);
    at->column_uses = marks(arena, columns, 0);
    at->column_on_path = marks(arena, columns, 0);
    at->shared_index = marks(arena, columns, UINT32_MAX);
    at->rules = tp_arena_array(arena, TP_MAX_EXPLAIN_COLUMNS + 1, sizeof(explain_rule *));
    at->plan->base = tp_arena_array(arena, at->plan->output_count, sizeof(double));
    at->plan->trees = tp_arena_array(arena, (size_t)at->gbt->tree_count + 1, sizeof(explain_tree));
    const bool has_all = at->sets != NULL && at->set_of_feature != NULL &&
                         at->element_of_set != NULL && at->set_of_element != NULL &&
                         at->column_uses != NULL && at->column_on_path != NULL &&
                         at->shared_index != NULL && at->rules != NULL && at->plan->base != NULL &&
                         at->plan->trees != NULL;
    return has_all ? TAPEOUT_OK : tp_fail_nomem(err);
}

tapeout_status tp_explain_plan_init(const tp_env *env, const tp_gbt *gbt,
                                    const tp_explain_groups *groups, explain_plan *plan,
                                    tapeout_error *err)
{
    *plan = (explain_plan){.group_count = groups->group_count,
                           .output_count = gbt->trees_per_iteration};
    tp_arena_init(&plan->arena, env->alloc, TP_MAX_EXPLAIN_PLAN_BYTES);
    planner at = {.gbt = gbt, .groups = groups, .plan = plan};
    if (gbt->flags & TP_GBT_LINEAR) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "explain: trees with linear functions in their leaves (linear_tree) are not "
                       "explained");
    }
    TP_TRY(planner_init(&at, err));
    for (uint32_t k = 0; k < plan->output_count; k++) {
        plan->base[k] = gbt->base[k];
    }
    for (uint32_t t = 0; t < gbt->tree_count; t++) {
        TP_TRY(plan_tree(&at, t, err));
    }
    return make_rules(&at, err);
}

void tp_explain_plan_deinit(explain_plan *plan)
{
    tp_arena_deinit(&plan->arena);
}
