// SPDX-License-Identifier: Apache-2.0
//
// XGBoost's trees. There a number below the threshold goes left, both being float32; of float32
// numbers that is the same as not above the next smaller one, which is how our nodes ask. A
// category of a node's set goes right there and left here, so the children of such a node change
// places. A tree's number of its output may come in any order; ours come in turns, so trees of one
// output are lined up, and where outputs have different numbers of them, trees that add 0 fill up.
#include "import/xgboost_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <math.h>

// The arrays of a tree in its file, each a number a node.
enum { LEFT, RIGHT, SPLIT, CONDITION, DEFAULT, GAIN, COVER, TYPE, ARRAYS };

static const char *const array_names[ARRAYS] = {
    "left_children", "right_children", "split_indices", "split_conditions",
    "default_left",  "loss_changes",   "sum_hessian",   "split_type"};

typedef struct reading {
    xgboost_reader *reader;
    const tp_document_value *from;
    const xgboost_tree *place;
    tp_tree *to;
    const tp_document_value *arrays[ARRAYS]; // TYPE may be NULL: all numeric
    const tp_document_value *categories;
    const tp_document_value *segments;
    const tp_document_value *sizes;
    const tp_document_value *category_nodes;
    uint32_t node_count;
    int64_t *left;   // [node_count]
    int64_t *right;  // [node_count]
    int32_t *places; // [node_count]
    uint32_t *stack; // [node_count]
    uint32_t *sets;  // [node_count] the node's place among category_nodes, plus 1
} reading;

static tapeout_status corrupt(const reading *r, uint32_t node, const char *what)
{
    return tp_fail_at(r->reader->err, TAPEOUT_E_CORRUPT, r->place->number,
                      "xgboost: tree %u, node %u: %s", r->place->number, node, what);
}

static double number(const reading *r, int array, uint32_t node)
{
    return tp_document_number(r->arrays[array], node);
}

// -- arrays --------------------------------------------------------------------------------------

static tapeout_status find_arrays(reading *r)
{
    const tp_document_value *left = tp_document_get(r->from, array_names[LEFT]);
    if (!tp_document_is_numbers(left) || left->count == 0) {
        return corrupt(r, 0, "\"left_children\" is no list of numbers");
    }
    if (left->count > TP_MAX_IMPORT_NODES) {
        return tp_fail(r->reader->err, TAPEOUT_E_LIMIT,
                       "xgboost: tree %u has %u nodes; at most %u are taken", r->place->number,
                       left->count, TP_MAX_IMPORT_NODES);
    }
    r->node_count = left->count;
    for (int a = 0; a < ARRAYS; a++) {
        r->arrays[a] = tp_document_get(r->from, array_names[a]);
        if (a == TYPE && r->arrays[a] == NULL) {
            continue; // before 1.3
        }
        if (!tp_document_is_numbers(r->arrays[a]) || r->arrays[a]->count != r->node_count) {
            return tp_fail_at(r->reader->err, TAPEOUT_E_CORRUPT, r->place->number,
                              "xgboost: tree %u: \"%s\" is no list of %u numbers", r->place->number,
                              array_names[a], r->node_count);
        }
    }
    return TAPEOUT_OK;
}

static bool is_whole(double value, double least, double most)
{
    return value >= least && value <= most && value == floor(value);
}

// Which node has which set.
static tapeout_status find_sets(reading *r)
{
    r->categories = tp_document_get(r->from, "categories");
    r->segments = tp_document_get(r->from, "categories_segments");
    r->sizes = tp_document_get(r->from, "categories_sizes");
    r->category_nodes = tp_document_get(r->from, "categories_nodes");
    if (r->category_nodes == NULL || r->category_nodes->count == 0) {
        return TAPEOUT_OK;
    }
    const uint32_t count = r->category_nodes->count;
    if (!tp_document_is_numbers(r->category_nodes) || !tp_document_is_numbers(r->categories) ||
        !tp_document_is_numbers(r->segments) || !tp_document_is_numbers(r->sizes) ||
        r->segments->count != count || r->sizes->count != count) {
        return corrupt(r, 0, "its sets of categories are no lists of one length");
    }
    for (uint32_t i = 0; i < count; i++) {
        const double node = tp_document_number(r->category_nodes, i);
        const double begin = tp_document_number(r->segments, i);
        const double size = tp_document_number(r->sizes, i);
        if (!is_whole(node, 0, (double)r->node_count - 1) || r->sets[(uint32_t)node] != 0) {
            return corrupt(r, 0, "a set of categories belongs to no node, or is one of two");
        }
        if (!is_whole(begin, 0, UINT32_MAX) || !is_whole(size, 1, UINT32_MAX) ||
            begin + size > (double)r->categories->count) {
            return corrupt(r, (uint32_t)node, "its set of categories overruns their list");
        }
        r->sets[(uint32_t)node] = i + 1;
    }
    return TAPEOUT_OK;
}

static bool is_category(const reading *r, uint32_t node)
{
    return r->arrays[TYPE] != NULL && number(r, TYPE, node) != 0;
}

static tapeout_status read_children(reading *r)
{
    for (uint32_t i = 0; i < r->node_count; i++) {
        const double left = number(r, LEFT, i);
        const double right = number(r, RIGHT, i);
        if (!is_whole(left, -1, INT32_MAX) || !is_whole(right, -1, INT32_MAX) ||
            (left < 0) != (right < 0)) {
            return corrupt(r, i, "a child is out of range");
        }
        const bool is_swapped = left >= 0 && is_category(r, i);
        r->left[i] = (int64_t)(is_swapped ? right : left);
        r->right[i] = (int64_t)(is_swapped ? left : right);
    }
    return TAPEOUT_OK;
}

// -- nodes ---------------------------------------------------------------------------------------

// Words of the node's set; 0 for a numeric node.
static tapeout_status set_words(const reading *r, uint32_t node, uint32_t *ret_words)
{
    *ret_words = 0;
    if (!is_category(r, node)) {
        return TAPEOUT_OK;
    }
    const uint32_t set = r->sets[node];
    if (set == 0) {
        return corrupt(r, node, "it asks for a category and has no set of them");
    }
    const uint32_t begin = (uint32_t)tp_document_number(r->segments, set - 1);
    const uint32_t size = (uint32_t)tp_document_number(r->sizes, set - 1);
    for (uint32_t i = begin; i < begin + size; i++) {
        const double code = tp_document_number(r->categories, i);
        if (!is_whole(code, 0, 32.0 * TP_MAX_GBT_CATEGORY_WORDS - 1)) {
            return corrupt(r, node, "a category of its set is out of range");
        }
        const uint32_t words = (uint32_t)code / 32 + 1;
        *ret_words = words > *ret_words ? words : *ret_words;
    }
    return TAPEOUT_OK;
}

static void fill_set(const reading *r, uint32_t node, uint32_t *words)
{
    const uint32_t set = r->sets[node];
    const uint32_t begin = (uint32_t)tp_document_number(r->segments, set - 1);
    const uint32_t size = (uint32_t)tp_document_number(r->sizes, set - 1);
    for (uint32_t i = begin; i < begin + size; i++) {
        const uint32_t code = (uint32_t)tp_document_number(r->categories, i);
        words[code / 32] |= 1u << (code % 32);
    }
}

static tapeout_status read_cover(const reading *r, uint32_t node, double *ret_cover)
{
    const double cover = (double)(float)number(r, COVER, node);
    if (!(cover >= 0) || isinf(cover)) {
        return corrupt(r, node, "its \"sum_hessian\" is no finite number from 0 on");
    }
    *ret_cover = cover;
    return TAPEOUT_OK;
}

static tapeout_status read_leaf(const reading *r, uint32_t node)
{
    const uint32_t leaf = ~(uint32_t)r->places[node];
    const float value = (float)number(r, CONDITION, node) * r->place->weight;
    if (!isfinite(value)) {
        return corrupt(r, node, "the leaf's value is not a finite number");
    }
    r->to->leaf_value[leaf] = (double)value;
    return read_cover(r, node, &r->to->leaf_cover[leaf]);
}

static tapeout_status read_split(const reading *r, uint32_t node)
{
    tp_tree *to = r->to;
    const uint32_t inner = (uint32_t)r->places[node];
    const double feature = number(r, SPLIT, node);
    const float threshold = (float)number(r, CONDITION, node);
    const bool default_left = number(r, DEFAULT, node) != 0;
    if (!is_whole(feature, 0, (double)r->place->feature_count - 1)) {
        return corrupt(r, node, "its feature does not exist");
    }
    to->feature[inner] = (uint32_t)feature;
    to->left[inner] = r->places[r->left[node]];
    to->right[inner] = r->places[r->right[node]];
    const double gain = number(r, GAIN, node);
    to->gain[inner] = isfinite(gain) ? gain : 0;
    if (is_category(r, node)) {
        fill_set(r, node, to->category_words + to->category_begin[inner]);
        to->flags[inner] =
            (uint8_t)(TP_TREE_CATEGORICAL | (default_left ? 0 : TP_TREE_MISSING_LEFT));
    } else if (isnan(threshold) || threshold == -INFINITY) {
        return corrupt(r, node, "its threshold is not a number, or below all numbers");
    } else {
        to->threshold[inner] = (double)nextafterf(threshold, -INFINITY);
        to->flags[inner] = default_left ? TP_TREE_MISSING_LEFT : 0;
    }
    return read_cover(r, node, &to->inner_cover[inner]);
}

// Sets lie in the order of the inner nodes; `stack` is free by now and holds their sizes.
static tapeout_status lay_sets(reading *r, uint32_t inner_count, uint32_t *ret_words)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < r->node_count; i++) {
        if (r->places[i] >= 0) {
            TP_TRY(set_words(r, i, &r->stack[r->places[i]]));
        }
    }
    for (uint32_t i = 0; i < inner_count; i++) {
        total += r->stack[i];
    }
    if (total > TP_MAX_GBT_CATEGORY_WORDS) {
        return corrupt(r, 0, "its sets of categories are too large");
    }
    *ret_words = (uint32_t)total;
    return TAPEOUT_OK;
}

static tapeout_status fill_tree(reading *r)
{
    const tapeout_allocator *alloc = r->reader->env->alloc;
    const import_tree source = {"xgboost", r->place->number, r->node_count, r->left, r->right};
    import_shape shape = {0};
    uint32_t words = 0;
    TP_TRY(tp_import_shape(&source, r->places, r->stack, &shape, r->reader->err));
    const uint32_t inner = shape.leaf_count - 1;
    TP_TRY(lay_sets(r, inner, &words));
    TP_TRY(tp_gbt_tree_init(alloc, shape.leaf_count, words, r->to, r->reader->err));
    for (uint32_t i = 0; i < inner; i++) {
        r->to->category_begin[i + 1] = r->to->category_begin[i] + r->stack[i];
    }
    for (uint32_t i = 0; i < r->node_count; i++) {
        if (r->places[i] >= 0) {
            TP_TRY(read_split(r, i));
        } else if (r->places[i] != INT32_MIN) {
            TP_TRY(read_leaf(r, i));
        }
    }
    return TAPEOUT_OK;
}

tapeout_status tp_xgboost_tree(xgboost_reader *reader, const tp_document_value *from,
                               const xgboost_tree *place, tp_tree *to)
{
    reading r = {.reader = reader, .from = from, .place = place, .to = to};
    const tapeout_allocator *alloc = reader->env->alloc;
    TP_TRY(find_arrays(&r));
    const size_t count = r.node_count;
    r.left = tp_alloc_array(alloc, count, sizeof(*r.left));
    r.right = tp_alloc_array(alloc, count, sizeof(*r.right));
    r.places = tp_alloc_array(alloc, count, sizeof(*r.places));
    r.stack = tp_alloc_array(alloc, count, sizeof(*r.stack));
    r.sets = tp_alloc_array_zero(alloc, count, sizeof(*r.sets));
    tapeout_status status = TAPEOUT_OK;
    if (r.left == NULL || r.right == NULL || r.places == NULL || r.stack == NULL ||
        r.sets == NULL) {
        status = tp_fail_nomem(reader->err);
    }
    if (status == TAPEOUT_OK) {
        status = find_sets(&r);
    }
    if (status == TAPEOUT_OK) {
        status = read_children(&r);
    }
    if (status == TAPEOUT_OK) {
        status = fill_tree(&r);
    }
    tp_free_array(alloc, r.left, count, sizeof(*r.left));
    tp_free_array(alloc, r.right, count, sizeof(*r.right));
    tp_free_array(alloc, r.places, count, sizeof(*r.places));
    tp_free_array(alloc, r.stack, count, sizeof(*r.stack));
    tp_free_array(alloc, r.sets, count, sizeof(*r.sets));
    return status;
}
