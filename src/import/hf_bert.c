// SPDX-License-Identifier: Apache-2.0
//
// A BERT sentence model out of a Hugging Face folder. One table says which tensor becomes which;
// every tensor of the table must be there, and a tensor of the file that is neither in the table
// nor known to be of no use (the pooler, position ids) is refused by name, so that nothing a model
// needs is left out in silence. Vectors and the small position and type tables become float32.
#include "import/tp_hf_bert.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "import/hf_priv.h"
#include "import/tp_safetensors.h"

#include <stdio.h>
#include <string.h>

struct tp_hf_bert {
    const tapeout_allocator *alloc;
    tp_gguf_builder builder;
    tp_safetensors *weights;
    tp_arena arena; // names, and what became float32
    uint32_t layer_count;
    size_t used; // tensors of the file
};

// -- tensors -------------------------------------------------------------------------------------

// One place has a weight and, mostly, a bias.
typedef struct place {
    const char *ours;
    const char *theirs;
    bool has_bias;
    bool is_float; // becomes float32 whatever it was
} place;

static const place outside[] = {
    {"token_embd", "embeddings.word_embeddings", false, false},
    {"position_embd", "embeddings.position_embeddings", false, true},
    {"token_types", "embeddings.token_type_embeddings", false, true},
    {"token_embd_norm", "embeddings.LayerNorm", true, true},
};

static const place inside[] = {
    {"attn_q", "attention.self.query", true, false},
    {"attn_k", "attention.self.key", true, false},
    {"attn_v", "attention.self.value", true, false},
    {"attn_output", "attention.output.dense", true, false},
    {"attn_output_norm", "attention.output.LayerNorm", true, true},
    {"ffn_up", "intermediate.dense", true, false},
    {"ffn_down", "output.dense", true, false},
    {"layer_output_norm", "output.LayerNorm", true, true},
};

enum { NAME_SIZE = 160 };

static bool find_type(const tp_safetensors_tensor *tensor, tp_tensor_type *ret_type)
{
    const tp_str name = tp_str_from(tensor->dtype);
    return tp_tensor_type_find(name, ret_type); // F32, F16 and BF16 have the same names in both
}

// The tensor's data as float32, in the arena.
static tapeout_status widen(tp_hf_bert *model, tp_gguf_tensor *tensor, tapeout_error *err)
{
    const tp_tensor_layout *layout = tp_tensor_layout_of((uint32_t)tensor->type);
    const size_t count = tensor->data.size / layout->block_bytes;
    float *values = tp_arena_array(&model->arena, count, sizeof(*values));
    if (values == NULL) {
        return tp_arena_check(&model->arena, "model.safetensors", err);
    }
    tp_tensor_dequantize(tensor->type, (const uint8_t *)tensor->data.data, count, values);
    tensor->type = TP_TENSOR_F32;
    tensor->data = (tp_str){(const char *)values, count * sizeof(*values)};
    return TAPEOUT_OK;
}

static tapeout_status add_tensor(tp_hf_bert *model, const char *ours, const char *theirs,
                                 bool is_float, tapeout_error *err)
{
    char prefixed[NAME_SIZE + sizeof("bert.") - 1];
    const tp_safetensors_tensor *found = tp_safetensors_find(model->weights, tp_str_from(theirs));
    if (found == NULL) { // some files have the whole model below "bert."
        (void)snprintf(prefixed, sizeof(prefixed), "bert.%s", theirs);
        found = tp_safetensors_find(model->weights, tp_str_from(prefixed));
    }
    if (found == NULL) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "model.safetensors: lacks the tensor %s", theirs);
    }
    tp_gguf_tensor tensor = {.name = tp_arena_str(&model->arena, tp_str_from(ours)),
                             .dim_count = found->dim_count,
                             .data = found->data};
    if (tensor.name.data == NULL) {
        return tp_arena_check(&model->arena, "model.safetensors", err);
    }
    if (!find_type(found, &tensor.type) || found->dim_count < 1 || found->dim_count > 2 ||
        found->data.size == 0) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "model.safetensors: tensor %s is %s with %u dimensions; a matrix or vector "
                       "of F32, F16 or BF16 is expected",
                       theirs, found->dtype, found->dim_count);
    }
    for (uint32_t d = 0; d < found->dim_count; d++) { // fastest first here
        tensor.dims[d] = found->dims[found->dim_count - 1 - d];
    }
    if (tensor.type != TP_TENSOR_F32 && (is_float || tensor.dim_count == 1)) {
        TP_TRY(widen(model, &tensor, err));
    }
    tp_gguf_builder_tensor(&model->builder, &tensor);
    model->used++;
    return TAPEOUT_OK;
}

// `layer` below zero: outside of the layers.
static tapeout_status add_place(tp_hf_bert *model, const place *at, int layer, tapeout_error *err)
{
    static const char *const suffixes[] = {"weight", "bias"};
    for (size_t i = 0; i < (at->has_bias ? 2u : 1u); i++) {
        char ours[NAME_SIZE];
        char theirs[NAME_SIZE];
        if (layer < 0) {
            (void)snprintf(ours, sizeof(ours), "%s.%s", at->ours, suffixes[i]);
            (void)snprintf(theirs, sizeof(theirs), "%s.%s", at->theirs, suffixes[i]);
        } else {
            (void)snprintf(ours, sizeof(ours), "blk.%d.%s.%s", layer, at->ours, suffixes[i]);
            (void)snprintf(theirs, sizeof(theirs), "encoder.layer.%d.%s.%s", layer, at->theirs,
                           suffixes[i]);
        }
        TP_TRY(add_tensor(model, ours, theirs, at->is_float, err));
    }
    return TAPEOUT_OK;
}

static bool is_useless(tp_str name)
{
    return tp_str_contains(name, TP_STR("pooler.")) ||
           tp_str_has_suffix(name, TP_STR("embeddings.position_ids"));
}

// Counts those of no use too; what is left over is not understood.
static tapeout_status check_all_used(tp_hf_bert *model, tapeout_error *err)
{
    for (size_t i = 0; i < tp_safetensors_count(model->weights); i++) {
        model->used += is_useless(tp_safetensors_at(model->weights, i)->name);
    }
    if (model->used != tp_safetensors_count(model->weights)) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "model.safetensors: %zu tensors are not part of a BERT encoder of %u layers",
                       tp_safetensors_count(model->weights) - model->used, model->layer_count);
    }
    return TAPEOUT_OK;
}

static tapeout_status add_tensors(tp_hf_bert *model, tapeout_error *err)
{
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        TP_TRY(add_place(model, &outside[i], -1, err));
    }
    for (uint32_t layer = 0; layer < model->layer_count; layer++) {
        for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
            TP_TRY(add_place(model, &inside[i], (int)layer, err));
        }
    }
    return check_all_used(model, err);
}

// -- facts ---------------------------------------------------------------------------------------

static bool has_word(yyjson_val *root, const char *key, const char *word)
{
    return tp_str_equal(tp_json_get_str(root, key), tp_str_from(word));
}

static tapeout_status check_kind(yyjson_val *root, tapeout_error *err)
{
    yyjson_val *positions = yyjson_obj_get(root, "position_embedding_type");
    if (!has_word(root, "model_type", "bert") || !has_word(root, "hidden_act", "gelu") ||
        (positions != NULL && !has_word(root, "position_embedding_type", "absolute"))) {
        return tp_fail(
            err, TAPEOUT_E_UNSUPPORTED,
            "config.json: model_type \"%.*s\" with hidden_act \"%.*s\" is not taken; bert "
            "with gelu and absolute positions is",
            TP_STR_ARGS(tp_json_get_str(root, "model_type")),
            TP_STR_ARGS(tp_json_get_str(root, "hidden_act")));
    }
    return TAPEOUT_OK;
}

static tapeout_status add_config(tp_hf_bert *model, const hf_json *config, tapeout_error *err)
{
    static const struct {
        const char *theirs;
        const char *ours;
    } counts[] = {{"max_position_embeddings", "bert.context_length"},
                  {"hidden_size", "bert.embedding_length"},
                  {"intermediate_size", "bert.feed_forward_length"},
                  {"num_hidden_layers", "bert.block_count"},
                  {"num_attention_heads", "bert.attention.head_count"},
                  {"type_vocab_size", "tokenizer.ggml.token_type_count"},
                  {"vocab_size", "bert.vocab_size"}};
    yyjson_val *root = tp_hf_json_root(config);
    TP_TRY(check_kind(root, err));
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        uint32_t value = 0;
        TP_TRY(tp_hf_json_count(config, "config.json", counts[i].theirs, TP_MAX_HF_TOKENS, &value,
                                err));
        tp_gguf_builder_u32(&model->builder, counts[i].ours, value);
    }
    TP_TRY(tp_hf_json_count(config, "config.json", "num_hidden_layers", TP_MAX_HF_LAYERS,
                            &model->layer_count, err));
    yyjson_val *epsilon = yyjson_obj_get(root, "layer_norm_eps");
    if (!yyjson_is_num(epsilon)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "config.json: \"layer_norm_eps\" must be a number");
    }
    tp_gguf_builder_f32(&model->builder, "bert.attention.layer_norm_epsilon",
                        (float)yyjson_get_num(epsilon));
    tp_gguf_builder_bool(&model->builder, "bert.attention.causal", false);
    return TAPEOUT_OK;
}

// How one vector is made of all: mean (1) or the first token's (2); mean where nothing is said.
static tapeout_status add_pooling(const tp_env *env, tp_hf_bert *model, const char *folder,
                                  tapeout_error *err)
{
    hf_json json;
    TP_TRY(tp_hf_json_read(env, folder, "1_Pooling/config.json", true, &json, err));
    yyjson_val *root = tp_hf_json_root(&json);
    uint32_t modes = 0;
    yyjson_obj_iter iter = yyjson_obj_iter_with(root);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&iter)) != NULL;) {
        modes += tp_str_has_prefix(tp_json_str(key), TP_STR("pooling_mode_")) &&
                 yyjson_is_true(yyjson_obj_iter_get_val(key));
    }
    const bool mean = yyjson_is_true(yyjson_obj_get(root, "pooling_mode_mean_tokens"));
    const bool first = yyjson_is_true(yyjson_obj_get(root, "pooling_mode_cls_token"));
    const bool is_said = root != NULL;
    tp_hf_json_free(env, &json);
    if (is_said && (modes != 1 || !(mean || first))) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "1_Pooling/config.json: exactly one of pooling_mode_mean_tokens and "
                       "pooling_mode_cls_token is taken");
    }
    tp_gguf_builder_u32(&model->builder, "bert.pooling_type", first ? 2 : 1);
    return TAPEOUT_OK;
}

static tapeout_status read_config(const tp_env *env, tp_hf_bert *model, const char *folder,
                                  tapeout_error *err)
{
    hf_json config;
    uint32_t token_count = 0;
    uint32_t vocab_size = 0;
    TP_TRY(tp_hf_json_read(env, folder, "config.json", false, &config, err));
    tp_gguf_builder_str(&model->builder, "general.architecture", TP_STR("bert"));
    tapeout_status status = add_config(model, &config, err);
    if (status == TAPEOUT_OK) {
        status = tp_hf_json_count(&config, "config.json", "vocab_size", TP_MAX_HF_TOKENS,
                                  &vocab_size, err);
    }
    tp_hf_json_free(env, &config);
    TP_TRY(status);
    TP_TRY(add_pooling(env, model, folder, err));
    TP_TRY(tp_hf_wordpiece(env, folder, &model->builder, &token_count, err));
    if (token_count != vocab_size) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "config.json: vocab_size is %u, but the tokenizer has %u tokens", vocab_size,
                       token_count);
    }
    return TAPEOUT_OK;
}

static tapeout_status read_folder(const tp_env *env, tp_hf_bert *model, const char *folder,
                                  tapeout_error *err)
{
    TP_TRY(read_config(env, model, folder, err));
    char *path = tp_path_join(env->alloc, folder, "model.safetensors");
    if (path == NULL) {
        return tp_fail_nomem(err);
    }
    const tapeout_status status = tp_safetensors_open(env, path, &model->weights, err);
    tp_free(env->alloc, path, strlen(path) + 1);
    TP_TRY(status);
    return add_tensors(model, err);
}

tapeout_status tp_hf_bert_open(const tp_env *env, const char *folder, tp_hf_bert **ret_model,
                               tapeout_error *err)
{
    tp_hf_bert *model = tp_alloc_zero(env->alloc, sizeof(*model));
    if (model == NULL) {
        return tp_fail_nomem(err);
    }
    model->alloc = env->alloc;
    tp_gguf_builder_init(&model->builder, env->alloc);
    tp_arena_init(&model->arena, env->alloc, TP_MAX_HF_WIDENED_BYTES);
    const tapeout_status status = read_folder(env, model, folder, err);
    if (status != TAPEOUT_OK) {
        tp_hf_bert_close(&model);
        return status;
    }
    *ret_model = model;
    return TAPEOUT_OK;
}

void tp_hf_bert_close(tp_hf_bert **model)
{
    tp_hf_bert *self = *model;
    *model = NULL;
    if (self == NULL) {
        return;
    }
    tp_safetensors_close(&self->weights);
    tp_gguf_builder_deinit(&self->builder);
    tp_arena_deinit(&self->arena);
    tp_free(self->alloc, self, sizeof(*self));
}

const tp_gguf_builder *tp_hf_bert_builder(const tp_hf_bert *model)
{
    return &model->builder;
}
