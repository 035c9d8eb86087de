// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of reading metadata, encoding and decoding fails in turn, for each kind of
// vocabulary. The files are those of the fuzz target.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "llm/gguf/tp_gguf.h"
#include "llm/tokenizer/tp_tokenizer.h"
#include "test.h"

typedef struct made {
    tp_gguf *gguf;
    tp_tokenizer *tokenizer;
    tp_ids ids;
    tp_buffer text;
} made;

static tapeout_status make(const tp_env *env, made *m, tp_str input, tapeout_error *err)
{
    const size_t size = (size_t)((uint8_t)input.data[0] | (uint8_t)input.data[1] << 8);
    const tp_text_run runs[] = {{{input.data + 2, size}, true}, {TP_STR("hello hello"), false}};
    const tp_str file = {input.data + 2 + size, input.size - 2 - size};
    TP_TRY(tp_gguf_parse_metadata(env, file, &m->gguf, err));
    TP_TRY(tp_tokenizer_new(env, m->gguf, &m->tokenizer, err));
    const tapeout_status status =
        tp_tokenizer_encode_runs(m->tokenizer, runs, 2, TP_TOKENIZE_ADD, &m->ids, err);
    ASSERT(status == TAPEOUT_OK || m->ids.count == 0);
    TP_TRY(status);
    return tp_tokenizer_decode(m->tokenizer, m->ids.data, m->ids.count, true, &m->text, err);
}

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tp_env env = tp_env_plain();
    made m = {.gguf = NULL};
    env.alloc = alloc;
    tp_ids_init(&m.ids, alloc);
    tp_buffer_init(&m.text, alloc, 1u << 20);
    const tapeout_status status = make(&env, &m, *(const tp_str *)user, err);
    tp_buffer_deinit(&m.text);
    tp_ids_deinit(&m.ids);
    tp_tokenizer_free(m.tokenizer);
    tp_gguf_close(&m.gguf);
    return status;
}

static void run(const char *name)
{
    char path[4096];
    tp_str input = {NULL, 0};
    (void)snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/tokenizer/%s", test_source_dir(),
                   name);
    ASSERT_OK(tp_file_read(tp_allocator_default(), path, 1u << 20, &input, &test_err));
    test_out_of_memory(scenario, &input);
    tp_free(tp_allocator_default(), (char *)input.data, input.size + 1);
}

static void test_bpe(void)
{
    run("bpe_long");
}

static void test_spm(void)
{
    run("spm");
}

static void test_wordpiece(void)
{
    run("wordpiece");
}

TEST_MAIN(TEST(test_bpe), TEST(test_spm), TEST(test_wordpiece))
