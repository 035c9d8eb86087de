// SPDX-License-Identifier: Apache-2.0
//
// Specs: what is read, what is assumed, and what a mistake is told with.
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "pipeline/tp_spec.h"
#include "test.h"

#include <string.h>

static char path[512];

static tapeout_status read_text(const char *text, tp_spec **ret_spec)
{
    (void)snprintf(path, sizeof(path), "%s/spec.yaml", test_temp_dir());
    FILE *file = fopen(path, "wb");
    ASSERT(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
    const tapeout_status status = tp_spec_read(tp_allocator_default(), path, ret_spec, &test_err);
    ASSERT_EQ_INT(tp_file_remove(path, NULL), TAPEOUT_OK);
    return status;
}

#define HEAD "name: m\ndata: {train: a.csv}\ntarget: {column: y}\nfeatures: auto\n"

static void test_reads_all_of_it(void)
{
    tp_spec *spec = NULL;
    ASSERT_OK(read_text("name: flight-delay\n"
                        "data:\n"
                        "  query: SELECT 1\n"
                        "  missing: [\"\", NA]\n"
                        "  types: {zip: string}\n"
                        "  split: {by: time, column: t, test: 0.25}\n"
                        "target: {column: late, positive: 1, task: binary}\n"
                        "features: |\n  a = log1p(x)\n"
                        "model: {num_iterations: 300, leaves: 63, monotone: {a: -1},\n"
                        "        interactions: [[a, b], [c]], class_weights: {'0': 1, '1': 2}}\n"
                        "threshold: {maximize: f1}\n"
                        "calibration: {method: isotonic}\n"
                        "evaluate: {cohorts: [carrier, dest], bootstrap: 50, permutation: true}\n"
                        "cross_validation: {folds: 5}\n"
                        "gates: {auc: '>= 0.70', single_row_us: '<= 50'}\n"
                        "seed: 7\n"
                        "license: Apache-2.0\n",
                        &spec));
    ASSERT(tp_str_equal(spec->name, TP_STR("flight-delay")));
    ASSERT_EQ_UINT(spec->data.missing.count, 2);
    ASSERT_EQ_INT(spec->data.types[0].type, TAPEOUT_TYPE_STRING);
    ASSERT_EQ_INT(spec->data.split_by, TP_SPLIT_TIME);
    ASSERT_EQ_F64(spec->data.split.test, 0.25);
    ASSERT(!spec->features_auto && tp_str_equal(spec->features, TP_STR("a = log1p(x)\n")));
    ASSERT_EQ_UINT(spec->model.gbt.trees, 300);
    ASSERT_EQ_UINT(spec->model.gbt.leaves, 63);
    ASSERT_EQ_UINT(spec->model.gbt.min_rows_in_leaf, 20); // untouched default
    ASSERT_EQ_F64(spec->model.monotone.items[0].value, -1);
    ASSERT_EQ_UINT(spec->model.interactions[0].count, 2);
    ASSERT_EQ_UINT(spec->model.class_weights.count, 2);
    ASSERT_EQ_INT(spec->threshold.kind, TP_THRESHOLD_MAX_F1);
    ASSERT_EQ_UINT(spec->calibration_method, 2);
    ASSERT_EQ_UINT(spec->evaluate.bootstrap, 50);
    ASSERT_EQ_UINT(spec->cross_validation.folds, 5);
    ASSERT_EQ_UINT(spec->gate_count, 2);
    ASSERT(spec->gates[0].is_minimum && !spec->gates[1].is_minimum);
    ASSERT_EQ_F64(spec->gates[1].bound, 50);
    ASSERT_EQ_UINT(spec->seed, 7);
    ASSERT(tp_str_equal(spec->licence, TP_STR("Apache-2.0")));
    tp_spec_free(spec);
}

static void test_assumes_little(void)
{
    tp_spec *spec = NULL;
    ASSERT_OK(read_text(HEAD, &spec));
    ASSERT(spec->features_auto && !spec->has_threshold);
    ASSERT_EQ_INT(spec->data.split_by, TP_SPLIT_RANDOM);
    ASSERT_EQ_F64(spec->data.split.test, 0.2);
    ASSERT_EQ_F64(spec->threshold.value, 0.5);
    ASSERT_EQ_UINT(spec->model.gbt.trees, 100);
    ASSERT_EQ_UINT(spec->seed, 1);
    tp_spec_free(spec);
}

// Each mistake, and what its message must hold: place and help.
static void test_mistakes_are_told_with_place_and_help(void)
{
    static const struct {
        const char *text;
        const char *part;
    } cases[] = {
        {HEAD "modle: {}\n", "spec.yaml:5:1: unknown key \"modle\"; did you mean \"model\"?"},
        {HEAD "model: {leafs: 3}\n", "unknown key \"leafs\"; did you mean \"leaves\"?"},
        {HEAD "model: {leaves: many}\n", "leaves must be a whole number"},
        {HEAD "model: {leaves: 1}\n", "between 2 and 65536"},
        {HEAD "model: {trees: 5, num_iterations: 6}\n", "two names for one thing"},
        {HEAD "seed: 1\nseed: 2\n", "stands twice"},
        {HEAD "gates: {acu: '>= 0.5'}\n", "did you mean \"auc\"?"},
        {HEAD "gates: {auc: '0.5'}\n", "a gate reads"},
        {HEAD "threshold: 1.5\n", "between 0 and 1"},
        {HEAD "threshold: {maximise: f1}\n", "{maximize: f1 | accuracy | youden}"},
        {HEAD "calibration: {method: magic}\n", "platt, isotonic or none"},
        {HEAD "model: {learner: forest}\n", "use gbt or linear"},
        {HEAD "name: [unclosed\n", "not YAML"},
        {"name: ../m\ndata: {train: a.csv}\ntarget: {column: y}\nfeatures: auto\n",
         "name \"../m\" must match"},
        {"", "the spec is empty"},
        {"- a\n", "a mapping (key: value) is expected here"},
        {"data: {train: a.csv}\ntarget: {column: y}\nfeatures: auto\n", "name is needed"},
        {"name: m\ndata: {train: a.csv}\nfeatures: auto\n", "target: {column: ...} is needed"},
        {"name: m\ndata: {train: a.csv}\ntarget: {column: y}\n", "features is needed"},
        {"name: m\ndata: {}\ntarget: {column: y}\nfeatures: auto\n", "either query"},
        {"name: m\ndata: {train: a, query: b}\ntarget: {column: y}\nfeatures: auto\n",
         "either query"},
        {"name: m\ndata: {train: a, test: b, split: {test: 0.1}}\ntarget: {column: y}\n"
         "features: auto\n",
         "a test file or a split, not both"},
        {"name: m\ndata: {train: a, split: {by: time}}\ntarget: {column: y}\nfeatures: auto\n",
         "needs a column"},
        {"name: m\ndata: {train: a, types: {x: int}}\ntarget: {column: y}\nfeatures: auto\n",
         "a type is one of"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tp_spec *spec = NULL;
        test_err = (tapeout_error){0};
        const tapeout_status status = read_text(cases[i].text, &spec);
        if (status != TAPEOUT_E_INVALID || strstr(test_err.message, cases[i].part) == NULL) {
            test_fail(__FILE__, __LINE__, "case %zu: status %d, \"%s\" lacks \"%s\"", i, status,
                      test_err.message, cases[i].part);
        }
        ASSERT(spec == NULL);
    }
}

static tapeout_status read_again(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tp_spec *spec = NULL;
    const tapeout_status status = tp_spec_read(alloc, user, &spec, err);
    tp_spec_free(spec);
    return status;
}

static void test_every_allocation(void)
{
    char kept[512];
    (void)snprintf(kept, sizeof(kept), "%s/kept.yaml", test_temp_dir());
    FILE *file = fopen(kept, "wb");
    ASSERT(file != NULL && fputs(HEAD "model: {monotone: {a: 1}}\n", file) >= 0 &&
           fclose(file) == 0);
    test_out_of_memory(read_again, kept);
    ASSERT_OK(tp_file_remove(kept, &test_err));
}

TEST_MAIN(TEST(test_reads_all_of_it), TEST(test_assumes_little),
          TEST(test_mistakes_are_told_with_place_and_help), TEST(test_every_allocation))
