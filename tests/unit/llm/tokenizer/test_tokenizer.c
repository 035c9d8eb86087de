// SPDX-License-Identifier: Apache-2.0
//
// Small vocabularies: which ids, which control tokens and when, what comes back as text, and that
// metadata whose parts contradict each other is refused by name.
#include "base/tp_alloc.h"
#include "base/tp_random.h"
#include "tokenizer_cases.h"

#include <string.h>

static void test_bpe_merges_by_rank(void)
{
    tp_tokenizer_spec spec;
    cases_bpe_spec(&spec);
    tp_tokenizer *t = cases_new(&spec);
    ASSERT_EQ_STR(cases_pieces(t, "hello world", 0), "hello| wor|l|d");
    ASSERT_EQ_STR(cases_pieces(t, "hell helo", 0), "hell| |he|lo");
    ASSERT_EQ_STR(cases_pieces(t, "aaaaaaa", 0), "aaaa|aa|a");
    ASSERT_EQ_STR(cases_pieces(t, "12", 0), "12"); // gpt-2 keeps numbers whole
    ASSERT_EQ_STR(cases_pieces(t, "", 0), "");
    ASSERT_EQ_STR(cases_encode(t, TP_STR(""), TP_TOKENIZE_ADD), "0");
    ASSERT_EQ_INT(tp_tokenizer_find(t, TP_STR("\u0120wor")), tp_tokenizer_vocab_count(t) - 6);
    ASSERT_EQ_INT(tp_tokenizer_find(t, TP_STR("nope")), -1);
    ASSERT_EQ_INT(tp_tokenizer_find(t, TP_STR("<|im_end|>")), 1);
    tp_tokenizer_free(t);
    spec.pre = TP_STR("smollm");
    t = cases_new(&spec);
    ASSERT_EQ_STR(cases_pieces(t, "12", 0), "1|2");
    tp_tokenizer_free(t);
}

// A word that is a token is that token, whatever the merges say.
static void test_words_that_ignore_merges(void)
{
    tp_tokenizer_spec spec;
    cases_bpe_spec(&spec);
    spec.merge_count = 0;
    tp_tokenizer *t = cases_new(&spec);
    ASSERT_EQ_STR(cases_pieces(t, "hell", 0), "h|e|l|l");
    tp_tokenizer_free(t);
    spec.pre = TP_STR("llama-bpe");
    t = cases_new(&spec);
    ASSERT_EQ_STR(cases_pieces(t, "hell", 0), "hell");
    tp_tokenizer_free(t);
}

static void test_control_tokens(void)
{
    tp_tokenizer_spec spec;
    cases_bpe_spec(&spec);
    tp_tokenizer *t = cases_new(&spec);
    ASSERT_EQ_STR(cases_pieces(t, "a<|im_end|>", TP_TOKENIZE_SPECIAL), "a|<|im_end|>");
    ASSERT_EQ_STR(cases_pieces(t, "a<|im_end|>", 0), "a|<|||i|m|_|e|n|d|||>");
    ASSERT_EQ_STR(cases_pieces(t, "\n\n\n<tool_call>", 0), "\n\n|\n|<tool_call>");
    ASSERT_EQ_STR(cases_pieces(t, "<|im_en", TP_TOKENIZE_SPECIAL), "<|||i|m|_|e|n");
    ASSERT(tp_tokenizer_is_control(t, 1) && !tp_tokenizer_is_control(t, 2));
    ASSERT_EQ_UINT(tp_tokenizer_piece(t, 1).size, 0);
    ASSERT_EQ_UINT(tp_tokenizer_piece(t, UINT32_MAX).size, 0);
    ASSERT(tp_tokenizer_is_eog(t, 1) && !tp_tokenizer_is_eog(t, 0));
    ASSERT_EQ_INT(tp_tokenizer_role(t, TP_TOKEN_EOT), 1); // by its name
    tp_tokenizer_free(t);
}

static const char *encode_runs(const tp_tokenizer *t, const tp_text_run *runs, size_t count)
{
    static char shown[4096];
    tp_ids ids;
    size_t size = 0;
    tp_ids_init(&ids, tp_allocator_default());
    ASSERT_OK(tp_tokenizer_encode_runs(t, runs, count, TP_TOKENIZE_SPECIAL, &ids, &test_err));
    shown[0] = '\0';
    for (size_t i = 0; i < ids.count; i++) {
        size += (size_t)snprintf(shown + size, sizeof(shown) - size, "%s%.*s", i > 0 ? "|" : "",
                                 TP_STR_ARGS(tp_tokenizer_special_text(t, ids.data[i])));
    }
    tp_ids_deinit(&ids);
    return shown;
}

// What a user types is text, also where it is cut so that a template's text completes a token.
static void test_runs_and_trust(void)
{
    tp_tokenizer_spec spec;
    cases_bpe_spec(&spec);
    tp_tokenizer *t = cases_new(&spec);
    const tp_text_run chat[] = {{TP_STR("<|begin|>he"), true},
                                {TP_STR("llo<|im_end|>\n\n<tool_call>"), false},
                                {TP_STR("<|im_end|>"), true}};
    ASSERT_EQ_STR(encode_runs(t, chat, 3), "<|begin|>|hello|<|||i|m|_|e|n|d|||>|\n\n|<|t|o|o|l|_|c|"
                                           "a|ll|>|<|im_end|>");
    const tp_text_run across[] = {{TP_STR("<|im_"), true}, {TP_STR("end|>"), false}};
    ASSERT_EQ_STR(encode_runs(t, across, 2), "<|||i|m|_|e|n|d|||>");
    const tp_text_run back[] = {{TP_STR("<|im_"), false}, {TP_STR("end|>"), true}};
    ASSERT_EQ_STR(encode_runs(t, back, 2), "<|||i|m|_|e|n|d|||>");
    const tp_text_run trusted[] = {
        {TP_STR(""), false}, {TP_STR("<|im_"), true}, {TP_STR(""), true}, {TP_STR("end|>"), true}};
    ASSERT_EQ_STR(encode_runs(t, trusted, 4), "<|im_end|>");
    const tp_text_run marker[] = {{TP_STR("<tool_call>"), true}, {TP_STR("<tool_call>"), false}};
    ASSERT_EQ_STR(encode_runs(t, marker, 2), "<tool_call>|<|t|o|o|l|_|c|a|ll|>");
    ASSERT_EQ_STR(encode_runs(t, marker, 0), "");
    tp_tokenizer_free(t);
}

static void test_spm(void)
{
    tp_tokenizer_spec spec;
    cases_spm_spec(&spec);
    tp_tokenizer *t = cases_new(&spec);
    ASSERT_EQ_STR(cases_pieces(t, "hello", 0), " hello");
    ASSERT_EQ_STR(cases_encode(t, TP_STR("h"), TP_TOKENIZE_ADD), "1 259 260");
    ASSERT_EQ_STR(cases_pieces(t, "hell<b>hello", 0), " |hell|<b>| hello");
    ASSERT_EQ_STR(cases_encode(t, TP_STR("\n"), 0), "259 13");            // a byte token: 3 + 10
    ASSERT_EQ_STR(cases_encode(t, TP_STR("\xff"), 0), "259 258");         // also for no UTF-8
    ASSERT_EQ_STR(cases_encode(t, TP_STR("\xc3\xa9"), 0), "259 198 172"); // two of them
    ASSERT_EQ_STR(cases_pieces(t, "</s>", 0), " |<|/|s|>");
    ASSERT_EQ_STR(cases_pieces(t, "</s>", TP_TOKENIZE_SPECIAL), "</s>");
    tp_tokenizer_free(t);
    spec.add_space_prefix = TP_NO;
    t = cases_new(&spec);
    ASSERT_EQ_STR(cases_pieces(t, "hello hello", 0), "hello| hello");
    ASSERT_EQ_STR(cases_pieces(t, "lo w", 0), "lo w"); // a token may reach over a space
    ASSERT_EQ_STR(cases_pieces(t, "\u2581hello", 0), " hello");
    tp_tokenizer_free(t);
}

// A space without a token is spelled as the character that the vocabulary would write.
static void test_spm_without_space(void)
{
    tp_tokenizer_spec spec;
    cases_spm_spec(&spec);
    spec.add_space_prefix = TP_NO;
    ((tp_str *)spec.tokens)[259] = TP_STR("zzz");
    tp_tokenizer *t = cases_new(&spec);
    ASSERT_EQ_STR(cases_encode(t, TP_STR(" "), 0), "229 153 132");
    tp_tokenizer_free(t);
}

static void test_wordpiece(void)
{
    tp_tokenizer_spec spec;
    cases_wordpiece_spec(&spec);
    tp_tokenizer *t = cases_new(&spec);
    ASSERT_EQ_STR(cases_encode(t, TP_STR("Hello World!"), TP_TOKENIZE_ADD), "2 5 6 10 3");
    ASSERT_EQ_STR(cases_encode(t, TP_STR("unaffable"), 0), "7 8 9");
    ASSERT_EQ_STR(cases_encode(t, TP_STR("unaffablex hello"), 0), "1 5");
    ASSERT_EQ_STR(cases_encode(t, TP_STR("caf\u00e9 cafe\u0301"), 0), "12 12");
    ASSERT_EQ_STR(cases_encode(t, TP_STR("hello\u4e2dhello"), 0), "5 11 5");
    ASSERT_EQ_STR(cases_encode(t, TP_STR("he\0ll\u200do\ufffd"), 0), "5");
    ASSERT_EQ_STR(cases_encode(t, TP_STR("\u0130"), 0), "16");
    ASSERT_EQ_STR(cases_encode(t, TP_STR("[SEP]"), TP_TOKENIZE_SPECIAL), "3");
    ASSERT_EQ_STR(cases_encode(t, TP_STR("[SEP]"), 0), "1 1 1");
    const uint32_t ids[] = {2, 5, 6, 10, 3};
    const tp_str text = cases_decode(t, ids, 5, false);
    ASSERT_EQ_BYTES(text.data, text.size, "hello world !", 13);
    tp_tokenizer_free(t);
    spec.lowercase = TP_NO;
    t = cases_new(&spec);
    ASSERT_EQ_STR(cases_encode(t, TP_STR("Hello hello"), 0), "1 5");
    tp_tokenizer_free(t);
}

static void test_long_words_of_wordpiece(void)
{
    tp_tokenizer_spec spec;
    char text[128];
    cases_wordpiece_spec(&spec);
    tp_tokenizer *t = cases_new(&spec);
    memset(text, 'o', sizeof(text));
    memcpy(text, "hello", 5);
    ASSERT_EQ_UINT(strlen(cases_encode(t, (tp_str){text, 100}, 0)), 1 + 3 * 95);
    ASSERT_EQ_STR(cases_encode(t, (tp_str){text, 101}, 0), "1");
    tp_tokenizer_free(t);
}

// decode(encode(x)) is x for every byte string, as one text or as it is generated.
static void check_round_trip(const tp_tokenizer *t, tp_str text)
{
    tp_ids ids;
    tp_ids_init(&ids, tp_allocator_default());
    ASSERT_OK(tp_tokenizer_encode(t, text, TP_TOKENIZE_SPECIAL, &ids, &test_err));
    const tp_str back = cases_decode(t, ids.data, ids.count, true);
    ASSERT_EQ_BYTES(back.data, back.size, text.data, text.size);
    if (tp_utf8_check(text, NULL)) {
        tp_detokenizer detokenizer;
        tp_buffer grown;
        tp_buffer_init(&grown, tp_allocator_default(), 1u << 20);
        tp_detokenizer_init(&detokenizer, t, true);
        for (size_t i = 0; i < ids.count; i++) {
            ASSERT_OK(tp_detokenizer_push(&detokenizer, ids.data[i], &grown, &test_err));
            ASSERT(tp_utf8_check(tp_buffer_view(&grown), NULL));
        }
        tp_detokenizer_flush(&detokenizer, &grown);
        ASSERT_EQ_BYTES(grown.data, grown.size, text.data, text.size);
        tp_buffer_deinit(&grown);
    }
    tp_ids_deinit(&ids);
}

static void test_round_trip(void)
{
    static const char *const parts[] = {"he",           "llo",        " w",
                                        "or",           "\n\n",       "\xc3\xa9",
                                        "\xff",         " ",          "a",
                                        "<b>",          "12",         "\t",
                                        "\xe4\xb8\xad", "</s>l",      "\xf0\x9f\x98\x80",
                                        "<|im_end|>",   "<tool_call>"};
    enum { PARTS = sizeof(parts) / sizeof(parts[0]) };
    tp_tokenizer_spec spec;
    for (int kind = 0; kind < 2; kind++) {
        kind == 0 ? cases_bpe_spec(&spec) : cases_spm_spec(&spec);
        tp_tokenizer *t = cases_new(&spec);
        for (uint64_t i = 0; i < 3000; i++) {
            char text[256];
            size_t size = 0;
            for (uint64_t k = 0; k < i % 24; k++) {
                const char *part = parts[tp_random_u64(7, i, k) % PARTS];
                memcpy(text + size, part, strlen(part));
                size += strlen(part);
            }
            check_round_trip(t, (tp_str){text, size});
        }
        tp_tokenizer_free(t);
    }
}

// The plainest way: as long as a pair is listed, merge the first one of lowest rank. A cut after
// byte i stands in cuts[i].
static void merge_plainly(const tp_tokenizer_spec *spec, const char *word, size_t size, bool *cuts)
{
    for (size_t i = 0; i < size; i++) {
        cuts[i] = true;
    }
    for (uint32_t rank = 0; rank < spec->merge_count; rank++) {
        const tp_str merge = spec->merges[rank];
        const char *space = memchr(merge.data + 1, ' ', merge.size - 1);
        const size_t left = (size_t)(space - merge.data);
        const size_t both = merge.size - 1;
        bool is_merged = false;
        for (size_t at = 0; at + both <= size && !is_merged; at++) {
            is_merged = memcmp(word + at, merge.data, left) == 0 &&
                        memcmp(word + at + left, space + 1, both - left) == 0 &&
                        (at == 0 || cuts[at - 1]) && cuts[at + both - 1];
            for (size_t i = 0; i + 1 < both; i++) {
                is_merged = is_merged && cuts[at + i] == (i + 1 == left);
            }
            if (is_merged) {
                cuts[at + left - 1] = false;
            }
        }
        if (is_merged) {
            rank = UINT32_MAX; // from the first again
        }
    }
}

// Words from both sides of what the array of short words holds.
static void test_merges_as_the_plainest_way(void)
{
    static const char letters[] = "helloworlaaaa";
    tp_tokenizer_spec spec;
    cases_bpe_spec(&spec);
    tp_tokenizer *t = cases_new(&spec);
    for (uint64_t i = 0; i < 2000; i++) {
        char word[128];
        bool cuts[128];
        tp_ids ids;
        const size_t size = 1 + i % 120;
        size_t at = 0;
        for (size_t k = 0; k < size; k++) {
            word[k] = letters[tp_random_below(3, i, k, sizeof(letters) - 1)];
        }
        merge_plainly(&spec, word, size, cuts);
        tp_ids_init(&ids, tp_allocator_default());
        ASSERT_OK(tp_tokenizer_encode(t, (tp_str){word, size}, 0, &ids, &test_err));
        for (size_t k = 0; k < ids.count; k++) {
            const size_t piece = tp_tokenizer_piece(t, ids.data[k]).size;
            for (size_t j = 0; j < piece; j++) {
                ASSERT(cuts[at + j] == (j + 1 == piece));
            }
            at += piece;
        }
        ASSERT_EQ_UINT(at, size);
        tp_ids_deinit(&ids);
    }
    tp_tokenizer_free(t);
}

// A megabyte without a place to cut, for each kind of merging; the time limit is the assertion.
static void test_time_of_long_words(void)
{
    enum { SIZE = 1 << 20 };
    static char text[SIZE];
    static const char *const units[] = {"a", " ", "hello", "\xff", "lo w", "\xe2\x96\x81"};
    tp_tokenizer_spec spec;
    for (int kind = 0; kind < 3; kind++) {
        kind == 0   ? cases_bpe_spec(&spec)
        : kind == 1 ? cases_spm_spec(&spec)
                    : cases_wordpiece_spec(&spec);
        tp_tokenizer *t = cases_new(&spec);
        for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
            tp_ids ids;
            tp_ids_init(&ids, tp_allocator_default());
            for (size_t i = 0; i < SIZE; i++) {
                text[i] = units[u][i % strlen(units[u])];
            }
            ASSERT_OK(tp_tokenizer_encode(t, (tp_str){text, SIZE}, 0, &ids, &test_err));
            tp_ids_deinit(&ids);
        }
        tp_tokenizer_free(t);
    }
}

static void test_limit_of_a_word(void)
{
    enum { SIZE = (16 << 20) + 1 };
    tp_tokenizer_spec spec;
    cases_bpe_spec(&spec);
    tp_tokenizer *t = cases_new(&spec);
    char *text = tp_alloc(tp_allocator_default(), SIZE);
    memset(text, 'a', SIZE);
    tp_ids ids;
    tp_ids_init(&ids, tp_allocator_default());
    ASSERT_OK(tp_ids_append(&ids, 7, &test_err));
    ASSERT_FAILS(tp_tokenizer_encode(t, (tp_str){text, SIZE}, 0, &ids, &test_err), TAPEOUT_E_LIMIT,
                 "16777217 bytes without a place to cut");
    ASSERT_EQ_UINT(ids.count, 1); // as before
    tp_ids_deinit(&ids);
    tp_free(tp_allocator_default(), text, SIZE);
    tp_tokenizer_free(t);
}

static void test_characters_that_grow(void)
{
    tp_tokenizer_spec spec;
    cases_bpe_spec(&spec);
    tp_tokenizer *t = cases_new(&spec);
    tp_detokenizer d;
    tp_buffer text;
    tp_buffer_init(&text, tp_allocator_default(), 1024);
    // Token of byte b is 4 + b. Half a character waits; what breaks is U+FFFD once for each part.
    static const uint8_t bytes[] = {'a',  0xf0, 0x9f, 0x98, 0x80, 0xe4, 0xb8, 'b',  0xc0, 0x80,
                                    0xed, 0xa0, 0xf4, 0x90, 0xe0, 0x80, 0xf0, 0x8f, 0xc3};
    static const size_t sizes[] = {1,  1,  1,  1,  5,  5,  5,  9,  12, 15,
                                   15, 21, 21, 27, 27, 33, 33, 39, 39};
    tp_detokenizer_init(&d, t, false);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        ASSERT_OK(tp_detokenizer_push(&d, 4u + bytes[i], &text, &test_err));
        ASSERT_EQ_UINT(text.size, sizes[i]);
        ASSERT(tp_utf8_check(tp_buffer_view(&text), NULL));
    }
    tp_detokenizer_flush(&d, &text);
    ASSERT_EQ_UINT(text.size, 42);
    tp_detokenizer_flush(&d, &text);
    ASSERT_EQ_UINT(text.size, 42);
    ASSERT_FAILS(tp_detokenizer_push(&d, 100000, &text, &test_err), TAPEOUT_E_INVALID,
                 "no token 100000");
    tp_buffer_deinit(&text);
    tp_tokenizer_free(t);
}

static void test_space_in_front_of_generated_text(void)
{
    tp_tokenizer_spec spec;
    cases_spm_spec(&spec);
    tp_tokenizer *t = cases_new(&spec);
    const uint32_t hello = (uint32_t)tp_tokenizer_find(t, TP_STR("\u2581hello"));
    tp_detokenizer d;
    tp_buffer text;
    tp_buffer_init(&text, tp_allocator_default(), 1024);
    tp_detokenizer_init(&d, t, false);
    ASSERT_OK(tp_detokenizer_push(&d, 1, &text, &test_err));
    ASSERT_OK(tp_detokenizer_push(&d, hello, &text, &test_err));
    ASSERT_OK(tp_detokenizer_push(&d, hello, &text, &test_err));
    ASSERT_EQ_BYTES(text.data, text.size, "hello hello", 11);
    tp_buffer_clear(&text);
    tp_detokenizer_init(&d, t, false);
    tp_detokenizer_continue(&d);
    ASSERT_OK(tp_detokenizer_push(&d, hello, &text, &test_err));
    ASSERT_EQ_BYTES(text.data, text.size, " hello", 6);
    tp_buffer_deinit(&text);
    tp_tokenizer_free(t);
}

static void test_phi3_drops_space_behind_control_tokens(void)
{
    tp_tokenizer_spec spec;
    cases_bpe_spec(&spec);
    spec.name = TP_STR("Phi-3 mini");
    tp_tokenizer *t = cases_new(&spec);
    ASSERT_EQ_STR(cases_pieces(t, "<|im_end|> \n he", TP_TOKENIZE_SPECIAL), "<|im_end|>|he");
    tp_tokenizer_free(t);
}

TEST_MAIN(TEST(test_bpe_merges_by_rank), TEST(test_words_that_ignore_merges),
          TEST(test_control_tokens), TEST(test_runs_and_trust), TEST(test_spm),
          TEST(test_spm_without_space), TEST(test_wordpiece), TEST(test_long_words_of_wordpiece),
          TEST(test_round_trip), TEST(test_merges_as_the_plainest_way),
          TEST_SLOW(test_time_of_long_words, 120), TEST_SLOW(test_limit_of_a_word, 120),
          TEST(test_characters_that_grow), TEST(test_space_in_front_of_generated_text),
          TEST(test_phi3_drops_space_behind_control_tokens))
