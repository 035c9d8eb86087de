// SPDX-License-Identifier: Apache-2.0
//
// Making a tokenizer: from what the metadata says to the tables that encoding uses. The order is
// kinds, names, bytes, then merges or scores, since each needs what comes before it.
#include "llm/tokenizer/tp_tokenizer.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "llm/tokenizer/tokenizer_priv.h"

void tp_tokenizer_spec_init(tp_tokenizer_spec *spec)
{
    *spec = (tp_tokenizer_spec){.add_bos = TP_ABSENT,
                                .add_eos = TP_ABSENT,
                                .add_sep = TP_ABSENT,
                                .add_space_prefix = TP_ABSENT,
                                .lowercase = TP_ABSENT,
                                .strip_accents = TP_ABSENT};
    for (int i = 0; i < TP_TOKEN_ROLE_COUNT; i++) {
        spec->ids[i] = -1;
    }
}

static tapeout_status read_model(tp_tokenizer *t, const tp_tokenizer_spec *spec, tapeout_error *err)
{
    static const char *const models[] = {[TP_TOKENIZER_BPE] = "gpt2",
                                         [TP_TOKENIZER_SPM] = "llama",
                                         [TP_TOKENIZER_WORDPIECE] = "bert"};
    for (unsigned i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        if (tp_str_equal(spec->model, tp_str_from(models[i]))) {
            t->kind = (tp_tokenizer_kind)i;
            if (t->kind != TP_TOKENIZER_BPE) {
                return TAPEOUT_OK;
            }
            t->pre = tp_pre_recipe_find(spec->pre);
            if (t->pre == NULL) {
                return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                               "tokenizer: tokenizer.ggml.pre is '%.*s', a pre-tokenizer that is "
                               "not known here",
                               TP_STR_ARGS(spec->pre));
            }
            return TAPEOUT_OK;
        }
    }
    return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                   "tokenizer: tokenizer.ggml.model is '%.*s'; known are gpt2, llama and bert",
                   TP_STR_ARGS(spec->model));
}

static void read_options(tp_tokenizer *t, const tp_tokenizer_spec *spec)
{
    t->has_space_prefix = t->kind == TP_TOKENIZER_SPM && spec->add_space_prefix != TP_NO;
    t->lowercases = spec->lowercase != TP_NO;
    t->strips_accents =
        spec->strip_accents == TP_ABSENT ? t->lowercases : spec->strip_accents == TP_YES;
}

static tapeout_status read_all(tp_tokenizer *t, const tp_tokenizer_spec *spec, tapeout_error *err)
{
    TP_TRY(read_model(t, spec, err));
    read_options(t, spec);
    TP_TRY(tp_vocab_read_kinds(t, spec, err));
    TP_TRY(tp_specials_read(t, spec, err));
    TP_TRY(tp_vocab_read_tokens(t, spec, err));
    TP_TRY(tp_specials_index(t, err));
    if (t->kind == TP_TOKENIZER_BPE) {
        return tp_merges_read(t, spec, err);
    }
    return t->kind == TP_TOKENIZER_SPM ? tp_scores_read(t, spec, err) : TAPEOUT_OK;
}

tapeout_status tp_tokenizer_from_spec(const tp_env *env, const tp_tokenizer_spec *spec,
                                      tp_tokenizer **ret_tokenizer, tapeout_error *err)
{
    tp_tokenizer *t = tp_alloc_zero(env->alloc, sizeof(*t));
    if (t == NULL) {
        return tp_fail_nomem(err);
    }
    t->alloc = env->alloc;
    const tapeout_status status = read_all(t, spec, err);
    if (status != TAPEOUT_OK) {
        tp_tokenizer_free(t);
        return status;
    }
    *ret_tokenizer = t;
    return TAPEOUT_OK;
}

void tp_tokenizer_free(tp_tokenizer *t)
{
    if (t == NULL) {
        return;
    }
    const tapeout_allocator *alloc = t->alloc;
    tp_free_array(alloc, t->kinds, t->count, sizeof(t->kinds[0]));
    tp_free(alloc, t->bytes, t->bytes_size);
    tp_free_array(alloc, t->offsets, (size_t)t->count + 1, sizeof(t->offsets[0]));
    tp_free_array(alloc, t->pieces, t->piece_slots, sizeof(t->pieces[0]));
    tp_free_array(alloc, t->merges, t->merge_slots, sizeof(t->merges[0]));
    tp_free_array(alloc, t->ranks, t->count, sizeof(t->ranks[0]));
    tp_free_array(alloc, t->specials, t->special_count, sizeof(t->specials[0]));
    tp_free_array(alloc, t->eog, t->eog_count, sizeof(t->eog[0]));
    tp_free(alloc, t, sizeof(*t));
}
