// SPDX-License-Identifier: Apache-2.0
//
// A model file whose metadata and tensors do not fit together is refused by the name of the key or
// tensor. Made from a good file by writing over some of its bytes.
#include "llm/model/tp_llm.h"

#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "model_sample.h"
#include "test.h"

#include <string.h>

typedef struct patch {
    const char *find;    // the key or name in the file
    const char *replace; // of the same size, written over it; NULL: it stays
    int64_t value;       // written as u32 behind the key and its kind; -1: nothing
    tapeout_status want;
    const char *message;
} patch;

static const char model[] = "llama-q8_0.gguf";

static tp_str read_model(const char *name)
{
    char path[2048];
    (void)snprintf(path, sizeof(path), "%s/tests/conformance/llm_tiny/%s", test_source_dir(), name);
    tp_str bytes = {0};
    ASSERT_OK(tp_file_read(tp_allocator_default(), path, 1u << 24, &bytes, &test_err));
    return bytes;
}

static void free_model(tp_str bytes)
{
    tp_free(tp_allocator_default(), (void *)(uintptr_t)bytes.data, bytes.size + 1);
}

// Where `text` stands with its length in front, as keys and names do.
static uint8_t *find(tp_str bytes, const char *text)
{
    const size_t size = strlen(text);
    for (size_t i = 8; i + size <= bytes.size; i++) {
        uint64_t length = 0;
        memcpy(&length, bytes.data + i - 8, sizeof(length));
        if (length == size && memcmp(bytes.data + i, text, size) == 0) {
            return (uint8_t *)(uintptr_t)bytes.data + i;
        }
    }
    test_fail(__FILE__, __LINE__, "%s is not in the file", text);
}

static tapeout_status load(const tp_env *env, tp_str bytes, tapeout_error *err)
{
    tp_gguf *gguf = NULL;
    tapeout_status status = tp_gguf_parse(env, bytes, &gguf, err);
    tp_llm *llm = NULL;
    if (status == TAPEOUT_OK) {
        status = tp_llm_from_gguf(env, gguf, &llm, err);
    }
    ASSERT((llm != NULL) == (status == TAPEOUT_OK));
    tp_llm_free(llm);
    return status;
}

static void check_patch(const char *name, const patch *what)
{
    const tp_str bytes = read_model(name);
    uint8_t *at = find(bytes, what->find);
    if (what->replace != NULL) {
        ASSERT_EQ_UINT(strlen(what->replace), strlen(what->find));
        memcpy(at, what->replace, strlen(what->replace));
    }
    if (what->value >= 0) {
        const uint32_t value = (uint32_t)what->value;
        memcpy(at + strlen(what->find) + 4, &value, sizeof(value));
    }
    const tp_env env = tp_env_plain();
    ASSERT_FAILS(load(&env, bytes, &test_err), what->want, what->message);
    free_model(bytes);
}

static void test_refuses_by_name(void)
{
    static const patch patches[] = {
        {"llama", "mamba", -1, TAPEOUT_E_UNSUPPORTED, "general.architecture is mamba"},
        {"llama.block_count", "llama.block_xount", -1, TAPEOUT_E_CORRUPT, "llama.block_count"},
        {"llama.block_count", NULL, 0, TAPEOUT_E_CORRUPT, "llama.block_count"},
        {"llama.block_count", NULL, 100000, TAPEOUT_E_CORRUPT, "llama.block_count"},
        {"llama.block_count", NULL, 9, TAPEOUT_E_CORRUPT, "attn_norm.weight is missing"},
        {"llama.block_count", NULL, 1, TAPEOUT_E_UNSUPPORTED, "blk.1."},
        {"llama.context_length", NULL, 0, TAPEOUT_E_CORRUPT, "llama.context_length"},
        {"llama.embedding_length", NULL, 32, TAPEOUT_E_CORRUPT, "has the shape"},
        {"llama.feed_forward_length", NULL, 32, TAPEOUT_E_CORRUPT, "ffn_gate.weight"},
        {"llama.attention.head_count_kv", NULL, 3, TAPEOUT_E_CORRUPT, "head_count_kv is 3"},
        {"llama.attention.head_count", NULL, 7, TAPEOUT_E_CORRUPT, "head_count"},
        {"llama.rope.dimension_count", NULL, 3, TAPEOUT_E_CORRUPT, "rope.dimension_count is 3"},
        {"llama.rope.dimension_count", NULL, 4096, TAPEOUT_E_CORRUPT, "rope.dimension_count"},
        {"llama.vocab_size", NULL, 5, TAPEOUT_E_CORRUPT, "llama.vocab_size is 5"},
        {"blk.0.attn_q.weight", "blk.0.attn_x.weight", -1, TAPEOUT_E_CORRUPT,
         "blk.0.attn_q.weight is missing"},
        {"output_norm.weight", "output_xorm.weight", -1, TAPEOUT_E_CORRUPT,
         "output_norm.weight is missing"},
    };
    for (size_t i = 0; i < sizeof(patches) / sizeof(patches[0]); i++) {
        check_patch(model, &patches[i]);
    }
}

static void test_refuses_what_an_architecture_lacks(void)
{
    // Experts that no one can choose; a scaling that is unknown.
    const patch experts = {"qwen3moe.expert_used_count", NULL, 5, TAPEOUT_E_CORRUPT,
                           "qwen3moe.expert_used_count"};
    check_patch("qwen3moe-q8_0.gguf", &experts);
    const patch scaling = {"linear", "dynamo", -1, TAPEOUT_E_UNSUPPORTED,
                           "llama.rope.scaling.type is dynamo"};
    check_patch("llama-rope_linear.gguf", &scaling);
    const patch bias = {"blk.0.attn_q.bias", "blk.0.attn_x.bias", -1, TAPEOUT_E_UNSUPPORTED,
                        "blk.0.attn_x.bias is none"};
    check_patch("qwen2-q8_0.gguf", &bias);
}

// Weights of a bundle must be as many as the metadata says.
static void test_refuses_weights_of_another_size(void)
{
    const tp_env env = tp_env_plain();
    const tp_str bytes = read_model(model);
    tp_gguf *gguf = NULL;
    ASSERT_OK(tp_gguf_parse(&env, bytes, &gguf, &test_err));
    static char weights[64];
    tp_llm *llm = NULL;
    ASSERT_FAILS(tp_llm_from_parts(&env, gguf, (tp_str){weights, sizeof(weights)}, &llm, &test_err),
                 TAPEOUT_E_CORRUPT, "the weights have 64 bytes");
    ASSERT(llm == NULL);
    free_model(bytes);
}

// Packed by hand, as a bundle has them: the same model.
static void test_parts_make_the_same_model(void)
{
    sample_model sample;
    sample_open(model, &sample);
    const tp_str bytes = read_model(model);
    tp_gguf *gguf = NULL;
    ASSERT_OK(tp_gguf_parse(&sample.env, bytes, &gguf, &test_err));
    const size_t total = (size_t)tp_llm_facts_of(sample.llm)->weight_bytes;
    uint8_t *weights = tp_alloc_aligned(tp_allocator_default(), total);
    ASSERT(weights != NULL);
    uint64_t offset = 0;
    for (size_t i = 0; i < tp_gguf_tensor_count(gguf); i++) {
        uint64_t size = 0;
        ASSERT_OK(tp_llm_packed_bytes(tp_gguf_tensor_at(gguf, i), &size, &test_err));
        ASSERT_OK(
            tp_llm_pack(&sample.env, tp_gguf_tensor_at(gguf, i), weights + offset, &test_err));
        offset = tp_llm_weight_end(offset, size);
    }
    ASSERT_EQ_UINT(offset, total);
    sample_model parts = sample;
    ASSERT_OK(tp_llm_from_parts(&sample.env, gguf, (tp_str){(const char *)weights, total},
                                &parts.llm, &test_err));
    const sample_way way = {0};
    const size_t count = (size_t)sample.id_count * tp_llm_facts_of(sample.llm)->vocab_count;
    float *want = sample_logits(&sample, sample.ids, sample.id_count, &way);
    float *got = sample_logits(&parts, sample.ids, sample.id_count, &way);
    ASSERT_EQ_BYTES(got, count * sizeof(*got), want, count * sizeof(*want));
    tp_free_array(tp_allocator_default(), got, count, sizeof(*got));
    tp_free_array(tp_allocator_default(), want, count, sizeof(*want));
    tp_llm_free(parts.llm);
    tp_free_aligned(tp_allocator_default(), weights, total);
    free_model(bytes);
    sample_close(&sample);
}

TEST_MAIN(TEST(test_refuses_by_name), TEST(test_refuses_what_an_architecture_lacks),
          TEST(test_refuses_weights_of_another_size), TEST(test_parts_make_the_same_model))
