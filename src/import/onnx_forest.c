// SPDX-License-Identifier: Apache-2.0
//
// The trees of an ensemble of ONNX as a forest. There a node compares in one of six ways and a leaf
// holds a weight for each class that its tree scores; our nodes ask whether a number is not above a
// threshold, and a tree has one output. So "below" becomes "not above the number before", the
// children of ">=" and ">" change places, equality is a feature, and a tree of several classes
// becomes as many trees. An ONNX file does not say how many rows took which way: leaves weigh
// alike.
#include "import/onnx_tree_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "table/tp_value.h"

#include <math.h>
#include <stdlib.h>

typedef struct growing {
    onnx_ensemble *e;
    const onnx_forest *what;
    tp_gbt *gbt;
    uint32_t begin;  // of the tree in the lists
    uint32_t count;  // its nodes
    int64_t *left;   // [count] by place within the tree
    int64_t *right;  // [count]
    int32_t *places; // [count]
    uint32_t *stack; // [count]
    uint32_t *trees; // [classes] trees so far
    uint32_t leaf_count;
    const onnx_score *scores; // of its first leaf
    uint32_t score_count;
} growing;

static tapeout_status fail_node(const growing *g, uint32_t node, tapeout_status status,
                                const char *what)
{
    const uint32_t at = g->begin + node;
    return tp_onnx_fail(g->e->reader, g->e->node, status, "tree %lld, node %lld: %s",
                        (long long)g->e->tree_ids[at], (long long)g->e->node_ids[at], what);
}

// -- equality ------------------------------------------------------------------------------------

static int compare_equals(const void *a, const void *b)
{
    const onnx_equal *left = a;
    const onnx_equal *right = b;
    if (left->column != right->column) {
        return left->column < right->column ? -1 : 1;
    }
    return (left->value > right->value) - (left->value < right->value);
}

static bool is_equality(uint8_t mode)
{
    return mode == ONNX_EQ || mode == ONNX_NEQ;
}

uint32_t tp_onnx_equal_feature(const onnx_ensemble *e, uint32_t at)
{
    const onnx_equal key = {e->features[at], e->values[at]};
    const onnx_equal *found =
        bsearch(&key, e->equals, e->equal_count, sizeof(*e->equals), compare_equals);
    return e->input->count + (uint32_t)(found - e->equals);
}

static tapeout_status collect_equals(onnx_ensemble *e)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < e->node_count; i++) {
        count += is_equality(e->modes[i]) ? 1 : 0;
    }
    e->equals = tp_arena_array(&e->reader->arena, (size_t)count + 1, sizeof(*e->equals));
    if (e->equals == NULL) {
        return tp_onnx_nomem(e->reader);
    }
    count = 0;
    for (uint32_t i = 0; i < e->node_count; i++) {
        if (!is_equality(e->modes[i])) {
            continue;
        }
        if (e->features[i] < 0 || e->features[i] >= e->input->count || !isfinite(e->values[i])) {
            return tp_onnx_fail(e->reader, e->node, TAPEOUT_E_CORRUPT,
                                "tree %lld, node %lld: its feature does not exist, or its value "
                                "is not finite",
                                (long long)e->tree_ids[i], (long long)e->node_ids[i]);
        }
        e->equals[count++] = (onnx_equal){e->features[i], e->values[i]};
    }
    qsort(e->equals, count, sizeof(*e->equals), compare_equals);
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || compare_equals(&e->equals[i - 1], &e->equals[i]) != 0) {
            e->equals[e->equal_count++] = e->equals[i];
        }
    }
    return TAPEOUT_OK;
}

tapeout_status tp_onnx_equals(onnx_ensemble *e)
{
    TP_TRY(collect_equals(e));
    for (uint32_t i = 0; i < e->equal_count; i++) {
        char number[TP_VALUE_TEXT_SIZE];
        const size_t size = tp_print_f64(e->equals[i].value, number);
        const tp_str column = e->input->columns[e->equals[i].column].text;
        const tp_str text =
            tp_onnx_print(e->reader, "float32(%s == (%.*s))", column.data, (int)size, number);
        if (text.data == NULL) {
            return tp_onnx_nomem(e->reader);
        }
        TP_TRY(tp_onnx_feature_add(e->reader, e->input->count + i, text));
    }
    return TAPEOUT_OK;
}

// -- the shape of a tree -------------------------------------------------------------------------

static tapeout_status find_child(const growing *g, uint32_t node, int64_t id, int64_t *ret_child)
{
    const uint32_t at = tp_onnx_node_at(g->e, g->e->tree_ids[g->begin], id);
    if (at == UINT32_MAX) {
        return fail_node(g, node, TAPEOUT_E_CORRUPT, "a child does not exist");
    }
    *ret_child = (int64_t)at - g->begin;
    return TAPEOUT_OK;
}

static tapeout_status shape_tree(growing *g, uint32_t number)
{
    const onnx_ensemble *e = g->e;
    const import_tree source = {"onnx", number, g->count, g->left, g->right};
    import_shape shape = {0};
    for (uint32_t i = 0; i < g->count; i++) {
        const uint8_t mode = e->modes[g->begin + i];
        const bool true_is_left = mode == ONNX_LEQ || mode == ONNX_LT || mode == ONNX_NEQ;
        g->left[i] = -1;
        g->right[i] = -1;
        if (mode != ONNX_LEAF) {
            int64_t *true_child = true_is_left ? &g->left[i] : &g->right[i];
            int64_t *false_child = true_is_left ? &g->right[i] : &g->left[i];
            TP_TRY(find_child(g, i, e->true_ids[g->begin + i], true_child));
            TP_TRY(find_child(g, i, e->false_ids[g->begin + i], false_child));
        }
    }
    TP_TRY(tp_import_shape(&source, g->places, g->stack, &shape, e->reader->err));
    g->leaf_count = shape.leaf_count;
    for (uint32_t i = 0; i < g->count; i++) {
        if (g->places[i] == INT32_MIN) {
            return fail_node(g, i, TAPEOUT_E_CORRUPT, "it hangs on no other node");
        }
    }
    return TAPEOUT_OK;
}

// Every leaf scores the same classes as the first, each once.
static tapeout_status check_scores(growing *g)
{
    const onnx_ensemble *e = g->e;
    bool is_first = true;
    for (uint32_t i = 0; i < g->count; i++) {
        const uint32_t begin = e->score_begin[g->begin + i];
        const uint32_t count = e->score_begin[g->begin + i + 1] - begin;
        if (e->modes[g->begin + i] != ONNX_LEAF) {
            continue;
        }
        if (is_first) {
            g->scores = e->scores + begin;
            g->score_count = count;
            is_first = false;
        }
        bool is_same = count > 0 && count == g->score_count;
        for (uint32_t k = 0; is_same && k < count; k++) {
            const uint32_t class_index = e->scores[begin + k].class_index;
            is_same = class_index == g->scores[k].class_index &&
                      (k == 0 || class_index != g->scores[k - 1].class_index);
        }
        if (!is_same) {
            return fail_node(g, i, TAPEOUT_E_UNSUPPORTED,
                             "the leaf scores no class, one twice, or others than its tree's "
                             "first leaf");
        }
    }
    return TAPEOUT_OK;
}

// -- nodes ---------------------------------------------------------------------------------------

static tapeout_status fill_split(const growing *g, uint32_t node, tp_tree *to)
{
    const onnx_ensemble *e = g->e;
    const uint32_t at = g->begin + node;
    const uint32_t inner = (uint32_t)g->places[node];
    const uint8_t mode = e->modes[at];
    const bool tracks = e->missing != NULL && e->missing[at] == 1;
    const double value = e->is_double ? e->values[at] : (double)(float)e->values[at];
    const double before =
        e->is_double ? nextafter(value, -INFINITY) : (double)nextafterf((float)value, -INFINITY);
    if (e->features[at] < 0 || e->features[at] >= e->input->count) {
        return fail_node(g, node, TAPEOUT_E_CORRUPT, "its feature does not exist");
    }
    if (isnan(value) || value == -INFINITY) {
        return fail_node(g, node, TAPEOUT_E_CORRUPT,
                         "its threshold is not a number, or below all numbers");
    }
    to->feature[inner] =
        is_equality(mode) ? tp_onnx_equal_feature(e, at) : (uint32_t)e->features[at];
    to->threshold[inner] = is_equality(mode)                     ? 0.5
                           : mode == ONNX_LT || mode == ONNX_GTE ? before
                                                                 : value;
    // A missing value is no more than another, nor less, nor equal: it goes to the false child,
    // but for NEQ, and where the node says otherwise.
    const bool true_is_left = mode == ONNX_LEQ || mode == ONNX_LT || mode == ONNX_NEQ;
    const bool goes_true = tracks || mode == ONNX_NEQ;
    to->flags[inner] = goes_true == true_is_left ? TP_TREE_MISSING_LEFT : 0;
    to->left[inner] = g->places[g->left[node]];
    to->right[inner] = g->places[g->right[node]];
    return TAPEOUT_OK;
}

// Leaves below each node; children come after their parents.
static void fill_cover(tp_tree *to)
{
    for (uint32_t i = 0; i < to->leaf_count; i++) {
        to->leaf_cover[i] = 1;
    }
    for (uint32_t i = to->leaf_count - 1; i-- > 0;) {
        const int32_t children[2] = {to->left[i], to->right[i]};
        for (int side = 0; side < 2; side++) {
            to->inner_cover[i] += children[side] < 0 ? 1 : to->inner_cover[children[side]];
        }
    }
}

// The tree of one class, which is the `score`-th of those that its leaves score.
static tapeout_status fill_tree(growing *g, uint32_t score)
{
    const onnx_ensemble *e = g->e;
    const uint32_t class_index = g->scores[score].class_index;
    const uint32_t output = class_index - g->what->first_class;
    tp_tree *to = &g->gbt->trees[g->trees[class_index]++ * g->what->output_count + output];
    TP_TRY(tp_gbt_tree_init(e->reader->env->alloc, g->leaf_count, 0, to, e->reader->err));
    for (uint32_t i = 0; i < g->count; i++) {
        if (g->places[i] >= 0) {
            TP_TRY(fill_split(g, i, to));
        } else {
            const double value = e->scores[e->score_begin[g->begin + i] + score].value;
            to->leaf_value[~g->places[i]] = e->is_double ? value : (double)(float)value;
        }
    }
    fill_cover(to);
    return TAPEOUT_OK;
}

// -- the forest ----------------------------------------------------------------------------------

static bool is_wanted(const onnx_forest *what, uint32_t class_index)
{
    return class_index >= what->first_class && class_index - what->first_class < what->output_count;
}

// The most trees that any output has, by what the first leaf of each tree scores.
static uint32_t count_rounds(const growing *g)
{
    const onnx_ensemble *e = g->e;
    uint32_t most = 0;
    bool is_open = true; // the tree's first leaf is still to come
    for (uint32_t i = 0; i < e->node_count; i++) {
        is_open = is_open || (i > 0 && e->tree_ids[i] != e->tree_ids[i - 1]);
        if (!is_open || e->modes[i] != ONNX_LEAF) {
            continue;
        }
        is_open = false;
        for (uint32_t w = e->score_begin[i]; w < e->score_begin[i + 1]; w++) {
            const uint32_t class_index = e->scores[w].class_index;
            if (is_wanted(g->what, class_index)) {
                g->trees[class_index]++;
                most = g->trees[class_index] > most ? g->trees[class_index] : most;
            }
        }
    }
    for (uint32_t k = 0; k < e->class_count; k++) {
        g->trees[k] = 0;
    }
    return most;
}

static tapeout_status grow_trees(growing *g)
{
    const onnx_ensemble *e = g->e;
    uint32_t number = 0;
    for (g->begin = 0; g->begin < e->node_count; g->begin += g->count, number++) {
        g->count = 1;
        while (g->begin + g->count < e->node_count &&
               e->tree_ids[g->begin + g->count] == e->tree_ids[g->begin]) {
            g->count++;
        }
        if (g->count > TP_MAX_IMPORT_NODES) {
            return fail_node(g, 0, TAPEOUT_E_LIMIT, "the tree has too many nodes");
        }
        TP_TRY(shape_tree(g, number));
        TP_TRY(check_scores(g));
        for (uint32_t k = 0; k < g->score_count; k++) {
            if (is_wanted(g->what, g->scores[k].class_index)) {
                TP_TRY(fill_tree(g, k));
            }
        }
    }
    return TAPEOUT_OK;
}

// Trees of one leaf: 0 where an output has fewer trees than another, and the base values.
static tapeout_status fill_up(const growing *g, uint32_t rounds, bool has_base)
{
    const uint32_t outputs = g->what->output_count;
    for (uint32_t t = 0; t < g->gbt->tree_count; t++) {
        tp_tree *to = &g->gbt->trees[t];
        if (to->leaf_count > 0) {
            continue;
        }
        TP_TRY(tp_gbt_tree_init(g->e->reader->env->alloc, 1, 0, to, g->e->reader->err));
        if (has_base && t >= rounds * outputs) {
            const double base = g->what->base[t % outputs];
            to->leaf_value[0] = g->e->is_double ? base : (double)(float)base;
        }
        to->leaf_cover[0] = 1;
    }
    return TAPEOUT_OK;
}

static tapeout_status new_scratch(growing *g)
{
    tp_arena *arena = &g->e->reader->arena;
    const size_t nodes = g->e->node_count;
    const size_t classes = g->e->class_count;
    g->left = tp_arena_array(arena, nodes, sizeof(*g->left));
    g->right = tp_arena_array(arena, nodes, sizeof(*g->right));
    g->places = tp_arena_array(arena, nodes, sizeof(*g->places));
    g->stack = tp_arena_array(arena, nodes, sizeof(*g->stack));
    g->trees = tp_arena_array(arena, classes, sizeof(*g->trees));
    return g->left != NULL && g->right != NULL && g->places != NULL && g->stack != NULL &&
                   g->trees != NULL
               ? TAPEOUT_OK
               : tp_onnx_nomem(g->e->reader);
}

tapeout_status tp_onnx_forest(onnx_ensemble *e, const onnx_forest *what)
{
    onnx_reader *reader = e->reader;
    tp_import *import = reader->import;
    growing g = {.e = e, .what = what};
    bool has_base = false;
    TP_TRY(new_scratch(&g));
    for (uint32_t k = 0; what->base != NULL && k < what->output_count; k++) {
        has_base = has_base || what->base[k] != 0;
    }
    const uint32_t rounds = count_rounds(&g);
    const uint64_t trees = ((uint64_t)rounds + (has_base ? 1 : 0)) * what->output_count;
    if (trees > TP_MAX_GBT_TREES) {
        return tp_onnx_fail(reader, e->node, TAPEOUT_E_LIMIT, "%llu trees; at most %u are taken",
                            (unsigned long long)trees, TP_MAX_GBT_TREES);
    }
    TP_TRY(tp_gbt_new(reader->env->alloc, e->input->count + e->equal_count, what->output_count,
                      (uint32_t)trees, &g.gbt, reader->err));
    import->parts.gbt = g.gbt; // freed with the import
    import->parts.kind = TP_LEARNER_GBT;
    import->facts.trees = e->tree_count;
    g.gbt->flags = e->is_double ? 0 : TP_GBT_FLOAT32;
    g.gbt->tree_count = (uint32_t)trees;
    TP_TRY(grow_trees(&g));
    TP_TRY(fill_up(&g, rounds, has_base));
    return tp_gbt_finish(g.gbt, NULL, reader->err);
}
