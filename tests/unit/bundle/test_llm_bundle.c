// SPDX-License-Identifier: Apache-2.0
//
// A language model in a bundle is the model that was packed in memory: the same facts, the same
// bits. What is damaged or of another kind is refused.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "bundle/tp_llm_bundle.h"
#include "llm/model/tp_forward.h"
#include "test.h"

#include <string.h>

enum { PATH_SIZE = 1024, IDS = 12, WIDTH_MAX = 512 };

static const char *const models[] = {
    "llama-q4_1.gguf",     "llama-k_mixed.gguf", "qwen3moe-q8_0.gguf",    "gemma3-q4_0.gguf",
    "phi3-rope_long.gguf", "bert-q8_0.gguf",     "llama-rope_llama3.gguf"};

static const char *tiny(const char *name)
{
    static char path[PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/tests/conformance/llm_tiny/%s", test_source_dir(), name);
    return path;
}

static const char *out_path(void)
{
    static char path[PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/m.tapeout", test_temp_dir());
    return path;
}

static tapeout_status write_bundle(const tp_env *env, const char *model, tp_sha256 *ret_hash,
                                   tapeout_error *err)
{
    tp_gguf *gguf = NULL;
    tp_gguf_builder builder;
    tapeout_status status = tp_gguf_open(env, tiny(model), &gguf, err);
    if (status != TAPEOUT_OK) {
        return status;
    }
    tp_gguf_builder_init(&builder, env->alloc);
    tp_gguf_builder_copy_all(&builder, gguf);
    const tp_llm_content content = {.name = TP_STR("tiny"),
                                    .model = &builder,
                                    .licence = TP_STR("Apache-2.0\n"),
                                    .lineage_json = TP_STR("{}")};
    status = tp_llm_bundle_write(env, out_path(), &content, ret_hash, err);
    tp_gguf_builder_deinit(&builder);
    tp_gguf_close(&gguf);
    return status;
}

static void embed(const tp_llm *llm, float *ret_vector)
{
    const tp_env env = tp_env_plain();
    uint32_t ids[IDS];
    tp_llm_run *run = NULL;
    for (uint32_t i = 0; i < IDS; i++) {
        ids[i] = (i * 7 + 3) % tp_llm_facts_of(llm)->vocab_count;
    }
    ASSERT(tp_llm_facts_of(llm)->width <= WIDTH_MAX);
    ASSERT_OK(tp_llm_run_new(&env, llm, NULL, 1, IDS, &run, &test_err));
    ASSERT_OK(tp_llm_embed(run, ids, IDS, ret_vector, &test_err));
    tp_llm_run_free(run);
}

static void check_model(const char *model)
{
    const tp_env env = tp_env_plain();
    tp_gguf *gguf = NULL;
    tp_llm *packed = NULL;
    tp_llm *mapped = NULL;
    tp_sha256 hash;
    float vectors[2][WIDTH_MAX];
    ASSERT_OK(write_bundle(&env, model, &hash, &test_err));
    ASSERT_OK(tp_gguf_open(&env, tiny(model), &gguf, &test_err));
    ASSERT_OK(tp_llm_from_gguf(&env, gguf, &packed, &test_err));
    ASSERT_OK(tp_llm_bundle_open(&env, out_path(), &mapped, &test_err));
    ASSERT_OK(tp_file_remove(out_path(), &test_err)); // what was mapped stays
    const tp_llm_facts *facts = tp_llm_facts_of(packed);
    ASSERT_EQ_STR(tp_llm_facts_of(mapped)->architecture, facts->architecture);
    ASSERT_EQ_UINT(tp_llm_facts_of(mapped)->weight_bytes, facts->weight_bytes);
    embed(packed, vectors[0]);
    embed(mapped, vectors[1]);
    ASSERT_EQ_BYTES(vectors[1], facts->width * sizeof(float), vectors[0],
                    facts->width * sizeof(float));
    tp_llm_free(packed);
    tp_llm_free(mapped);
}

static void test_the_bundle_is_the_model(void)
{
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        check_model(models[i]);
    }
}

static void test_same_model_is_the_same_file(void)
{
    const tp_env env = tp_env_plain();
    tp_sha256 first;
    tp_sha256 second;
    ASSERT_OK(write_bundle(&env, models[0], &first, &test_err));
    ASSERT_OK(write_bundle(&env, models[0], &second, &test_err));
    ASSERT_EQ_BYTES(&first, sizeof(first), &second, sizeof(second));
    ASSERT(tp_bundle_is_kind(out_path(), TP_STR("llm")));
    ASSERT(!tp_bundle_is_kind(out_path(), TP_STR("tabular")));
    ASSERT(!tp_bundle_is_kind(tiny(models[0]), TP_STR("llm")));
    ASSERT_OK(tp_file_remove(out_path(), &test_err));
}

// One bit of the weights, and weights that are not those of the metadata.
static void test_what_is_not_whole_is_refused(void)
{
    const tp_env env = tp_env_plain();
    tp_sha256 hash;
    tp_llm *llm = NULL;
    ASSERT_OK(write_bundle(&env, models[0], &hash, &test_err));
    FILE *file = fopen(out_path(), "r+b");
    ASSERT(file != NULL && fseek(file, 4096 + 12345, SEEK_SET) == 0);
    const int byte = fgetc(file);
    ASSERT(fseek(file, 4096 + 12345, SEEK_SET) == 0 && fputc(byte ^ 4, file) != EOF &&
           fclose(file) == 0);
    ASSERT_FAILS(tp_llm_bundle_open(&env, out_path(), &llm, &test_err), TAPEOUT_E_CORRUPT,
                 "section \"weights\" is damaged");
    ASSERT_OK(tp_file_remove(out_path(), &test_err));

    tp_gguf *gguf = NULL;
    tp_gguf_builder builder;
    tp_buffer metadata;
    ASSERT_OK(tp_gguf_open(&env, tiny(models[0]), &gguf, &test_err));
    tp_gguf_builder_init(&builder, env.alloc);
    tp_gguf_builder_copy_all(&builder, gguf);
    tp_buffer_init(&metadata, env.alloc, 1 << 20);
    ASSERT_OK(tp_gguf_builder_render(&builder, &metadata, &test_err));
    static const char weights[4096];
    static const char *const kinds[] = {"llm", "tabular"};
    static const tapeout_status wants[] = {TAPEOUT_E_CORRUPT, TAPEOUT_E_UNSUPPORTED};
    for (int i = 0; i < 2; i++) {
        const tp_bundle_section sections[] = {{TP_STR("weights"), {weights, sizeof(weights)}, 64},
                                              {TP_STR("metadata"), tp_buffer_view(&metadata), 64}};
        const tp_bundle_content content = {tp_str_from(kinds[i]), TP_STR("m"), sections, 2};
        ASSERT_OK(tp_bundle_write(&env, out_path(), &content, &hash, &test_err));
        ASSERT_FAILS(tp_llm_bundle_open(&env, out_path(), &llm, &test_err), wants[i], "m.tapeout");
    }
    tp_buffer_deinit(&metadata);
    tp_gguf_builder_deinit(&builder);
    tp_gguf_close(&gguf);
    ASSERT_OK(tp_file_remove(out_path(), &test_err));
}

static tapeout_status write_and_open(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    tp_sha256 hash;
    tp_llm *llm = NULL;
    TP_TRY(write_bundle(&env, user, &hash, err));
    const tapeout_status status = tp_llm_bundle_open(&env, out_path(), &llm, err);
    ASSERT((status == TAPEOUT_OK) == (llm != NULL));
    tp_llm_free(llm);
    return status;
}

static void test_out_of_memory_leaves_nothing(void)
{
    test_out_of_memory(write_and_open, (void *)(uintptr_t) "llama-mxfp4.gguf");
    ASSERT_OK(tp_file_remove(out_path(), &test_err));
}

TEST_MAIN(TEST(test_the_bundle_is_the_model), TEST(test_same_model_is_the_same_file),
          TEST(test_what_is_not_whole_is_refused),
          TEST_SLOW(test_out_of_memory_leaves_nothing, 300))
