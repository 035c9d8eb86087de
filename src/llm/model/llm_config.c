// SPDX-License-Identifier: Apache-2.0
//
// The metadata's facts, each in its range. A key that a file may leave out has its default here,
// which is the architecture's own; one that it must have is refused by name where it is missing.
// What contradicts is refused as well: heads that do not divide, a rotary embedding wider than a
// head, more experts used than there are.
#include "llm/model/model_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"

#include <math.h>
#include <stdio.h>

// "llama.block_count"
typedef struct llm_key {
    char text[96];
} llm_key;

static llm_key key_of(const tp_llm *llm, const char *name)
{
    llm_key key;
    (void)snprintf(key.text, sizeof(key.text), "%s.%s", llm->config.family->name, name);
    return key;
}

// A count of 1 … max.
static tapeout_status read_count(const tp_llm *llm, const char *name, uint32_t max,
                                 uint32_t *ret_count, tapeout_error *err)
{
    uint64_t value = 0;
    TP_TRY(tp_gguf_get_u64(llm->metadata, key_of(llm, name).text, 1, max, &value, err));
    *ret_count = (uint32_t)value;
    return TAPEOUT_OK;
}

// The same where the file may be silent: then `*ret_count` stays.
static tapeout_status read_count_if(const tp_llm *llm, const char *name, uint32_t max,
                                    uint32_t *ret_count, tapeout_error *err)
{
    return tp_gguf_has(llm->metadata, key_of(llm, name).text)
               ? read_count(llm, name, max, ret_count, err)
               : TAPEOUT_OK;
}

// A number above 0 and at most `max`.
static tapeout_status read_positive_if(const tp_llm *llm, const char *name, double max,
                                       float *ret_value, tapeout_error *err)
{
    const llm_key key = key_of(llm, name);
    if (!tp_gguf_has(llm->metadata, key.text)) {
        return TAPEOUT_OK;
    }
    double value = 0;
    TP_TRY(tp_gguf_get_f64(llm->metadata, key.text, &value, err));
    if (!(value >= 0 && value <= max)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "gguf: %s is %g; expected 0 to %g", key.text, value,
                       max);
    }
    *ret_value = (float)value;
    return TAPEOUT_OK;
}

static tapeout_status read_sizes(tp_llm *llm, tapeout_error *err)
{
    tp_llm_facts *facts = &llm->facts;
    TP_TRY(read_count(llm, "context_length", TP_MAX_LLM_CONTEXT, &facts->context_length, err));
    TP_TRY(read_count(llm, "embedding_length", TP_MAX_LLM_WIDTH, &facts->width, err));
    TP_TRY(read_count(llm, "block_count", TP_MAX_LLM_LAYERS, &facts->layer_count, err));
    TP_TRY(read_count(llm, "attention.head_count", TP_MAX_LLM_HEADS, &facts->head_count, err));
    facts->kv_head_count = facts->head_count;
    TP_TRY(read_count_if(llm, "attention.head_count_kv", TP_MAX_LLM_HEADS, &facts->kv_head_count,
                         err));
    if (facts->head_count % facts->kv_head_count != 0) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "gguf: %s is %u; expected a divisor of attention.head_count, %u",
                       key_of(llm, "attention.head_count_kv").text, facts->kv_head_count,
                       facts->head_count);
    }
    if (facts->width % facts->head_count == 0) {
        facts->key_size = facts->width / facts->head_count;
    } else if (!tp_gguf_has(llm->metadata, key_of(llm, "attention.key_length").text)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "gguf: %s is missing, and embedding_length %u is no multiple of "
                       "attention.head_count %u",
                       key_of(llm, "attention.key_length").text, facts->width, facts->head_count);
    }
    TP_TRY(read_count_if(llm, "attention.key_length", TP_MAX_LLM_HEAD_SIZE, &facts->key_size, err));
    facts->value_size = facts->key_size;
    TP_TRY(read_count_if(llm, "attention.value_length", TP_MAX_LLM_HEAD_SIZE, &facts->value_size,
                         err));
    if (facts->key_size > TP_MAX_LLM_HEAD_SIZE || facts->value_size % 8 != 0) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "gguf: heads of %u keys and %u values; expected at most %u, and values a "
                       "multiple of 8",
                       facts->key_size, facts->value_size, TP_MAX_LLM_HEAD_SIZE);
    }
    return TAPEOUT_OK;
}

static tapeout_status read_ffn(tp_llm *llm, tapeout_error *err)
{
    llm_config *config = &llm->config;
    if (!config->family->has_experts) {
        return read_count(llm, "feed_forward_length", TP_MAX_LLM_FFN_WIDTH, &config->ffn_width,
                          err);
    }
    TP_TRY(read_count(llm, "expert_feed_forward_length", TP_MAX_LLM_FFN_WIDTH, &config->ffn_width,
                      err));
    TP_TRY(read_count(llm, "expert_count", TP_MAX_LLM_EXPERTS, &config->expert_count, err));
    TP_TRY(read_count(llm, "expert_used_count", config->expert_count, &config->expert_used, err));
    return TAPEOUT_OK;
}

static tapeout_status read_attention(tp_llm *llm, tapeout_error *err)
{
    llm_config *config = &llm->config;
    tp_llm_facts *facts = &llm->facts;
    const char *epsilon = config->family->has_layer_norm ? "attention.layer_norm_epsilon"
                                                         : "attention.layer_norm_rms_epsilon";
    double value = 0;
    TP_TRY(tp_gguf_get_f64(llm->metadata, key_of(llm, epsilon).text, &value, err));
    TP_TRY(read_positive_if(llm, epsilon, 1, &config->epsilon, err));
    config->query_scale = (float)(1 / sqrt((double)facts->key_size));
    TP_TRY(read_positive_if(llm, "attention.scale", 1e6, &config->query_scale, err));
    TP_TRY(read_positive_if(llm, "attn_logit_softcapping", 1e6, &config->attention_cap, err));
    TP_TRY(read_positive_if(llm, "final_logit_softcapping", 1e6, &config->final_cap, err));
    // The largest of the Gemma 3 models scales by the width of a head as if heads made up the
    // embedding; its file says nothing of it, only how many layers there are.
    if (config->family->scales_embedding && facts->layer_count == 62) {
        config->query_scale = (float)(1 / sqrt((double)facts->width / facts->head_count));
    }
    uint64_t window = 0;
    const llm_key key = key_of(llm, "attention.sliding_window");
    if (tp_gguf_has(llm->metadata, key.text)) {
        TP_TRY(tp_gguf_get_u64(llm->metadata, key.text, 0, UINT32_MAX, &window, err));
    }
    facts->window = window < facts->context_length ? (uint32_t)window : 0;
    return TAPEOUT_OK;
}

static tapeout_status read_pooling(tp_llm *llm, tapeout_error *err)
{
    // The numbers of the key: 0 none, 1 mean, 2 first, 3 last; 4 ranks and makes no vector.
    uint64_t value = llm->facts.is_encoder ? 1 : 3;
    const llm_key key = key_of(llm, "pooling_type");
    if (tp_gguf_has(llm->metadata, key.text)) {
        TP_TRY(tp_gguf_get_u64(llm->metadata, key.text, 0, 4, &value, err));
    }
    if (value == 4) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "gguf: %s is 4: models that rank texts are not taken", key.text);
    }
    llm->facts.pooling = value == 2   ? TP_LLM_POOL_FIRST
                         : value == 3 ? TP_LLM_POOL_LAST
                                      : TP_LLM_POOL_MEAN;
    return TAPEOUT_OK;
}

static tapeout_status refuse_family(const tp_llm *llm, tp_str name, tapeout_error *err)
{
    (void)llm;
    return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                   "gguf: general.architecture is %.*s; this tapeout runs llama, qwen2, qwen3, "
                   "qwen3moe, gemma3, phi3 and bert",
                   TP_STR_ARGS(name));
}

tapeout_status tp_llm_config_read(tp_llm *llm, tapeout_error *err)
{
    tp_str name = {0};
    TP_TRY(tp_gguf_get_str(llm->metadata, "general.architecture", &name, err));
    const llm_family *family = tp_llm_family_find(name);
    if (family == NULL) {
        return refuse_family(llm, name, err);
    }
    llm->config = (llm_config){.family = family, .embedding_scale = 1};
    llm->facts = (tp_llm_facts){.architecture = family->name,
                                .is_encoder = family->is_encoder,
                                .is_tested = family->is_tested};
    if (tp_gguf_has(llm->metadata, "general.name")) {
        TP_TRY(tp_gguf_get_str(llm->metadata, "general.name", &llm->facts.name, err));
    }
    TP_TRY(read_sizes(llm, err));
    TP_TRY(read_ffn(llm, err));
    TP_TRY(read_attention(llm, err));
    TP_TRY(read_pooling(llm, err));
    if (family->scales_embedding) {
        llm->config.embedding_scale = sqrtf((float)llm->facts.width);
    }
    return TAPEOUT_OK;
}
