// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of loading a model, of its cache and of a forward pass's workspace fails in
// turn, and nothing is left behind.
#include "llm/model/tp_forward.h"

#include "base/tp_error.h"
#include "base/tp_team.h"
#include "test.h"

static tapeout_status compute(const tp_env *env, const tp_llm *llm, tapeout_error *err)
{
    static const uint32_t ids[] = {5, 6, 7};
    float vector[1024];
    tp_llm_run *run = NULL;
    TP_TRY(tp_llm_run_new(env, llm, NULL, 2, 8, &run, err));
    const tapeout_status status = tp_llm_embed(run, ids, 3, vector, err);
    tp_llm_run_free(run);
    return status;
}

static tapeout_status load(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    char path[2048];
    (void)snprintf(path, sizeof(path), "%s/tests/conformance/llm_tiny/%s", test_source_dir(),
                   (const char *)user);
    tp_gguf *gguf = NULL;
    TP_TRY(tp_gguf_open(&env, path, &gguf, err));
    tp_llm *llm = NULL;
    TP_TRY(tp_llm_from_gguf(&env, gguf, &llm, err));
    const tapeout_status status = compute(&env, llm, err);
    tp_llm_free(llm);
    return status;
}

static void test_a_dense_model(void)
{
    test_out_of_memory(load, "llama-q4_1.gguf");
}

static void test_a_model_of_experts(void)
{
    test_out_of_memory(load, "qwen3moe-q8_0.gguf");
}

static void test_an_encoder(void)
{
    test_out_of_memory(load, "bert-q8_0.gguf");
}

static tapeout_status make_team(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    tp_team *team = NULL;
    const tapeout_status status = tp_team_new(alloc, 3, &team, err);
    ASSERT((team != NULL) == (status == TAPEOUT_OK));
    tp_team_free(team);
    return status;
}

static void test_a_team(void)
{
    test_out_of_memory(make_team, NULL);
}

TEST_MAIN(TEST_SLOW(test_a_dense_model, 300), TEST_SLOW(test_a_model_of_experts, 300),
          TEST_SLOW(test_an_encoder, 300), TEST(test_a_team))
