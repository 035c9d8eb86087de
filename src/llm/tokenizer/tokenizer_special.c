// SPDX-License-Identifier: Apache-2.0
//
// Tokens that are not made of text: which have a task, which end a generation, which are matched in
// the text as a whole. Files say only part of it, so names that models are known to use fill in the
// rest, by llama.cpp's list; where such a name is marked as ordinary text it becomes a control
// token (the </s> of gemma3), for a user who types it must not end an answer.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "llm/tokenizer/tokenizer_priv.h"

#include <stdlib.h>

static const char *const role_keys[TP_TOKEN_ROLE_COUNT] = {
    [TP_TOKEN_BOS] = "bos",
    [TP_TOKEN_EOS] = "eos",
    [TP_TOKEN_EOT] = "eot",
    [TP_TOKEN_EOM] = "eom",
    [TP_TOKEN_UNKNOWN] = "unknown",
    [TP_TOKEN_SEPARATOR] = "seperator",
    [TP_TOKEN_PADDING] = "padding",
    [TP_TOKEN_MASK] = "mask",
    [TP_TOKEN_FIM_PREFIX] = "fim_pre",
    [TP_TOKEN_FIM_SUFFIX] = "fim_suf",
    [TP_TOKEN_FIM_MIDDLE] = "fim_mid",
    [TP_TOKEN_FIM_PADDING] = "fim_pad",
    [TP_TOKEN_FIM_REPOSITORY] = "fim_rep",
    [TP_TOKEN_FIM_SEPARATOR] = "fim_sep",
};

const char *tp_token_role_key(tp_token_role role)
{
    return role_keys[role];
}

// -- known names
// -----------------------------------------------------------------------------------

enum { ENDS = 1 }; // generation ends at it

// What a name means where the file does not say: the role it fills, if that is free.
static const struct {
    const char *name;
    int role; // -1: none
    int ends;
} known_names[] = {
    {"<|eot_id|>", TP_TOKEN_EOT, ENDS},
    {"<|im_end|>", TP_TOKEN_EOT, ENDS},
    {"<|end|>", TP_TOKEN_EOT, ENDS},
    {"<end_of_turn>", TP_TOKEN_EOT, ENDS},
    {"<|endoftext|>", TP_TOKEN_EOT, ENDS},
    {"<|end_of_text|>", TP_TOKEN_EOT, ENDS},
    {"<EOT>", TP_TOKEN_EOT, ENDS},
    {"_<EOT>", TP_TOKEN_EOT, ENDS},
    {"[EOT]", TP_TOKEN_EOT, ENDS},
    {"<\uff5cend\u2581of\u2581sentence\uff5c>", TP_TOKEN_EOT, ENDS},
    {"<end_of_utterance>", TP_TOKEN_EOT, ENDS},
    {"<|eom_id|>", TP_TOKEN_EOM, ENDS},
    {"<|return|>", -1, ENDS},
    {"<|call|>", -1, ENDS},
    {"<|flush|>", -1, ENDS},
    {"<|calls|>", -1, ENDS},
    {"</s>", -1, ENDS},
    {"[EOS]", -1, ENDS},
    {"<eos>", -1, ENDS},
    {"<turn|>", -1, ENDS},
    {"<|tool_response>", -1, ENDS},
    {"[e~[", -1, ENDS},
    {"<|fim_prefix|>", TP_TOKEN_FIM_PREFIX, 0},
    {"<fim-prefix>", TP_TOKEN_FIM_PREFIX, 0},
    {"<fim_prefix>", TP_TOKEN_FIM_PREFIX, 0},
    {"<\uff5cfim\u2581begin\uff5c>", TP_TOKEN_FIM_PREFIX, 0},
    {"<PRE>", TP_TOKEN_FIM_PREFIX, 0},
    {"\u2581<PRE>", TP_TOKEN_FIM_PREFIX, 0},
    {"<|code_prefix|>", TP_TOKEN_FIM_PREFIX, 0},
    {"<|prefix|>", TP_TOKEN_FIM_PREFIX, 0},
    {"<|fim_suffix|>", TP_TOKEN_FIM_SUFFIX, 0},
    {"<fim-suffix>", TP_TOKEN_FIM_SUFFIX, 0},
    {"<fim_suffix>", TP_TOKEN_FIM_SUFFIX, 0},
    {"<\uff5cfim\u2581hole\uff5c>", TP_TOKEN_FIM_SUFFIX, 0},
    {"<SUF>", TP_TOKEN_FIM_SUFFIX, 0},
    {"\u2581<SUF>", TP_TOKEN_FIM_SUFFIX, 0},
    {"<|code_suffix|>", TP_TOKEN_FIM_SUFFIX, 0},
    {"<|suffix|>", TP_TOKEN_FIM_SUFFIX, 0},
    {"<|fim_middle|>", TP_TOKEN_FIM_MIDDLE, 0},
    {"<fim-middle>", TP_TOKEN_FIM_MIDDLE, 0},
    {"<fim_middle>", TP_TOKEN_FIM_MIDDLE, 0},
    {"<\uff5cfim\u2581end\uff5c>", TP_TOKEN_FIM_MIDDLE, 0},
    {"<MID>", TP_TOKEN_FIM_MIDDLE, 0},
    {"\u2581<MID>", TP_TOKEN_FIM_MIDDLE, 0},
    {"<|code_middle|>", TP_TOKEN_FIM_MIDDLE, 0},
    {"<|middle|>", TP_TOKEN_FIM_MIDDLE, 0},
    {"<|fim_pad|>", TP_TOKEN_FIM_PADDING, 0},
    {"<fim-pad>", TP_TOKEN_FIM_PADDING, 0},
    {"<fim_pad>", TP_TOKEN_FIM_PADDING, 0},
    {"<PAD>", TP_TOKEN_FIM_PADDING, 0},
    {"[PAD]", TP_TOKEN_FIM_PADDING, 0},
    {"<|fim_repo|>", TP_TOKEN_FIM_REPOSITORY, 0},
    {"<|repo_name|>", TP_TOKEN_FIM_REPOSITORY, 0},
    {"<fim-repo>", TP_TOKEN_FIM_REPOSITORY, 0},
    {"<REPO>", TP_TOKEN_FIM_REPOSITORY, 0},
    {"<reponame>", TP_TOKEN_FIM_REPOSITORY, 0},
    {"<|file_sep|>", TP_TOKEN_FIM_SEPARATOR, 0},
};

// Words of the prompt formats that files mark as ordinary user-defined text. They are matched in
// what a template writes, never in what a user does.
static const char *const markers[] = {
    "<tool_call>",    "</tool_call>",    "<tool_response>", "</tool_response>", "<tools>",
    "</tools>",       "<think>",         "</think>",        "<start_of_turn>",  "<start_of_image>",
    "<end_of_image>", "<function_call>", "</function_call>"};

static bool is_marker(tp_str text)
{
    for (size_t i = 0; i < sizeof(markers) / sizeof(markers[0]); i++) {
        if (tp_str_equal(text, tp_str_from(markers[i]))) {
            return true;
        }
    }
    if (tp_str_has_prefix(text, TP_STR("<|")) || tp_str_has_suffix(text, TP_STR("|>")) ||
        tp_str_has_prefix(text, TP_STR("<\uff5c"))) {
        return true;
    }
    // [INST], [/TOOL_CALLS]: upper case in brackets.
    bool is_word = text.size > 2 && text.data[0] == '[' && text.data[text.size - 1] == ']';
    for (size_t i = 1; is_word && i + 1 < text.size; i++) {
        const char c = text.data[i];
        is_word = (c >= 'A' && c <= 'Z') || c == '_' || c == '/';
    }
    return is_word;
}

// -- reading
// ---------------------------------------------------------------------------------------

// What a file that is silent means, by its model.
static void set_default_roles(tp_tokenizer *t)
{
    for (int i = 0; i < TP_TOKEN_ROLE_COUNT; i++) {
        t->roles[i] = -1;
    }
    if (t->kind == TP_TOKENIZER_SPM) {
        t->roles[TP_TOKEN_BOS] = 1;
        t->roles[TP_TOKEN_EOS] = 2;
        t->roles[TP_TOKEN_UNKNOWN] = 0;
    } else if (t->kind == TP_TOKENIZER_WORDPIECE) {
        t->roles[TP_TOKEN_BOS] = 101;
        t->roles[TP_TOKEN_UNKNOWN] = 100;
        t->roles[TP_TOKEN_SEPARATOR] = 102;
        t->roles[TP_TOKEN_PADDING] = 0;
        t->roles[TP_TOKEN_MASK] = 103;
    }
    for (int i = 0; i < TP_TOKEN_ROLE_COUNT; i++) {
        if (t->roles[i] >= t->count) {
            t->roles[i] = -1;
        }
    }
}

static tapeout_status read_roles(tp_tokenizer *t, const tp_tokenizer_spec *spec, tapeout_error *err)
{
    set_default_roles(t);
    for (int i = 0; i < TP_TOKEN_ROLE_COUNT; i++) {
        if (spec->ids[i] >= t->count) {
            return tp_fail(err, TAPEOUT_E_CORRUPT,
                           "tokenizer: tokenizer.ggml.%s_token_id is %lld, tokenizer.ggml.tokens "
                           "has %u entries",
                           role_keys[i], (long long)spec->ids[i], t->count);
        }
        if (spec->ids[i] >= 0) {
            t->roles[i] = spec->ids[i];
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status need_role(const tp_tokenizer *t, tp_token_role role, const char *flag,
                                tapeout_error *err)
{
    if (t->roles[role] >= 0) {
        return TAPEOUT_OK;
    }
    return tp_fail(
        err, TAPEOUT_E_CORRUPT,
        "tokenizer: tokenizer.ggml.%s is true, but tokenizer.ggml.%s_token_id is missing", flag,
        role_keys[role]);
}

// Whether BOS and EOS are added: as the file says, else as the model does.
static tapeout_status read_added(tp_tokenizer *t, const tp_tokenizer_spec *spec, tapeout_error *err)
{
    const bool is_bert = t->kind == TP_TOKENIZER_WORDPIECE;
    const bool bos_default = t->kind == TP_TOKENIZER_BPE ? t->pre->adds_bos : true;
    if (spec->add_bos == TP_YES || is_bert) {
        TP_TRY(need_role(t, TP_TOKEN_BOS, "add_bos_token", err));
    }
    if (spec->add_eos == TP_YES && !is_bert) {
        TP_TRY(need_role(t, TP_TOKEN_EOS, "add_eos_token", err));
    }
    if (is_bert) {
        TP_TRY(need_role(t, TP_TOKEN_SEPARATOR, "add_sep_token", err));
        TP_TRY(need_role(t, TP_TOKEN_UNKNOWN, "add_sep_token", err));
    }
    t->adds_bos = is_bert || (spec->add_bos == TP_ABSENT ? bos_default : spec->add_bos == TP_YES);
    t->adds_bos = t->adds_bos && t->roles[TP_TOKEN_BOS] >= 0;
    t->adds_eos = is_bert || spec->add_eos == TP_YES;
    return TAPEOUT_OK;
}

// -- names and ends
// --------------------------------------------------------------------------------

enum { NAME_COUNT = sizeof(known_names) / sizeof(known_names[0]) };

typedef struct ends {
    uint32_t ids[NAME_COUNT + TP_TOKEN_ROLE_COUNT];
    uint32_t count;
} ends;

static void add_end(ends *e, int64_t id)
{
    for (uint32_t i = 0; i < e->count; i++) {
        if (e->ids[i] == id) {
            return;
        }
    }
    if (id >= 0) {
        e->ids[e->count++] = (uint32_t)id;
    }
}

static void drop_end(ends *e, int64_t id)
{
    for (uint32_t i = 0; i < e->count; i++) {
        if (e->ids[i] == id) {
            e->ids[i] = e->ids[--e->count];
            return;
        }
    }
}

// The ids of the known names, -1 where the vocabulary lacks one.
static void find_names(const tp_tokenizer_spec *spec, int64_t found[NAME_COUNT])
{
    for (int i = 0; i < NAME_COUNT; i++) {
        found[i] = -1;
    }
    for (uint32_t id = 0; id < spec->token_count; id++) {
        const tp_str text = spec->tokens[id];
        if (text.size < 3 || memchr("<[_\xe2", text.data[0], 4) == NULL) {
            continue;
        }
        for (int i = 0; i < NAME_COUNT; i++) {
            if (tp_str_equal(text, tp_str_from(known_names[i].name))) {
                found[i] = id;
            }
        }
    }
}

static int64_t id_of_name(const int64_t found[NAME_COUNT], const char *name)
{
    for (int i = 0; i < NAME_COUNT; i++) {
        if (tp_str_equal(tp_str_from(known_names[i].name), tp_str_from(name))) {
            return found[i];
        }
    }
    return -1;
}

// Names that mean something else beside certain others: <|end|> ends a message and not the answer
// in the formats of gpt-oss and Solar; </s> is a word of Gemma 4 and PLaMo.
static void take_back_names(tp_tokenizer *t, const int64_t found[NAME_COUNT], ends *e)
{
    const bool has_call = id_of_name(found, "<|call|>") >= 0 || id_of_name(found, "<|calls|>") >= 0;
    const bool has_other =
        id_of_name(found, "<|return|>") >= 0 || id_of_name(found, "<|flush|>") >= 0;
    const int64_t end = id_of_name(found, "<|end|>");
    if (has_call && has_other && end >= 0) {
        drop_end(e, end);
        t->kinds[end] = TP_KIND_MARKER;
    }
    const int64_t sentence = id_of_name(found, "</s>");
    if (id_of_name(found, "<|tool_response>") >= 0 && sentence >= 0) {
        drop_end(e, sentence);
        t->kinds[sentence] = TP_KIND_NORMAL;
    }
}

static void read_names(tp_tokenizer *t, const tp_tokenizer_spec *spec, ends *e)
{
    int64_t found[NAME_COUNT];
    find_names(spec, found);
    for (int i = 0; i < NAME_COUNT; i++) {
        const int role = known_names[i].role;
        const bool fills = found[i] >= 0 && role >= 0 && t->roles[role] < 0;
        if (fills) {
            t->roles[role] = found[i];
        }
        if (found[i] >= 0 && (fills || known_names[i].ends != 0)) {
            t->kinds[found[i]] = TP_KIND_CONTROL;
        }
        if (known_names[i].ends != 0) {
            add_end(e, found[i]);
        }
    }
    static const tp_token_role ending[] = {TP_TOKEN_FIM_PADDING,   TP_TOKEN_FIM_REPOSITORY,
                                           TP_TOKEN_FIM_SEPARATOR, TP_TOKEN_EOS,
                                           TP_TOKEN_EOT,           TP_TOKEN_EOM};
    for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++) {
        add_end(e, t->roles[ending[i]]);
    }
    take_back_names(t, found, e);
}

static int compare_ids(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a;
    const uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static bool contains_ignoring_case(tp_str text, const char *part)
{
    const size_t size = strlen(part);
    for (size_t at = 0; at + size <= text.size; at++) {
        if (tp_str_equal_ignore_case((tp_str){text.data + at, size}, (tp_str){part, size})) {
            return true;
        }
    }
    return false;
}

tapeout_status tp_specials_read(tp_tokenizer *t, const tp_tokenizer_spec *spec, tapeout_error *err)
{
    ends e = {.count = 0};
    TP_TRY(read_roles(t, spec, err));
    TP_TRY(read_added(t, spec, err));
    read_names(t, spec, &e);
    for (uint32_t id = 0; id < t->count; id++) {
        if (t->kinds[id] == TP_KIND_USER && is_marker(spec->tokens[id])) {
            t->kinds[id] = TP_KIND_MARKER;
        }
    }
    t->strips_after_special =
        contains_ignoring_case(spec->name, "phi-3") || contains_ignoring_case(spec->name, "phi3");
    t->eog_count = e.count;
    t->eog = tp_alloc_array(t->alloc, e.count, sizeof(t->eog[0]));
    if (t->eog == NULL) {
        return tp_fail_nomem(err);
    }
    qsort(e.ids, e.count, sizeof(e.ids[0]), compare_ids);
    memcpy(t->eog, e.ids, e.count * sizeof(e.ids[0]));
    return TAPEOUT_OK;
}

// -- the index
// -------------------------------------------------------------------------------------

typedef struct special {
    tp_str text;
    uint32_t id;
} special;

static int compare_specials(const void *a, const void *b)
{
    const special *x = a;
    const special *y = b;
    return tp_str_compare(x->text, y->text);
}

static bool is_special(const tp_tokenizer *t, uint32_t id)
{
    return t->kinds[id] >= TP_KIND_USER && tp_token_bytes(t, id).size > 0;
}

static tapeout_status check_special(const tp_tokenizer *t, const special *previous,
                                    const special *this, tapeout_error *err)
{
    const bool is_again = previous != NULL && tp_str_equal(previous->text, this->text);
    const uint32_t other = is_again ? previous->id : tp_vocab_find_spelled(t, this->text);
    if (this->text.size > TP_MAX_SPECIAL_TOKEN_BYTES) {
        return tp_fail_at(err, TAPEOUT_E_LIMIT, this->id,
                          "tokenizer: entry %u of tokenizer.ggml.tokens is matched as a whole and "
                          "has %zu bytes, at most %u are taken",
                          this->id, this->text.size, TP_MAX_SPECIAL_TOKEN_BYTES);
    }
    if (other != TP_NO_TOKEN) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, this->id,
                          "tokenizer: entries %u and %u of tokenizer.ggml.tokens are the same, "
                          "'%.*s'",
                          other, this->id, TP_STR_ARGS(this->text));
    }
    return TAPEOUT_OK;
}

static tapeout_status fill_index(tp_tokenizer *t, const special *sorted, tapeout_error *err)
{
    for (uint32_t i = 0; i < t->special_count; i++) {
        TP_TRY(check_special(t, i > 0 ? &sorted[i - 1] : NULL, &sorted[i], err));
        t->specials[i] = sorted[i].id;
    }
    uint32_t at = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        t->special_first[byte] = at;
        while (at < t->special_count && (uint8_t)sorted[at].text.data[0] == byte) {
            at++;
        }
    }
    t->special_first[256] = at;
    return TAPEOUT_OK;
}

static void gather_specials(const tp_tokenizer *t, special *ret_sorted)
{
    uint32_t count = 0;
    for (uint32_t id = 0; id < t->count; id++) {
        if (is_special(t, id)) {
            ret_sorted[count++] = (special){tp_token_bytes(t, id), id};
        }
    }
    qsort(ret_sorted, count, sizeof(ret_sorted[0]), compare_specials);
}

tapeout_status tp_specials_index(tp_tokenizer *t, tapeout_error *err)
{
    for (uint32_t id = 0; id < t->count; id++) {
        t->special_count += is_special(t, id);
    }
    special *sorted = tp_alloc_array(t->alloc, t->special_count, sizeof(sorted[0]));
    t->specials = tp_alloc_array(t->alloc, t->special_count, sizeof(t->specials[0]));
    tapeout_status status = TAPEOUT_OK;
    if (sorted == NULL || t->specials == NULL) {
        status = tp_fail_nomem(err);
    } else {
        gather_specials(t, sorted);
        status = fill_index(t, sorted, err);
    }
    tp_free_array(t->alloc, sorted, t->special_count, sizeof(sorted[0]));
    return status;
}

// The first of specials [low, high) whose byte at `depth` is at least `byte`; they agree before it.
static uint32_t lower_bound(const tp_tokenizer *t, uint32_t low, uint32_t high, size_t depth,
                            unsigned byte)
{
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const tp_str text = tp_token_bytes(t, t->specials[middle]);
        if (depth >= text.size || (uint8_t)text.data[depth] < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool is_allowed(const tp_tokenizer *t, uint32_t id, bool is_trusted, bool with_control)
{
    if (t->kinds[id] == TP_KIND_USER) {
        return true;
    }
    return is_trusted && (with_control || t->kinds[id] == TP_KIND_MARKER);
}

uint32_t tp_specials_match(const tp_tokenizer *t, tp_str text, size_t at, size_t trusted_end,
                           bool with_control)
{
    const uint8_t first = (uint8_t)text.data[at];
    uint32_t low = t->special_first[first];
    uint32_t high = t->special_first[first + 1];
    uint32_t found = TP_NO_TOKEN;
    for (size_t depth = 1; low < high; depth++) {
        const uint32_t id = t->specials[low]; // the shortest of those that are left
        if (tp_token_bytes(t, id).size == depth &&
            is_allowed(t, id, at + depth <= trusted_end, with_control)) {
            found = id;
        }
        if (at + depth >= text.size) {
            break;
        }
        const uint8_t byte = (uint8_t)text.data[at + depth];
        low = lower_bound(t, low, high, depth, byte);
        high = lower_bound(t, low, high, depth, byte + 1u);
    }
    return found;
}

uint32_t tp_specials_find(const tp_tokenizer *t, tp_str text)
{
    if (text.size == 0) {
        return TP_NO_TOKEN;
    }
    const uint32_t id = tp_specials_match(t, text, 0, text.size, true);
    return id != TP_NO_TOKEN && tp_token_bytes(t, id).size == text.size ? id : TP_NO_TOKEN;
}

// -- asking
// ----------------------------------------------------------------------------------------

const uint32_t *tp_tokenizer_eog_ids(const tp_tokenizer *tokenizer, uint32_t *ret_count)
{
    *ret_count = tokenizer->eog_count;
    return tokenizer->eog;
}

bool tp_tokenizer_is_eog(const tp_tokenizer *tokenizer, uint32_t id)
{
    for (uint32_t i = 0; i < tokenizer->eog_count; i++) {
        if (tokenizer->eog[i] == id) {
            return true;
        }
    }
    return false;
}

int64_t tp_tokenizer_role(const tp_tokenizer *tokenizer, tp_token_role role)
{
    return tokenizer->roles[role];
}

int64_t tp_tokenizer_bos(const tp_tokenizer *tokenizer)
{
    return tokenizer->roles[TP_TOKEN_BOS];
}

int64_t tp_tokenizer_eos(const tp_tokenizer *tokenizer)
{
    return tokenizer->roles[TP_TOKEN_EOS];
}

bool tp_tokenizer_adds_bos(const tp_tokenizer *tokenizer)
{
    return tokenizer->adds_bos;
}

bool tp_tokenizer_adds_eos(const tp_tokenizer *tokenizer)
{
    return tokenizer->adds_eos;
}
