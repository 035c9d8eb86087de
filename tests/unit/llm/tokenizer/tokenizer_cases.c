// SPDX-License-Identifier: Apache-2.0
//
// Vocabularies for the tests, written out by rule so that ids can be told by heart.
#include "tokenizer_cases.h"

#include "base/tp_alloc.h"
#include "llm/gguf/tp_gguf.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 512, TEXT_BYTES = 1 << 16 };

static tp_str tokens[MOST];
static int32_t types[MOST];
static float scores[MOST];
static char spelled[256][8];
static char shown[TEXT_BYTES];

tp_tokenizer *cases_model(const char *file_name)
{
    char path[4096];
    const char *folder = getenv("TAPEOUT_TEST_MODELS");
    if (folder != NULL) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, file_name);
    } else {
        (void)snprintf(path, sizeof(path), "%s/.deps/models/%s", test_source_dir(), file_name);
    }
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        char why[4200];
        (void)snprintf(why, sizeof(why), "no model at %s", path);
        test_skip(why);
    }
    (void)fclose(file);
    const tp_env env = tp_env_plain();
    tp_gguf *gguf = NULL;
    tp_tokenizer *tokenizer = NULL;
    ASSERT_OK(tp_gguf_open(&env, path, &gguf, &test_err));
    ASSERT_OK(tp_tokenizer_new(&env, gguf, &tokenizer, &test_err));
    tp_gguf_close(&gguf);
    return tokenizer;
}

static uint32_t add(uint32_t count, const char *text, int type, float score)
{
    ASSERT(count < MOST);
    tokens[count] = tp_str_from(text);
    types[count] = type;
    scores[count] = score;
    return count + 1;
}

// GPT-2's spelling of a byte.
static const char *spell_byte(unsigned byte)
{
    unsigned code = byte;
    if (byte <= 0x20) {
        code = 0x100 + byte;
    } else if (byte >= 0x7f && byte <= 0xa0) {
        code = 0x121 + byte - 0x7f;
    } else if (byte == 0xad) {
        code = 0x143;
    }
    char *text = spelled[byte];
    if (code < 0x80) {
        (void)snprintf(text, sizeof(spelled[0]), "%c", (char)code);
    } else {
        (void)snprintf(text, sizeof(spelled[0]), "%c%c", (char)(0xc0 | code >> 6),
                       (char)(0x80 | (code & 0x3f)));
    }
    return text;
}

void cases_bpe_spec(tp_tokenizer_spec *ret_spec)
{
    static const char *const pairs[] = {"h e",        "l l", "he ll", "hell o", "\u0120 w", "o r",
                                        "\u0120w or", "1 2", "a a",   "aa aa",  "e l",      "l o"};
    static const char *const products[] = {"he",        "ll", "hell", "hello", "\u0120w", "or",
                                           "\u0120wor", "12", "aa",   "aaaa",  "el",      "lo"};
    static tp_str merges[sizeof(pairs) / sizeof(pairs[0])];
    uint32_t count = add(0, "<|begin|>", TP_TOKEN_TYPE_CONTROL, 0);
    count = add(count, "<|im_end|>", TP_TOKEN_TYPE_CONTROL, 0);
    count = add(count, "\n\n", TP_TOKEN_TYPE_USER, 0);
    count = add(count, "<tool_call>", TP_TOKEN_TYPE_USER, 0);
    for (unsigned byte = 0; byte < 256; byte++) {
        count = add(count, spell_byte(byte), TP_TOKEN_TYPE_NORMAL, 0);
    }
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        count = add(count, products[i], TP_TOKEN_TYPE_NORMAL, 0);
        merges[i] = tp_str_from(pairs[i]);
    }
    tp_tokenizer_spec_init(ret_spec);
    ret_spec->model = TP_STR("gpt2");
    ret_spec->pre = TP_STR("gpt-2");
    ret_spec->tokens = tokens;
    ret_spec->types = types;
    ret_spec->token_count = ret_spec->type_count = count;
    ret_spec->merges = merges;
    ret_spec->merge_count = sizeof(pairs) / sizeof(pairs[0]);
    ret_spec->ids[TP_TOKEN_BOS] = 0;
    ret_spec->ids[TP_TOKEN_EOS] = 1;
    ret_spec->add_bos = TP_YES;
}

void cases_spm_spec(tp_tokenizer_spec *ret_spec)
{
    static const char *const pieces[] = {"\u2581", "h",  "e",    "l",     "o",           "he",
                                         "ll",     "lo", "hell", "hello", "\u2581hello", "w"};
    static char bytes[256][8];
    uint32_t count = add(0, "<unk>", TP_TOKEN_TYPE_UNKNOWN, 0);
    count = add(count, "<s>", TP_TOKEN_TYPE_CONTROL, 0);
    count = add(count, "</s>", TP_TOKEN_TYPE_CONTROL, 0);
    for (unsigned byte = 0; byte < 256; byte++) {
        (void)snprintf(bytes[byte], sizeof(bytes[0]), "<0x%02X>", byte);
        count = add(count, bytes[byte], TP_TOKEN_TYPE_BYTE, 0);
    }
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        count = add(count, pieces[i], TP_TOKEN_TYPE_NORMAL, -(float)i);
    }
    count = add(count, "<b>", TP_TOKEN_TYPE_USER, 0);
    count = add(count, "lo\u2581w", TP_TOKEN_TYPE_NORMAL, -20);
    count = add(count, "\u2581w", TP_TOKEN_TYPE_NORMAL, -21);
    tp_tokenizer_spec_init(ret_spec);
    ret_spec->model = TP_STR("llama");
    ret_spec->tokens = tokens;
    ret_spec->types = types;
    ret_spec->scores = scores;
    ret_spec->token_count = ret_spec->type_count = ret_spec->score_count = count;
}

void cases_wordpiece_spec(tp_tokenizer_spec *ret_spec)
{
    static const char *const words[] = {
        "[PAD]",       "[UNK]",    "[CLS]", "[SEP]", "[MASK]",  "\u2581hello",
        "\u2581world", "\u2581un", "aff",   "able",  "\u2581!", "\u2581\u4e2d",
        "\u2581cafe",  "\u2581h",  "ell",   "o",     "\u2581i", "\u0307"};
    uint32_t count = 0;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        count = add(count, words[i], i < 5 ? TP_TOKEN_TYPE_CONTROL : TP_TOKEN_TYPE_NORMAL, 0);
    }
    tp_tokenizer_spec_init(ret_spec);
    ret_spec->model = TP_STR("bert");
    ret_spec->tokens = tokens;
    ret_spec->types = types;
    ret_spec->token_count = ret_spec->type_count = count;
    ret_spec->ids[TP_TOKEN_PADDING] = 0;
    ret_spec->ids[TP_TOKEN_UNKNOWN] = 1;
    ret_spec->ids[TP_TOKEN_BOS] = 2;
    ret_spec->ids[TP_TOKEN_SEPARATOR] = 3;
    ret_spec->ids[TP_TOKEN_MASK] = 4;
}

tp_tokenizer *cases_new(const tp_tokenizer_spec *spec)
{
    const tp_env env = tp_env_plain();
    tp_tokenizer *tokenizer = NULL;
    ASSERT_OK(tp_tokenizer_from_spec(&env, spec, &tokenizer, &test_err));
    return tokenizer;
}

const char *cases_encode(const tp_tokenizer *tokenizer, tp_str text, uint32_t flags)
{
    tp_ids ids;
    size_t size = 0;
    tp_ids_init(&ids, tp_allocator_default());
    ASSERT_OK(tp_tokenizer_encode(tokenizer, text, flags, &ids, &test_err));
    shown[0] = '\0';
    for (size_t i = 0; i < ids.count && size + 16 < sizeof(shown); i++) {
        size +=
            (size_t)snprintf(shown + size, sizeof(shown) - size, i > 0 ? " %u" : "%u", ids.data[i]);
    }
    tp_ids_deinit(&ids);
    return shown;
}

const char *cases_pieces(const tp_tokenizer *tokenizer, const char *text, uint32_t flags)
{
    tp_ids ids;
    size_t size = 0;
    tp_ids_init(&ids, tp_allocator_default());
    ASSERT_OK(tp_tokenizer_encode(tokenizer, tp_str_from(text), flags, &ids, &test_err));
    shown[0] = '\0';
    for (size_t i = 0; i < ids.count && size + 600 < sizeof(shown); i++) {
        const tp_str piece = tp_tokenizer_special_text(tokenizer, ids.data[i]);
        size += (size_t)snprintf(shown + size, sizeof(shown) - size, "%s%.*s", i > 0 ? "|" : "",
                                 TP_STR_ARGS(piece));
    }
    tp_ids_deinit(&ids);
    return shown;
}

tp_str cases_decode(const tp_tokenizer *tokenizer, const uint32_t *ids, size_t count,
                    bool show_special)
{
    static tp_buffer text;
    tp_buffer_deinit(&text);
    tp_buffer_init(&text, tp_allocator_default(), 1u << 26);
    ASSERT_OK(tp_tokenizer_decode(tokenizer, ids, count, show_special, &text, &test_err));
    return tp_buffer_view(&text);
}
