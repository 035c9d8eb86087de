// SPDX-License-Identifier: Apache-2.0
//
// What a scheduler is said to take, against what it then asks its allocator for: of every kind of
// architecture, from an outline that has no weights.
#include "llm/schedule/tp_scheduler.h"

#include "base/tp_alloc.h"
#include "base/tp_env.h"
#include "llm/gguf/tp_gguf.h"
#include "test.h"

#include <stdio.h>

static const char *path_of(const char *model)
{
    static char path[4096];
    (void)snprintf(path, sizeof(path), "%s/tests/conformance/llm_tiny/%s", test_source_dir(),
                   model);
    return path;
}

static tp_gguf *open_gguf(const tp_env *env, const char *model)
{
    tp_gguf *gguf = NULL;
    ASSERT_OK(tp_gguf_open(env, path_of(model), &gguf, &test_err));
    return gguf;
}

static tp_scheduler_memory measure(const char *model, const tp_scheduler_options *options)
{
    const tp_env env = tp_env_plain();
    tp_scheduler_memory memory;
    tp_llm *outline = NULL;
    ASSERT_OK(tp_llm_outline(&env, open_gguf(&env, model), &outline, &test_err));
    ASSERT_OK(tp_scheduler_measure(outline, options, &memory, &test_err));
    tp_llm_free(outline);
    return memory;
}

// An embedding makes the run that a generating model does not have.
static void embed(tp_scheduler *scheduler, const tp_llm *llm)
{
    const uint32_t ids[] = {1, 2, 3};
    const uint32_t count = 3;
    float vector[4096];
    ASSERT(tp_llm_facts_of(llm)->width <= 4096);
    const tp_embedding_request request = {ids, &count, 1};
    ASSERT_OK(tp_scheduler_embed(scheduler, &request, vector, &test_err));
}

static void check(const char *model, const tp_scheduler_options *options)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_env env = tp_env_plain();
    env.alloc = &allocator.base;
    tp_llm *llm = NULL;
    tp_scheduler *scheduler = NULL;
    ASSERT_OK(tp_llm_from_gguf(&env, open_gguf(&env, model), &llm, &test_err));
    const size_t before = allocator.live_bytes;
    ASSERT_OK(tp_scheduler_new(&env, llm, options, &scheduler, &test_err));
    if (tp_llm_facts_of(llm)->is_encoder) {
        embed(scheduler, llm);
    }
    const double got = (double)(allocator.live_bytes - before);
    const tp_scheduler_memory memory = measure(model, options);
    const double said = (double)(memory.cache_bytes + memory.workspace_bytes);
    // Threads, lists and what aligns: 64 KiB.
    if (got < said || got > said + (64 << 10)) {
        test_fail(__FILE__, __LINE__, "%s: said %.0f, asked for %.0f", model, said, got);
    }
    ASSERT_EQ_UINT(tp_scheduler_context(scheduler), memory.context_length);
    ASSERT_EQ_UINT(tp_scheduler_stats_read(scheduler).page_count, memory.page_count);
    tp_scheduler_free(scheduler);
    tp_llm_free(llm);
    ASSERT_EQ_UINT(allocator.live, 0);
}

static const char *const models[] = {
    "llama-q4_1.gguf", "llama-f32.gguf",      "llama-k_mixed.gguf", "gemma3-q4_0.gguf",
    "qwen2-q8_0.gguf", "qwen3moe-q8_0.gguf",  "phi3-q8_0.gguf",     "phi3-rope_long.gguf",
    "bert-q8_0.gguf",  "llama-rope_yarn.gguf"};

static void test_defaults(void)
{
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        check(models[i], &(tp_scheduler_options){.thread_count = 2});
    }
}

static void test_options(void)
{
    const tp_scheduler_options options = {.thread_count = 3,
                                          .kv_bytes = 1 << 20,
                                          .context_length = 100,
                                          .running_max = 40,
                                          .step_tokens = 200};
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        check(models[i], &options);
    }
    check("gemma3-q4_0.gguf", &(tp_scheduler_options){.thread_count = 1, .kv_is_q8 = true});
}

static void test_an_outline_says_what_the_model_does(void)
{
    const tp_env env = tp_env_plain();
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        tp_llm *outline = NULL;
        tp_llm *llm = NULL;
        ASSERT_OK(tp_llm_outline(&env, open_gguf(&env, models[i]), &outline, &test_err));
        ASSERT_OK(tp_llm_from_gguf(&env, open_gguf(&env, models[i]), &llm, &test_err));
        const tp_llm_facts *got = tp_llm_facts_of(outline);
        const tp_llm_facts *want = tp_llm_facts_of(llm);
        ASSERT_EQ_UINT(got->weight_bytes, want->weight_bytes);
        ASSERT_EQ_UINT(got->vocab_count, want->vocab_count);
        ASSERT_EQ_UINT(got->layer_count, want->layer_count);
        ASSERT_EQ_STR(got->architecture, want->architecture);
        tp_llm_free(outline);
        tp_llm_free(llm);
    }
}

static void test_refusals(void)
{
    const tp_env env = tp_env_plain();
    tp_scheduler_memory memory;
    tp_llm *outline = NULL;
    ASSERT_OK(tp_llm_outline(&env, open_gguf(&env, models[0]), &outline, &test_err));
    ASSERT_FAILS(tp_scheduler_measure(outline, &(tp_scheduler_options){.context_length = 257},
                                      &memory, &test_err),
                 TAPEOUT_E_INVALID, "257 tokens");
    ASSERT_FAILS(
        tp_scheduler_measure(outline, &(tp_scheduler_options){.kv_bytes = 1}, &memory, &test_err),
        TAPEOUT_E_LIMIT, "a page of it takes");
    ASSERT_FAILS(tp_scheduler_measure(outline, &(tp_scheduler_options){.running_max = 257}, &memory,
                                      &test_err),
                 TAPEOUT_E_INVALID, "257 sequences");
    ASSERT_FAILS(tp_scheduler_measure(outline, &(tp_scheduler_options){.kv_is_q8 = true}, &memory,
                                      &test_err),
                 TAPEOUT_E_UNSUPPORTED, "8 bits");
    tp_llm_free(outline);
}

static tapeout_status outline_scenario(const tapeout_allocator *alloc, void *user,
                                       tapeout_error *err)
{
    tp_env env = tp_env_plain();
    tp_gguf *gguf = NULL;
    tp_llm *outline = NULL;
    env.alloc = alloc;
    tapeout_status status = tp_gguf_open(&env, user, &gguf, err);
    if (status == TAPEOUT_OK) {
        status = tp_llm_outline(&env, gguf, &outline, err);
    }
    tp_llm_free(outline);
    return status;
}

static void test_without_memory(void)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s", path_of("bert-q8_0.gguf"));
    test_out_of_memory(outline_scenario, path);
}

TEST_MAIN(TEST(test_defaults), TEST(test_options), TEST(test_an_outline_says_what_the_model_does),
          TEST(test_refusals), TEST_SLOW(test_without_memory, 300))
