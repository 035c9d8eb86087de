// SPDX-License-Identifier: Apache-2.0
//
// Language models under a budget of memory: what fits is loaded, what does not is refused with
// figures, and where idle ones may go, the one that was not asked for longest makes room.
#include "base/limits.h"
#include "base/tp_error.h"
#include "bundle/tp_llm_bundle.h"
#include "pipeline/tp_llm_size.h"
#include "serve/tp_engine.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

enum { COUNT = 3 };

static char path[4096];
static tp_model_spec specs[COUNT]; // the same file by three names

// What the model at `path` takes.
static uint64_t measure(void)
{
    const tp_env env = tp_env_plain();
    tp_llm_size size;
    uint64_t bytes = 0;
    ASSERT_OK(tp_llm_size_open(&env, path, &size, &test_err));
    ASSERT_OK(tp_llm_size_total(&size, &(tp_scheduler_options){.thread_count = 1}, NULL, &bytes,
                                &test_err));
    tp_llm_size_close(&size);
    static const char *const names[COUNT] = {"a", "b", "c"};
    for (size_t i = 0; i < COUNT; i++) {
        specs[i] = (tp_model_spec){.name = tp_str_from(names[i]), .path = path};
    }
    return bytes;
}

static uint64_t one_model(void)
{
    (void)snprintf(path, sizeof(path), "%s/tests/conformance/llm_tiny/llama-q4_1.gguf",
                   test_source_dir());
    return measure();
}

// The same model as a bundle, which is opened without a child: of that each attempt would need
// some.
static uint64_t one_bundle(void)
{
    const tp_env env = tp_env_plain();
    tp_gguf *gguf = NULL;
    tp_gguf_builder builder;
    tp_sha256 hash;
    (void)one_model();
    ASSERT_OK(tp_gguf_open(&env, path, &gguf, &test_err));
    tp_gguf_builder_init(&builder, env.alloc);
    tp_gguf_builder_copy_all(&builder, gguf);
    const tp_llm_content content = {.name = TP_STR("tiny"),
                                    .model = &builder,
                                    .licence = TP_STR(""),
                                    .lineage_json = TP_STR("{}")};
    (void)snprintf(path, sizeof(path), "%s/tiny.tapeout", test_temp_dir());
    ASSERT_OK(tp_llm_bundle_write(&env, path, &content, &hash, &test_err));
    tp_gguf_builder_deinit(&builder);
    tp_gguf_close(&gguf);
    return measure();
}

static tp_env env;

static tp_engine *engine_for(uint64_t models_bytes, bool unloads_idle)
{
    env = tp_env_plain();
    const tp_engine_options options = {.llm = {.thread_count = 1},
                                       .memory_bytes = models_bytes + TP_LLM_PROCESS_BYTES,
                                       .unloads_idle = unloads_idle};
    tp_engine *engine = NULL;
    ASSERT_OK(tp_engine_new(&env, &options, &engine, &test_err));
    return engine;
}

static bool is_served(tp_engine *engine, const char *name)
{
    tp_served *model =
        tp_engine_find(engine, TP_STR("default"), tp_str_from(name), (tp_str){NULL, 0});
    tp_engine_unref(engine, model);
    return model != NULL;
}

static uint64_t used(tp_engine *engine)
{
    uint64_t all = 0;
    return tp_engine_memory(engine, &all) - TP_LLM_PROCESS_BYTES;
}

static void test_what_fits_and_what_does_not(void)
{
    const uint64_t one = one_model();
    tp_engine *engine = engine_for(2 * one, false);
    uint32_t loaded = 0;
    ASSERT_OK(tp_engine_install(engine, specs, 2, &loaded, &test_err));
    ASSERT_EQ_UINT(loaded, 2);
    ASSERT_EQ_UINT(used(engine), 2 * one);
    // The third is one too many, and nothing changes.
    ASSERT_FAILS(tp_engine_install(engine, specs, 3, &loaded, &test_err), TAPEOUT_E_FULL,
                 "of a budget of");
    ASSERT(is_served(engine, "a") && is_served(engine, "b") && !is_served(engine, "c"));
    ASSERT_EQ_UINT(used(engine), 2 * one);
    ASSERT_OK(tp_engine_unload(engine, TP_STR("default"), TP_STR("a"), &test_err));
    ASSERT_EQ_UINT(used(engine), one);
    ASSERT_OK(tp_engine_load(engine, TP_STR("default"), TP_STR("a"), &test_err));
    ASSERT_EQ_UINT(used(engine), 2 * one);
    ASSERT_OK(tp_engine_install(engine, specs, 1, &loaded, &test_err));
    ASSERT_EQ_UINT(loaded, 0);
    ASSERT_EQ_UINT(used(engine), one);
    tp_engine_free(engine);
}

// What was unloaded takes memory until its last request is answered.
static void test_a_model_in_use_counts(void)
{
    const uint64_t one = one_model();
    tp_engine *engine = engine_for(one, false);
    ASSERT_OK(tp_engine_install(engine, specs, 1, NULL, &test_err));
    tp_served *model = tp_engine_find(engine, TP_STR("default"), TP_STR("a"), (tp_str){NULL, 0});
    ASSERT_OK(tp_engine_unload(engine, TP_STR("default"), TP_STR("a"), &test_err));
    ASSERT_EQ_UINT(used(engine), one);
    ASSERT_FAILS(tp_engine_load(engine, TP_STR("default"), TP_STR("a"), &test_err), TAPEOUT_E_FULL,
                 "in use");
    tp_engine_unref(engine, model);
    ASSERT_EQ_UINT(used(engine), 0);
    ASSERT_OK(tp_engine_load(engine, TP_STR("default"), TP_STR("a"), &test_err));
    tp_engine_free(engine);
}

static void count_idle(void *user, const tp_model_spec *spec)
{
    ASSERT(tp_str_equal(spec->version, TP_STR("1")));
    ++*(int *)user;
}

static int idle_count(tp_engine *engine)
{
    int count = 0;
    tp_engine_idle_each(engine, count_idle, &count);
    return count;
}

static void touch(tp_engine *engine, const char *name)
{
    tp_served *model =
        tp_engine_find(engine, TP_STR("default"), tp_str_from(name), (tp_str){NULL, 0});
    tp_served_touch(model);
    tp_engine_unref(engine, model);
}

static void test_idle_models_make_room(void)
{
    const uint64_t one = one_model();
    tp_engine *engine = engine_for(2 * one + one / 2, true);
    ASSERT_OK(tp_engine_install(engine, specs, 3, NULL, &test_err));
    ASSERT(is_served(engine, "a") && is_served(engine, "b") && !is_served(engine, "c"));
    ASSERT_EQ_INT(idle_count(engine), 1);
    touch(engine, "a");
    ASSERT_OK(tp_engine_load(engine, TP_STR("default"), TP_STR("c"),
                             &test_err)); // b was not asked for longest
    ASSERT(is_served(engine, "a") && !is_served(engine, "b") && is_served(engine, "c"));
    ASSERT_EQ_UINT(used(engine), 2 * one);
    // Who is in use stays, whatever its age.
    tp_served *model = tp_engine_find(engine, TP_STR("default"), TP_STR("a"), (tp_str){NULL, 0});
    ASSERT_OK(tp_engine_load(engine, TP_STR("default"), TP_STR("b"), &test_err));
    ASSERT(is_served(engine, "a") && is_served(engine, "b") && !is_served(engine, "c"));
    tp_served *other = tp_engine_find(engine, TP_STR("default"), TP_STR("b"), (tp_str){NULL, 0});
    ASSERT_FAILS(tp_engine_load(engine, TP_STR("default"), TP_STR("c"), &test_err), TAPEOUT_E_FULL,
                 "budget");
    ASSERT(is_served(engine, "a") && is_served(engine, "b"));
    tp_engine_unref(engine, model);
    tp_engine_unref(engine, other);
    ASSERT_EQ_INT(idle_count(engine), 1);
    tp_engine_free(engine);
}

static void test_larger_than_the_budget(void)
{
    const uint64_t one = one_model();
    tp_engine *engine = engine_for(one - 1, true);
    ASSERT_FAILS(tp_engine_install(engine, specs, 1, NULL, &test_err), TAPEOUT_E_FULL,
                 "tapeout doctor");
    ASSERT_EQ_UINT(used(engine), 0);
    tp_engine_free(engine);
}

static void test_without_budget(void)
{
    (void)one_model();
    env = tp_env_plain();
    tp_engine *engine = NULL;
    uint64_t all = 1;
    ASSERT_OK(
        tp_engine_new(&env, &(tp_engine_options){.llm = {.thread_count = 1}}, &engine, &test_err));
    ASSERT_OK(tp_engine_install(engine, specs, 3, NULL, &test_err));
    ASSERT_EQ_UINT(tp_engine_memory(engine, &all), 0);
    ASSERT_EQ_UINT(all, 0);
    tp_engine_free(engine);
}

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tp_env plain = tp_env_plain();
    const tp_engine_options *options = user;
    tp_engine *engine = NULL;
    plain.alloc = alloc;
    TP_TRY(tp_engine_new(&plain, options, &engine, err));
    tapeout_status status = tp_engine_install(engine, specs, 2, NULL, err);
    if (status == TAPEOUT_OK) {
        status = tp_engine_load(engine, TP_STR("default"), TP_STR("b"), err);
    }
    tp_engine_free(engine);
    return status;
}

static void test_without_memory(void)
{
    tp_engine_options options = {.llm = {.thread_count = 1},
                                 .memory_bytes = one_bundle() + TP_LLM_PROCESS_BYTES,
                                 .unloads_idle = true};
    test_out_of_memory(scenario, &options);
}

TEST_MAIN(TEST(test_what_fits_and_what_does_not), TEST(test_a_model_in_use_counts),
          TEST(test_idle_models_make_room), TEST(test_larger_than_the_budget),
          TEST(test_without_budget), TEST_SLOW(test_without_memory, 300))
