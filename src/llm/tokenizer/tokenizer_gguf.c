// SPDX-License-Identifier: Apache-2.0
//
// Reads what a GGUF file's metadata says of the tokenizer. Nothing is judged here but the kind of
// each key; what the keys mean together is tp_tokenizer_from_spec's to say.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "llm/gguf/tp_gguf.h"
#include "llm/tokenizer/tokenizer_priv.h"

#include <stdio.h>

// The arrays of a spec, which are read into memory of their own.
typedef struct lists {
    tp_str *tokens;
    tp_str *merges;
    float *scores;
    int32_t *types;
} lists;

static tapeout_status find_array(const tp_gguf *gguf, const char *key, tp_gguf_kind kind,
                                 uint32_t max_count, tp_gguf_array *ret_array, tapeout_error *err)
{
    TP_TRY(tp_gguf_get_array(gguf, key, kind, ret_array, err));
    if (ret_array->count > max_count) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "tokenizer: %s has %llu entries, at most %u are taken",
                       key, (unsigned long long)ret_array->count, max_count);
    }
    return TAPEOUT_OK;
}

static tapeout_status read_strings(const tp_env *env, const tp_gguf *gguf, const char *key,
                                   uint32_t max_count, tp_str **ret_items, uint32_t *ret_count,
                                   tapeout_error *err)
{
    tp_gguf_array array;
    TP_TRY(find_array(gguf, key, TP_GGUF_STRING, max_count, &array, err));
    tp_str *items = tp_alloc_array(env->alloc, (size_t)array.count, sizeof(items[0]));
    if (items == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint64_t i = 0; i < array.count; i++) {
        items[i] = tp_gguf_array_str(&array, i);
    }
    *ret_items = items;
    *ret_count = (uint32_t)array.count;
    return TAPEOUT_OK;
}

static tapeout_status read_scores(const tp_env *env, const tp_gguf *gguf, lists *l,
                                  tp_tokenizer_spec *spec, tapeout_error *err)
{
    static const char key[] = "tokenizer.ggml.scores";
    tp_gguf_array array;
    if (!tp_gguf_has(gguf, key)) {
        return TAPEOUT_OK;
    }
    TP_TRY(find_array(gguf, key, TP_GGUF_F32, TP_MAX_TOKENS, &array, err));
    spec->score_count = (uint32_t)array.count;
    l->scores = tp_alloc_array(env->alloc, spec->score_count, sizeof(l->scores[0]));
    if (l->scores == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < spec->score_count; i++) {
        l->scores[i] = (float)tp_gguf_array_f64(&array, i);
    }
    spec->scores = l->scores;
    return TAPEOUT_OK;
}

static tapeout_status read_types(const tp_env *env, const tp_gguf *gguf, lists *l,
                                 tp_tokenizer_spec *spec, tapeout_error *err)
{
    static const char key[] = "tokenizer.ggml.token_type";
    tp_gguf_array array;
    if (!tp_gguf_has(gguf, key)) {
        return TAPEOUT_OK;
    }
    TP_TRY(find_array(gguf, key, TP_GGUF_I32, TP_MAX_TOKENS, &array, err));
    spec->type_count = (uint32_t)array.count;
    l->types = tp_alloc_array(env->alloc, spec->type_count, sizeof(l->types[0]));
    if (l->types == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < spec->type_count; i++) {
        const int64_t type = tp_gguf_array_i64(&array, i);
        l->types[i] = type < INT32_MIN || type > INT32_MAX ? -1 : (int32_t)type;
    }
    spec->types = l->types;
    return TAPEOUT_OK;
}

static tapeout_status read_lists(const tp_env *env, const tp_gguf *gguf, lists *l,
                                 tp_tokenizer_spec *spec, tapeout_error *err)
{
    TP_TRY(read_strings(env, gguf, "tokenizer.ggml.tokens", TP_MAX_TOKENS, &l->tokens,
                        &spec->token_count, err));
    spec->tokens = l->tokens;
    if (tp_str_equal(spec->model, TP_STR("gpt2")) && tp_gguf_has(gguf, "tokenizer.ggml.merges")) {
        TP_TRY(read_strings(env, gguf, "tokenizer.ggml.merges", TP_MAX_MERGES, &l->merges,
                            &spec->merge_count, err));
        spec->merges = l->merges;
    }
    TP_TRY(read_scores(env, gguf, l, spec, err));
    return read_types(env, gguf, l, spec, err);
}

static tapeout_status read_maybe(const tp_gguf *gguf, const char *key, tp_maybe *ret_value,
                                 tapeout_error *err)
{
    bool value = false;
    if (!tp_gguf_has(gguf, key)) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_gguf_get_bool(gguf, key, &value, err));
    *ret_value = value ? TP_YES : TP_NO;
    return TAPEOUT_OK;
}

static tapeout_status read_flags(const tp_gguf *gguf, tp_tokenizer_spec *spec, tapeout_error *err)
{
    static const char lowercase[] = "tokenizer.ggml.normalizer.lowercase";
    static const char accents[] = "tokenizer.ggml.normalizer.strip_accents";
    TP_TRY(read_maybe(gguf, "tokenizer.ggml.add_bos_token", &spec->add_bos, err));
    TP_TRY(read_maybe(gguf, "tokenizer.ggml.add_eos_token", &spec->add_eos, err));
    TP_TRY(read_maybe(gguf, "tokenizer.ggml.add_sep_token", &spec->add_sep, err));
    TP_TRY(read_maybe(gguf, "tokenizer.ggml.add_space_prefix", &spec->add_space_prefix, err));
    TP_TRY(read_maybe(gguf, lowercase, &spec->lowercase, err));
    return read_maybe(gguf, accents, &spec->strip_accents, err);
}

static tapeout_status read_ids(const tp_gguf *gguf, tp_tokenizer_spec *spec, tapeout_error *err)
{
    for (int role = 0; role < TP_TOKEN_ROLE_COUNT; role++) {
        char key[64];
        uint64_t id = 0;
        (void)snprintf(key, sizeof(key), "tokenizer.ggml.%s_token_id", tp_token_role_key(role));
        if (tp_gguf_has(gguf, key)) {
            TP_TRY(tp_gguf_get_u64(gguf, key, 0, UINT32_MAX, &id, err));
            spec->ids[role] = (int64_t)id;
        }
    }
    return TAPEOUT_OK;
}

// The number of tokens that the file says its model has, where it does: logits and vocabulary must
// agree.
static tapeout_status check_vocab_size(const tp_gguf *gguf, const tp_tokenizer_spec *spec,
                                       tapeout_error *err)
{
    tp_str architecture = {NULL, 0};
    char key[128];
    uint64_t size = 0;
    if (!tp_gguf_has(gguf, "general.architecture")) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_gguf_get_str(gguf, "general.architecture", &architecture, err));
    (void)snprintf(key, sizeof(key), "%.*s.vocab_size", TP_STR_ARGS(architecture));
    if (!tp_gguf_has(gguf, key)) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_gguf_get_u64(gguf, key, 1, UINT32_MAX, &size, err));
    if (size != spec->token_count) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "tokenizer: %s is %llu, but tokenizer.ggml.tokens has %u entries", key,
                       (unsigned long long)size, spec->token_count);
    }
    return TAPEOUT_OK;
}

static tapeout_status read_spec(const tp_env *env, const tp_gguf *gguf, lists *l,
                                tp_tokenizer_spec *spec, tapeout_error *err)
{
    TP_TRY(tp_gguf_get_str(gguf, "tokenizer.ggml.model", &spec->model, err));
    if (tp_gguf_has(gguf, "tokenizer.ggml.pre")) {
        TP_TRY(tp_gguf_get_str(gguf, "tokenizer.ggml.pre", &spec->pre, err));
    }
    if (tp_gguf_has(gguf, "general.name")) {
        TP_TRY(tp_gguf_get_str(gguf, "general.name", &spec->name, err));
    }
    TP_TRY(read_ids(gguf, spec, err));
    TP_TRY(read_flags(gguf, spec, err));
    TP_TRY(read_lists(env, gguf, l, spec, err));
    return check_vocab_size(gguf, spec, err);
}

tapeout_status tp_tokenizer_new(const tp_env *env, const tp_gguf *metadata,
                                tp_tokenizer **ret_tokenizer, tapeout_error *err)
{
    lists l = {0};
    tp_tokenizer_spec spec;
    tp_tokenizer_spec_init(&spec);
    tapeout_status status = read_spec(env, metadata, &l, &spec, err);
    if (status == TAPEOUT_OK) {
        status = tp_tokenizer_from_spec(env, &spec, ret_tokenizer, err);
    }
    tp_free_array(env->alloc, l.tokens, spec.token_count, sizeof(l.tokens[0]));
    tp_free_array(env->alloc, l.merges, spec.merge_count, sizeof(l.merges[0]));
    tp_free_array(env->alloc, l.scores, spec.score_count, sizeof(l.scores[0]));
    tp_free_array(env->alloc, l.types, spec.type_count, sizeof(l.types[0]));
    return status;
}
