// SPDX-License-Identifier: Apache-2.0
//
// A tokenizer out of arbitrary metadata, and arbitrary text through it. The input is the length of
// a text (u16, little-endian), the text, and a GGUF file without tensors. A tokenizer that loads
// must encode every text, keep its ids within the vocabulary, and never give control tokens away.
#include "llm/gguf/tp_gguf.h"
#include "llm/tokenizer/tp_tokenizer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void decode(const tp_env *env, const tp_tokenizer *t, const tp_ids *ids)
{
    tp_buffer text;
    tp_detokenizer detokenizer;
    tp_buffer_init(&text, env->alloc, 1u << 28);
    check(tp_tokenizer_decode(t, ids->data, ids->count, true, &text, NULL) == TAPEOUT_OK);
    tp_buffer_clear(&text);
    tp_detokenizer_init(&detokenizer, t, false);
    for (size_t i = 0; i < ids->count; i++) {
        check(tp_detokenizer_push(&detokenizer, ids->data[i], &text, NULL) == TAPEOUT_OK);
    }
    tp_detokenizer_flush(&detokenizer, &text);
    check(tp_utf8_check(tp_buffer_view(&text), NULL));
    tp_buffer_deinit(&text);
}

static void encode(const tp_env *env, const tp_tokenizer *t, tp_str text)
{
    const size_t half = text.size / 2;
    const tp_text_run runs[] = {{{text.data, half}, true},
                                {{text.data + half, text.size - half}, false}};
    tp_ids ids;
    tp_ids_init(&ids, env->alloc);
    check(tp_tokenizer_encode_runs(t, runs, 2, TP_TOKENIZE_SPECIAL | TP_TOKENIZE_ADD, &ids, NULL) ==
          TAPEOUT_OK);
    decode(env, t, &ids);
    ids.count = 0;
    check(tp_tokenizer_encode(t, text, 0, &ids, NULL) == TAPEOUT_OK);
    const int64_t unknown = tp_tokenizer_role(t, TP_TOKEN_UNKNOWN);
    for (size_t i = 0; i < ids.count; i++) {
        check(ids.data[i] < tp_tokenizer_vocab_count(t));
        check(ids.data[i] == unknown || !tp_tokenizer_is_control(t, ids.data[i]));
    }
    decode(env, t, &ids);
    tp_ids_deinit(&ids);
}

static void ask(const tp_tokenizer *t)
{
    uint32_t count = 0;
    const uint32_t *ends = tp_tokenizer_eog_ids(t, &count);
    for (uint32_t i = 0; i < count; i++) {
        check(tp_tokenizer_is_eog(t, ends[i]) && ends[i] < tp_tokenizer_vocab_count(t));
    }
    for (int role = 0; role < TP_TOKEN_ROLE_COUNT; role++) {
        check(tp_tokenizer_role(t, (tp_token_role)role) < (int64_t)tp_tokenizer_vocab_count(t));
    }
    check(tp_tokenizer_bos(t) == tp_tokenizer_role(t, TP_TOKEN_BOS));
    check(tp_tokenizer_eos(t) == tp_tokenizer_role(t, TP_TOKEN_EOS));
    check(!tp_tokenizer_adds_bos(t) || tp_tokenizer_bos(t) >= 0);
    for (uint32_t id = 0; id < tp_tokenizer_vocab_count(t) && id < 64; id++) {
        const tp_str text = tp_tokenizer_special_text(t, id);
        const int64_t found = tp_tokenizer_find(t, text);
        check(!tp_tokenizer_is_control(t, id) || text.size == 0 || found == id);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_env env = tp_env_plain();
    tp_gguf *gguf = NULL;
    tp_tokenizer *tokenizer = NULL;
    const size_t text_size = size < 2 ? 0 : (size_t)(data[0] | data[1] << 8);
    if (size < 2 || text_size > size - 2) {
        return 0;
    }
    const tp_str text = {(const char *)data + 2, text_size};
    const tp_str file = {text.data + text_size, size - 2 - text_size};
    if (tp_gguf_parse_metadata(&env, file, &gguf, NULL) != TAPEOUT_OK) {
        return 0;
    }
    const tapeout_status status = tp_tokenizer_new(&env, gguf, &tokenizer, NULL);
    tp_gguf_close(&gguf);
    if (status != TAPEOUT_OK) {
        check(status == TAPEOUT_E_CORRUPT || status == TAPEOUT_E_UNSUPPORTED ||
              status == TAPEOUT_E_LIMIT || status == TAPEOUT_E_NOMEM);
        check(tokenizer == NULL);
        return 0;
    }
    ask(tokenizer);
    encode(&env, tokenizer, text);
    tp_tokenizer_free(tokenizer);
    return 0;
}
