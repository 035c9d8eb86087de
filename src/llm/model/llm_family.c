// SPDX-License-Identifier: Apache-2.0
//
// The architectures, a row each. A new one whose parts are known takes a row here; one with a new
// part takes a field as well, and the place in the forward pass that looks at it.
#include "llm/model/model_priv.h"

static const llm_family families[] = {
    {
        .name = "llama",
        .rope = LLM_ROPE_PAIRS,
        .activation = LLM_SILU,
        .has_gate = true,
        .is_tested = true,
    },
    {
        .name = "qwen2",
        .rope = LLM_ROPE_HALVES,
        .activation = LLM_SILU,
        .has_gate = true,
        .has_qkv_bias = true,
    },
    {
        .name = "qwen3",
        .rope = LLM_ROPE_HALVES,
        .activation = LLM_SILU,
        .has_gate = true,
        .has_qk_norm = true,
    },
    {
        .name = "qwen3moe",
        .rope = LLM_ROPE_HALVES,
        .activation = LLM_SILU,
        .has_gate = true,
        .has_qk_norm = true,
        .has_experts = true,
    },
    {
        .name = "gemma3",
        .rope = LLM_ROPE_HALVES,
        .activation = LLM_GELU_TANH,
        .has_gate = true,
        .has_qk_norm = true,
        .has_post_norms = true,
        .scales_embedding = true,
        .window_period = 6,
        .local_base = 10000,
        .is_tested = true,
    },
    {
        .name = "phi3",
        .rope = LLM_ROPE_HALVES,
        .activation = LLM_SILU,
        .has_gate = true,
        .is_fused = true,
    },
    {
        .name = "bert",
        .rope = LLM_ROPE_NONE,
        .activation = LLM_GELU_ERF,
        .has_layer_norm = true,
        .has_qkv_bias = true,
        .norms_stream = true,
        .has_positions = true,
        .is_encoder = true,
        .is_tested = true,
    },
};

const llm_family *tp_llm_family_find(tp_str name)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        if (tp_str_equal(name, tp_str_from(families[i].name))) {
            return &families[i];
        }
    }
    return NULL;
}
