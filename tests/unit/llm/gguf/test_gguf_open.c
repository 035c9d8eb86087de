// SPDX-License-Identifier: Apache-2.0
//
// Opening GGUF files as files: whole ones, split ones, and what is wrong with a set.
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "gguf_sample.h"
#include "llm/gguf/tp_gguf.h"
#include "table/tp_json.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { PATH_SIZE = 512 };

static const char *path_in_temp(const char *name)
{
    static char paths[4][PATH_SIZE];
    static int next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, PATH_SIZE, "%s/%s", test_temp_dir(), name);
    return path;
}

static void write_bytes(const char *path, const tp_buffer *bytes)
{
    FILE *file = fopen(path, "wb");
    ASSERT(file != NULL && fwrite(bytes->data, 1, bytes->size, file) == bytes->size &&
           fclose(file) == 0);
}

static void write_part(const char *name, uint32_t number, uint32_t count, const char *tensor)
{
    tp_buffer bytes;
    tp_buffer_init(&bytes, tp_allocator_default(), 4096);
    sample_part(&bytes, number, count, tensor);
    write_bytes(path_in_temp(name), &bytes);
    tp_buffer_deinit(&bytes);
}

static void remove_parts(void)
{
    ASSERT_OK(tp_file_remove(path_in_temp("m-00001-of-00003.gguf"), &test_err));
    ASSERT_OK(tp_file_remove(path_in_temp("m-00002-of-00003.gguf"), &test_err));
    ASSERT_OK(tp_file_remove(path_in_temp("m-00003-of-00003.gguf"), &test_err));
}

static void write_parts(void)
{
    write_part("m-00001-of-00003.gguf", 0, 3, "first");
    write_part("m-00002-of-00003.gguf", 1, 3, "second");
    write_part("m-00003-of-00003.gguf", 2, 3, "third");
}

static tapeout_status open_named(const char *name)
{
    const tp_env env = tp_env_plain();
    tp_gguf *gguf = NULL;
    test_err = (tapeout_error){0};
    const tapeout_status status = tp_gguf_open(&env, path_in_temp(name), &gguf, &test_err);
    ASSERT((status == TAPEOUT_OK) == (gguf != NULL));
    tp_gguf_close(&gguf);
    return status;
}

static void test_opens_a_file(void)
{
    const tp_env env = tp_env_plain();
    gguf_sample sample;
    tp_gguf *gguf = NULL;
    const char *path = path_in_temp("whole.gguf");
    sample_init(&sample);
    write_bytes(path, &sample.bytes);
    ASSERT_OK(tp_gguf_open(&env, path, &gguf, &test_err));
    ASSERT_OK(tp_file_remove(path, &test_err)); // what was opened stays
    ASSERT_EQ_UINT(tp_gguf_tensor_count(gguf), 3);
    ASSERT_EQ_BYTES(tp_gguf_tensor_at(gguf, 0)->data.data, 102,
                    sample.bytes.data + sample.at[AT_DATA], 102);
    tp_gguf_close(&gguf);
    sample_deinit(&sample);
    ASSERT_FAILS(open_named("whole.gguf"), TAPEOUT_E_NOT_FOUND, "whole.gguf");
}

static void test_gathers_a_split_model(void)
{
    const tp_env env = tp_env_plain();
    tp_gguf *gguf = NULL;
    write_parts();
    ASSERT_OK(tp_gguf_open(&env, path_in_temp("m-00001-of-00003.gguf"), &gguf, &test_err));
    remove_parts();
    static const char *const names[] = {"first", "second", "third"};
    ASSERT_EQ_UINT(tp_gguf_tensor_count(gguf), 3);
    for (uint32_t i = 0; i < 3; i++) {
        const tp_gguf_tensor *tensor = tp_gguf_tensor_find(gguf, tp_str_from(names[i]));
        ASSERT(tensor == tp_gguf_tensor_at(gguf, i));
        ASSERT_EQ_INT(tensor->data.data[0], (int)i);
    }
    tp_gguf_close(&gguf);
}

static void test_a_set_that_does_not_fit_is_refused(void)
{
    write_parts();
    ASSERT_FAILS(open_named("m-00002-of-00003.gguf"), TAPEOUT_E_INVALID,
                 "name the first part, which ends in -00001-of-00003.gguf");
    write_part("m-00002-of-00003.gguf", 2, 3, "second"); // the wrong number
    ASSERT_FAILS(open_named("m-00001-of-00003.gguf"), TAPEOUT_E_CORRUPT,
                 "says it is part 3 of 3 with 3 tensors in all, expected part 2 of 3");
    write_part("m-00002-of-00003.gguf", 1, 4, "second"); // of another set
    ASSERT_FAILS(open_named("m-00001-of-00003.gguf"), TAPEOUT_E_CORRUPT, "part 2 of 4");
    write_part("m-00002-of-00003.gguf", 1, 3, "first"); // a tensor twice
    ASSERT_FAILS(open_named("m-00001-of-00003.gguf"), TAPEOUT_E_CORRUPT,
                 "\"first\" stands in two parts");
    ASSERT_OK(tp_file_remove(path_in_temp("m-00002-of-00003.gguf"), &test_err));
    ASSERT_FAILS(open_named("m-00001-of-00003.gguf"), TAPEOUT_E_NOT_FOUND, "m-00002-of-00003.gguf");
    write_part("other.gguf", 0, 3, "first");
    ASSERT_FAILS(open_named("other.gguf"), TAPEOUT_E_INVALID, "should end in -00001-of-00003.gguf");
    ASSERT_OK(tp_file_remove(path_in_temp("other.gguf"), &test_err));
    remove_parts();
}

static void test_a_part_in_memory_is_refused(void)
{
    const tp_env env = tp_env_plain();
    tp_buffer bytes;
    tp_gguf *gguf = NULL;
    tp_buffer_init(&bytes, tp_allocator_default(), 4096);
    sample_part(&bytes, 1, 3, "second");
    ASSERT_FAILS(tp_gguf_parse(&env, tp_buffer_view(&bytes), &gguf, &test_err), TAPEOUT_E_INVALID,
                 "part 2 of a model split over 3 files");
    tp_buffer_deinit(&bytes);
}

// The tiny models (tests/conformance/llm_tiny), which other programs wrote: all are read, and are
// what the manifest says.
static void test_reads_every_tiny_model(void)
{
    const tp_env env = tp_env_plain();
    char path[2 * PATH_SIZE];
    tp_str text;
    yyjson_doc *manifest = NULL;
    (void)snprintf(path, sizeof(path), "%s/tests/conformance/llm_tiny/manifest.json",
                   test_source_dir());
    ASSERT_OK(tp_file_read(env.alloc, path, 1 << 20, &text, &test_err));
    ASSERT_OK(tp_json_parse(env.alloc, text, "manifest", &manifest, &test_err));
    yyjson_val *models = yyjson_obj_get(yyjson_doc_get_root(manifest), "models");
    ASSERT(yyjson_obj_size(models) >= 20);
    yyjson_obj_iter iter = yyjson_obj_iter_with(models);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&iter)) != NULL;) {
        tp_gguf *gguf = NULL;
        tp_str architecture;
        (void)snprintf(path, sizeof(path), "%s/tests/conformance/llm_tiny/%s", test_source_dir(),
                       yyjson_get_str(key));
        ASSERT_OK(tp_gguf_open(&env, path, &gguf, &test_err));
        ASSERT_OK(tp_gguf_get_str(gguf, "general.architecture", &architecture, &test_err));
        ASSERT(tp_str_equal(architecture,
                            tp_json_get_str(yyjson_obj_iter_get_val(key), "architecture")));
        tp_gguf_close(&gguf);
    }
    yyjson_doc_free(manifest);
    tp_free(env.alloc, (char *)(uintptr_t)text.data, text.size + 1);
}

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

TEST_MAIN(TEST(test_opens_a_file), TEST(test_gathers_a_split_model),
          TEST(test_a_set_that_does_not_fit_is_refused), TEST(test_a_part_in_memory_is_refused),
          TEST(test_reads_every_tiny_model), TEST(test_reads_a_real_model))
