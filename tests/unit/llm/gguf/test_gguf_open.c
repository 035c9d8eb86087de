// SPDX-License-Identifier: Apache-2.0
//
// Opening GGUF files as files: whole ones, split ones, and what is wrong with a set.
#include "base/tp_file.h"
#include "llm/gguf/tp_gguf.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

// A model of the user's own, where TAPEOUT_TEST_GGUF names one: the format in the wild.
static void test_reads_a_real_model(void)
{
    const char *path = getenv("TAPEOUT_TEST_GGUF");
    const tp_env env = tp_env_plain();
    tp_gguf *gguf = NULL;
    if (path == NULL) {
        test_skip("TAPEOUT_TEST_GGUF does not name a model file");
    }
    ASSERT_OK(tp_gguf_open(&env, path, &gguf, &test_err));
    tp_gguf_array tokens;
    ASSERT_OK(tp_gguf_get_array(gguf, "tokenizer.ggml.tokens", TP_GGUF_STRING, &tokens, &test_err));
    ASSERT(tokens.count > 0);
    size_t bytes = 0;
    for (uint64_t i = 0; i < tokens.count; i++) {
        bytes += tp_gguf_array_str(&tokens, i).size;
    }
    ASSERT(bytes > tokens.count / 2);
    ASSERT(tp_gguf_tensor_find(gguf, TP_STR("token_embd.weight")) != NULL);
    tp_gguf_close(&gguf);
    ASSERT(gguf == NULL);
}

TEST_MAIN(TEST(test_reads_a_real_model))
