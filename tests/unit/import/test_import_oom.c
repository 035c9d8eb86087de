// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of importing a model file fails in turn.
#include "import/tp_import.h"
#include "lightgbm_cases.h"
#include "onnx_cases.h"
#include "test.h"
#include "xgboost_cases.h"

#include <stdio.h>
#include <string.h>

static tapeout_status parse(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    tp_import *import = NULL;
    const tapeout_status status = tp_import_parse(&env, *(tp_str *)user, &import, err);
    ASSERT((status == TAPEOUT_OK) == (import != NULL));
    tp_import_free(import);
    return status;
}

static void test_xgboost(void)
{
    tp_str texts[] = {tp_str_from(xgboost_model), tp_str_from(xgboost_line)};
    test_out_of_memory(parse, &texts[0]);
    test_out_of_memory(parse, &texts[1]);
}

static void lightgbm(const char *second_tree, const char *tail)
{
    char text[8192];
    const int size =
        snprintf(text, sizeof(text), "%stree_sizes=%zu %zu\n\n%s%s%s", LIGHTGBM_HEAD,
                 strlen(LIGHTGBM_TREE0), strlen(second_tree), LIGHTGBM_TREE0, second_tree, tail);
    tp_str model = {text, (size_t)size};
    test_out_of_memory(parse, &model);
}

static void test_lightgbm(void)
{
    lightgbm(LIGHTGBM_TREE1, LIGHTGBM_TAIL);
    lightgbm(LIGHTGBM_LINEAR, LIGHTGBM_PANDAS);
}

static void test_onnx(void)
{
    static const char *const texts[] = {ONNX_TREE, ONNX_LINE};
    for (size_t i = 0; i < 2; i++) {
        tp_str file = onnx_file(texts[i]);
        test_out_of_memory(parse, &file);
    }
}

TEST_MAIN(TEST(test_xgboost), TEST(test_lightgbm), TEST(test_onnx))
