// SPDX-License-Identifier: Apache-2.0
//
// The lists of a TreeEnsemble node of ai.onnx.ml, checked and put in order.
#include "import/onnx_tree_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"

#include <stdlib.h>

// -- lists ---------------------------------------------------------------------------------------

static tapeout_status read_ints(const onnx_ensemble *e, const char *name, uint32_t count,
                                const int64_t **ret_ints)
{
    const onnx_list list = tp_onnx_list(e->node, name);
    if (list.type != ONNX_INT64 || list.count != count) {
        return tp_onnx_fail(e->reader, e->node, TAPEOUT_E_CORRUPT,
                            "\"%s\" is no list of %u whole numbers", name, count);
    }
    *ret_ints = list.ints;
    return TAPEOUT_OK;
}

// Numbers as wide as the ensemble computes.
static tapeout_status read_reals(const onnx_ensemble *e, const char *name, onnx_list *ret_list)
{
    TP_TRY(tp_onnx_reals(e->reader, e->node, name, ret_list));
    return ret_list->type != ONNX_DOUBLE || e->is_double
               ? TAPEOUT_OK
               : tp_onnx_fail(e->reader, e->node, TAPEOUT_E_CORRUPT,
                              "\"%s\" is float64, and its input is not", name);
}

static tapeout_status read_mode(const onnx_ensemble *e, uint32_t at, tp_str text, uint8_t *ret_mode)
{
    static const char *const names[] = {"LEAF",      "BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE",
                                        "BRANCH_GT", "BRANCH_EQ",  "BRANCH_NEQ"};
    for (uint8_t mode = 0; mode < sizeof(names) / sizeof(names[0]); mode++) {
        if (tp_str_equal(text, tp_str_from(names[mode]))) {
            *ret_mode = mode;
            return TAPEOUT_OK;
        }
    }
    return tp_onnx_fail(e->reader, e->node, TAPEOUT_E_UNSUPPORTED,
                        "tree %lld, node %lld: mode \"%.*s\" is not imported",
                        (long long)e->tree_ids[at], (long long)e->node_ids[at], TP_STR_ARGS(text));
}

static tapeout_status read_modes(onnx_ensemble *e)
{
    const onnx_list list = tp_onnx_list(e->node, "nodes_modes");
    if (list.type != ONNX_STRING || list.count != e->node_count) {
        return tp_onnx_fail(e->reader, e->node, TAPEOUT_E_CORRUPT,
                            "\"nodes_modes\" is no list of %u texts", e->node_count);
    }
    uint8_t *modes = tp_arena_array(&e->reader->arena, e->node_count, sizeof(*modes));
    if (modes == NULL) {
        return tp_onnx_nomem(e->reader);
    }
    for (uint32_t i = 0; i < e->node_count; i++) {
        TP_TRY(read_mode(e, i, list.texts[i], &modes[i]));
    }
    e->modes = modes;
    return TAPEOUT_OK;
}

static tapeout_status read_nodes(onnx_ensemble *e)
{
    onnx_list values;
    e->node_count = tp_onnx_list(e->node, "nodes_treeids").count;
    if (e->node_count == 0) {
        return tp_onnx_fail(e->reader, e->node, TAPEOUT_E_CORRUPT, "there is no tree in it");
    }
    TP_TRY(read_ints(e, "nodes_treeids", e->node_count, &e->tree_ids));
    TP_TRY(read_ints(e, "nodes_nodeids", e->node_count, &e->node_ids));
    TP_TRY(read_ints(e, "nodes_featureids", e->node_count, &e->features));
    TP_TRY(read_ints(e, "nodes_truenodeids", e->node_count, &e->true_ids));
    TP_TRY(read_ints(e, "nodes_falsenodeids", e->node_count, &e->false_ids));
    if (tp_onnx_list(e->node, "nodes_missing_value_tracks_true").count > 0) {
        TP_TRY(read_ints(e, "nodes_missing_value_tracks_true", e->node_count, &e->missing));
    }
    TP_TRY(read_reals(e, "nodes_values", &values));
    if (values.count != e->node_count) {
        return tp_onnx_fail(e->reader, e->node, TAPEOUT_E_CORRUPT,
                            "\"nodes_values\" is no list of %u numbers", e->node_count);
    }
    e->values = values.numbers;
    return read_modes(e);
}

tapeout_status tp_onnx_ensemble_read(onnx_ensemble *e)
{
    static const char *const names[2][4] = {
        {"target_treeids", "target_nodeids", "target_ids", "target_weights"},
        {"class_treeids", "class_nodeids", "class_ids", "class_weights"}};
    const char *const *name = names[e->is_classifier];
    onnx_list weights;
    onnx_list base;
    TP_TRY(read_nodes(e));
    TP_TRY(read_reals(e, name[3], &weights));
    e->weight_count = weights.count;
    e->weights = weights.numbers;
    TP_TRY(read_ints(e, name[0], e->weight_count, &e->weight_trees));
    TP_TRY(read_ints(e, name[1], e->weight_count, &e->weight_nodes));
    TP_TRY(read_ints(e, name[2], e->weight_count, &e->weight_classes));
    for (uint32_t i = 0; i < e->weight_count; i++) {
        if (e->weight_classes[i] < 0 || e->weight_classes[i] >= e->class_count) {
            return tp_onnx_fail(e->reader, e->node, TAPEOUT_E_CORRUPT,
                                "weight %u is of class %lld; there are %u", i,
                                (long long)e->weight_classes[i], e->class_count);
        }
    }
    TP_TRY(read_reals(e, "base_values", &base));
    e->base = base.numbers;
    e->base_count = base.count;
    return TAPEOUT_OK;
}

// -- where nodes lie -----------------------------------------------------------------------------

static int compare_places(const void *a, const void *b)
{
    const onnx_place *left = a;
    const onnx_place *right = b;
    if (left->tree != right->tree) {
        return left->tree < right->tree ? -1 : 1;
    }
    return (left->node > right->node) - (left->node < right->node);
}

static tapeout_status sort_nodes(onnx_ensemble *e)
{
    uint32_t names = 0;
    bool is_sorted = true;
    e->places = tp_arena_array(&e->reader->arena, e->node_count, sizeof(*e->places));
    if (e->places == NULL) {
        return tp_onnx_nomem(e->reader);
    }
    for (uint32_t i = 0; i < e->node_count; i++) {
        e->places[i] = (onnx_place){e->tree_ids[i], e->node_ids[i], i};
        is_sorted = is_sorted && (i == 0 || compare_places(&e->places[i - 1], &e->places[i]) < 0);
        e->tree_count += i == 0 || e->tree_ids[i - 1] != e->tree_ids[i] ? 1 : 0;
    }
    if (!is_sorted) {
        qsort(e->places, e->node_count, sizeof(*e->places), compare_places);
    }
    for (uint32_t i = 0; i < e->node_count; i++) {
        const onnx_place *place = &e->places[i];
        if (i > 0 && compare_places(&place[-1], place) == 0) {
            return tp_onnx_fail(e->reader, e->node, TAPEOUT_E_CORRUPT,
                                "tree %lld has node %lld twice", (long long)place->tree,
                                (long long)place->node);
        }
        names += i == 0 || place[-1].tree != place->tree ? 1 : 0;
    }
    return names == e->tree_count ? TAPEOUT_OK
                                  : tp_onnx_fail(e->reader, e->node, TAPEOUT_E_CORRUPT,
                                                 "the nodes of a tree do not lie together");
}

uint32_t tp_onnx_node_at(const onnx_ensemble *e, int64_t tree, int64_t node)
{
    const onnx_place key = {tree, node, 0};
    const onnx_place *found =
        bsearch(&key, e->places, e->node_count, sizeof(*e->places), compare_places);
    return found == NULL ? UINT32_MAX : found->at;
}

// -- scores of leaves ----------------------------------------------------------------------------

static int compare_scores(const void *a, const void *b)
{
    const onnx_score *left = a;
    const onnx_score *right = b;
    return (left->class_index > right->class_index) - (left->class_index < right->class_index);
}

static tapeout_status find_leaves(onnx_ensemble *e, uint32_t *leaves)
{
    for (uint32_t i = 0; i < e->weight_count; i++) {
        leaves[i] = tp_onnx_node_at(e, e->weight_trees[i], e->weight_nodes[i]);
        if (leaves[i] == UINT32_MAX || e->modes[leaves[i]] != ONNX_LEAF) {
            return tp_onnx_fail(e->reader, e->node, TAPEOUT_E_CORRUPT,
                                "weight %u is of tree %lld, node %lld, which is no leaf", i,
                                (long long)e->weight_trees[i], (long long)e->weight_nodes[i]);
        }
        e->score_begin[leaves[i] + 2]++;
    }
    return TAPEOUT_OK;
}

static tapeout_status sort_scores(onnx_ensemble *e)
{
    tp_arena *arena = &e->reader->arena;
    uint32_t *leaves = tp_arena_array(arena, (size_t)e->weight_count + 1, sizeof(*leaves));
    e->score_begin = tp_arena_array(arena, (size_t)e->node_count + 2, sizeof(uint32_t));
    e->scores = tp_arena_array(arena, (size_t)e->weight_count + 1, sizeof(*e->scores));
    if (leaves == NULL || e->score_begin == NULL || e->scores == NULL) {
        return tp_onnx_nomem(e->reader);
    }
    TP_TRY(find_leaves(e, leaves));
    for (uint32_t i = 2; i < e->node_count + 2; i++) {
        e->score_begin[i] += e->score_begin[i - 1];
    }
    for (uint32_t i = 0; i < e->weight_count; i++) {
        // What begins at the next node moves on until it stands where it should.
        e->scores[e->score_begin[leaves[i] + 1]++] =
            (onnx_score){(uint32_t)e->weight_classes[i], e->weights[i]};
    }
    for (uint32_t i = 0; i < e->node_count; i++) {
        qsort(e->scores + e->score_begin[i], e->score_begin[i + 1] - e->score_begin[i],
              sizeof(*e->scores), compare_scores);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_onnx_ensemble_index(onnx_ensemble *e)
{
    TP_TRY(sort_nodes(e));
    return sort_scores(e);
}
