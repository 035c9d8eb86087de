// SPDX-License-Identifier: Apache-2.0
//
// From tensors to layers. Each part of the model asks for its tensor by name and shape; one that is
// missing or shaped otherwise is refused by name, and so is one that nobody asked for, since a
// model computed without it would be another model. Vectors are copied, matrices are views.
#include "llm/model/model_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "llm/tokenizer/tp_tokenizer.h"

#include <stdio.h>
#include <string.h>

typedef struct weight_reader {
    tp_llm *llm;
    uint64_t *offsets; // [tensors] in the packed weights
    bool *used;        // [tensors]
    size_t count;
} weight_reader;

typedef struct tensor_name {
    char text[96];
} tensor_name;

static tensor_name name_in(uint32_t layer, const char *part)
{
    tensor_name name;
    (void)snprintf(name.text, sizeof(name.text), "blk.%u.%s", layer, part);
    return name;
}

// NULL where there is none; the reader remembers that it was asked for.
static const tp_gguf_tensor *find(weight_reader *reader, const char *name, size_t *ret_index)
{
    const tp_gguf_tensor *tensor = tp_gguf_tensor_find(reader->llm->metadata, tp_str_from(name));
    if (tensor != NULL) {
        *ret_index = (size_t)(tensor - tp_gguf_tensor_at(reader->llm->metadata, 0));
        reader->used[*ret_index] = true;
    }
    return tensor;
}

static tapeout_status missing(const weight_reader *reader, const char *name, tapeout_error *err)
{
    return tp_fail(err, TAPEOUT_E_CORRUPT,
                   "gguf: tensor %s is missing, which a model of architecture %s must have", name,
                   reader->llm->config.family->name);
}

static tapeout_status wrong_shape(const tp_gguf_tensor *tensor, const uint64_t want[3],
                                  tapeout_error *err)
{
    return tp_fail(err, TAPEOUT_E_CORRUPT,
                   "gguf: tensor %.*s has the shape [%llu, %llu, %llu]; expected [%llu, %llu, "
                   "%llu]",
                   TP_STR_ARGS(tensor->name), (unsigned long long)tensor->dims[0],
                   (unsigned long long)tensor->dims[1], (unsigned long long)tensor->dims[2],
                   (unsigned long long)want[0], (unsigned long long)want[1],
                   (unsigned long long)want[2]);
}

static bool has_shape(const tp_gguf_tensor *tensor, const uint64_t want[3])
{
    return tensor->dim_count <= 3 && tensor->dims[0] == want[0] && tensor->dims[1] == want[1] &&
           tensor->dims[2] == want[2];
}

// An outline has none: its vectors are zeros, its matrices are nowhere.
static bool has_weights(const weight_reader *reader)
{
    return reader->llm->weights.data != NULL;
}

// A vector [count]; `*ret_values` stays NULL where the file has none.
static tapeout_status read_vector_if(weight_reader *reader, const char *name, uint64_t count,
                                     const float **ret_values, tapeout_error *err)
{
    size_t index = 0;
    const tp_gguf_tensor *tensor = find(reader, name, &index);
    if (tensor == NULL) {
        return TAPEOUT_OK;
    }
    const uint64_t want[3] = {count, 1, 1};
    if (!has_shape(tensor, want) || tensor->dim_count != 1) {
        return wrong_shape(tensor, want, err);
    }
    float *values = tp_arena_array(&reader->llm->arena, (size_t)count, sizeof(*values));
    if (values == NULL) {
        return tp_arena_check(&reader->llm->arena, "the model's vectors", err);
    }
    if (has_weights(reader)) {
        memcpy(values, reader->llm->weights.data + reader->offsets[index],
               (size_t)count * sizeof(*values));
    }
    *ret_values = values;
    return TAPEOUT_OK;
}

static tapeout_status read_vector(weight_reader *reader, const char *name, uint64_t count,
                                  const float **ret_values, tapeout_error *err)
{
    TP_TRY(read_vector_if(reader, name, count, ret_values, err));
    return *ret_values != NULL ? TAPEOUT_OK : missing(reader, name, err);
}

// A stack of `want[2]` matrices [want[1] rows, want[0] columns] as a view of the first.
static tapeout_status read_stack(weight_reader *reader, const char *name, const uint64_t want[3],
                                 tp_matrix *ret_first, tapeout_error *err)
{
    size_t index = 0;
    const tp_gguf_tensor *tensor = find(reader, name, &index);
    if (tensor == NULL) {
        return missing(reader, name, err);
    }
    if (!has_shape(tensor, want) || tensor->dim_count < 2) {
        return wrong_shape(tensor, want, err);
    }
    uint64_t size = 0;
    TP_TRY(tp_llm_packed_bytes(tensor, &size, err));
    const char *data =
        has_weights(reader) ? reader->llm->weights.data + reader->offsets[index] : NULL;
    const tp_str bytes = {data, (size_t)(size / want[2])};
    return tp_matrix_view(tp_matrix_kind_of(tensor->type), (uint32_t)want[1], (uint32_t)want[0],
                          bytes, ret_first, err);
}

static tapeout_status read_matrix(weight_reader *reader, const char *name, uint64_t rows,
                                  uint64_t cols, tp_matrix *ret_matrix, tapeout_error *err)
{
    const uint64_t want[3] = {cols, rows, 1};
    return read_stack(reader, name, want, ret_matrix, err);
}

// -- groups --------------------------------------------------------------------------------------

// One matrix of a group in layer `layer`.
typedef struct group_part {
    const char *name; // "attn_q"
    uint64_t rows;
} group_part;

// The biases of all parts as one vector; parts without have zeros. `*ret_any`: some part has one.
static tapeout_status read_biases(weight_reader *reader, uint32_t layer, const group_part *parts,
                                  llm_group *group, tapeout_error *err)
{
    const float *found[LLM_GROUP_MATRICES] = {NULL};
    bool any = false;
    for (uint32_t i = 0; i < group->count; i++) {
        char part[64];
        (void)snprintf(part, sizeof(part), "%s.bias", parts[i].name);
        TP_TRY(read_vector_if(reader, name_in(layer, part).text, parts[i].rows, &found[i], err));
        any |= found[i] != NULL;
    }
    if (!any) {
        return TAPEOUT_OK;
    }
    float *all = tp_arena_array(&reader->llm->arena, group->rows, sizeof(*all)); // zeroed
    if (all == NULL) {
        return tp_arena_check(&reader->llm->arena, "the model's vectors", err);
    }
    group->biases = all;
    for (uint32_t i = 0; i < group->count; i++) {
        if (found[i] != NULL) {
            memcpy(all, found[i], (size_t)parts[i].rows * sizeof(*all));
        }
        all += parts[i].rows;
    }
    return TAPEOUT_OK;
}

static tapeout_status read_group(weight_reader *reader, uint32_t layer, const group_part *parts,
                                 uint64_t cols, llm_group *group, tapeout_error *err)
{
    for (uint32_t i = 0; i < LLM_GROUP_MATRICES && parts[i].name != NULL; i++) {
        char part[64];
        (void)snprintf(part, sizeof(part), "%s.weight", parts[i].name);
        TP_TRY(read_matrix(reader, name_in(layer, part).text, parts[i].rows, cols,
                           &group->matrices[i], err));
        group->count++;
        group->rows += (uint32_t)parts[i].rows;
    }
    return read_biases(reader, layer, parts, group, err);
}

static tapeout_status read_norm(weight_reader *reader, const char *name, uint64_t count,
                                llm_norm *norm, tapeout_error *err)
{
    char text[128];
    (void)snprintf(text, sizeof(text), "%s.weight", name);
    TP_TRY(read_vector(reader, text, count, &norm->weights, err));
    if (!reader->llm->config.family->has_layer_norm) {
        return TAPEOUT_OK;
    }
    (void)snprintf(text, sizeof(text), "%s.bias", name);
    return read_vector(reader, text, count, &norm->biases, err);
}

static tapeout_status read_norm_in(weight_reader *reader, uint32_t layer, const char *part,
                                   uint64_t count, llm_norm *norm, tapeout_error *err)
{
    return read_norm(reader, name_in(layer, part).text, count, norm, err);
}

// -- layers --------------------------------------------------------------------------------------

static tapeout_status read_attention(weight_reader *reader, uint32_t index, llm_layer *layer,
                                     tapeout_error *err)
{
    const llm_family *family = reader->llm->config.family;
    const tp_llm_facts *facts = &reader->llm->facts;
    const uint64_t q = (uint64_t)facts->head_count * facts->key_size;
    const uint64_t k = (uint64_t)facts->kv_head_count * facts->key_size;
    const uint64_t v = (uint64_t)facts->kv_head_count * facts->value_size;
    const group_part apart[3] = {{"attn_q", q}, {"attn_k", k}, {"attn_v", v}};
    const group_part fused[3] = {{"attn_qkv", q + k + v}};
    TP_TRY(read_group(reader, index, family->is_fused ? fused : apart, facts->width, &layer->qkv,
                      err));
    if (family->has_qkv_bias && layer->qkv.biases == NULL) {
        return missing(reader, name_in(index, "attn_q.bias").text, err);
    }
    const group_part out[3] = {{"attn_output", facts->width}};
    TP_TRY(read_group(reader, index, out, (uint64_t)facts->head_count * facts->value_size,
                      &layer->attention_out, err));
    if (family->has_qk_norm) {
        TP_TRY(read_norm_in(reader, index, "attn_q_norm", facts->key_size, &layer->q_norm, err));
        TP_TRY(read_norm_in(reader, index, "attn_k_norm", facts->key_size, &layer->k_norm, err));
    }
    return TAPEOUT_OK;
}

static tapeout_status read_experts(weight_reader *reader, uint32_t index, llm_layer *layer,
                                   tapeout_error *err)
{
    static const char *const names[3] = {"ffn_gate_exps.weight", "ffn_up_exps.weight",
                                         "ffn_down_exps.weight"};
    const llm_config *config = &reader->llm->config;
    const uint64_t width = reader->llm->facts.width;
    const group_part router[3] = {{"ffn_gate_inp", config->expert_count}};
    TP_TRY(read_group(reader, index, router, width, &layer->router, err));
    for (uint32_t i = 0; i < 3; i++) {
        const uint64_t cols = i < 2 ? width : config->ffn_width;
        const uint64_t rows = i < 2 ? config->ffn_width : width;
        const uint64_t want[3] = {cols, rows, config->expert_count};
        layer->experts[i].count = config->expert_count;
        TP_TRY(
            read_stack(reader, name_in(index, names[i]).text, want, &layer->experts[i].first, err));
    }
    return TAPEOUT_OK;
}

static tapeout_status read_ffn(weight_reader *reader, uint32_t index, llm_layer *layer,
                               tapeout_error *err)
{
    const llm_config *config = &reader->llm->config;
    const llm_family *family = config->family;
    if (family->has_experts) {
        return read_experts(reader, index, layer, err);
    }
    const uint64_t inner = config->ffn_width;
    const group_part gated[3] = {{"ffn_gate", inner}, {"ffn_up", inner}};
    const group_part fused[3] = {{"ffn_up", 2 * inner}};
    const group_part plain[3] = {{"ffn_up", inner}};
    const group_part out[3] = {{"ffn_down", reader->llm->facts.width}};
    TP_TRY(read_group(reader, index,
                      family->is_fused   ? fused
                      : family->has_gate ? gated
                                         : plain,
                      reader->llm->facts.width, &layer->ffn_in, err));
    return read_group(reader, index, out, inner, &layer->ffn_out, err);
}

// Where norms stay in the residual stream, a layer ends with one, which is kept as the next layer's
// first; the first layer's is the embedding's.
static tapeout_status read_norms(weight_reader *reader, uint32_t index, llm_layer *layer,
                                 tapeout_error *err)
{
    tp_llm *llm = reader->llm;
    const uint64_t width = llm->facts.width;
    if (llm->config.family->norms_stream) {
        llm_norm *next =
            index + 1 < llm->facts.layer_count ? &layer[1].attention_norm : &llm->final_norm;
        TP_TRY(read_norm_in(reader, index, "attn_output_norm", width, &layer->ffn_norm, err));
        return read_norm_in(reader, index, "layer_output_norm", width, next, err);
    }
    TP_TRY(read_norm_in(reader, index, "attn_norm", width, &layer->attention_norm, err));
    TP_TRY(read_norm_in(reader, index, "ffn_norm", width, &layer->ffn_norm, err));
    if (llm->config.family->has_post_norms) {
        TP_TRY(read_norm_in(reader, index, "post_attention_norm", width,
                            &layer->post_attention_norm, err));
        TP_TRY(read_norm_in(reader, index, "post_ffw_norm", width, &layer->post_ffn_norm, err));
    }
    return TAPEOUT_OK;
}

static tapeout_status read_layers(weight_reader *reader, tapeout_error *err)
{
    tp_llm *llm = reader->llm;
    const uint32_t count = llm->facts.layer_count;
    const uint32_t period = llm->config.family->window_period;
    llm->layers = tp_arena_array(&llm->arena, count, sizeof(*llm->layers));
    if (llm->layers == NULL) {
        return tp_arena_check(&llm->arena, "the model's layers", err);
    }
    for (uint32_t i = 0; i < count; i++) {
        llm_layer *layer = &llm->layers[i];
        // Told apart even where no window is left: the layers' rotary embeddings differ.
        layer->is_local = period != 0 ? i % period != period - 1 : llm->facts.window != 0;
        TP_TRY(read_norms(reader, i, layer, err));
        TP_TRY(read_attention(reader, i, layer, err));
        TP_TRY(read_ffn(reader, i, layer, err));
    }
    return TAPEOUT_OK;
}

// -- around them ---------------------------------------------------------------------------------

static tapeout_status read_output(weight_reader *reader, tapeout_error *err)
{
    tp_llm *llm = reader->llm;
    if (llm->facts.is_encoder) {
        return TAPEOUT_OK;
    }
    TP_TRY(read_norm(reader, "output_norm", llm->facts.width, &llm->final_norm, err));
    llm->output =
        (llm_group){.matrices = {llm->embedding}, .count = 1, .rows = llm->facts.vocab_count};
    if (tp_gguf_tensor_find(llm->metadata, TP_STR("output.weight")) == NULL) {
        return TAPEOUT_OK; // tied: the embedding serves both ways
    }
    TP_TRY(read_vector_if(reader, "output.bias", llm->facts.vocab_count, &llm->output.biases, err));
    return read_matrix(reader, "output.weight", llm->facts.vocab_count, llm->facts.width,
                       &llm->output.matrices[0], err);
}

// A file that says how large its vocabulary is must say what its tokenizer says.
static tapeout_status check_vocab(const weight_reader *reader, uint32_t vocab_count,
                                  tapeout_error *err)
{
    char key[96];
    (void)snprintf(key, sizeof(key), "%s.vocab_size", reader->llm->config.family->name);
    uint64_t said = vocab_count;
    if (tp_gguf_has(reader->llm->metadata, key)) {
        TP_TRY(tp_gguf_get_u64(reader->llm->metadata, key, 1, TP_MAX_LLM_ROWS, &said, err));
    }
    return said == vocab_count ? TAPEOUT_OK
                               : tp_fail(err, TAPEOUT_E_CORRUPT,
                                         "gguf: %s is %llu, and tokenizer.ggml.tokens has %u", key,
                                         (unsigned long long)said, vocab_count);
}

static tapeout_status read_embeddings(weight_reader *reader, tapeout_error *err)
{
    tp_llm *llm = reader->llm;
    const uint32_t width = llm->facts.width;
    const uint32_t vocab_count = tp_tokenizer_vocab_count(llm->tokenizer);
    TP_TRY(check_vocab(reader, vocab_count, err));
    TP_TRY(read_matrix(reader, "token_embd.weight", vocab_count, width, &llm->embedding, err));
    llm->facts.vocab_count = vocab_count;
    if (!llm->config.family->has_positions) {
        return TAPEOUT_OK;
    }
    TP_TRY(read_matrix(reader, "position_embd.weight", llm->facts.context_length, width,
                       &llm->positions, err));
    size_t index = 0;
    const tp_gguf_tensor *types = find(reader, "token_types.weight", &index);
    float *type = tp_arena_array(&llm->arena, width, sizeof(*type));
    if (type == NULL) {
        return tp_arena_check(&llm->arena, "the model's vectors", err);
    }
    llm->type = type;
    if (types != NULL && types->dim_count == 2) {
        tp_matrix matrix;
        TP_TRY(read_matrix(reader, "token_types.weight", types->dims[1], width, &matrix, err));
        if (has_weights(reader)) {
            tp_matrix_row(&matrix, 0, type);
        }
    } else if (types != NULL) {
        const float *only = NULL;
        TP_TRY(read_vector(reader, "token_types.weight", width, &only, err));
        memcpy(type, only, width * sizeof(*type));
    }
    return read_norm(reader, "token_embd_norm", width, &llm->layers[0].attention_norm, err);
}

// Factors of the rotary embedding. A file of longrope has a set for texts up to the context that
// the model was first made for and one for longer ones; the model is run as one for its whole
// context, so the second is taken where that is longer.
static tapeout_status read_factors(weight_reader *reader, tapeout_error *err)
{
    tp_llm *llm = reader->llm;
    char key[96];
    (void)snprintf(key, sizeof(key), "%s.rope.scaling.original_context_length",
                   llm->config.family->name);
    uint64_t original = llm->facts.context_length;
    uint64_t dims = llm->facts.key_size;
    if (tp_gguf_has(llm->metadata, key)) {
        TP_TRY(tp_gguf_get_u64(llm->metadata, key, 1, TP_MAX_LLM_CONTEXT, &original, err));
    }
    (void)snprintf(key, sizeof(key), "%s.rope.dimension_count", llm->config.family->name);
    if (tp_gguf_has(llm->metadata, key)) {
        TP_TRY(tp_gguf_get_u64(llm->metadata, key, 1, llm->facts.key_size, &dims, err));
    }
    const float *one = NULL;
    const float *sets[2] = {NULL, NULL};
    TP_TRY(read_vector_if(reader, "rope_freqs.weight", dims / 2, &one, err));
    TP_TRY(read_vector_if(reader, "rope_factors_short.weight", dims / 2, &sets[0], err));
    TP_TRY(read_vector_if(reader, "rope_factors_long.weight", dims / 2, &sets[1], err));
    const float *chosen = sets[llm->facts.context_length > original ? 1 : 0];
    chosen = chosen != NULL ? chosen : one;
    return tp_llm_rope_read(llm, has_weights(reader) ? chosen : NULL, err);
}

static tapeout_status check_all_used(const weight_reader *reader, tapeout_error *err)
{
    for (size_t i = 0; i < reader->count; i++) {
        if (!reader->used[i]) {
            return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                           "gguf: tensor %.*s is none that a model of architecture %s has",
                           TP_STR_ARGS(tp_gguf_tensor_at(reader->llm->metadata, i)->name),
                           reader->llm->config.family->name);
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status find_offsets(weight_reader *reader, tapeout_error *err)
{
    uint64_t end = 0;
    for (size_t i = 0; i < reader->count; i++) {
        uint64_t size = 0;
        TP_TRY(tp_llm_packed_bytes(tp_gguf_tensor_at(reader->llm->metadata, i), &size, err));
        reader->offsets[i] = end;
        end = tp_llm_weight_end(end, size);
    }
    if (end != reader->llm->weights.size) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "llm: the weights have %zu bytes, and the tensors of the metadata %llu",
                       reader->llm->weights.size, (unsigned long long)end);
    }
    reader->llm->facts.weight_bytes = end;
    return TAPEOUT_OK;
}

static tapeout_status read_all(weight_reader *reader, tapeout_error *err)
{
    TP_TRY(find_offsets(reader, err));
    TP_TRY(read_layers(reader, err));
    TP_TRY(read_embeddings(reader, err));
    TP_TRY(read_output(reader, err));
    TP_TRY(read_factors(reader, err));
    return check_all_used(reader, err);
}

tapeout_status tp_llm_weights_read(tp_llm *llm, tapeout_error *err)
{
    weight_reader reader = {.llm = llm, .count = tp_gguf_tensor_count(llm->metadata)};
    reader.offsets = tp_alloc_array_zero(llm->alloc, reader.count, sizeof(*reader.offsets));
    reader.used = tp_alloc_array_zero(llm->alloc, reader.count, sizeof(*reader.used));
    const tapeout_status status =
        reader.offsets == NULL || reader.used == NULL ? tp_fail_nomem(err) : read_all(&reader, err);
    tp_free_array(llm->alloc, reader.offsets, reader.count, sizeof(*reader.offsets));
    tp_free_array(llm->alloc, reader.used, reader.count, sizeof(*reader.used));
    return status;
}
