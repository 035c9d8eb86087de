// SPDX-License-Identifier: Apache-2.0
//
// The vocabulary of a BERT model, from tokenizer.json or else vocab.txt, as GGUF has it: a piece
// that begins a word gets U+2581 in front, one that goes on loses its "##", tokens in brackets
// stay. What the tokenizer of the engine could not do is refused here: other models than WordPiece,
// ids that are not 0 … n-1, another mark than "##".
#include "import/hf_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"

#include <string.h>

typedef struct vocabulary {
    tp_arena arena;
    tp_str *tokens; // [count] as the file has them, by id
    int32_t *kinds; // [count] 1 normal, 3 control
    uint32_t count;
} vocabulary;

enum { KIND_NORMAL = 1, KIND_CONTROL = 3 };

static tapeout_status make_room(vocabulary *v, size_t count, tapeout_error *err)
{
    if (count == 0 || count > TP_MAX_HF_TOKENS) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "tokenizer: %zu tokens; 1 to %u are possible", count,
                       TP_MAX_HF_TOKENS);
    }
    v->tokens = tp_arena_array(&v->arena, count, sizeof(*v->tokens));
    v->kinds = tp_arena_array(&v->arena, count, sizeof(*v->kinds));
    if (v->tokens == NULL || v->kinds == NULL) {
        return tp_arena_check(&v->arena, "tokenizer", err);
    }
    v->count = (uint32_t)count;
    for (uint32_t i = 0; i < v->count; i++) {
        v->kinds[i] = KIND_NORMAL;
    }
    return TAPEOUT_OK;
}

static tapeout_status put_token(vocabulary *v, uint64_t id, tp_str text, tapeout_error *err)
{
    if (id >= v->count || v->tokens[id].data != NULL) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "tokenizer: token \"%.*s\" has id %llu; ids must be 0 to %u, each once",
                       TP_STR_ARGS(text), (unsigned long long)id, v->count - 1);
    }
    v->tokens[id] = tp_arena_str(&v->arena, text);
    return v->tokens[id].data == NULL ? tp_arena_check(&v->arena, "tokenizer", err) : TAPEOUT_OK;
}

// -- tokenizer.json ------------------------------------------------------------------------------

static tapeout_status read_added(vocabulary *v, yyjson_val *added, tapeout_error *err)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(added);
    for (yyjson_val *token; (token = yyjson_arr_iter_next(&iter)) != NULL;) {
        const uint64_t id = yyjson_get_uint(yyjson_obj_get(token, "id"));
        if (id >= v->count) {
            return tp_fail(err, TAPEOUT_E_CORRUPT,
                           "tokenizer.json: an added token has id %llu beyond the vocabulary of %u",
                           (unsigned long long)id, v->count);
        }
        v->kinds[id] =
            yyjson_is_true(yyjson_obj_get(token, "special")) ? KIND_CONTROL : v->kinds[id];
    }
    return TAPEOUT_OK;
}

static tapeout_status read_json(vocabulary *v, yyjson_val *root, tapeout_error *err)
{
    yyjson_val *model = yyjson_obj_get(root, "model");
    yyjson_val *vocab = yyjson_obj_get(model, "vocab");
    const tp_str type = tp_json_get_str(model, "type");
    const tp_str mark = tp_json_get_str(model, "continuing_subword_prefix");
    // Older files leave the type out.
    if ((type.data != NULL && !tp_str_equal(type, TP_STR("WordPiece"))) || !yyjson_is_obj(vocab) ||
        !tp_str_equal(mark, TP_STR("##"))) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "tokenizer.json: model \"%.*s\" is not taken; WordPiece with \"##\" is",
                       TP_STR_ARGS(type));
    }
    TP_TRY(make_room(v, yyjson_obj_size(vocab), err));
    yyjson_obj_iter iter = yyjson_obj_iter_with(vocab);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&iter)) != NULL;) {
        yyjson_val *id = yyjson_obj_iter_get_val(key);
        TP_TRY(put_token(v, yyjson_is_uint(id) ? yyjson_get_uint(id) : UINT64_MAX, tp_json_str(key),
                         err));
    }
    return read_added(v, yyjson_obj_get(root, "added_tokens"), err);
}

static void add_normalizer(tp_gguf_builder *builder, yyjson_val *normalizer)
{
    yyjson_val *lowercase = yyjson_obj_get(normalizer, "lowercase");
    yyjson_val *accents = yyjson_obj_get(normalizer, "strip_accents");
    if (yyjson_is_bool(lowercase)) {
        tp_gguf_builder_bool(builder, "tokenizer.ggml.normalizer.lowercase",
                             yyjson_is_true(lowercase));
    }
    if (yyjson_is_bool(accents)) { // null: as lowercase is
        tp_gguf_builder_bool(builder, "tokenizer.ggml.normalizer.strip_accents",
                             yyjson_is_true(accents));
    }
}

// -- vocab.txt -----------------------------------------------------------------------------------

static tapeout_status read_lines(vocabulary *v, tp_str text, tapeout_error *err)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++) {
        count += text.data[i] == '\n' || i + 1 == text.size;
    }
    TP_TRY(make_room(v, count, err));
    size_t begin = 0;
    for (uint32_t id = 0; id < v->count; id++) {
        size_t end = begin;
        while (end < text.size && text.data[end] != '\n') {
            end++;
        }
        const size_t size =
            end > begin && text.data[end - 1] == '\r' ? end - begin - 1 : end - begin;
        TP_TRY(put_token(v, id, (tp_str){text.data + begin, size}, err));
        begin = end + 1;
    }
    return TAPEOUT_OK;
}

static tapeout_status read_text(const tp_env *env, vocabulary *v, const char *folder,
                                tapeout_error *err)
{
    tp_str text;
    char *path = tp_path_join(env->alloc, folder, "vocab.txt");
    if (path == NULL) {
        return tp_fail_nomem(err);
    }
    tapeout_status status = tp_file_read(env->alloc, path, TP_MAX_HF_JSON_BYTES, &text, err);
    tp_free(env->alloc, path, strlen(path) + 1);
    TP_TRY(status);
    status = read_lines(v, text, err);
    tp_free(env->alloc, (char *)(uintptr_t)text.data, text.size + 1);
    return status;
}

// -- as GGUF has it ------------------------------------------------------------------------------

static bool is_bracketed(tp_str token)
{
    return token.size > 2 && token.data[0] == '[' && token.data[token.size - 1] == ']';
}

static tapeout_status rewrite(vocabulary *v, tapeout_error *err)
{
    static const char mark[] = "\xe2\x96\x81"; // U+2581
    for (uint32_t i = 0; i < v->count; i++) {
        const tp_str token = v->tokens[i];
        if (tp_str_has_prefix(token, TP_STR("##"))) {
            v->tokens[i] = (tp_str){token.data + 2, token.size - 2};
        } else if (!is_bracketed(token)) {
            char *text = tp_arena_alloc(&v->arena, token.size + 3);
            if (text == NULL) {
                return tp_arena_check(&v->arena, "tokenizer", err);
            }
            memcpy(text, mark, 3);
            memcpy(text + 3, token.data, token.size);
            v->tokens[i] = (tp_str){text, token.size + 3};
        }
    }
    return TAPEOUT_OK;
}

// The tokens that BERT's tokenizer stands on, with the keys that name them.
static tapeout_status add_roles(vocabulary *v, tp_gguf_builder *builder, tapeout_error *err)
{
    static const struct {
        const char *token;
        const char *keys[2];
    } roles[] = {
        {"[PAD]", {"tokenizer.ggml.padding_token_id", NULL}},
        {"[UNK]", {"tokenizer.ggml.unknown_token_id", NULL}},
        {"[CLS]", {"tokenizer.ggml.cls_token_id", "tokenizer.ggml.bos_token_id"}},
        {"[SEP]", {"tokenizer.ggml.seperator_token_id", "tokenizer.ggml.eos_token_id"}},
        {"[MASK]", {"tokenizer.ggml.mask_token_id", NULL}},
    };
    for (size_t r = 0; r < sizeof(roles) / sizeof(roles[0]); r++) {
        uint32_t id = 0;
        while (id < v->count && !tp_str_equal(v->tokens[id], tp_str_from(roles[r].token))) {
            id++;
        }
        if (id == v->count) {
            return tp_fail(err, TAPEOUT_E_CORRUPT, "tokenizer: the vocabulary lacks %s",
                           roles[r].token);
        }
        v->kinds[id] = KIND_CONTROL;
        for (size_t k = 0; k < 2 && roles[r].keys[k] != NULL; k++) {
            tp_gguf_builder_u32(builder, roles[r].keys[k], id);
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status read_vocabulary(const tp_env *env, vocabulary *v, const char *folder,
                                      tp_gguf_builder *builder, tapeout_error *err)
{
    hf_json json;
    TP_TRY(tp_hf_json_read(env, folder, "tokenizer.json", true, &json, err));
    tapeout_status status = TAPEOUT_OK;
    if (json.doc != NULL) {
        yyjson_val *root = tp_hf_json_root(&json);
        status = read_json(v, root, err);
        add_normalizer(builder, yyjson_obj_get(root, "normalizer"));
        tp_hf_json_free(env, &json);
        return status;
    }
    TP_TRY(read_text(env, v, folder, err));
    TP_TRY(tp_hf_json_read(env, folder, "tokenizer_config.json", true, &json, err));
    yyjson_val *lower = yyjson_obj_get(tp_hf_json_root(&json), "do_lower_case");
    if (yyjson_is_bool(lower)) {
        tp_gguf_builder_bool(builder, "tokenizer.ggml.normalizer.lowercase", yyjson_is_true(lower));
    }
    tp_hf_json_free(env, &json);
    return TAPEOUT_OK;
}

tapeout_status tp_hf_wordpiece(const tp_env *env, const char *folder, tp_gguf_builder *builder,
                               uint32_t *ret_count, tapeout_error *err)
{
    vocabulary v = {.count = 0};
    tp_arena_init(&v.arena, env->alloc, 4 * (size_t)TP_MAX_HF_JSON_BYTES);
    tp_gguf_builder_str(builder, "tokenizer.ggml.model", TP_STR("bert"));
    tapeout_status status = read_vocabulary(env, &v, folder, builder, err);
    if (status == TAPEOUT_OK) {
        status = rewrite(&v, err);
    }
    if (status == TAPEOUT_OK) {
        status = add_roles(&v, builder, err);
    }
    if (status == TAPEOUT_OK) {
        tp_gguf_builder_strings(builder, "tokenizer.ggml.tokens", v.tokens, v.count);
        tp_gguf_builder_i32s(builder, "tokenizer.ggml.token_type", v.kinds, v.count);
        *ret_count = v.count;
    }
    tp_arena_deinit(&v.arena);
    return status;
}
