// SPDX-License-Identifier: Apache-2.0
//
// Forests whose leaves have linear functions, as another program grows them: what a leaf answers,
// the bytes there and back, every damage refused by tree, memory that runs out, and that such a
// forest is not continued.
#include "base/tp_alloc.h"
#include "gbt_cases.h"
#include "test.h"

#include <math.h>
#include <string.h>

enum { FEATURES = 3, TERMS = 2 };

// Two trees: column 0 below 1 asks for 0.1 + 0.3 * b + 0.6 * a, or 100; else 7; then a leaf of
// -2 * b alone.
static tp_gbt *linear_forest(void)
{
    const tp_env env = tp_env_plain();
    tp_gbt *gbt = NULL;
    ASSERT_OK(tp_gbt_new(env.alloc, FEATURES, 1, 2, &gbt, &test_err));
    gbt->flags = TP_GBT_LINEAR;
    gbt->base[0] = 0.25;
    tp_tree *tree = &gbt->trees[0];
    ASSERT_OK(tp_gbt_tree_init(env.alloc, 2, 0, tree, &test_err));
    ASSERT_OK(tp_gbt_tree_linear_init(env.alloc, TERMS, tree, &test_err));
    tree->threshold[0] = 1;
    tree->left[0] = ~0;
    tree->right[0] = ~1;
    tree->flags[0] = TP_TREE_MISSING_LEFT;
    memcpy(tree->leaf_value, (double[]){100, 200}, 2 * sizeof(double));
    memcpy(tree->leaf_constant, (double[]){0.1, 7}, 2 * sizeof(double));
    memcpy(tree->term_begin, (uint32_t[]){0, 2, 2}, 3 * sizeof(uint32_t));
    memcpy(tree->term_feature, (uint32_t[]){1, 0}, TERMS * sizeof(uint32_t));
    memcpy(tree->term_coefficient, (double[]){0.3, 0.6}, TERMS * sizeof(double));
    tree = &gbt->trees[1];
    ASSERT_OK(tp_gbt_tree_init(env.alloc, 1, 0, tree, &test_err));
    ASSERT_OK(tp_gbt_tree_linear_init(env.alloc, 1, tree, &test_err));
    tree->leaf_value[0] = 1000;
    tree->term_begin[1] = 1;
    tree->term_feature[0] = 1;
    tree->term_coefficient[0] = -2;
    gbt->tree_count = 2;
    return case_keep(gbt);
}

static tapeout_status read_back(const tp_buffer *bytes, const tp_learn_feature *features,
                                tp_gbt **ret_gbt)
{
    const tp_env env = tp_env_plain();
    return tp_gbt_read(&env, tp_buffer_view(bytes), features, FEATURES, ret_gbt, &test_err);
}

static const tp_learn_feature numbers[FEATURES] = {{.is_category = false}};

static void check_answers(const tp_gbt *gbt)
{
    const double sum = (0.1 + 0.3 * -2.5) + 0.6 * 0.5;
    ASSERT_EQ_F64(case_margin_of(gbt, (double[]){0.5, -2.5, 0}), (0.25 + sum) + 5);
    ASSERT_EQ_F64(case_margin_of(gbt, (double[]){3, -2.5, (double)NAN}), 0.25 + 7 + 5);
    ASSERT_EQ_F64(case_margin_of(gbt, (double[]){3, (double)NAN, 0}), 0.25 + 7 + 1000);
    ASSERT_EQ_F64(case_margin_of(gbt, (double[]){(double)NAN, -2.5, 0}), 0.25 + 100 + 5);
    ASSERT(isinf(case_margin_of(gbt, (double[]){0, (double)INFINITY, 0})) ||
           isnan(case_margin_of(gbt, (double[]){0, (double)INFINITY, 0})));
}

static void test_answers_and_round_trip(void)
{
    tp_gbt *gbt = linear_forest();
    tp_gbt *again = NULL;
    ASSERT_OK(tp_gbt_finish(gbt, numbers, &test_err));
    check_answers(gbt);
    const tp_buffer bytes = case_bytes(gbt);
    ASSERT_EQ_UINT(bytes.size % 8, 0);
    ASSERT_OK(read_back(&bytes, numbers, &again));
    check_answers(case_keep(again));
    const tp_buffer second = case_bytes(again);
    ASSERT_EQ_BYTES(bytes.data, bytes.size, second.data, second.size);
    tp_gbt_free(gbt);
    tp_gbt_free(again);
}

static void no_such_feature(tp_tree *tree)
{
    tree->term_feature[1] = FEATURES;
}

static void coefficient_nan(tp_tree *tree)
{
    tree->term_coefficient[0] = NAN;
}

static void constant_infinite(tp_tree *tree)
{
    tree->leaf_constant[1] = INFINITY;
}

static void terms_backwards(tp_tree *tree)
{
    tree->term_begin[1] = 3;
}

static void terms_left_over(tp_tree *tree)
{
    tree->term_begin[1] = 1;
    tree->term_begin[2] = 1;
}

static void test_damages_are_refused(void)
{
    static const struct {
        const char *sentence;
        void (*apply)(tp_tree *tree);
    } damages[] = {{"a term has no number", no_such_feature},
                   {"a term has no number", coefficient_nan},
                   {"linear function is none", constant_infinite},
                   {"linear function is none", terms_backwards},
                   {"do not fill their terms", terms_left_over}};
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        tp_gbt *gbt = linear_forest();
        tp_gbt *again = NULL;
        damages[i].apply(&gbt->trees[0]);
        const tp_buffer bytes = case_bytes(gbt);
        ASSERT_FAILS(read_back(&bytes, numbers, &again), TAPEOUT_E_CORRUPT, damages[i].sentence);
        ASSERT_FAILS(read_back(&bytes, numbers, &again), TAPEOUT_E_CORRUPT, "tree 0");
        ASSERT(again == NULL);
    }
    tp_learn_feature features[FEATURES] = {{.is_category = false}};
    tp_gbt *again = NULL;
    features[1] = (tp_learn_feature){.is_category = true, .category_count = 9};
    const tp_buffer bytes = case_bytes(linear_forest());
    ASSERT_FAILS(read_back(&bytes, features, &again), TAPEOUT_E_CORRUPT, "a term has no number");
}

// Cut at every length, and with each byte changed: refused, or read as the same bytes again.
static void test_cut_and_changed(void)
{
    const tp_buffer whole = case_bytes(linear_forest());
    for (size_t size = 0; size < whole.size; size++) {
        tp_gbt *again = NULL;
        const tp_buffer cut = {.data = whole.data, .size = size};
        ASSERT_EQ_INT(read_back(&cut, numbers, &again), TAPEOUT_E_CORRUPT);
    }
    for (size_t at = 0; at < whole.size; at++) {
        tp_gbt *again = NULL;
        whole.data[at] = (char)(whole.data[at] ^ 0x11);
        if (read_back(&whole, numbers, &again) == TAPEOUT_OK) {
            const tp_buffer second = case_bytes(again);
            ASSERT_EQ_BYTES(whole.data, whole.size, second.data, second.size);
            tp_gbt_free(again);
        }
        whole.data[at] = (char)(whole.data[at] ^ 0x11);
    }
}

static tapeout_status read_bytes(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    tp_gbt *gbt = NULL;
    const tp_buffer *bytes = user;
    const tapeout_status status =
        tp_gbt_read(&env, tp_buffer_view(bytes), numbers, FEATURES, &gbt, err);
    ASSERT((status == TAPEOUT_OK) == (gbt != NULL));
    tp_gbt_free(gbt);
    return status;
}

static void test_no_memory(void)
{
    tp_buffer bytes = case_bytes(linear_forest());
    test_out_of_memory(read_bytes, &bytes);
}

static void test_is_not_continued(void)
{
    const tp_env env = tp_env_plain();
    gbt_case *c = case_new(200, FEATURES);
    const tp_learn_data data = case_data(c);
    tp_gbt_options options;
    tp_gbt_report report;
    tp_gbt *gbt = NULL;
    tp_gbt *init = linear_forest();
    ASSERT_OK(tp_gbt_finish(init, NULL, &test_err));
    tp_gbt_options_init(&options, TP_OBJECTIVE_SQUARED);
    options.init_model = init;
    ASSERT_FAILS(tp_gbt_train(&env, &data, NULL, &options, &gbt, &report, &test_err),
                 TAPEOUT_E_UNSUPPORTED, "another program's");
}

TEST_MAIN(TEST(test_answers_and_round_trip), TEST(test_damages_are_refused),
          TEST(test_cut_and_changed), TEST(test_no_memory), TEST(test_is_not_continued))
