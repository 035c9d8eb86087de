// SPDX-License-Identifier: Apache-2.0
//
// From text to ids: special tokens are found first, the longest at each place; what lies between
// them is cut into words, and each word merged. Runs of different trust are one text to all of this
// but the search for control tokens, so trust changes no other id.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "llm/tokenizer/tokenizer_priv.h"

// -- ids
// -------------------------------------------------------------------------------------------

void tp_ids_init(tp_ids *ids, const tapeout_allocator *alloc)
{
    *ids = (tp_ids){.alloc = alloc};
}

void tp_ids_deinit(tp_ids *ids)
{
    tp_free_array(ids->alloc, ids->data, ids->capacity, sizeof(ids->data[0]));
    *ids = (tp_ids){.alloc = ids->alloc};
}

tapeout_status tp_ids_append(tp_ids *ids, uint32_t id, tapeout_error *err)
{
    if (ids->count == ids->capacity) {
        if (ids->count >= TP_MAX_TOKEN_IDS) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "tokenizer: more than %u ids", TP_MAX_TOKEN_IDS);
        }
        const size_t wanted = ids->capacity == 0 ? 64 : ids->capacity * 2;
        uint32_t *grown =
            tp_resize_array(ids->alloc, ids->data, ids->capacity, wanted, sizeof(ids->data[0]));
        if (grown == NULL) {
            return tp_fail_nomem(err);
        }
        ids->data = grown;
        ids->capacity = wanted;
    }
    ids->data[ids->count++] = id;
    return TAPEOUT_OK;
}

// -- one stretch without special tokens
// ------------------------------------------------------------

static tapeout_status put_word(void *user, const uint8_t *word, size_t size)
{
    return tp_merge_word(user, word, size);
}

// A SentencePiece vocabulary merges within the whole text, but hardly ever into a space: the text
// is cut where no token could reach across, which changes nothing.
static tapeout_status encode_spaced(tp_merge_work *work, const uint8_t *text, size_t size)
{
    const bool *crosses = work->tokenizer->crosses_space;
    size_t begin = 0;
    for (size_t at = 1; at < size; at++) {
        if (text[at] == ' ' && !crosses[text[at - 1]]) {
            TP_TRY(tp_merge_word(work, text + begin, at - begin));
            begin = at;
        }
    }
    return size > begin ? tp_merge_word(work, text + begin, size - begin) : TAPEOUT_OK;
}

// The text with a space in front where the model wants one, and U+2581 as the space that it is to
// the vocabulary.
static size_t escape(tp_str text, bool with_prefix, uint8_t *ret_bytes)
{
    size_t size = 0;
    if (with_prefix) {
        ret_bytes[size++] = ' ';
    }
    for (size_t at = 0; at < text.size; size++) {
        const bool is_space = text.size - at >= 3 && memcmp(text.data + at, "\xe2\x96\x81", 3) == 0;
        ret_bytes[size] = is_space ? ' ' : (uint8_t)text.data[at];
        at += is_space ? 3 : 1;
    }
    return size;
}

static tapeout_status encode_spm(tp_merge_work *work, tp_str text, bool with_prefix)
{
    const uint8_t *bytes = (const uint8_t *)text.data;
    if (!with_prefix && memchr(bytes, 0xe2, text.size) == NULL) {
        return encode_spaced(work, bytes, text.size);
    }
    const tapeout_allocator *alloc = work->ids->alloc;
    uint8_t *copy = tp_alloc(alloc, text.size + 1);
    if (copy == NULL) {
        return tp_fail_nomem(work->err);
    }
    const tapeout_status status = encode_spaced(work, copy, escape(text, with_prefix, copy));
    tp_free(alloc, copy, text.size + 1);
    return status;
}

static tapeout_status encode_stretch(tp_merge_work *work, tp_str text, bool is_behind_special)
{
    const tp_tokenizer *t = work->tokenizer;
    if (text.size == 0) {
        return TAPEOUT_OK;
    }
    if (t->kind == TP_TOKENIZER_BPE) {
        return tp_pre_split(t->pre, text, put_word, work);
    }
    if (t->kind == TP_TOKENIZER_SPM) {
        return encode_spm(work, text, t->has_space_prefix && is_behind_special);
    }
    return tp_wordpiece_encode(t, text, work->ids, work->err);
}

// -- the whole text
// --------------------------------------------------------------------------------

// Where the trusted stretch that holds a position ends; positions are asked in ascending order.
typedef struct trust {
    const tp_text_run *runs;
    size_t run_count;
    size_t run;         // the first run that may hold the next position
    size_t run_end;     // where it ends
    size_t trusted_end; // of the stretch of trusted runs from `run` on
} trust;

static size_t trusted_end(trust *state, size_t at)
{
    while (state->run < state->run_count && at >= state->run_end) {
        state->run++;
        state->run_end += state->run < state->run_count ? state->runs[state->run].text.size : 0;
    }
    if (state->run >= state->run_count || !state->runs[state->run].is_trusted) {
        return at;
    }
    if (state->trusted_end <= at) {
        state->trusted_end = state->run_end;
        for (size_t i = state->run + 1; i < state->run_count && state->runs[i].is_trusted; i++) {
            state->trusted_end += state->runs[i].text.size;
        }
    }
    return state->trusted_end;
}

static bool is_ascii_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

// Phi-3: space behind a special token is dropped, but for three of them.
static size_t strip_behind(const tp_tokenizer *t, uint32_t id, tp_str text, size_t at)
{
    const tp_str token = tp_token_bytes(t, id);
    const bool keeps = tp_str_equal(token, TP_STR("<unk>")) || tp_str_equal(token, TP_STR("<s>")) ||
                       tp_str_equal(token, TP_STR("<|endoftext|>"));
    while (!keeps && at < text.size && is_ascii_space(text.data[at])) {
        at++;
    }
    return at;
}

static tapeout_status encode_text(tp_merge_work *work, tp_str text, trust *state, bool with_control)
{
    const tp_tokenizer *t = work->tokenizer;
    size_t begin = 0;
    bool is_behind_special = true;
    for (size_t at = 0; at < text.size;) {
        const uint8_t byte = (uint8_t)text.data[at];
        if (t->special_first[byte] == t->special_first[byte + 1]) {
            at++;
            continue;
        }
        const uint32_t id = tp_specials_match(t, text, at, trusted_end(state, at), with_control);
        if (id == TP_NO_TOKEN) {
            at++;
            continue;
        }
        const tp_str stretch = {text.data + begin, at - begin};
        TP_TRY(encode_stretch(work, stretch, is_behind_special));
        TP_TRY(tp_ids_append(work->ids, id, work->err));
        at += tp_token_bytes(t, id).size;
        at = t->strips_after_special ? strip_behind(t, id, text, at) : at;
        begin = at;
        is_behind_special = true;
    }
    const tp_str rest = {text.data + begin, text.size - begin};
    return encode_stretch(work, rest, is_behind_special);
}

static tapeout_status encode_added(tp_merge_work *work, tp_str text, trust *state, uint32_t flags)
{
    const tp_tokenizer *t = work->tokenizer;
    const bool adds = (flags & TP_TOKENIZE_ADD) != 0;
    if (adds && t->adds_bos) {
        TP_TRY(tp_ids_append(work->ids, (uint32_t)t->roles[TP_TOKEN_BOS], work->err));
    }
    TP_TRY(encode_text(work, text, state, (flags & TP_TOKENIZE_SPECIAL) != 0));
    if (adds && t->adds_eos) {
        const bool is_bert = t->kind == TP_TOKENIZER_WORDPIECE;
        const int64_t end = t->roles[is_bert ? TP_TOKEN_SEPARATOR : TP_TOKEN_EOS];
        return tp_ids_append(work->ids, (uint32_t)end, work->err);
    }
    return TAPEOUT_OK;
}

// All runs in one block, or the only one as it is.
static tapeout_status join_runs(const tp_text_run *runs, size_t run_count, tp_ids *ids,
                                tp_str *ret_text, tapeout_error *err)
{
    size_t size = 0;
    for (size_t i = 0; i < run_count; i++) {
        if (runs[i].text.size > TP_MAX_TOKENIZE_BYTES - size) {
            return tp_fail(err, TAPEOUT_E_LIMIT,
                           "tokenizer: a text of more than %u bytes; break it into parts",
                           TP_MAX_TOKENIZE_BYTES);
        }
        size += runs[i].text.size;
    }
    if (run_count <= 1) {
        *ret_text = run_count == 1 ? runs[0].text : (tp_str){"", 0};
        return TAPEOUT_OK;
    }
    char *data = tp_alloc(ids->alloc, size + 1);
    if (data == NULL) {
        return tp_fail_nomem(err);
    }
    size_t at = 0;
    for (size_t i = 0; i < run_count; at += runs[i++].text.size) {
        if (runs[i].text.size > 0) {
            memcpy(data + at, runs[i].text.data, runs[i].text.size);
        }
    }
    *ret_text = (tp_str){data, size};
    return TAPEOUT_OK;
}

tapeout_status tp_tokenizer_encode_runs(const tp_tokenizer *tokenizer, const tp_text_run *runs,
                                        size_t run_count, uint32_t flags, tp_ids *ids,
                                        tapeout_error *err)
{
    tp_str text = {"", 0};
    TP_TRY(join_runs(runs, run_count, ids, &text, err));
    trust state = {.runs = runs, .run_count = run_count};
    state.run_end = run_count > 0 ? runs[0].text.size : 0;
    tp_merge_work work = {.tokenizer = tokenizer, .ids = ids, .err = err};
    const size_t before = ids->count;
    const tapeout_status status = encode_added(&work, text, &state, flags);
    if (status != TAPEOUT_OK) {
        ids->count = before;
    }
    tp_merge_work_deinit(&work);
    if (run_count > 1) {
        tp_free(ids->alloc, (char *)text.data, text.size + 1);
    }
    return status;
}

tapeout_status tp_tokenizer_encode(const tp_tokenizer *tokenizer, tp_str text, uint32_t flags,
                                   tp_ids *ids, tapeout_error *err)
{
    const tp_text_run run = {text, true};
    return tp_tokenizer_encode_runs(tokenizer, &run, 1, flags, ids, err);
}
