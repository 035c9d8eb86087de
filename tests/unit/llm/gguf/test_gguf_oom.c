// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of opening, parsing and writing GGUF files fails in turn.
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "gguf_sample.h"
#include "llm/gguf/tp_gguf_write.h"
#include "test.h"

#include <stdio.h>

enum { PATH_SIZE = 512 };

static tapeout_status parse(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    const gguf_sample *sample = user;
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    tp_gguf *gguf = NULL;
    const tapeout_status status = tp_gguf_parse(&env, tp_buffer_view(&sample->bytes), &gguf, err);
    ASSERT((status == TAPEOUT_OK) == (gguf != NULL));
    tp_gguf_close(&gguf);
    return status;
}

static void test_parsing(void)
{
    gguf_sample sample;
    sample_init(&sample);
    test_out_of_memory(parse, &sample);
    sample_deinit(&sample);
}

static tapeout_status open_file(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    tp_gguf *gguf = NULL;
    const tapeout_status status = tp_gguf_open(&env, user, &gguf, err);
    ASSERT((status == TAPEOUT_OK) == (gguf != NULL));
    tp_gguf_close(&gguf);
    return status;
}

static void test_opening_a_split_model(void)
{
    char paths[2][PATH_SIZE];
    for (uint32_t i = 0; i < 2; i++) {
        tp_buffer bytes;
        tp_buffer_init(&bytes, tp_env_plain().alloc, 4096);
        sample_part(&bytes, i, 2, i == 0 ? "first" : "second");
        (void)snprintf(paths[i], PATH_SIZE, "%s/m-%05u-of-00002.gguf", test_temp_dir(), i + 1);
        FILE *file = fopen(paths[i], "wb");
        ASSERT(file != NULL && fwrite(bytes.data, 1, bytes.size, file) == bytes.size &&
               fclose(file) == 0);
        tp_buffer_deinit(&bytes);
    }
    test_out_of_memory(open_file, paths[0]);
    ASSERT_OK(tp_file_remove(paths[0], &test_err));
    ASSERT_OK(tp_file_remove(paths[1], &test_err));
}

static tapeout_status write_file(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    tp_gguf_builder builder;
    tp_gguf_builder_init(&builder, alloc);
    const tp_str words[] = {TP_STR("a"), TP_STR("b")};
    tp_gguf_builder_strings(&builder, "words", words, 2);
    tp_gguf_builder_u32(&builder, "number", 7);
    const tp_gguf_tensor tensor = {
        .name = TP_STR("t"), .dim_count = 1, .dims = {1}, .data = {"\0\0\0\0", 4}};
    tp_gguf_builder_tensor(&builder, &tensor);
    const tapeout_status status = tp_gguf_write(&env, user, &builder, NULL, NULL, err);
    tp_gguf_builder_deinit(&builder);
    return status;
}

static void test_writing(void)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/w.gguf", test_temp_dir());
    test_out_of_memory(write_file, path);
    ASSERT_OK(tp_file_remove(path, &test_err));
}

TEST_MAIN(TEST(test_parsing), TEST(test_opening_a_split_model), TEST(test_writing))
