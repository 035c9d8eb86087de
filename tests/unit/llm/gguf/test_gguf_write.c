// SPDX-License-Identifier: Apache-2.0
//
// What is written is read back, the same content is the same file, and a filler that does not keep
// its word leaves no file.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "llm/gguf/tp_gguf_write.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

enum { PATH_SIZE = 512 };

static const float weights[6] = {1, 2, 3, 4, 5, 6};

static void gather(tp_gguf_builder *builder)
{
    static const tp_str words[] = {{"a", 1}, {"", 0}, {"\0b", 2}};
    static const int32_t kinds[] = {1, -2};
    static const float scores[] = {0.5f, -1};
    tp_gguf_builder_init(builder, tp_allocator_default());
    tp_gguf_builder_str(builder, "general.architecture", TP_STR("llama"));
    tp_gguf_builder_u32(builder, "llama.block_count", 2);
    tp_gguf_builder_f32(builder, "llama.rope.freq_base", 10000);
    tp_gguf_builder_bool(builder, "tokenizer.ggml.add_bos_token", true);
    tp_gguf_builder_strings(builder, "tokenizer.ggml.tokens", words, 3);
    tp_gguf_builder_i32s(builder, "tokenizer.ggml.token_type", kinds, 2);
    tp_gguf_builder_f32s(builder, "tokenizer.ggml.scores", scores, 2);
    const tp_gguf_tensor given = {.name = TP_STR("given"),
                                  .dim_count = 2,
                                  .dims = {3, 2},
                                  .data = {(const char *)weights, sizeof(weights)}};
    const tp_gguf_tensor filled = {
        .name = TP_STR("filled"), .type = TP_TENSOR_Q8_0, .dim_count = 1, .dims = {64}};
    tp_gguf_builder_tensor(builder, &given);
    tp_gguf_builder_tensor(builder, &filled);
}

// Writes as many bytes as `user` says.
static tapeout_status fill(void *user, size_t index, tp_writer *writer, tapeout_error *err)
{
    ASSERT_EQ_UINT(index, 1);
    for (size_t i = 0; i < *(const size_t *)user; i++) {
        TP_TRY(tp_writer_write(writer, "x", 1, err));
    }
    return TAPEOUT_OK;
}

static void check_file(const char *path)
{
    const tp_env env = tp_env_plain();
    tp_gguf *gguf = NULL;
    uint64_t blocks = 0;
    tp_gguf_array array;
    ASSERT_OK(tp_gguf_open(&env, path, &gguf, &test_err));
    ASSERT_OK(tp_gguf_get_u64(gguf, "llama.block_count", 2, 2, &blocks, &test_err));
    ASSERT_OK(tp_gguf_get_array(gguf, "tokenizer.ggml.tokens", TP_GGUF_STRING, &array, &test_err));
    ASSERT(tp_str_equal(tp_gguf_array_str(&array, 2), (tp_str){"\0b", 2}));
    ASSERT_OK(tp_gguf_get_array(gguf, "tokenizer.ggml.token_type", TP_GGUF_I32, &array, &test_err));
    ASSERT_EQ_INT(tp_gguf_array_i64(&array, 1), -2);
    const tp_gguf_tensor *given = tp_gguf_tensor_find(gguf, TP_STR("given"));
    ASSERT_EQ_BYTES(given->data.data, given->data.size, weights, sizeof(weights));
    const tp_gguf_tensor *filled = tp_gguf_tensor_find(gguf, TP_STR("filled"));
    ASSERT_EQ_UINT(filled->data.size, 68);
    ASSERT_EQ_INT(filled->data.data[67], 'x');

    // Copied over key by key, it renders as the same metadata.
    tp_gguf_builder again;
    tp_buffer bytes;
    tp_gguf_builder_init(&again, env.alloc);
    tp_buffer_init(&bytes, env.alloc, 65536);
    for (size_t i = 0; i < tp_gguf_kv_count(gguf); i++) {
        tp_gguf_builder_copy(&again, tp_gguf_kv_at(gguf, i));
    }
    for (size_t i = 0; i < tp_gguf_tensor_count(gguf); i++) {
        tp_gguf_builder_tensor(&again, tp_gguf_tensor_at(gguf, i));
    }
    ASSERT_OK(tp_gguf_builder_render(&again, &bytes, &test_err));
    tp_str file;
    ASSERT_OK(tp_file_read(env.alloc, path, 65536, &file, &test_err));
    ASSERT(tp_str_has_prefix(file, tp_buffer_view(&bytes)));
    tp_free(env.alloc, (char *)(uintptr_t)file.data, file.size + 1);
    tp_buffer_deinit(&bytes);
    tp_gguf_builder_deinit(&again);
    tp_gguf_close(&gguf);
}

static void test_reads_back_what_was_written(void)
{
    const tp_env env = tp_env_plain();
    char path[PATH_SIZE];
    size_t filler_size = 68;
    tp_gguf_builder builder;
    (void)snprintf(path, sizeof(path), "%s/a.gguf", test_temp_dir());
    gather(&builder);
    ASSERT_OK(tp_gguf_write(&env, path, &builder, fill, &filler_size, &test_err));
    check_file(path);
    tp_gguf_builder_deinit(&builder);
    ASSERT_OK(tp_file_remove(path, &test_err));
}

static void test_a_filler_that_writes_too_little_or_too_much(void)
{
    const tp_env env = tp_env_plain();
    char path[PATH_SIZE];
    tp_gguf_builder builder;
    (void)snprintf(path, sizeof(path), "%s/b.gguf", test_temp_dir());
    gather(&builder);
    for (size_t size = 67; size <= 69; size += 2) {
        ASSERT_FAILS(tp_gguf_write(&env, path, &builder, fill, &size, &test_err),
                     TAPEOUT_E_INTERNAL, "\"filled\"");
        ASSERT(!tp_path_exists(path));
    }
    ASSERT_FAILS(tp_gguf_write(&env, path, &builder, NULL, NULL, &test_err), TAPEOUT_E_INTERNAL,
                 "written with 0 bytes, not 68");
    tp_gguf_builder_deinit(&builder);
}

// What our reader would refuse is not written.
static void test_refuses_what_it_would_not_read(void)
{
    tp_gguf_builder builder;
    tp_buffer bytes;
    tp_gguf_builder_init(&builder, tp_allocator_default());
    tp_buffer_init(&bytes, tp_allocator_default(), 4096);
    tp_gguf_builder_u32(&builder, "twice", 1);
    tp_gguf_builder_u32(&builder, "twice", 2);
    ASSERT_FAILS(tp_gguf_builder_render(&builder, &bytes, &test_err), TAPEOUT_E_CORRUPT,
                 "stands twice");
    tp_gguf_builder_deinit(&builder);
    tp_buffer_deinit(&bytes);
}

TEST_MAIN(TEST(test_reads_back_what_was_written),
          TEST(test_a_filler_that_writes_too_little_or_too_much),
          TEST(test_refuses_what_it_would_not_read))
