// SPDX-License-Identifier: Apache-2.0
//
// LightGBM's trees, whose nodes are numbered as ours: children from 0 on are inner nodes, below it
// leaves. A number not above the threshold goes left, in float64. What a missing value does follows
// from a node's missing type: none, it counts as 0, so its side is known here; NaN, it goes to the
// default side; zero, it does so too and every number within 1e-35 of 0 with it, which the feature
// makes missing (docs/features.md). With linear_tree a leaf has a function of some columns, which
// answers unless one of them is missing.
#include "import/lightgbm_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/tp_value.h"

#include <math.h>

enum { CATEGORICAL = 1, DEFAULT_LEFT = 2, MISSING_NONE = 0, MISSING_ZERO = 1, MISSING_NAN = 2 };

typedef struct reading {
    lightgbm_reader *reader;
    tp_str block;
    uint32_t number;
    tp_tree *to;
    uint32_t inner;       // nodes of the tree
    uint32_t set_count;   // num_cat
    uint32_t *set_begins; // [set_count + 1] in words
    bool is_linear;       // leaves have functions
} reading;

static tapeout_status corrupt(const reading *r, const char *what)
{
    return tp_fail_at(r->reader->err, TAPEOUT_E_CORRUPT, r->number, "lightgbm: tree %u: %s",
                      r->number, what);
}

// -- arrays --------------------------------------------------------------------------------------

static tapeout_status bad_list(const reading *r, const char *key, uint32_t count)
{
    return tp_fail_at(r->reader->err, TAPEOUT_E_CORRUPT, r->number,
                      "lightgbm: tree %u: \"%s\" is no list of %u numbers", r->number, key, count);
}

// `count` numbers under `key`; where the key is absent and need not be there, zeros.
static tapeout_status read_f64s(const reading *r, const char *key, bool is_needed, uint32_t count,
                                double *ret_values)
{
    tp_str text = tp_lightgbm_find(r->block, key);
    if (text.data == NULL) {
        return is_needed ? bad_list(r, key, count) : TAPEOUT_OK; // the arrays are zeroed
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!tp_parse_f64(tp_lightgbm_word(&text), &ret_values[i])) {
            return bad_list(r, key, count);
        }
    }
    return tp_lightgbm_word(&text).data == NULL ? TAPEOUT_OK : bad_list(r, key, count);
}

static tapeout_status next_int(const reading *r, tp_str *text, const char *key, uint32_t count,
                               int64_t *ret_value)
{
    return tp_str_to_int64(tp_lightgbm_word(text), ret_value) ? TAPEOUT_OK
                                                              : bad_list(r, key, count);
}

static tapeout_status read_children(const reading *r, const char *key, int32_t *ret_children)
{
    tp_str text = tp_lightgbm_find(r->block, key);
    for (uint32_t i = 0; i < r->inner; i++) {
        int64_t child = 0;
        TP_TRY(next_int(r, &text, key, r->inner, &child));
        if (child < INT32_MIN || child > INT32_MAX) {
            return bad_list(r, key, r->inner);
        }
        ret_children[i] = (int32_t)child; // where it may be is checked with the whole forest
    }
    return tp_lightgbm_word(&text).data == NULL ? TAPEOUT_OK : bad_list(r, key, r->inner);
}

// -- sets ----------------------------------------------------------------------------------------

static tapeout_status read_boundaries(reading *r)
{
    static const char key[] = "cat_boundaries";
    tp_str text = tp_lightgbm_find(r->block, key);
    int64_t last = 0;
    for (uint32_t i = 0; i <= r->set_count; i++) {
        int64_t begin = 0;
        TP_TRY(next_int(r, &text, key, r->set_count + 1, &begin));
        if ((i == 0 && begin != 0) || begin < last || begin > TP_MAX_GBT_CATEGORY_WORDS) {
            return corrupt(r, "\"cat_boundaries\" do not ascend from 0");
        }
        r->set_begins[i] = (uint32_t)begin;
        last = begin;
    }
    return TAPEOUT_OK;
}

// Words of all sets, in the file's order, into `ret_words` [boundaries' last].
static tapeout_status read_words(const reading *r, uint32_t *ret_words)
{
    static const char key[] = "cat_threshold";
    tp_str text = tp_lightgbm_find(r->block, key);
    const uint32_t count = r->set_begins[r->set_count];
    for (uint32_t i = 0; i < count; i++) {
        int64_t word = 0;
        TP_TRY(next_int(r, &text, key, count, &word));
        if (word < 0 || word > UINT32_MAX) {
            return bad_list(r, key, count);
        }
        ret_words[i] = (uint32_t)word;
    }
    return tp_lightgbm_word(&text).data == NULL ? TAPEOUT_OK : bad_list(r, key, count);
}

// -- nodes ---------------------------------------------------------------------------------------

static tapeout_status use_column(const reading *r, uint32_t node, lightgbm_use use)
{
    lightgbm_use *known = &r->reader->uses[r->to->feature[node]];
    if (*known != LIGHTGBM_UNUSED && *known != use) {
        return tp_fail_at(
            r->reader->err, TAPEOUT_E_UNSUPPORTED, r->number,
            "lightgbm: tree %u, node %u: asks column %u in another way than an earlier "
            "node (as category, or with zero as missing), which is not imported",
            r->number, node, r->to->feature[node]);
    }
    *known = use;
    return TAPEOUT_OK;
}

// A node whose decision type has been read; of a set, `words` are all of the tree.
static tapeout_status finish_node(const reading *r, uint32_t node, int64_t type,
                                  const uint32_t *words)
{
    tp_tree *to = r->to;
    const uint32_t missing = (uint32_t)type >> 2 & 3;
    const double threshold = to->threshold[node];
    uint32_t filled = to->category_begin[node];
    if (type & CATEGORICAL) {
        if (!(threshold >= 0 && threshold < r->set_count) || threshold != floor(threshold)) {
            return corrupt(r, "a node asks for a set of categories that does not exist");
        }
        const uint32_t set = (uint32_t)threshold;
        const uint32_t count = r->set_begins[set + 1] - r->set_begins[set];
        if (count > to->word_count - filled) {
            return corrupt(r, "two nodes have one set of categories");
        }
        for (uint32_t i = 0; i < count; i++) {
            to->category_words[filled++] = words[r->set_begins[set] + i];
        }
        to->category_begin[node + 1] = filled;
        to->flags[node] = TP_TREE_CATEGORICAL;
        to->threshold[node] = 0;
        return use_column(r, node, LIGHTGBM_CODE);
    }
    to->category_begin[node + 1] = filled;
    const bool is_left = missing == MISSING_NONE ? 0.0 <= threshold : (type & DEFAULT_LEFT) != 0;
    to->flags[node] = is_left ? TP_TREE_MISSING_LEFT : 0;
    return use_column(r, node,
                      missing == MISSING_ZERO ? LIGHTGBM_ZERO_IS_MISSING : LIGHTGBM_NUMBER);
}

static tapeout_status read_nodes(const reading *r, const uint32_t *words)
{
    static const char feature_key[] = "split_feature";
    static const char type_key[] = "decision_type";
    tp_str features = tp_lightgbm_find(r->block, feature_key);
    tp_str types = tp_lightgbm_find(r->block, type_key);
    const bool has_types = types.data != NULL;
    for (uint32_t i = 0; i < r->inner; i++) {
        int64_t feature = 0;
        int64_t type = 0;
        TP_TRY(next_int(r, &features, feature_key, r->inner, &feature));
        if (has_types) {
            TP_TRY(next_int(r, &types, type_key, r->inner, &type));
        }
        if (feature < 0 || feature >= r->reader->import->facts.columns) {
            return tp_fail_at(r->reader->err, TAPEOUT_E_CORRUPT, r->number,
                              "lightgbm: tree %u, node %u: its feature does not exist", r->number,
                              i);
        }
        if (type < 0 || type > 15 || (type >> 2) == 3) {
            return corrupt(r, "a \"decision_type\" is unknown");
        }
        r->to->feature[i] = (uint32_t)feature;
        TP_TRY(finish_node(r, i, type, words));
    }
    if (r->to->category_begin[r->inner] != r->to->word_count) {
        return corrupt(r, "a set of categories belongs to no node");
    }
    return tp_lightgbm_word(&features).data == NULL && tp_lightgbm_word(&types).data == NULL
               ? TAPEOUT_OK
               : bad_list(r, feature_key, r->inner);
}

// -- linear functions ----------------------------------------------------------------------------

// How many terms each leaf has, as the begins of `to`; all terms need bytes in the block.
static tapeout_status read_term_begins(const reading *r, uint32_t *ret_begins)
{
    static const char key[] = "num_features";
    const uint32_t leaves = r->inner + 1;
    tp_str text = tp_lightgbm_find(r->block, key);
    for (uint32_t i = 0; i < leaves; i++) {
        int64_t count = 0;
        TP_TRY(next_int(r, &text, key, leaves, &count));
        if (count < 0 || count > (int64_t)(r->block.size - ret_begins[i])) {
            return bad_list(r, key, leaves);
        }
        ret_begins[i + 1] = ret_begins[i] + (uint32_t)count;
    }
    return tp_lightgbm_word(&text).data == NULL ? TAPEOUT_OK : bad_list(r, key, leaves);
}

static tapeout_status read_term_features(const reading *r)
{
    static const char key[] = "leaf_features";
    tp_tree *to = r->to;
    tp_str text = tp_lightgbm_find(r->block, key);
    for (uint32_t i = 0; i < to->term_count; i++) {
        int64_t feature = 0;
        TP_TRY(next_int(r, &text, key, to->term_count, &feature));
        if (feature < 0 || feature >= r->reader->import->facts.columns) {
            return corrupt(r, "a leaf's feature does not exist");
        }
        lightgbm_use *use = &r->reader->uses[feature];
        if (*use != LIGHTGBM_UNUSED && *use != LIGHTGBM_NUMBER) {
            return tp_fail_at(r->reader->err, TAPEOUT_E_UNSUPPORTED, r->number,
                              "lightgbm: tree %u: a leaf multiplies column %lld, which nodes ask "
                              "as category, or with zero as missing; that is not imported",
                              r->number, (long long)feature);
        }
        *use = LIGHTGBM_NUMBER;
        to->term_feature[i] = (uint32_t)feature;
    }
    return tp_lightgbm_word(&text).data == NULL ? TAPEOUT_OK : bad_list(r, key, to->term_count);
}

static tapeout_status read_linear(const reading *r)
{
    tp_tree *to = r->to;
    const uint32_t leaves = r->inner + 1;
    const tapeout_allocator *alloc = r->reader->env->alloc;
    uint32_t *begins = tp_alloc_array_zero(alloc, (size_t)leaves + 1, sizeof(*begins));
    if (begins == NULL) {
        return tp_fail_nomem(r->reader->err);
    }
    tapeout_status status = read_term_begins(r, begins);
    if (status == TAPEOUT_OK) {
        status = tp_gbt_tree_linear_init(alloc, begins[leaves], to, r->reader->err);
    }
    for (uint32_t i = 0; status == TAPEOUT_OK && i <= leaves; i++) {
        to->term_begin[i] = begins[i];
    }
    tp_free_array(alloc, begins, (size_t)leaves + 1, sizeof(*begins));
    TP_TRY(status);
    r->reader->import->parts.gbt->flags |= TP_GBT_LINEAR;
    TP_TRY(read_f64s(r, "leaf_const", true, leaves, to->leaf_constant));
    TP_TRY(read_f64s(r, "leaf_coeff", to->term_count > 0, to->term_count, to->term_coefficient));
    return read_term_features(r);
}

tapeout_status tp_lightgbm_make_linear(lightgbm_reader *reader)
{
    const tp_gbt *gbt = reader->import->parts.gbt;
    for (uint32_t t = 0; (gbt->flags & TP_GBT_LINEAR) && t < gbt->tree_count; t++) {
        tp_tree *tree = &gbt->trees[t];
        if (tree->leaf_constant != NULL) {
            continue;
        }
        TP_TRY(tp_gbt_tree_linear_init(reader->env->alloc, 0, tree, reader->err));
        for (uint32_t i = 0; i < tree->leaf_count; i++) {
            tree->leaf_constant[i] = tree->leaf_value[i];
        }
    }
    return TAPEOUT_OK;
}

// -- a tree --------------------------------------------------------------------------------------

static tapeout_status fill(reading *r, uint32_t *words)
{
    tp_tree *to = r->to;
    TP_TRY(read_f64s(r, "leaf_value", true, r->inner + 1, to->leaf_value));
    TP_TRY(read_f64s(r, "leaf_count", false, r->inner + 1, to->leaf_cover));
    if (r->inner == 0) {
        return r->is_linear ? read_linear(r) : TAPEOUT_OK;
    }
    TP_TRY(read_f64s(r, "threshold", true, r->inner, to->threshold));
    TP_TRY(read_f64s(r, "split_gain", false, r->inner, to->gain));
    TP_TRY(read_f64s(r, "internal_count", false, r->inner, to->inner_cover));
    TP_TRY(read_children(r, "left_child", to->left));
    TP_TRY(read_children(r, "right_child", to->right));
    if (r->set_count > 0) {
        TP_TRY(read_words(r, words));
    }
    TP_TRY(read_nodes(r, words));
    return r->is_linear ? read_linear(r) : TAPEOUT_OK;
}

static tapeout_status read_tree(reading *r, uint32_t leaves)
{
    const tapeout_allocator *alloc = r->reader->env->alloc;
    const size_t sets = (size_t)r->set_count + 1;
    r->set_begins = tp_alloc_array_zero(alloc, sets, sizeof(*r->set_begins));
    if (r->set_begins == NULL) {
        return tp_fail_nomem(r->reader->err);
    }
    tapeout_status status = r->set_count > 0 ? read_boundaries(r) : TAPEOUT_OK;
    const uint32_t word_count = r->set_begins[r->set_count];
    uint32_t *words = tp_alloc_array(alloc, (size_t)word_count + 1, sizeof(*words));
    if (status == TAPEOUT_OK && words == NULL) {
        status = tp_fail_nomem(r->reader->err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_gbt_tree_init(alloc, leaves, word_count, r->to, r->reader->err);
    }
    if (status == TAPEOUT_OK) {
        status = fill(r, words);
    }
    tp_free_array(alloc, words, (size_t)word_count + 1, sizeof(*words));
    tp_free_array(alloc, r->set_begins, sets, sizeof(*r->set_begins));
    return status;
}

tapeout_status tp_lightgbm_tree(lightgbm_reader *reader, tp_str block, uint32_t number, tp_tree *to)
{
    reading r = {.reader = reader, .block = block, .number = number, .to = to};
    uint32_t leaves = 0;
    uint32_t linear = 0;
    TP_TRY(tp_lightgbm_count(reader, block, "num_leaves", TP_MAX_GBT_LEAVES, &leaves));
    TP_TRY(tp_lightgbm_count(reader, block, "num_cat", TP_MAX_GBT_LEAVES, &r.set_count));
    if (tp_lightgbm_find(block, "is_linear").data != NULL) {
        TP_TRY(tp_lightgbm_count(reader, block, "is_linear", 1, &linear));
    }
    if (leaves < 1 || r.set_count >= leaves) {
        return corrupt(&r, "the numbers of its leaves and sets of categories do not fit");
    }
    r.inner = leaves - 1;
    r.is_linear = linear != 0;
    return read_tree(&r, leaves);
}
