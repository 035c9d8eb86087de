// SPDX-License-Identifier: Apache-2.0
//
// Metadata that is missing, contradicts itself or is out of range is refused, and the message names
// the key. The files are those of the fuzz target.
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "llm/gguf/tp_gguf.h"
#include "tokenizer_cases.h"

static tapeout_status load(const char *name, tp_tokenizer **ret_tokenizer, tapeout_error *err)
{
    char path[4096];
    tp_str input = {NULL, 0};
    tp_gguf *gguf = NULL;
    const tp_env env = tp_env_plain();
    (void)snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/tokenizer/%s", test_source_dir(),
                   name);
    ASSERT_OK(tp_file_read(tp_allocator_default(), path, 1u << 20, &input, &test_err));
    const size_t text = 2 + (size_t)((uint8_t)input.data[0] | (uint8_t)input.data[1] << 8);
    const tp_str file = {input.data + text, input.size - text};
    ASSERT_OK(tp_gguf_parse_metadata(&env, file, &gguf, &test_err));
    const tapeout_status status = tp_tokenizer_new(&env, gguf, ret_tokenizer, err);
    tp_gguf_close(&gguf);
    tp_free(tp_allocator_default(), (char *)input.data, input.size + 1);
    return status;
}

static void test_refused_by_name(void)
{
    static const struct {
        const char *name;
        tapeout_status status;
        const char *part;
    } cases[] = {
        {"bad_model", TAPEOUT_E_UNSUPPORTED, "tokenizer.ggml.model is 'rwkv'"},
        {"bad_pre", TAPEOUT_E_UNSUPPORTED, "tokenizer.ggml.pre is 'kimi-k2'"},
        {"no_tokens", TAPEOUT_E_CORRUPT, "tokenizer.ggml.tokens"},
        {"empty_tokens", TAPEOUT_E_CORRUPT, "tokenizer.ggml.tokens is empty"},
        {"no_merges", TAPEOUT_E_CORRUPT, "tokenizer.ggml.merges is missing"},
        {"no_scores", TAPEOUT_E_CORRUPT, "tokenizer.ggml.scores is missing"},
        {"short_types", TAPEOUT_E_CORRUPT, "tokenizer.ggml.token_type has 26 entries"},
        {"bad_type", TAPEOUT_E_CORRUPT, "entry 0 of tokenizer.ggml.token_type is 9"},
        {"short_scores", TAPEOUT_E_CORRUPT, "tokenizer.ggml.scores has 5 entries"},
        {"nan_score", TAPEOUT_E_CORRUPT, "entry 0 of tokenizer.ggml.scores is not finite"},
        {"bos_out_of_range", TAPEOUT_E_CORRUPT, "tokenizer.ggml.bos_token_id is 9999"},
        {"bos_missing", TAPEOUT_E_CORRUPT, "tokenizer.ggml.bos_token_id is missing"},
        {"eos_missing", TAPEOUT_E_CORRUPT, "tokenizer.ggml.eos_token_id is missing"},
        {"merge_unknown", TAPEOUT_E_CORRUPT, "'x y', but its left side is not in"},
        {"merge_no_product", TAPEOUT_E_CORRUPT, "'h o', but what they are together is not in"},
        {"merge_no_space", TAPEOUT_E_CORRUPT, "entry 0 of tokenizer.ggml.merges is 'ho'"},
        {"twice", TAPEOUT_E_CORRUPT, "of tokenizer.ggml.tokens are the same, 'he'"},
        {"special_twice", TAPEOUT_E_CORRUPT, "are the same, '<|im_end|>'"},
        {"special_and_text", TAPEOUT_E_CORRUPT, "entries 17 and 0 of tokenizer.ggml.tokens"},
        {"byte_twice", TAPEOUT_E_CORRUPT, "are the same byte, 0x00"},
        {"byte_misspelt", TAPEOUT_E_CORRUPT, "'<0xZZ>', by its type a byte"},
        {"vocab_size", TAPEOUT_E_CORRUPT, "llama.vocab_size is 5"},
        {"long_special", TAPEOUT_E_LIMIT, "has 600 bytes, at most 512"},
        {"bert_no_sep", TAPEOUT_E_CORRUPT, "tokenizer.ggml.seperator_token_id is missing"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tp_tokenizer *tokenizer = NULL;
        ASSERT_FAILS(load(cases[i].name, &tokenizer, &test_err), cases[i].status, cases[i].part);
        ASSERT(tokenizer == NULL);
    }
}

static void test_taken(void)
{
    tp_tokenizer *t = NULL;
    uint32_t count = 0;
    ASSERT_OK(load("merge_twice", &t, &test_err));
    ASSERT_EQ_STR(cases_pieces(t, "hello", 0), "he|ll|o");
    tp_tokenizer_free(t);
    ASSERT_OK(load("no_types", &t, &test_err)); // all are text but what names make control tokens
    ASSERT(tp_tokenizer_is_control(t, 1) && !tp_tokenizer_is_control(t, 0));
    tp_tokenizer_free(t);
    ASSERT_OK(load("harmony", &t, &test_err)); // <|end|> ends a message, <|return|> the answer
    const uint32_t *ends = tp_tokenizer_eog_ids(t, &count);
    ASSERT_EQ_UINT(count, 3);
    ASSERT(ends[0] == 2 && ends[1] == 3 && ends[2] == 7);
    ASSERT(!tp_tokenizer_is_control(t, 1) && !tp_tokenizer_is_control(t, 6));
    tp_tokenizer_free(t);
}

// Known names fill the roles that the file leaves open, and end generations.
static void test_names(void)
{
    tp_tokenizer *t = NULL;
    ASSERT_OK(load("bpe_long", &t, &test_err));
    ASSERT_EQ_INT(tp_tokenizer_role(t, TP_TOKEN_EOT), 1);
    ASSERT_EQ_INT(tp_tokenizer_role(t, TP_TOKEN_FIM_PADDING), 4); // of type normal in the file
    ASSERT(tp_tokenizer_is_control(t, 4) && tp_tokenizer_is_eog(t, 4));
    ASSERT(tp_tokenizer_adds_bos(t) && tp_tokenizer_adds_eos(t));
    ASSERT_EQ_STR(cases_encode(t, TP_STR("h"), TP_TOKENIZE_ADD), "0 5 1");
    tp_tokenizer_free(t);
}

TEST_MAIN(TEST(test_refused_by_name), TEST(test_taken), TEST(test_names))
