// SPDX-License-Identifier: Apache-2.0
//
// The serialised forest: what is written is read back, the same bytes again; what is damaged is
// refused with the tree and node, whatever the damage (case M6 of the robustness list).
#include "gbt_cases.h"
#include "test.h"

#include <math.h>
#include <string.h>

enum { FEATURES = 3 };

static gbt_case *format_case(void)
{
    gbt_case *c = case_new(1500, FEATURES);
    c->about[2] = (tp_learn_feature){.is_category = true, .category_count = 50};
    for (uint64_t row = 0; row < c->rows; row++) {
        c->columns[2][row] = floor(c->columns[2][row] * 50);
        c->target[row] = c->columns[0][row] + (double)((uint64_t)c->columns[2][row] * 7 % 3);
    }
    return c;
}

static tp_gbt *format_forest(gbt_case *c)
{
    tp_gbt_options options;
    tp_gbt_options_init(&options, TP_OBJECTIVE_SQUARED);
    options.trees = 5;
    options.leaves = 8;
    options.category_min_rows = 10;
    return case_train(c, &options);
}

static tapeout_status read_back(gbt_case *c, const tp_buffer *bytes, tp_gbt **ret_gbt)
{
    const tp_env env = tp_env_plain();
    return tp_gbt_read(&env, tp_buffer_view(bytes), c->about, c->features, ret_gbt, &test_err);
}

static void test_round_trip(void)
{
    gbt_case *c = format_case();
    tp_gbt *gbt = format_forest(c);
    const tp_buffer bytes = case_bytes(gbt);
    tp_gbt *again = NULL;
    ASSERT_OK(read_back(c, &bytes, &again));
    (void)case_keep(again);
    const tp_buffer second = case_bytes(again);
    ASSERT_EQ_BYTES(bytes.data, bytes.size, second.data, second.size);
    ASSERT_EQ_BYTES(case_margins(gbt, c), c->rows * sizeof(double), case_margins(again, c),
                    c->rows * sizeof(double));
    ASSERT_EQ_UINT(bytes.size % 8, 0);
    tp_gbt_free(gbt);
    tp_gbt_free(again);
}

static void test_no_trees(void)
{
    gbt_case *c = format_case();
    tp_gbt_options options;
    tp_gbt_options_init(&options, TP_OBJECTIVE_SQUARED);
    options.trees = 0;
    tp_gbt *gbt = case_train(c, &options);
    const tp_buffer bytes = case_bytes(gbt);
    tp_gbt *again = NULL;
    ASSERT_OK(read_back(c, &bytes, &again));
    (void)case_keep(again);
    ASSERT_EQ_F64(case_margin_of(again, (double[]){0, 0, 0}), gbt->base[0]);
}

// One damage after the other on a tree of the forest, each with the sentence it must give.
typedef struct damage {
    const char *sentence;
    void (*apply)(tp_tree *tree, uint32_t node);
} damage;

static void child_too_large(tp_tree *tree, uint32_t node)
{
    tree->left[node] = (int32_t)tree->leaf_count - 1;
}

static void leaf_too_large(tp_tree *tree, uint32_t node)
{
    tree->left[node] = ~(int32_t)tree->leaf_count;
}

static void child_lowest(tp_tree *tree, uint32_t node)
{
    tree->right[node] = INT32_MIN;
}

static void cycle(tp_tree *tree, uint32_t node)
{
    tree->right[node] = 0;
}

static void itself(tp_tree *tree, uint32_t node)
{
    tree->left[node] = (int32_t)node;
}

static void shared(tp_tree *tree, uint32_t node)
{
    tree->left[node] = tree->right[node];
}

static void no_feature(tp_tree *tree, uint32_t node)
{
    tree->feature[node] = FEATURES;
}

static void threshold_nan(tp_tree *tree, uint32_t node)
{
    tree->threshold[node] = NAN;
}

static void value_infinite(tp_tree *tree, uint32_t node)
{
    tree->leaf_value[node] = INFINITY;
}

static void cover_negative(tp_tree *tree, uint32_t node)
{
    tree->inner_cover[node] = -1;
}

static void unknown_flag(tp_tree *tree, uint32_t node)
{
    tree->flags[node] |= 4;
}

static void set_overrun(tp_tree *tree, uint32_t node)
{
    (void)node;
    tree->category_begin[tree->leaf_count - 1]++;
}

static void set_backwards(tp_tree *tree, uint32_t node)
{
    (void)node;
    tree->category_begin[0] = 1;
}

static const damage DAMAGES[] = {
    {"out of range", child_too_large}, {"out of range", leaf_too_large},
    {"out of range", child_lowest},    {"two parents", cycle},
    {"two parents", itself},           {"two parents", shared},
    {"does not exist", no_feature},    {"not a number it can be", threshold_nan},
    {"not a finite", value_infinite},  {"not a number it can be", cover_negative},
    {"unknown flags", unknown_flag},   {"categories", set_overrun},
    {"categories", set_backwards},
};

static void test_damages_are_refused(void)
{
    for (size_t i = 0; i < sizeof(DAMAGES) / sizeof(DAMAGES[0]); i++) {
        gbt_case *c = format_case();
        tp_gbt *gbt = format_forest(c);
        tp_tree *tree = &gbt->trees[2];
        uint32_t node = 0;
        while (tree->flags[node] & TP_TREE_CATEGORICAL || node == 0) {
            node++; // a numeric node below the root
        }
        DAMAGES[i].apply(tree, node);
        const tp_buffer bytes = case_bytes(gbt);
        tp_gbt *again = NULL;
        ASSERT_FAILS(read_back(c, &bytes, &again), TAPEOUT_E_CORRUPT, DAMAGES[i].sentence);
        ASSERT_FAILS(read_back(c, &bytes, &again), TAPEOUT_E_CORRUPT, "tree 2");
        ASSERT(again == NULL);
    }
}

static void test_category_that_does_not_exist(void)
{
    gbt_case *c = format_case();
    tp_gbt *gbt = format_forest(c);
    const tp_tree *tree = &gbt->trees[0];
    uint32_t node = 0;
    while (tree->category_begin[node + 1] - tree->category_begin[node] != 2) {
        node++;
        ASSERT(node + 1 < tree->leaf_count);
    }
    uint32_t *word = &tree->category_words[tree->category_begin[node] + 1];
    *word |= 1u << 20; // code 52 of 50
    const tp_buffer bytes = case_bytes(gbt);
    tp_gbt *again = NULL;
    ASSERT_FAILS(read_back(c, &bytes, &again), TAPEOUT_E_CORRUPT, "does not exist");
    c->about[2].is_category = false;
    *word &= ~(1u << 20);
    const tp_buffer sound = case_bytes(gbt);
    ASSERT_FAILS(read_back(c, &sound, &again), TAPEOUT_E_CORRUPT, "its kind");
}

// Cut at every length, and with each byte of the header changed: refused or read, never a crash.
static void test_cut_and_changed(void)
{
    gbt_case *c = format_case();
    tp_gbt *gbt = format_forest(c);
    tp_buffer bytes = case_bytes(gbt);
    const size_t whole = bytes.size;
    tp_gbt *again = NULL;
    for (bytes.size = 0; bytes.size < whole; bytes.size++) {
        ASSERT_FAILS(read_back(c, &bytes, &again), TAPEOUT_E_CORRUPT, NULL);
    }
    for (size_t at = 0; at < whole; at++) {
        for (int bit = 0; bit < 8; bit += 7) {
            bytes.data[at] = (char)(bytes.data[at] ^ 1 << bit);
            if (read_back(c, &bytes, &again) == TAPEOUT_OK) {
                ASSERT(at >= 48 || at == 20); // a value, or flags, that it may have
                const double *margins = case_margins(again, c);
                ASSERT(!isnan(margins[0]));
                tp_gbt_free(again);
                again = NULL;
            }
            bytes.data[at] = (char)(bytes.data[at] ^ 1 << bit);
        }
    }
}

// A million levels, each with a leaf: checked without recursion. Refused by its number of leaves.
static void test_deep_chain(void)
{
    tp_gbt *gbt = NULL;
    const uint32_t leaves = 1000001;
    ASSERT_OK(tp_gbt_new(tp_env_plain().alloc, FEATURES, 1, 1, &gbt, &test_err));
    (void)case_keep(gbt);
    ASSERT_OK(tp_gbt_tree_init(gbt->alloc, leaves, 0, &gbt->trees[0], &test_err));
    gbt->tree_count = 1;
    tp_tree *tree = &gbt->trees[0];
    for (uint32_t i = 0; i + 1 < leaves; i++) {
        tree->left[i] = ~(int32_t)i;
        tree->right[i] = i + 2 < leaves ? (int32_t)i + 1 : ~(int32_t)(leaves - 1);
    }
    ASSERT_OK(tp_gbt_check(gbt, NULL, &test_err));
    gbt_case *c = format_case();
    const tp_buffer bytes = case_bytes(gbt);
    tp_gbt *again = NULL;
    ASSERT_FAILS(read_back(c, &bytes, &again), TAPEOUT_E_CORRUPT, "more leaves");
    tp_gbt_free(gbt);
}

TEST_MAIN(TEST(test_round_trip), TEST(test_no_trees), TEST(test_damages_are_refused),
          TEST(test_category_that_does_not_exist), TEST(test_cut_and_changed),
          TEST(test_deep_chain))
